/*
 * Leases: permissions to trace a flow on certain hosts until a deadline. The manager plans what each host must
 * select, asks the agents, keeps the plan true while rulesets, addresses and connections change, thins the
 * sample out on all hosts alike when one cannot keep up, and ends in time. It lives in the loop.
 *
 * After a restart of the collector the leases that still run go on, on the hosts that had armed them; further
 * hosts do not join these any more.
 */
#pragma once

#include <uv.h>

#include "collector/ingest/asks.h"
#include "collector/ingest/ingest.h"

enum { LEASE_TEXT_MAX = 17, LEASE_NAMES_MAX = 64 };

struct leases;

struct lease_request {
	const struct flow *flow;
	const char *const *on; /* host ids, globs, or "all" */
	size_t on_count;       /* at most LEASE_NAMES_MAX */
	uint32_t for_ms, rate;
	const char *by; /* who asks */
	bool dry_run;
};

struct lease_host {
	char id[HOST_MAX + 1];
	enum lease_state state;
	char why[WHY_MAX + 1]; /* "" when there is nothing to say */
};

/* A lease, for who asks; borrowed during the call. */
struct lease_view {
	uint64_t id;
	const char *flow, *by;
	struct wall_ns from, until;
	uint32_t rate, modulus;
	const struct lease_host *hosts;
	size_t host_count;
	const struct pattern *patterns; /* the same on all hosts */
	size_t pattern_count;
	bool cut; /* more patterns would have been needed */
};

/* All borrowed until leases_free(). Takes up what an earlier collector left. */
int leases_open(struct leases **out, uv_loop_t *loop, struct store *s, struct ingest *g,
		struct asks *a);
/* Stops the clock; who waits for an answer gets none. May be called twice. Leases go on for the next start. */
void leases_close(struct leases *l);
/* After the loop has ended; NULL is fine. */
void leases_free(struct leases *l);

/*
 * Starts a lease. done is called once, when every named host has answered, after 5 s at the latest; a dry run calls it with
 * what would be armed where; a NULL view: the collector is stopping. 0; -EINVAL with why; -ENOSPC: too many run.
 */
int leases_start(struct leases *l, const struct lease_request *q,
		 void (*done)(void *arg, const struct lease_view *v), void *arg, struct why *why);
/* Ends one lease, 0: all. Returns their number; -ENOENT: no such one. */
int leases_stop(struct leases *l, uint64_t id);
void leases_each(struct leases *l, void (*fn)(void *arg, const struct lease_view *v), void *arg);

/* "4f21" */
void lease_print(uint64_t id, char text[static LEASE_TEXT_MAX]);
bool lease_parse(uint64_t *id, const char *text);
/* Does a list of ids, globs, or "all" name this host? */
bool lease_names(const char *const *on, size_t on_count, const char *host);
