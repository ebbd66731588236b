/*
 * When events come faster than it is worth to follow them, the source rests: it is closed, its table is read now and then
 * instead, and what is missed meanwhile is told as lost. It comes back after a while; where that proves to be too soon, it
 * rests for twice as long the next time. No clock of its own: the caller says what time it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/record.h"

enum {
	CALM_WINDOW_S = 2, /* over which the rate is taken */
	CALM_TELL_S = 5,   /* between two records of what is missed */
	CALM_REST_S = 60,
	CALM_REST_MAX_S = 960,
};

struct calm {
	uint32_t rate; /* events a second; 0: it never rests */
	bool resting;
	uint32_t rest_s;         /* of the present or the last rest; 0: none yet */
	uint64_t count;          /* events since `since` */
	struct boot_ns since;    /* where the present window began; 0: at the next look */
	struct boot_ns told;     /* resting: what was missed until then is told */
	struct boot_ns ends;     /* resting: when it comes back */
	struct boot_ns returned; /* from the last rest; 0: none yet */
};

void calm_init(struct calm *c, uint32_t rate);
/* An event came. */
void calm_event(struct calm *c);
/* To be called after events were read. True: they are too many, and it rests from now on. */
bool calm_enough(struct calm *c, struct boot_ns now);
/* It rests and is not to come back yet. */
bool calm_waits(const struct calm *c, struct boot_ns now);
/* It is open again, or cannot be opened. */
void calm_return(struct calm *c, struct boot_ns now);
/* Fills in what was missed up to now. False: nothing, or too little to tell by itself; `all`: however little. */
bool calm_missed(struct calm *c, struct boot_ns now, bool all, struct loss *out);
/* When to look again; 0: it does not rest. */
struct boot_ns calm_due(const struct calm *c, struct boot_ns now);
