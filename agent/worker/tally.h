/*
 * The counters of one table between two reads: what they were, and what each rule has counted since. A rule is known again
 * by its chain and its text, wherever it went.
 */
#pragma once

#include "agent/source/counted.h"
#include "common/record.h"

struct tally_chain {
	const char *name;      /* the shape's */
	uint32_t first, rules; /* in the values: the rules in order, then the policy */
	bool policy;
};

/* What a text says is to be counted. */
struct tally_shape {
	struct content_id content;
	uint32_t chain_count, value_count;
	struct tally_chain *chains; /* owned, by name; NULL: no text yet */
	char *names;                /* owned */
	uint64_t *hashes;           /* owned; of each value's rule */
};

struct tally {
	uint8_t backend, family;
	char table[TABLE_NAME_MAX + 1];
	struct tally_shape shape;      /* of the newest text */
	struct tally_shape old;        /* of `values`, when that was another */
	struct counters_value *values; /* owned; as last taken; see tally.c */
	struct counters_value
		*shadow; /* owned; before the last reset, of those that it hit; NULL none */
	bool dipped;     /* the last read showed less than before */
	bool unsure_rules,
		unsure_policies; /* some were set to zero; who knows which of the others */
	struct boot_ns last;     /* `before` of the last read that was taken */
	struct boot_ns told, baselined;
	struct content_id told_content;
	uint32_t lost; /* to be told */
};

struct tally_read {
	struct boot_ns before, at; /* the read took so long */
	bool tell;                 /* say so even if nothing moved */
	bool baseline;             /* tell the counters themselves, too */
};

/* The record's entries live until the return. */
typedef void tally_emit(void *arg, const struct counters *c);

/* Another content of the table, as its backend prints it. 0 or -errno; then nothing has changed. */
int tally_text(struct tally *t, const struct content_id *content, const char *text, size_t len);
/*
 * Takes a reading of that content, and emits what there is to tell. 0; -EAGAIN: counters went back, so read again soon:
 * what a commit replaced is being added, or it was a reset, which the next reading tells; -ESTALE: the reading
 * has other chains than the text.
 */
int tally_take(struct tally *t, const struct counted_table *c, const struct tally_read *read,
	       tally_emit *emit, void *arg);
/* Forgets everything but the table, which is of this backend now. */
void tally_restart(struct tally *t, uint8_t backend);
void tally_clear(struct tally *t);
