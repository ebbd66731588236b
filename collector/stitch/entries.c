#include "collector/stitch/entries.h"

#include <errno.h>

enum { CHAIN_MAX = 4 }; /* gateways that nobody traced, one behind the other */

/* Between a packet and conntrack's word of it, on hosts with clocks of their own. */
static const int64_t SLACK_NS = 2LL * NS_PER_S;

int entries_init(struct entries *e, struct stored_conn *list, size_t count, struct arena *arena)
{
	struct tuple_link *links = arena_alloc(arena, (2 * count + 1) * sizeof(*links));
	int r = tuple_lists_init(&e->before, count, arena);

	e->list = list;
	e->count = count;
	e->translate = false;
	if (r == 0)
		r = tuple_lists_init(&e->after, count, arena);
	if (r < 0 || !links)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct tuple after = tuple_reverse(&list[i].c.reply);

		tuple_lists_add(&e->before, &list[i].c.orig, &links[2 * i], (uint32_t)i);
		tuple_lists_add(&e->after, &after, &links[2 * i + 1], (uint32_t)i);
		e->translate |= !tuple_equal(&list[i].c.orig, &after);
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

static bool counts(const struct stored_conn *c, const struct entries_ask *ask)
{
	return c->from.v <= ask->at.v + SLACK_NS &&
	       (!c->until.v || c->until.v >= ask->at.v - SLACK_NS) && c->host != ask->except[0] &&
	       c->host != ask->except[1];
}

static bool leads(const struct entries *e, const struct tuple *from, const struct entries_ask *ask,
		  int further);

/* Do the entries in l, which make something of `from`, lead there? reply: they translate it back. */
static bool any_leads(const struct entries *e, const struct tuple_link *l, const struct tuple *from,
		      bool reply, const struct entries_ask *ask, int further)
{
	for (; l; l = l->next) {
		const struct stored_conn *c = &e->list[l->number];
		struct tuple to = tuple_reverse(reply ? &c->c.orig : &c->c.reply);

		if (tuple_equal(&to, from) || !counts(c, ask))
			continue;
		if (tuple_equal(&to, ask->to) || (further > 1 && leads(e, &to, ask, further - 1)))
			return true;
	}
	return false;
}

static bool leads(const struct entries *e, const struct tuple *from, const struct entries_ask *ask,
		  int further)
{
	struct tuple back = tuple_reverse(from);

	return any_leads(e, tuple_lists_get(&e->before, from), from, false, ask, further) ||
	       any_leads(e, tuple_lists_get(&e->after, &back), from, true, ask, further);
}

bool entries_lead(const struct entries *e, const struct entries_ask *ask)
{
	return e->translate && leads(e, ask->from, ask, CHAIN_MAX);
}
