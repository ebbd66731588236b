/*
 * Mappings: what connection tracking made of addresses, on any host of the fleet. They tell that two journeys with different
 * addresses may be one packet's where nobody traced the host that translated it.
 */
#pragma once

#include "collector/stitch/path.h"

struct mappings; /* in the arena; borrows the connections */

/* Those of the connections that translate. *out is NULL when none does. 0 or -ENOMEM. */
int mappings_make(const struct mappings **out, const struct around *around, struct arena *arena);

/* A question: did entries that were alive at that time, one behind the other, make `to` of `from`? */
struct mapping_ask {
	const struct tuple *from, *to;
	struct wall_ns at;
	uint64_t except[2]; /* hosts whose entries do not count; 0: none */
};
/* m may be NULL. */
bool mappings_lead(const struct mappings *m, const struct mapping_ask *ask);
