#include "collector/stitch/entries.h"

#include <errno.h>

int entries_init(struct entries *e, struct stored_conn *list, size_t count, struct arena *arena)
{
	struct tuple_link *links = arena_alloc(arena, (2 * count + 1) * sizeof(*links));
	int r = tuple_lists_init(&e->before, count, arena);

	e->list = list;
	e->count = count;
	if (r == 0)
		r = tuple_lists_init(&e->after, count, arena);
	if (r < 0 || !links)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct tuple after = tuple_reverse(&list[i].c.reply);

		tuple_lists_add(&e->before, &list[i].c.orig, &links[2 * i], (uint32_t)i);
		tuple_lists_add(&e->after, &after, &links[2 * i + 1], (uint32_t)i);
	}
	return 0;
}

bool entries_contest(const struct entries *e, const struct stored_conn *c)
{
	const struct tuple_link *l = tuple_lists_get(&e->before, &c->c.orig);

	for (; l; l = l->next) {
		const struct stored_conn *other = &e->list[l->number];

		if (other->host != c->host && !tuple_equal(&other->c.reply, &c->c.reply))
			return true;
	}
	return false;
}

struct stored_conn *entries_made(const struct entries *e, const struct tuple *t,
				 struct wall_ns from, struct wall_ns until)
{
	const struct tuple_link *l = tuple_lists_get(&e->after, t);
	struct stored_conn *found = NULL;

	for (; l; l = l->next) {
		struct stored_conn *c = &e->list[l->number];

		if (tuple_equal(&c->c.orig, t))
			continue;
		if (c->from.v > until.v || (c->until.v && c->until.v < from.v))
			continue;
		if (found && !tuple_equal(&found->c.orig, &c->c.orig))
			return NULL;
		found = c;
	}
	return found;
}
