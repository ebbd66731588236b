/*
 * Growable buffers with a maximum, and arenas made of blocks.
 */
#include "common/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST = 256, ARENA_BLOCK = 64 << 10 };

struct arena_block {
	struct arena_block *next;
	size_t used, cap;
	uint64_t data[]; /* 8-byte aligned */
};

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_clear(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}

uint8_t *buf_extend(struct buf *b, size_t len)
{
	if (len > b->max - b->len)
		return NULL;
	if (b->len + len > b->cap) {
		size_t cap = b->cap ? b->cap : BUF_FIRST;
		uint8_t *p;

		while (cap < b->len + len)
			cap *= 2;
		if (cap > b->max)
			cap = b->max;
		p = realloc(b->p, cap);
		if (!p)
			return NULL;
		b->p = p;
		b->cap = cap;
	}
	b->len += len;
	return b->p + b->len - len;
}

int buf_add(struct buf *b, const void *p, size_t len)
{
	uint8_t *to;

	if (len == 0)
		return 0;
	if (len > b->max - b->len)
		return -E2BIG;
	to = buf_extend(b, len);
	if (!to)
		return -ENOMEM;
	memcpy(to, p, len);
	return 0;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n, r;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	r = buf_add(b, text, (size_t)n);
	free(text);
	return r;
}

void buf_shift(struct buf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (n && b->len > n)
		memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void *arena_alloc(struct arena *a, size_t len)
{
	struct arena_block *block = a->blocks;
	void *p;

	if (len > a->max)
		return NULL;
	len = (len + 7) & ~(size_t)7;
	if (!block || len > block->cap - block->used) {
		size_t left = a->max - a->held, cap = len > ARENA_BLOCK ? len : ARENA_BLOCK;

		if (len > left)
			return NULL;
		if (cap > left)
			cap = left;
		block = malloc(sizeof(*block) + cap);
		if (!block)
			return NULL;
		*block = (struct arena_block){ .next = a->blocks, .cap = cap };
		a->blocks = block;
		a->held += cap;
	}
	p = (uint8_t *)block->data + block->used;
	block->used += len;
	return memset(p, 0, len);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = len == SIZE_MAX ? NULL : arena_alloc(a, len + 1);

	if (copy && len)
		memcpy(copy, s, len);
	return copy;
}

struct arena_mark arena_mark(const struct arena *a)
{
	return (struct arena_mark){ a->blocks, a->blocks ? a->blocks->used : 0 };
}

void arena_rewind(struct arena *a, struct arena_mark m)
{
	while (a->blocks != m.block) {
		struct arena_block *next = a->blocks->next;

		a->held -= a->blocks->cap;
		free(a->blocks);
		a->blocks = next;
	}
	if (m.block)
		m.block->used = m.used;
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = NULL, *next;

	for (struct arena_block *b = a->blocks; b; b = next) {
		next = b->next;
		if (!keep && b->cap == ARENA_BLOCK)
			keep = b;
		else
			free(b);
	}
	if (keep) {
		keep->next = NULL;
		keep->used = 0;
	}
	a->blocks = keep;
	a->held = keep ? keep->cap : 0;
}

void arena_free(struct arena *a)
{
	struct arena_block *next;

	for (struct arena_block *b = a->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	arena_init(a, a->max);
}
