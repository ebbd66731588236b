/*
 * Connection tracking's entries, found by what a packet bore before and after its translation.
 */
#pragma once

#include "collector/stitch/tuples.h"
#include "collector/store/store.h"

struct entries {
	struct stored_conn *list; /* borrowed; lists name its entries by their index */
	size_t count;
	struct tuple_lists before; /* by what its first packet bore when it came */
	struct tuple_lists after;  /* ... and when it left */
	bool translate;            /* any of them does */
};

/* 0 or -ENOMEM. */
int entries_init(struct entries *e, struct stored_conn *list, size_t count, struct arena *arena);
/* Does another gateway make something else of the same tuple? Then it is that of another site, or this one is. */
bool entries_contest(const struct entries *e, const struct stored_conn *c);
/* The entry that made t of something else, between from and until; NULL: none, or it could be one of two. */
struct stored_conn *entries_made(const struct entries *e, const struct tuple *t,
				 struct wall_ns from, struct wall_ns until);

/* Did entries that were alive at that time, one behind the other, make `to` of `from`, as packets of either direction bear them? */
struct entries_ask {
	const struct tuple *from, *to;
	struct wall_ns at;
	uint64_t except[2]; /* hosts whose entries do not count; 0: none */
};
bool entries_lead(const struct entries *e, const struct entries_ask *ask);
