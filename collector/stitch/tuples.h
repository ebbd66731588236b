/*
 * What is known of tuples, looked up by their exact value.
 */
#pragma once

#include "common/addr.h"
#include "common/buf.h"

/* Different tuples, each with a place of its own; as many as it was made for. */
struct tuple_set {
	struct tuple *keys; /* in the arena */
	bool *taken;
	size_t cap, used; /* cap: a power of two, at most half of it is used */
};

/* A value for each. */
struct tuple_map {
	struct tuple_set set;
	uint8_t *values;
};

/* For up to count tuples. 0 or -ENOMEM. */
int tuple_map_init(struct tuple_map *m, size_t count, struct arena *arena);
/* The first value of a tuple stays. */
void tuple_map_add(struct tuple_map *m, const struct tuple *t, uint8_t value);
/* 0: not known. */
uint8_t tuple_map_get(const struct tuple_map *m, const struct tuple *t);

struct tuple_link {
	struct tuple_link *next;
	uint32_t number;
};

/* A list of numbers for each, ascending. */
struct tuple_lists {
	struct tuple_set set;
	struct tuple_link **first, **last;
};

int tuple_lists_init(struct tuple_lists *l, size_t count, struct arena *arena);
/* Puts the number into t's list; link, the caller's, holds it there. */
void tuple_lists_add(struct tuple_lists *l, const struct tuple *t, struct tuple_link *link,
		     uint32_t number);
/* NULL: there are none. */
const struct tuple_link *tuple_lists_get(const struct tuple_lists *l, const struct tuple *t);
