/*
 * What a table may have been within a span of time.
 *
 *  1. each content that a read showed, from the last read before that showed another until the next one that does
 *  2. between two reads that show different contents there may have been others, unless one commit lay between them
 *  3. nor is it known what there was before the first read, while it was read again and again in vain (torn), and since the last
 *
 * Handles of nftables are numbers that no other rule of the table ever has, so that they mean the same in all its contents; but a
 * table that was made anew begins them anew.
 */
#pragma once

#include "collector/stitch/fleet.h"

enum { SPAN_TABLES_MAX = 8 };

struct span {
	struct fleet_table *tables[SPAN_TABLES_MAX]; /* oldest first */
	size_t count;
	bool others;    /* 2, 3: what nobody has read may have stood, too */
	bool remade;    /* and that may have been of another table of this name */
	bool unread;    /* at some time it was gone, or what a read showed is not known */
	bool unchecked; /* another read of the host's tables would tell more */
};

/* Whose tables of a name are meant: a backend's, or those of nftables, whichever program made them. */
enum span_whose { SPAN_LEGACY, SPAN_NFT, SPAN_NATIVE, SPAN_NFTABLES };

void span_of(struct span *s, struct fleet *f, uint64_t host, enum span_whose whose, uint8_t family,
	     const char *table, struct wall_ns from, struct wall_ns until);
