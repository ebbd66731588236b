/*
 * Entries are nodes of a graph, "continues" its edges; connections are its ways from where nothing leads to, to where nothing
 * goes on. The graph grows by asking for what each translation begins with and ends in, until nothing new comes.
 */
#include "collector/stitch/translations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNS_MAX = 2000,    /* entries that one question looks at */
	QUESTIONS_MAX = 400, /* of the store */
	WAYS_MAX = 10000,
	SLACK_NS = 2 * 1000000000, /* between the clocks and the events of two hosts */
};

struct graph {
	struct reader *r;
	struct arena *arena;
	const struct flow *flow;
	struct wall_ns since, until;
	struct stored_conn *conns; /* CONNS_MAX */
	struct tuple *outs;        /* what each made of its orig */
	bool *translates;
	size_t count;
	struct tuple *asked; /* QUESTIONS_MAX */
	size_t asked_count;
	bool cut;
	size_t way[TRANSLATIONS_MAX]; /* conns, of the connection that is being followed */
	struct translations *out;
	size_t cap, ways;
};

static bool same_entry(const struct stored_conn *a, const struct stored_conn *b)
{
	return a->host == b->host && a->c.id == b->c.id && a->from.v == b->from.v;
}

static int add_conns(struct graph *g, const struct stored_conn *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool known = false;
		struct tuple out;

		for (size_t k = 0; k < g->count && !known; k++)
			known = same_entry(&g->conns[k], &list[i]);
		if (known)
			continue;
		if (g->count == CONNS_MAX) {
			g->cut = true;
			return 0;
		}
		out = tuple_reverse(&list[i].c.reply);
		g->conns[g->count] = list[i];
		g->outs[g->count] = out;
		g->translates[g->count++] = !tuple_equal(&out, &list[i].c.orig);
	}
	return 0;
}

static int ask_flow(struct graph *g, const struct flow *f)
{
	struct stored_conn *list;
	size_t n = 0;
	int r = reader_conns(g->r, f, g->since, g->until, CONNS_MAX, g->arena, &list, &n);

	if (r < 0)
		return r;
	g->cut |= n == CONNS_MAX;
	return add_conns(g, list, n);
}

static int ask_tuple(struct graph *g, const struct tuple *t)
{
	struct flow f = flow_of_tuple(t);

	for (size_t i = 0; i < g->asked_count; i++) {
		if (tuple_equal(&g->asked[i], t))
			return 0;
	}
	if (g->asked_count == QUESTIONS_MAX) {
		g->cut = true;
		return 0;
	}
	g->asked[g->asked_count++] = *t;
	return ask_flow(g, &f);
}

static int grow(struct graph *g)
{
	int r = ask_flow(g, g->flow);

	for (size_t i = 0; i < g->count && r == 0; i++) {
		r = ask_tuple(g, &g->conns[i].c.orig);
		if (r == 0 && g->translates[i])
			r = ask_tuple(g, &g->outs[i]);
	}
	return r;
}

static bool same_addresses(const struct stored_conn *a, const struct stored_conn *b)
{
	return a->host == b->host && a->c.zone == b->c.zone &&
	       (tuple_equal(&a->c.orig, &b->c.orig) || tuple_equal(&a->c.reply, &b->c.reply));
}

/* 5 */
static void end_by_successors(struct graph *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->count; i++) {
		struct stored_conn *c = &g->conns[i];

		for (size_t k = 0; k < g->count; k++) {
			const struct stored_conn *next = &g->conns[k];

			if (next->from.v > c->from.v && same_addresses(c, next) &&
			    (!c->until.v || next->from.v < c->until.v))
				c->until = next->from;
		}
	}
	for (size_t i = 0; i < g->count; i++) {
		if (g->conns[i].until.v && g->conns[i].until.v < g->since.v)
			continue;
		g->conns[kept] = g->conns[i];
		g->outs[kept] = g->outs[i];
		g->translates[kept++] = g->translates[i];
	}
	g->count = kept;
}

static bool overlap(const struct stored_conn *a, const struct stored_conn *b)
{
	int64_t a_end = a->until.v ? a->until.v : INT64_MAX - SLACK_NS;
	int64_t b_end = b->until.v ? b->until.v : INT64_MAX - SLACK_NS;

	return a->from.v <= b_end + SLACK_NS && b->from.v <= a_end + SLACK_NS;
}

/* 1 */
static bool continues(const struct graph *g, size_t next, size_t before)
{
	const struct stored_conn *a = &g->conns[before], *b = &g->conns[next];

	return g->translates[before] && g->translates[next] && next != before &&
	       tuple_equal(&g->outs[before], &b->c.orig) && overlap(a, b) &&
	       (a->host != b->host || a->c.zone != b->c.zone);
}

static size_t count_before(const struct graph *g, size_t i)
{
	size_t n = 0;

	for (size_t k = 0; k < g->count; k++)
		n += continues(g, i, k);
	return n;
}

static size_t count_after(const struct graph *g, size_t i)
{
	size_t n = 0;

	for (size_t k = 0; k < g->count; k++)
		n += continues(g, k, i);
	return n;
}

static bool flow_meets(const struct flow *f, const struct tuple *t)
{
	struct tuple back = tuple_reverse(t);

	return flow_has(f, t) || flow_has(f, &back);
}

/* 4 */
static int add_seen(struct graph *g, struct translated *t, const struct stored_conn *life)
{
	size_t n = 0;

	t->seen = arena_alloc(g->arena, (g->count + 1) * sizeof(*t->seen));
	if (!t->seen)
		return -ENOMEM;
	for (size_t i = 0; i < g->count; i++) {
		bool on_the_way = tuple_equal(&g->conns[i].c.orig, &t->first);

		if (g->translates[i] || !overlap(&g->conns[i], life))
			continue;
		for (size_t k = 0; k < t->count && !on_the_way; k++)
			on_the_way = tuple_equal(&g->conns[i].c.orig, &t->list[k].out);
		if (on_the_way)
			t->seen[n++] = &g->conns[i];
	}
	t->seen_count = n;
	return 0;
}

static void live(struct translated *t, const struct stored_conn *c)
{
	if (!t->from.v || c->from.v < t->from.v)
		t->from = c->from;
	if (c->until.v > t->until.v)
		t->until = c->until;
}

/* When it was last known, if none of the entries says when it ended. */
static void find_told(struct translated *t, const struct translation *list, size_t n)
{
	struct wall_ns told = { 0 };

	t->told.v = 0;
	for (size_t i = 0; i < n && t->until.v; i++) {
		const struct stored_conn *c = list[i].conn;
		struct wall_ns last = c->told.v ? c->told : c->from;

		if (last.v >= c->until.v)
			return;
		if (last.v > told.v)
			told = last;
	}
	t->told = told;
}

static int add_translated(struct graph *g, const struct translated *t)
{
	struct translations *o = g->out;

	if (o->count == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 16;
		struct translated *list = arena_alloc(g->arena, cap * sizeof(*list));

		if (!list)
			return -ENOMEM;
		if (o->count)
			memcpy(list, o->list, o->count * sizeof(*list));
		o->list = list;
		g->cap = cap;
	}
	o->list[o->count++] = *t;
	return 0;
}

/* The way that is complete with way[0..n). */
static int end_way(struct graph *g, size_t n)
{
	const struct stored_conn *last = &g->conns[g->way[n - 1]];
	struct translated t = { .first = g->conns[g->way[0]].c.orig };
	bool met = flow_meets(g->flow, &t.first), open = false;

	for (size_t i = 0; i < n; i++) {
		size_t k = g->way[i];

		t.list[t.count++] = (struct translation){ .conn = &g->conns[k],
							  .in = g->conns[k].c.orig,
							  .out = g->outs[k] };
		live(&t, &g->conns[k]);
		open |= g->conns[k].until.v == 0;
		met |= flow_meets(g->flow, &g->outs[k]);
		t.ambiguous |=
			(i > 0 && count_before(g, k) > 1) || (i + 1 < n && count_after(g, k) > 1);
		/* 3: the same addresses at another gateway */
		for (size_t other = 0; other < g->count; other++)
			t.ambiguous |= other != k && g->translates[other] &&
				       g->conns[other].host != g->conns[k].host &&
				       tuple_equal(&g->conns[other].c.orig, &g->conns[k].c.orig) &&
				       overlap(&g->conns[other], &g->conns[k]);
	}
	if (!met)
		return 0;
	if (open)
		t.until.v = 0;
	find_told(&t, t.list, t.count);
	return add_seen(g, &t, last) < 0 ? -ENOMEM : add_translated(g, &t);
}

static int follow(struct graph *g, size_t n)
{
	bool further = false;
	int r = 0;

	if (++g->ways > WAYS_MAX) {
		g->cut = true;
		return 0;
	}
	for (size_t i = 0; i < g->count && r == 0 && n < TRANSLATIONS_MAX; i++) {
		bool again = !continues(g, i, g->way[n - 1]);

		for (size_t k = 0; k < n && !again; k++)
			again = g->way[k] == i;
		if (again)
			continue;
		further = true;
		g->way[n] = i;
		r = follow(g, n + 1);
	}
	return r < 0 || further ? r : end_way(g, n);
}

/* Does any translation begin with, or end in, what this untouched entry saw? */
static bool belongs_to_translated(const struct graph *g, size_t i)
{
	for (size_t k = 0; k < g->count; k++) {
		if (g->translates[k] && overlap(&g->conns[i], &g->conns[k]) &&
		    (tuple_equal(&g->conns[k].c.orig, &g->conns[i].c.orig) ||
		     tuple_equal(&g->outs[k], &g->conns[i].c.orig)))
			return true;
	}
	return false;
}

/* Connections that nobody translates: the first entry of each stands for all. */
static int add_untouched(struct graph *g, size_t i)
{
	const struct translation only = { .conn = &g->conns[i] };
	struct translated t = { .first = only.conn->c.orig };

	if (!flow_meets(g->flow, &t.first) || belongs_to_translated(g, i))
		return 0;
	for (size_t k = 0; k < i; k++) {
		if (!g->translates[k] && tuple_equal(&g->conns[k].c.orig, &t.first) &&
		    overlap(&g->conns[k], &g->conns[i]))
			return 0;
	}
	live(&t, only.conn);
	find_told(&t, &only, 1);
	return add_seen(g, &t, only.conn) < 0 ? -ENOMEM : add_translated(g, &t);
}

static int newest_first(const void *pa, const void *pb)
{
	const struct translated *a = pa, *b = pb;

	if (!a->count != !b->count)
		return a->count ? -1 : 1; /* translated ones before all others */
	return (a->from.v < b->from.v) - (a->from.v > b->from.v);
}

int translations_find(struct translations *out, struct reader *r, struct arena *arena,
		      const struct flow *flow, struct wall_ns since, struct wall_ns until,
		      size_t limit)
{
	struct graph g = {
		.r = r, .arena = arena, .flow = flow, .since = since, .until = until, .out = out
	};
	int ret;

	*out = (struct translations){ 0 };
	g.conns = arena_alloc(arena, CONNS_MAX * sizeof(*g.conns));
	g.outs = arena_alloc(arena, CONNS_MAX * sizeof(*g.outs));
	g.translates = arena_alloc(arena, CONNS_MAX * sizeof(*g.translates));
	g.asked = arena_alloc(arena, QUESTIONS_MAX * sizeof(*g.asked));
	ret = g.conns && g.outs && g.translates && g.asked ? grow(&g) : -ENOMEM;
	end_by_successors(&g);
	for (size_t i = 0; i < g.count && ret == 0; i++) {
		if (!g.translates[i]) {
			ret = add_untouched(&g, i);
		} else if (count_before(&g, i) == 0) { /* 2 */
			g.way[0] = i;
			ret = follow(&g, 1);
		}
	}
	if (ret < 0)
		return ret;
	if (out->count)
		qsort(out->list, out->count, sizeof(*out->list), newest_first);
	if (out->count > limit) {
		out->omitted = out->count - limit;
		out->count = limit;
	}
	out->cut = g.cut;
	return 0;
}
