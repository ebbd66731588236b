/*
 * How well journeys fit to be one packet's. The numbers in the code are those of path.h.
 */
#pragma once

#include "collector/stitch/path.h"

/*
 * Surely of different packets, nothing speaks for one packet, their addresses have nothing in common, they share an endpoint,
 * connection tracking of another host made of one's what the other came with, one left as the other came.
 */
enum fit { FIT_NEVER, FIT_APART, FIT_NONE, FIT_SHARED, FIT_MAPPED, FIT_CONTINUOUS };

/* Between two hosts, beside what their clocks are off. */
#define JOIN_NS (2LL * NS_PER_S)

/* What is known of all journeys with one fingerprint. */
struct fitting {
	bool raised; /* a TTL may have gone up */
	bool common; /* contents that many packets have */
	const struct around *around;
};

/* Do many packets have a fingerprint such as j's: no sequence numbers, and no number of its own? */
bool contents_are_common(const struct journey *j);

int64_t journeys_apart(const struct stored_journey *a, const struct stored_journey *b);
/* By addresses alone. */
enum fit journeys_fit(const struct fitting *f, const struct stored_journey *a,
		      const struct stored_journey *b);
/* How well the hops of both fit to be one packet's, and how far apart in time those are that fit best. */
enum fit paths_fit(const struct fitting *f, const struct path *p, const struct path *q,
		   int64_t *between);
