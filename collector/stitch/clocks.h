/*
 * What packets that two hosts saw tell of the hosts' clocks. Pings measure each clock to within their error; a packet cannot have come
 * before it left, which tells more. It moves the times that are shown, never beyond those errors, and decides nothing.
 */
#pragma once

#include "collector/stitch/path.h"

enum { CLOCK_HOSTS_MAX = 64 };

struct clocks {
	struct clock_host {
		uint64_t host;
		int64_t error;   /* ns: how far pings may be wrong */
		int64_t correct; /* ns, to be added to its times */
	} hosts[CLOCK_HOSTS_MAX];
	size_t host_count;
	struct clock_pair *pairs; /* owned */
	size_t pair_count, pair_cap;
};

/* Notes the packets of a path that passed from one host to the next one for certain. Beyond a limit they are left out. */
void clocks_note(struct clocks *c, const struct path *p);
/*
 * Works out the corrections: between two hosts half the difference of both ways' medians, as NTP does; of one way only as much as
 * lets the packets arrive after they left.
 */
void clocks_solve(struct clocks *c);
/*
 * Sets each hop's shift: its host's correction, and what it then still comes after the next hop, if a late receipt and the clocks'
 * errors can be the cause.
 */
void clocks_apply(const struct clocks *c, struct path *p);
void clocks_clear(struct clocks *c);
