/*
 * The worker's end of the pair that joins it to its helper: requests go out, answers come back in any order.
 */
#pragma once

#include <stdbool.h>

#include "agent/helper/ipc.h"
#include "common/why.h"

struct link;

/* One answer to q; fd (-1: none) is the callee's. */
typedef void link_answer(void *arg, const struct helper_request *q, const struct helper_answer *a,
			 int fd);

/* What the helper tells unasked: HELPER_NETNS of ipc.h. */
typedef void link_told(void *arg, const struct helper_answer *a);

/* How the helper is started. */
struct link_start {
	bool all;                 /* for every namespace that there is and will be, else */
	const char *const *netns; /* for these; none: where we stand */
	uint32_t netns_count;
	uint64_t agent;               /* whose rules it may find */
	bool fallback, fallback_only; /* rules in raw where tables have no owner; or everywhere */
};

/*
 * Starts lasthop-helper, found beside our own executable or in the directory for such programs, as s
 * says. 0 or -errno with why.
 */
int link_open(struct link **out, const struct link_start *s, struct why *why);
/* Who hears what is told unasked. */
void link_listen(struct link *l, link_told *told, void *arg);
/* To be polled for reading. */
int link_fd(const struct link *l);
/* The helper's pid. */
int link_pid(const struct link *l);
/*
 * Sends q (its tag is set here), with a copy of pass_fd (-1: none) for RCVBUF; waits in a queue while the helper is
 * busy. done runs once, from link_read(). 0 or -errno.
 */
int link_ask(struct link *l, const struct helper_request *q, int pass_fd, link_answer *done,
	     void *arg);
/* Nobody waits any more for answers to what was asked about this index: their descriptors are closed unread. */
void link_forget(struct link *l, uint32_t netns);
/* Takes all answers that are there. 0, or -errno when the helper has ended or is not ours any more. */
int link_read(struct link *l);
/* Closes our end, which ends the helper, and waits for it at most wait_ms. Callbacks do not run. */
void link_free(struct link *l, int wait_ms);
