/*
 * What makes one content of a table another: rules and chains that went and came.
 */
#pragma once

#include "common/buf.h"
#include "common/table.h"

struct delta_line {
	const char *
		chain; /* borrowed from the tables; NULL: it stands in no chain (nft's sets, maps and the like) */
	bool added;       /* else it went */
	uint32_t number;  /* of the rule in its own content; 0: the chain itself, or its policy */
	const char *text; /* as in the content; not ended */
	uint32_t len;
};

struct delta {
	struct delta_line *
		lines; /* in the arena; chain by chain as the newer content has them, what went before what came */
	size_t count, added, removed;
};

/*
 * From older to newer (NULL: there was no such table); only this chain, unless NULL. Beginnings and ends that are the same stay; in
 * between equal rules are paired in order, the first copy with the first, and the longest run of pairs in which none crosses
 * another stays: a rule that moved went and came. Takes n log n of the rules.
 * 0 or -ENOMEM.
 */
int delta_make(struct delta *d, const struct table *older, const struct table *newer,
	       const char *chain, struct arena *arena);
