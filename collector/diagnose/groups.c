/*
 * Many flows at once: those that went the same way to the same end are one group, with one of them as an example.
 */
#include "collector/diagnose/diagnose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/diagnose/answer.h"
#include "collector/diagnose/coverage.h"
#include "collector/diagnose/question.h"
#include "collector/stitch/stranger.h"

enum {
	JOURNEYS_MAX = 20000, /* that one question looks at, the newest ones */
	HEAP_MAX = 512 << 20,
};

struct group {
	struct ruling *example; /* the newest */
	const struct fate *way; /* of the example; NULL: nothing shows it */
	size_t flows, packets;
	struct wall_ns first, last;
	bool provisional;
};

/* --- what makes two flows alike ------------------------------------------------------------------------------- */

static bool end_changed(const struct hop *h, bool source)
{
	const struct tuple *in = hop_tuple_in(h), *out = hop_tuple_out(h);

	return source ? !addr_equal(&in->src, &out->src) || in->sport != out->sport
		      : !addr_equal(&in->dst, &out->dst) || in->dport != out->dport;
}

/* The stretch of a packet's way that a direction shows: what decided, or what was seen best. */
static const struct fate *way_of(const struct ruling *r)
{
	const struct fate *f = ruling_shown(r, r->direction);

	return f ? f : ruling_shown(r, DIRECTION_ORIGINAL);
}

static bool same_way(const struct fate *a, const struct fate *b)
{
	if (!a || !b)
		return a == b;
	if (a->path->hop_count != b->path->hop_count)
		return false;
	for (size_t i = 0; i < a->path->hop_count; i++) {
		const struct hop *x = &a->path->hops[i], *y = &b->path->hops[i];

		if (x->sj->host != y->sj->host || end_changed(x, true) != end_changed(y, true) ||
		    end_changed(x, false) != end_changed(y, false))
			return false;
	}
	return true;
}

static bool died(const struct ruling *r)
{
	return r->decisive && r->verdict <= VERDICT_LOST;
}

static bool alike(const struct group *g, const struct ruling *r, const struct fate *way)
{
	const struct ruling *e = g->example;

	if (e->verdict != r->verdict || e->direction != r->direction || died(e) != died(r))
		return false;
	return (!died(r) || fate_same(e->decisive, r->decisive)) && same_way(g->way, way);
}

/* --- gathering ---------------------------------------------------------------------------------------------------- */

static void group_add(struct group *g, struct ruling *r, const struct fate *way)
{
	if (!g->flows || r->conv->first.v > g->example->conv->first.v) {
		g->example = r;
		g->way = way;
	}
	g->flows++;
	g->packets += r->packets;
	g->provisional |= r->provisional;
	if (!g->first.v || r->conv->first.v < g->first.v)
		g->first = r->conv->first;
	if (r->conv->last.v > g->last.v)
		g->last = r->conv->last;
}

/* The worse end before the better one, of equally many flows. */
static int most_first(const void *pa, const void *pb)
{
	const struct group *a = pa, *b = pb;

	if (a->flows != b->flows)
		return a->flows > b->flows ? -1 : 1;
	if (a->example->verdict != b->example->verdict)
		return a->example->verdict < b->example->verdict ? -1 : 1;
	return (a->last.v < b->last.v) - (a->last.v > b->last.v);
}

static size_t group_all(struct group *groups, struct ruling *list, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct fate *way = way_of(&list[i]);
		size_t k = 0;

		while (k < count && !alike(&groups[k], &list[i], way))
			k++;
		if (k == count)
			groups[count++] = (struct group){ 0 };
		group_add(&groups[k], &list[i], way);
	}
	qsort(groups, count, sizeof(*groups), most_first);
	return count;
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static json_t *json_way(const struct inquiry *q, const struct group *g)
{
	json_t *way = json_array();

	for (size_t i = 0; g->way && i < g->way->path->hop_count; i++) {
		const struct hop *h = &g->way->path->hops[i];
		const struct fleet_host *host = fleet_host(q->fleet, h->sj->host);
		json_t *nat = json_array(), *stranger;

		if (end_changed(h, false))
			json_array_append_new(nat, json_string("dnat"));
		if (end_changed(h, true))
			json_array_append_new(nat, json_string("snat"));
		stranger = json_stranger(q, i ? h - 1 : NULL, h, g->example->direction);
		json_array_append_new(way, json_pack("{s:o,s:o,s:b}", "host",
						     json_text(host ? host->id : NULL), "nat", nat,
						     "stranger", json_is_object(stranger)));
		json_decref(stranger);
	}
	return way;
}

static json_t *json_group(const struct inquiry *q, const struct group *g, size_t matched)
{
	const struct ruling *r = g->example;

	return json_pack("{s:I,s:f,s:I,s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "flows",
			 (json_int_t)g->flows, "share", (double)g->flows / (double)matched,
			 "packets", (json_int_t)g->packets, "verdict", verdict_name(r->verdict),
			 "direction", direction_name(r->direction), "confidence",
			 r->decisive && r->decisive->observed ? "observed" : "inferred", "died_at",
			 json_died_at(q, died(r) ? r->decisive : NULL), "way", json_way(q, g),
			 "example", json_flow(&r->conv->tuple), "first", json_wall(g->first),
			 "last", json_wall(g->last));
}

static int groups_with(json_t **answer, struct inquiry *q)
{
	const struct where_ask *ask = q->ask;
	bool provisional = reader_incomplete(q->fleet->reader) || coverage_late(ask);
	struct rulings found;
	struct group *groups;
	size_t count;
	json_t *told;
	int r = rulings_make(&found, q, JOURNEYS_MAX);

	if (r < 0)
		return r;
	groups = arena_alloc(q->arena, (found.count + 1) * sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	count = group_all(groups, found.list, found.count);
	told = json_array();
	for (size_t i = 0; i < count; i++) {
		provisional |= groups[i].provisional;
		if (i < GROUPS_MAX)
			json_array_append_new(told, json_group(q, &groups[i], found.count));
	}
	if (q->need)
		q->need->patience = provisional;
	*answer = json_pack("{s:I,s:o,s:I,s:{s:o,s:o},s:o,s:b,s:b}", "matched",
			    (json_int_t)found.count, "groups", told, "omitted",
			    (json_int_t)(count > GROUPS_MAX ? count - GROUPS_MAX : 0), "window",
			    "since", json_wall(ask->since), "until", json_wall(ask->until),
			    "coverage", json_coverage(ask), "cut", found.cut, "provisional",
			    provisional);
	if (!*answer)
		return -ENOMEM;
	json_put_losses(*answer, q->fleet, ask->since, ask->until);
	return 0;
}

int diagnose_groups(json_t **answer, const struct where_ask *ask, struct reader *r,
		    struct where_need *need)
{
	struct question question;
	int ret = question_open(&question, ask, r, need, HEAP_MAX);

	*answer = NULL;
	if (ret == 0)
		ret = groups_with(answer, &question.q);
	question_clear(&question);
	return ret;
}
