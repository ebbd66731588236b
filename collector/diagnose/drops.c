/*
 * The answer to `drops`: places first, flows below them. Deaths and what only looks like one stand apart.
 */
#include "collector/diagnose/drops.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "collector/diagnose/coverage.h"
#include "collector/diagnose/question.h"
#include "common/reasons.h"

enum { DROPS_HEAP_MAX = 256 << 20, HOSTS_MAX = 1024 };

struct drops {
	struct inquiry *q;
	const struct drops_ask *ask;
	uint64_t hosts[HOSTS_MAX];
	size_t host_count;
	json_t *unknown; /* names that no host has; owned */
	struct stored_journey *list;
	size_t count;
	bool cut;
	struct drop_group *groups;
	size_t group_count;
	uint64_t omitted;
};

static bool is_death(const struct drop_group *g)
{
	return g->fate.verdict < VERDICT_LOST && !strcmp(g->class, verdict_name(g->fate.verdict));
}

/* --- whom ------------------------------------------------------------------------------------------------------- */

static void name_hosts(struct drops *d)
{
	const struct fleet *f = d->q->fleet;

	d->unknown = json_array();
	for (size_t i = 0; i < d->ask->on_count; i++) {
		bool known = false;

		for (size_t k = 0; k < f->host_count; k++) {
			if (fnmatch(d->ask->on[i], f->hosts[k].id, 0) != 0)
				continue;
			known = true;
			if (d->host_count < HOSTS_MAX)
				d->hosts[d->host_count++] = f->hosts[k].host;
			else
				d->cut = true;
		}
		if (!known)
			json_array_append_new(d->unknown, json_text(d->ask->on[i]));
	}
}

static bool is_asked(const struct drops *d, uint64_t host)
{
	for (size_t i = 0; i < d->host_count; i++) {
		if (d->hosts[i] == host)
			return true;
	}
	return d->ask->on_count == 0;
}

/* --- places ------------------------------------------------------------------------------------------------------ */

static json_t *json_drop_flow(const struct drop_group *g)
{
	const struct journey *j = &g->newest->j;
	json_t *flow = json_flow(&j->tuples[j->tuple_count - 1]);

	if (!g->one_port)
		json_put(flow, "sport", NULL);
	return flow;
}

static json_t *json_kind(const struct drop_group *g)
{
	char kind[32] = "";

	packet_text(&g->newest->j, kind);
	return json_text(kind);
}

static json_t *json_one_flow(const struct drop_group *g)
{
	return json_pack("{s:o,s:o,s:o,s:o,s:I,s:o,s:o}", "flow", json_drop_flow(g), "kind",
			 json_kind(g), "in", json_text(g->newest->j.in_if), "out",
			 json_text(g->newest->j.out_if), "packets", (json_int_t)g->packets, "first",
			 json_wall(g->first), "last", json_wall(g->last));
}

static json_t *json_place(const struct drops *d, const struct drop_group *g)
{
	const struct fleet_host *fh = fleet_host(d->q->fleet, g->newest->host);
	const char *name = drops_reason(g);
	const struct reason *r = name ? reason_find(name) : NULL;

	return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "host", fh ? fh->id : "?", "class",
			 g->class, "reason", json_text(name), "text", json_text(r ? r->text : NULL),
			 "in", json_text(g->newest->j.in_if), "died_at",
			 is_death(g) ? json_died_at(d->q, &g->fate) : json_null(), "confidence",
			 is_death(g) ? json_string(g->fate.observed ? "observed" : "inferred")
				     : json_null());
}

struct place {
	const struct drop_group *head; /* the one with the most packets */
	json_t *flows;                 /* owned by the answer in the end */
	uint64_t packets, omitted;
	struct wall_ns first, last;
};

/* Deaths, then what is none; the most packets first. */
static int place_cmp(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;
	bool da = is_death(a->head), db = is_death(b->head);

	if (da != db)
		return da ? -1 : 1;
	if (a->packets != b->packets)
		return a->packets > b->packets ? -1 : 1;
	return (a->last.v < b->last.v) - (a->last.v > b->last.v);
}

static void place_add(struct place *p, const struct drop_group *g)
{
	p->packets += g->packets;
	if (!p->first.v || g->first.v < p->first.v)
		p->first = g->first;
	if (g->last.v > p->last.v)
		p->last = g->last;
	if (json_array_size(p->flows) < DROPS_FLOWS_MAX)
		json_array_append_new(p->flows, json_one_flow(g));
	else
		p->omitted++;
}

static json_t *json_places(const struct drops *d, uint64_t *packets)
{
	struct place *list = arena_alloc(d->q->arena, (d->group_count + 1) * sizeof(*list));
	json_t *out = json_array();
	size_t n = 0;

	*packets = 0;
	for (size_t i = 0; list && i < d->group_count; i++) {
		size_t k = 0;

		while (k < n && !drops_same_place(list[k].head, &d->groups[i]))
			k++;
		if (k == n)
			list[n++] = (struct place){ .head = &d->groups[i], .flows = json_array() };
		place_add(&list[k], &d->groups[i]);
		*packets += d->groups[i].packets;
	}
	if (list)
		qsort(list, n, sizeof(*list), place_cmp);
	for (size_t i = 0; i < n; i++) {
		json_t *o = json_place(d, list[i].head);

		json_put(o, "packets", json_integer((json_int_t)list[i].packets));
		json_put(o, "first", json_wall(list[i].first));
		json_put(o, "last", json_wall(list[i].last));
		json_put(o, "flows", list[i].flows);
		json_put(o, "flows_omitted", json_integer((json_int_t)list[i].omitted));
		json_array_append_new(out, o);
	}
	return out;
}

static int by_time(const void *pa, const void *pb)
{
	const struct drop_group *a = pa, *b = pb;

	return (a->first.v > b->first.v) - (a->first.v < b->first.v);
}

/* The fates point into the groups, so pointers to them are put in order. */
static int by_time_of(const void *pa, const void *pb)
{
	return by_time(*(struct drop_group *const *)pa, *(struct drop_group *const *)pb);
}

static json_t *json_drops(const struct drops *d, uint64_t *packets)
{
	struct drop_group **order =
		arena_alloc(d->q->arena, (d->group_count + 1) * sizeof(struct drop_group *));
	json_t *out = json_array();

	*packets = 0;
	for (size_t i = 0; order && i < d->group_count; i++)
		order[i] = &d->groups[i];
	if (order)
		qsort(order, d->group_count, sizeof(struct drop_group *), by_time_of);
	for (size_t i = 0; order && i < d->group_count; i++) {
		json_t *o = json_place(d, order[i]), *flow = json_one_flow(order[i]);

		json_object_update(o, flow);
		json_decref(flow);
		json_array_append_new(out, o);
		*packets += order[i]->packets;
	}
	return out;
}

/* --- what was not told one by one ----------------------------------------------------------------------------------- */

/* "drops:REASON": more packets than an agent tells; "drops": it lost some of what it was told. */
static bool is_excess(const char *source, const char **reason)
{
	static const char name[] = "drops";
	size_t n = sizeof(name) - 1;

	if (strncmp(source, name, n) != 0 || (source[n] && source[n] != ':'))
		return false;
	*reason = source[n] ? source + n + 1 : NULL;
	return true;
}

/* What a host discarded for one reason and did not tell one by one. */
struct excess {
	uint64_t host;
	const char *source, *reason;
	bool known;
	json_int_t count;
	struct wall_ns from, until;
};

/* Of all of the window together; who follows wants them as they come. */
static void excess_add(struct excess *list, size_t *n, const struct stored_loss *l,
		       const char *reason, bool follow)
{
	struct excess *e = follow ? list + *n : list;

	while (e < list + *n && (e->host != l->host || strcmp(e->source, l->source) != 0))
		e++;
	if (e == list + *n) {
		*e = (struct excess){ l->host, l->source, reason, true, 0, l->from, l->until };
		++*n;
	}
	e->known &= l->count_known;
	e->count += (json_int_t)l->count;
	e->from.v = l->from.v < e->from.v ? l->from.v : e->from.v;
	e->until.v = l->until.v > e->until.v ? l->until.v : e->until.v;
}

static json_t *json_excess(const struct drops *d, const struct where_ask *ask)
{
	const struct fleet *f = d->q->fleet;
	struct excess *list = arena_alloc(d->q->arena, (f->loss_count + 1) * sizeof(*list));
	json_t *out = json_array();
	const char *reason;
	size_t n = 0;

	for (size_t i = 0; list && i < f->loss_count; i++) {
		const struct stored_loss *l = &f->losses[i];

		if (l->until.v >= ask->since.v && l->from.v <= ask->until.v &&
		    is_asked(d, l->host) && is_excess(l->source, &reason))
			excess_add(list, &n, l, reason, d->ask->follow);
	}
	for (size_t i = 0; i < n; i++) {
		const struct fleet_host *fh = fleet_host(f, list[i].host);

		json_array_append_new(out,
				      json_pack("{s:s,s:o,s:o,s:o,s:o}", "host", fh ? fh->id : "?",
						"reason", json_text(list[i].reason), "count",
						list[i].known ? json_integer(list[i].count)
							      : json_null(),
						"from", json_wall(list[i].from), "until",
						json_wall(list[i].until)));
	}
	return out;
}

/* Hosts whose kernels do not tell what they discard. */
static json_t *json_deaf(const struct drops *d, const struct where_ask *ask)
{
	json_t *all = json_missing(ask, d->q->fleet, NULL), *out = json_array(), *one;
	size_t i;

	json_array_foreach(all, i, one) {
		const char *source = json_string_value(json_object_get(one, "source"));
		const struct fleet_host *fh =
			fleet_host_by_id(d->q->fleet,
					 json_string_value(json_object_get(one, "host")));

		if (source && !strcmp(source, "drops") && fh && is_asked(d, fh->host))
			json_array_append(out, one);
	}
	json_decref(all);
	return out;
}

/* --- the whole ----------------------------------------------------------------------------------------------- */

static int find(struct drops *d, const struct where_ask *ask)
{
	struct journey_query query = { .since = ask->since,
				       .until = ask->until,
				       .flow = ask->flow,
				       .ends = true,
				       .hosts = d->hosts,
				       .host_count = d->host_count,
				       .after_row = d->ask->after,
				       .limit = DROPS_JOURNEYS_MAX };
	bool cut = false;
	int r;

	if (d->ask->on_count && !d->host_count)
		return 0;
	r = reader_journeys(d->q->fleet->reader, &query, d->q->arena, &d->list, &d->count, &cut);
	if (r < 0)
		return r;
	d->cut |= cut;
	return drops_group(&d->groups, &d->group_count, d->q, d->list, d->count, d->ask->follow,
			   &d->omitted);
}

static json_t *answer_drops(const struct drops *d, const struct where_ask *ask)
{
	json_t *o = json_object(), *coverage = json_coverage(ask);
	uint64_t next = d->ask->after, packets;

	for (size_t i = 0; i < d->count; i++) {
		if (d->list[i].row > next)
			next = d->list[i].row;
	}
	if (d->ask->follow)
		json_put(o, "drops", json_drops(d, &packets));
	else
		json_put(o, "places", json_places(d, &packets));
	json_put(o, "packets", json_integer((json_int_t)packets));
	json_put(o, "omitted", json_integer((json_int_t)d->omitted));
	json_put(o, "excess", json_excess(d, ask));
	json_put(o, "next", json_integer((json_int_t)next));
	json_put(o, "unknown_hosts", json_incref(d->unknown));
	json_put(o, "window",
		 json_pack("{s:o,s:o}", "since", json_wall(ask->since), "until",
			   json_wall(ask->until)));
	json_put(coverage, "missing", json_deaf(d, ask));
	json_put(o, "coverage", coverage);
	json_put_losses(o, d->q->fleet, ask->since, ask->until);
	json_put(o, "cut", json_boolean(d->cut));
	json_put(o, "provisional",
		 json_boolean(reader_incomplete(d->q->fleet->reader) || coverage_late(ask)));
	return o;
}

int diagnose_drops(json_t **answer, const struct drops_ask *ask, const struct where_ask *window,
		   struct reader *r, struct where_need *need)
{
	struct question question;
	struct drops d = { .q = &question.q, .ask = ask };
	int ret = question_open(&question, window, r, ask->follow ? NULL : need, DROPS_HEAP_MAX);

	*answer = NULL;
	if (ret == 0) {
		name_hosts(&d);
		ret = find(&d, window);
	}
	if (ret == 0)
		*answer = answer_drops(&d, window);
	json_decref(d.unknown);
	question_clear(&question);
	return ret;
}
