/*
 * What the rules of a host's tables counted in a window: all deltas that were told, brought together by rule. A rule is
 * the same in two contents when its chain and text are, and the number of such rules before it.
 */
#pragma once

#include "collector/store/store.h"
#include "common/table.h"

enum { HITS_BUCKETS = 8 };

struct hit {
	const char *chain;
	uint32_t rule;    /* in the newest content, or where it stood last; 0: the policy */
	const char *text; /* NULL: not known */
	bool gone;        /* not in the newest content any more */
	bool at_least;    /* counters went back meanwhile */
	bool at_most;     /* what it came with is in it */
	bool uncounted;   /* it has no counter */
	uint64_t packets, bytes;
	struct wall_ns last; /* the newest reading that showed it moved; 0 none */
	double *trend;       /* packets in each bucket; NULL: none */
	bool total_known;    /* the counter itself, as it stood at last: */
	uint64_t total_packets, total_bytes;
};

struct hits_span {
	struct wall_ns from, until;
};

struct hits_table {
	struct stored_table entry; /* the newest content of the window */
	bool gone;                 /* the table itself, at its end */
	bool usable;               /* its text is here */
	struct hit *list;          /* the newest content's first */
	size_t count;
	struct wall_ns first, last; /* the readings; 0: none */
	int64_t measured;           /* ns between readings, without gaps */
	int64_t covered[HITS_BUCKETS];
	struct hits_span *gaps; /* between readings */
	size_t gap_count;
	uint64_t lost; /* rules that went: what they counted last */
};

struct hits {
	struct wall_ns since, until;
	struct hits_table *tables;
	size_t table_count;
};

/* Which tables: -1 and NULL: any. */
struct hits_which {
	int backend, family;
	const char *table;
};

/* Everything lives in the arena. 0 or -errno. */
int hits_load(struct hits *h, struct reader *r, uint64_t host, const struct hits_which *which,
	      struct wall_ns since, struct wall_ns until, struct arena *arena);
