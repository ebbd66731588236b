/*
 * A growable buffer that knows its maximum, and an arena whose maximum is fixed when it is made.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *p; /* owned */
	size_t len, cap, max;
};

void buf_init(struct buf *b, size_t max);
/* Leaves a zeroed, reusable object with the same maximum. */
void buf_clear(struct buf *b);
/* 0, -ENOMEM, or -E2BIG beyond the maximum; then nothing was added. */
int buf_add(struct buf *b, const void *p, size_t len);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* len > 0 writable bytes at the end, already counted; NULL on failure. */
uint8_t *buf_extend(struct buf *b, size_t len);
/* Drops the first n bytes. */
void buf_shift(struct buf *b, size_t n);

/* Many small allocations, freed together. */
struct arena {
	struct arena_block *blocks; /* owned */
	size_t held, max;           /* bytes of all blocks, their unused ends included */
};

void arena_init(struct arena *a, size_t max);
/* Zeroed memory, 8-byte aligned; NULL beyond the maximum. */
void *arena_alloc(struct arena *a, size_t len);
char *arena_strndup(struct arena *a, const char *s, size_t len);
/* Where the arena stands; arena_rewind() frees what was allocated since. Marks are rewound newest first. */
struct arena_mark {
	struct arena_block *block;
	size_t used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark m);
/* Forgets everything but keeps one block for reuse. */
void arena_reset(struct arena *a);
void arena_free(struct arena *a);
