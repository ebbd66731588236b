/*
 * Each entry translates both ways: a connection's packets, and the replies to them. All are kept in a table by what they begin
 * with.
 */
#include "collector/stitch/mappings.h"

#include <errno.h>

enum { CHAIN_MAX = 4 }; /* gateways that nobody traced, one behind the other */

/* Between a packet and conntrack's word of it, on hosts with clocks of their own. */
static const int64_t SLACK_NS = 2LL * NS_PER_S;

struct mapping {
	struct mapping *next; /* in the same place */
	struct tuple from, to;
	const struct stored_conn *conn;
};

struct mappings {
	struct mapping **places;
	size_t mask;
	struct mapping *list;
	size_t count;
};

/* tuple_flow_key() is that of both directions; here they are different things, which tuple_equal() tells. */
static struct mapping **place_of(const struct mappings *m, const struct tuple *t)
{
	return &m->places[(size_t)tuple_flow_key(t) & m->mask];
}

static void add(struct mappings *m, struct tuple from, struct tuple to,
		const struct stored_conn *conn)
{
	struct mapping *n = &m->list[m->count++], **place;

	place = place_of(m, &from);
	*n = (struct mapping){ *place, from, to, conn };
	*place = n;
}

int mappings_make(const struct mappings **out, const struct around *around, struct arena *arena)
{
	const struct stored_conn *conns = around->conns;
	size_t cap = 64, count = around->conn_count;
	struct mappings *m;

	*out = NULL;
	while (cap < count * 2)
		cap *= 2;
	m = arena_alloc(arena, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->places = arena_alloc(arena, cap * sizeof(struct mapping *));
	m->list = arena_alloc(arena, (count * 2 + 1) * sizeof(*m->list));
	if (!m->places || !m->list)
		return -ENOMEM;
	m->mask = cap - 1;
	for (size_t i = 0; i < count; i++) {
		const struct conn *c = &conns[i].c;
		struct tuple after = tuple_reverse(&c->reply);

		if (tuple_equal(&c->orig, &after))
			continue;
		add(m, c->orig, after, &conns[i]);
		add(m, c->reply, tuple_reverse(&c->orig), &conns[i]);
	}
	if (m->count)
		*out = m;
	return 0;
}

static bool counts(const struct stored_conn *c, const struct mapping_ask *ask)
{
	return c->from.v <= ask->at.v + SLACK_NS &&
	       (!c->until.v || c->until.v >= ask->at.v - SLACK_NS) && c->host != ask->except[0] &&
	       c->host != ask->except[1];
}

static bool leads(const struct mappings *m, const struct tuple *from, const struct mapping_ask *ask,
		  int further)
{
	for (const struct mapping *n = *place_of(m, from); n; n = n->next) {
		if (!tuple_equal(&n->from, from) || !counts(n->conn, ask))
			continue;
		if (tuple_equal(&n->to, ask->to))
			return true;
		if (further > 1 && leads(m, &n->to, ask, further - 1))
			return true;
	}
	return false;
}

bool mappings_lead(const struct mappings *m, const struct mapping_ask *ask)
{
	return m && leads(m, ask->from, ask, CHAIN_MAX);
}
