/*
 * Counter deltas on their way into a segment.
 */
#pragma once

#include "collector/store/pack.h"

struct segment;
struct origin;

/* One record ready to be inserted; packed. */
struct counter_row {
	uint64_t host;
	int64_t from, t;
	uint32_t body, body_len; /* in the list's bytes */
};

struct counter_rows {
	struct counter_row *list; /* owned */
	uint32_t count, cap;
	struct buf bytes;
};

void counter_rows_init(struct counter_rows *c);
/* Appends RECORD_COUNTERS r of `host`, whose wall time is boot + offset. 0 or -errno. */
int counter_rows_add(struct counter_rows *c, struct packer *p, uint64_t host, int64_t offset,
		     const struct record *r);
size_t counter_rows_bytes(const struct counter_rows *c);
void counter_rows_clear(struct counter_rows *c);
/* Inserts them all into the segment, inside the writer's transaction. */
int counter_rows_write(const struct counter_rows *c, struct segment *s, const struct origin *o);
/* What the segment holds already: how many, and their span. */
int counter_rows_seen(struct segment *s);
