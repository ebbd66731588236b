/*
 * A lease that runs, and the manager that holds it: what their files share. One lease knows its hosts, what they were sent and
 * what they answered; when it is planned, renewed, thinned and ended is the manager's (lease.c).
 */
#pragma once

#include "collector/lease/lease.h"
#include "collector/lease/survey.h"

enum {
	RENEW_MS = 10 * 1000, /* agents end a lease that nobody renews */
	ENDED_KEPT = 32,      /* whose agents may still have to hear of it */
};

/* What is known of a lease on one host, beside what people are told. */
struct member {
	bool sent;                        /* to the connection that stands */
	bool named;                       /* by its whole id: worth waiting for */
	bool limited;                     /* a limit's loss came since the last look */
	uint32_t modulus;                 /* of its last record */
	uint64_t refused, refused_before; /* then, and when the modulus was new */
};

struct lease {
	struct leases *leases; /* borrowed */
	uint64_t id;
	struct pattern named[FLOW_PATTERNS_MAX];
	size_t named_count;
	char flow[FLOW_TEXT_MAX], by[WHY_MAX + 1];
	char *on[LEASE_NAMES_MAX]; /* owned */
	size_t on_count;
	struct wall_ns from, until;
	/* The loop's clock. */
	int64_t ends_ms, renew_ms, plan_ms, sample_ms, answer_ms;
	uint32_t rate, modulus;
	struct wall_ns thinned; /* when the modulus was changed */
	bool dry_run, ended, planned, planning;

	struct lease_host *hosts; /* owned; members[i] is about hosts[i] */
	struct member *members;
	size_t host_count, host_cap;
	struct pattern patterns[PATTERNS_MAX];
	size_t pattern_count;
	bool cut;

	void (*done)(void *arg, const struct lease_view *v); /* NULL: told, or nobody asked */
	void *arg;
	struct survey survey; /* the thread's while planning */
	struct lease *prev, *next;
};

struct leases {
	uv_loop_t *loop; /* all borrowed */
	struct store *store;
	struct ingest *ingest;
	struct asks *asks;
	struct ingest_observer watch;
	uv_timer_t tick;
	bool closed;
	struct lease *list; /* owned */
	struct {
		uint64_t id;
		struct wall_ns until;
	} ended[ENDED_KEPT];
	uint32_t ended_next;
};

/* The loop's clock. */
int64_t leases_now_ms(const struct leases *ls);

bool lease_wants(const struct lease *l, const char *host);
/* Its place among the hosts; host_count: it is none. */
size_t lease_find(const struct lease *l, const char *host);
/* The place of a host in the lease, made when it is new. host_count: there is no room. */
size_t lease_join(struct lease *l, const char *host);
void lease_view(const struct lease *l, struct lease_view *v);
void lease_host_is(struct lease_host *h, enum lease_state state, const char *why);
/* Tells who asked, once. */
void lease_answer(struct lease *l);
/* The same if nobody is left to wait for. */
void lease_look(struct lease *l);
/* Sends the plan to one host, or to all: a start, or a renewal. */
void lease_send(struct lease *l, size_t i);
void lease_send_all(struct lease *l);
int lease_store(const struct lease *l);
void lease_free(struct lease *l);
