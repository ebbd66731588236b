/*
 * Conversations while they are put together: the list in flows.c says how.
 */
#pragma once

#include "collector/stitch/entries.h"
#include "collector/stitch/flows.h"

enum { VARIANTS_MAX = 16 };

struct draft {
	struct conversation conv;
	struct tuple variants[VARIANTS_MAX]; /* original direction, as any host saw it */
	struct tuple_link links[VARIANTS_MAX];
	size_t variant_count;
	bool has_syn;
	uint32_t syn_seq;
	size_t original_cap, reply_cap, answer_cap;
};

struct drafts {
	struct draft *list; /* as they began */
	size_t count;
	struct tuple_lists by_variant;
	const struct entries *entries;
	struct arena *arena;
};

/* For at most max of them, whose packets bear so many tuples. 0 or -ENOMEM. */
int drafts_init(struct drafts *d, size_t max, size_t tuples, const struct entries *entries,
		struct arena *arena);
struct draft *draft_begin(struct drafts *all, const struct tuple *t);
/* Takes an original packet or a reply. 0 or -ENOMEM. */
int draft_add(struct drafts *all, struct draft *d, struct path *p);
/* Takes an answer about it. 0 or -ENOMEM. */
int draft_answer(struct drafts *all, struct draft *d, struct path *p);
/* Learns from connection tracking what its sender called it (7), and what became of its tuples. */
void draft_ask_entries(struct drafts *all, struct draft *d);

/* 3: the newest conversation of the tuple that p may be of, rather one of the same sender or gateway; NULL: none. */
struct draft *drafts_named(struct drafts *all, const struct tuple *t, const struct path *p);
/*
 * Of the conversations that know the tuple of p those next of kin, of these the newest that had begun before; else the oldest. NULL: none
 * knows it.
 */
struct draft *drafts_knowing(struct drafts *all, const struct tuple *t, const struct path *p);
