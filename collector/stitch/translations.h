/*
 * Translations: what NAT made of a connection's addresses, gateway by gateway, by connection tracking alone. Nobody has
 * to have traced a packet for it.
 */
#pragma once

#include "collector/store/store.h"

enum { TRANSLATIONS_MAX = 16 }; /* of one connection */

/* One gateway's entry: `in` became `out`. */
struct translation {
	const struct stored_conn *conn; /* in the arena */
	struct tuple in, out;
};

/* A connection, from the addresses that its sender knows to those that its receiver sees. */
struct translated {
	struct tuple first; /* as its sender sees it */
	struct translation list[TRANSLATIONS_MAX];
	size_t count; /* 0: nobody translates it */
	/* Entries of hosts that passed it on untouched, by what they saw of it. */
	const struct stored_conn **seen;
	size_t seen_count;
	struct wall_ns from, until; /* until 0: not seen to end */
	struct wall_ns told; /* nobody saw its end: after that, and not after until; else 0 */
	bool ambiguous;      /* another gateway's entry would fit in some place as well */
};

struct translations {
	struct translated *list; /* newest first; in the arena */
	size_t count, omitted;
	bool cut; /* there were more entries than were looked at */
};

/*
 * All connections alive in the window of which one end, as it is before or after any translation, matches the flow:
 *  1. an entry continues another one if it begins with what the other made, their lives overlap, and they are of different
 *     hosts or zones
 *  2. a connection begins where no entry leads to, and ends where none goes on
 *  3. where several entries continue one, or lead to one, each way is listed, and marked
 *  4. an entry that translates nothing says which host saw those addresses
 *  5. an entry whose end nobody saw had ended when its host and zone had another one with its addresses, as they came or as
 *     answers to them come: there is one at a time
 * At most limit are listed; the others are counted. 0 or -errno.
 */
int translations_find(struct translations *out, struct reader *r, struct arena *arena,
		      const struct flow *flow, struct wall_ns since, struct wall_ns until,
		      size_t limit);
