#include "collector/stitch/tuples.h"

#include <errno.h>

#include "common/must.h"

static int set_init(struct tuple_set *s, size_t count, struct arena *arena)
{
	s->used = 0;
	for (s->cap = 64; s->cap < count * 2;)
		s->cap *= 2;
	s->keys = arena_alloc(arena, s->cap * sizeof(*s->keys));
	s->taken = arena_alloc(arena, s->cap * sizeof(*s->taken));
	return s->keys && s->taken ? 0 : -ENOMEM;
}

/* Where t is, or would be. */
static size_t set_find(const struct tuple_set *s, const struct tuple *t)
{
	size_t i = (size_t)tuple_flow_key(t) & (s->cap - 1);

	while (s->taken[i] && !tuple_equal(&s->keys[i], t))
		i = (i + 1) & (s->cap - 1);
	return i;
}

static size_t set_add(struct tuple_set *s, const struct tuple *t)
{
	size_t i = set_find(s, t);

	if (!s->taken[i]) {
		must(++s->used <= s->cap / 2);
		s->taken[i] = true;
		s->keys[i] = *t;
	}
	return i;
}

int tuple_map_init(struct tuple_map *m, size_t count, struct arena *arena)
{
	int r = set_init(&m->set, count, arena);

	m->values = r < 0 ? NULL : arena_alloc(arena, m->set.cap);
	return m->values ? 0 : -ENOMEM;
}

void tuple_map_add(struct tuple_map *m, const struct tuple *t, uint8_t value)
{
	size_t i = set_add(&m->set, t);

	if (!m->values[i])
		m->values[i] = value;
}

uint8_t tuple_map_get(const struct tuple_map *m, const struct tuple *t)
{
	return m->values[set_find(&m->set, t)];
}

int tuple_lists_init(struct tuple_lists *l, size_t count, struct arena *arena)
{
	int r = set_init(&l->set, count, arena);

	if (r < 0)
		return r;
	l->first = arena_alloc(arena, l->set.cap * sizeof(struct tuple_link *));
	l->last = arena_alloc(arena, l->set.cap * sizeof(struct tuple_link *));
	return l->first && l->last ? 0 : -ENOMEM;
}

void tuple_lists_add(struct tuple_lists *l, const struct tuple *t, struct tuple_link *link,
		     uint32_t number)
{
	size_t i = set_add(&l->set, t);
	struct tuple_link **at = &l->first[i];

	/* They mostly come in order. */
	if (l->last[i] && l->last[i]->number <= number)
		at = &l->last[i]->next;
	while (*at && (*at)->number <= number)
		at = &(*at)->next;
	*link = (struct tuple_link){ .next = *at, .number = number };
	*at = link;
	if (!link->next)
		l->last[i] = link;
}

const struct tuple_link *tuple_lists_get(const struct tuple_lists *l, const struct tuple *t)
{
	return l->first[set_find(&l->set, t)];
}
