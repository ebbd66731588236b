/*
 * A survey: what the store knows of the fleet's NAT, and the patterns that a lease needs for it. Runs on any
 * thread, with a reader of its own.
 */
#pragma once

#include "collector/lease/plan.h"
#include "collector/store/store.h"

struct survey_host {
	char id[HOST_MAX + 1];
	struct wall_ns last_seen;
	bool retired;
};

struct survey {
	struct pattern named[FLOW_PATTERNS_MAX]; /* asked */
	size_t named_count;
	struct pattern patterns[PATTERNS_MAX]; /* answered ... */
	size_t pattern_count;
	bool cut;
	struct survey_host *hosts; /* owned; all that the store knows */
	size_t host_count;
	int error; /* 0, or -errno: then only `named` is planned */
};

/* Fills what is answered. */
void survey_run(struct survey *s, struct reader *r);
void survey_clear(struct survey *s);
