/*
 * What the agent was told to do: its command line, and under it a configuration file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/limits.h"
#include "common/why.h"

struct options {
	char *id, *collector, *state, *config; /* owned */
	char **netns;                          /* owned, with its texts */
	uint32_t netns_count;
	bool fallback, fallback_only; /* leases by rules in raw: where need be, always */
	bool netns_all;               /* follow all there are; then there are no names */
	bool allow_trace, insecure, help, version;
	uint32_t lease_seconds, lease_rate; /* at most */
	uint32_t drops_rate;                /* at most; those beyond are counted */
	uint32_t counters_seconds;          /* between two reads; 0: never */
	uint32_t conntrack_rate;            /* events a second that are followed; 0: however many */
	uint16_t log_groups[NFLOG_GROUPS_MAX];
	uint32_t log_group_count;
};

/*
 * Reads argv, then the file that it names; argv wins. 0, or -EINVAL with why when something is missing or wrong. With
 * help or version set nothing else is checked.
 */
int options_read(struct options *o, int argc, char **argv, struct why *why);
void options_usage(FILE *to);
void options_clear(struct options *o);
