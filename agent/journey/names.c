/*
 * A hash of strings in one arena. Names are short, and one is asked for with every event.
 */
#include "agent/journey/names.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/buf.h"

enum { BUCKETS = 256 };

struct name {
	struct name *next;
	uint32_t len;
	char text[];
};

struct names {
	struct arena arena;
	struct name *buckets[BUCKETS];
};

int names_new(struct names **out, size_t max)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	arena_init(&n->arena, max);
	*out = n;
	return 0;
}

const char *names_keep(struct names *n, const char *text)
{
	size_t len = strlen(text);
	struct name **bucket, *k;

	if (len == 0)
		return "";
	bucket = &n->buckets[XXH3_64bits(text, len) % BUCKETS];
	for (k = *bucket; k; k = k->next) {
		if (k->len == len && memcmp(k->text, text, len) == 0)
			return k->text;
	}
	k = arena_alloc(&n->arena, sizeof(*k) + len + 1);
	if (!k)
		return NULL;
	memcpy(k->text, text, len + 1);
	k->len = (uint32_t)len;
	k->next = *bucket;
	*bucket = k;
	return k->text;
}

void names_reset(struct names *n)
{
	arena_free(&n->arena);
	memset(n->buckets, 0, sizeof(n->buckets));
}

void names_free(struct names *n)
{
	if (!n)
		return;
	arena_free(&n->arena);
	free(n);
}
