/*
 * Joining journeys into paths; the numbered list stands in the header.
 */
#include "collector/stitch/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/stitch/entries.h"
#include "collector/stitch/fit.h"
#include "collector/stitch/fragments.h"
#include "collector/stitch/halves.h"
#include "collector/stitch/order.h"
#include "common/names.h"

static const int64_t NEAR_NS = 64LL * NS_PER_MS; /* a power of four */
static const int64_t HOP_NS = 10LL * NS_PER_MS;  /* queues and times of receipt */

NAMES(link_kind_name, enum link_kind, LINKS)
NAMES(link_surety_name, enum link_surety, LINK_SURETIES)

const struct journey *path_packet(const struct path *p)
{
	return &p->hops[0].sj->j;
}

struct wall_ns path_first(const struct path *p)
{
	return p->hops[0].sj->at;
}

struct wall_ns hop_step_at(const struct hop *h, const struct step *s)
{
	return (struct wall_ns){ s->at.v + h->sj->offset };
}

struct wall_ns hop_shown(const struct hop *h, struct wall_ns at)
{
	return (struct wall_ns){ at.v + h->shift };
}

struct wall_ns hop_ended(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	return j->step_count ? hop_step_at(h, &j->steps[j->step_count - 1]) : h->sj->at;
}

struct wall_ns path_last(const struct path *p)
{
	return hop_ended(&p->hops[p->hop_count - 1]);
}

const struct tuple *hop_tuple_in(const struct hop *h)
{
	return &h->sj->j.tuples[0];
}

const struct tuple *hop_tuple_out(const struct hop *h)
{
	return &h->sj->j.tuples[h->sj->j.tuple_count - 1];
}

enum hook hop_first_hook(const struct hop *h)
{
	enum hook first = h->sj->j.step_count ? h->sj->j.steps[0].hook : HOOK_NONE;

	/* A device's own hooks come before and after those of IP: where nobody hooked in, they are not met. */
	return first == HOOK_INGRESS  ? HOOK_PREROUTING
	       : first == HOOK_EGRESS ? HOOK_POSTROUTING
				      : first;
}

uint8_t journey_first_ttl(const struct journey *j)
{
	for (uint16_t i = 0; i < j->step_count; i++) {
		/* A packet that only a log tells of was forwarded already: what it had then is one less. */
		if (j->steps[i].ttl)
			return j->steps[i].ttl + (i == 0 && j->steps[i].label == LABEL_LOG &&
						  j->steps[i].hook == HOOK_FORWARD &&
						  j->steps[i].ttl < UINT8_MAX);
	}
	return 0;
}

uint8_t hop_ttl_in(const struct hop *h)
{
	return hop_first_hook(h) == HOOK_OUTPUT ? 0 : journey_first_ttl(&h->sj->j);
}

uint8_t hop_ttl_out(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].hook == HOOK_INPUT)
			return 0;
		if (j->steps[i].ttl && j->steps[i].hook >= HOOK_FORWARD)
			return j->steps[i].ttl;
	}
	return 0;
}

bool hop_reached(const struct hop *h, enum checkpoint c)
{
	for (uint16_t i = 0; i < h->sj->j.step_count; i++) {
		if (h->sj->j.steps[i].label == LABEL_CHECKPOINT &&
		    h->sj->j.steps[i].checkpoint == c)
			return true;
	}
	return false;
}

bool journey_is_control(const struct journey *j)
{
	enum { FIN = 1, SYN = 2, RST = 4 };

	if (j->is_icmp_error)
		return true;
	return j->tuples[0].proto == 6 && (j->tcp_flags & (FIN | SYN | RST));
}

/* Journeys by fingerprint, then time. */
struct sorted {
	const struct stored_journey *const *list;
	size_t count;
	const struct fitting *fitting;
};

/* The first one of the fingerprint that is not before `at`. */
static size_t sorted_from(const struct sorted *e, uint64_t fp, int64_t at)
{
	size_t lo = 0, hi = e->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct stored_journey *sj = e->list[mid];

		if (sj->j.fp < fp || (sj->j.fp == fp && sj->at.v < at))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool path_has(const struct path *p, const struct stored_journey *sj)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		if (p->hops[i].sj == sj)
			return true;
	}
	return false;
}

/* Does a journey of another path fit to `fixed` as well as end, which p joined to it? */
static bool has_rival(const struct path *p, const struct sorted *e,
		      const struct stored_journey *end, const struct stored_journey *fixed)
{
	int64_t reach = journeys_apart(end, fixed) + end->error + fixed->error + HOP_NS;
	enum fit how = journeys_fit(e->fitting, end, fixed);

	for (size_t i = sorted_from(e, fixed->j.fp, fixed->at.v - reach);
	     i < e->count && e->list[i]->j.fp == fixed->j.fp &&
	     e->list[i]->at.v <= fixed->at.v + reach;
	     i++) {
		const struct stored_journey *r = e->list[i];

		if (journey_first_ttl(&r->j) != journey_first_ttl(&end->j))
			continue;
		if (r->j.fp_long && fixed->j.fp_long && r->j.fp_long != fixed->j.fp_long)
			continue;
		if (r->host == fixed->host || journeys_fit(e->fitting, r, fixed) < how ||
		    path_has(p, r))
			continue;
		return true;
	}
	return false;
}

/* 7 */
static void path_doubt(struct path *p, const struct sorted *e)
{
	for (size_t i = 1; i < p->hop_count; i++) {
		const struct stored_journey *before = p->hops[i - 1].sj, *after = p->hops[i].sj;

		if (!before->j.fp ||
		    before->j.fp != after->j.fp) /* parts of it, put together otherwise */
			continue;
		if (has_rival(p, e, before, after) || has_rival(p, e, after, before))
			p->hops[i].surety = LINK_SURETY_AMBIGUOUS;
	}
}

int path_add_hop(struct path *p, const struct stored_journey *sj, struct arena *arena)
{
	enum { STEP = 8 };

	if (p->hop_count % STEP == 0) {
		struct hop *hops = arena_alloc(arena, (p->hop_count + STEP) * sizeof(*hops));

		if (!hops)
			return -ENOMEM;
		if (p->hop_count)
			memcpy(hops, p->hops, p->hop_count * sizeof(*hops));
		p->hops = hops;
	}
	p->hops[p->hop_count++] = (struct hop){ .sj = sj };
	return 0;
}

static int by_fingerprint(const void *pa, const void *pb)
{
	const struct stored_journey *a = *(const struct stored_journey *const *)pa;
	const struct stored_journey *b = *(const struct stored_journey *const *)pb;

	if (a->j.fp != b->j.fp)
		return a->j.fp < b->j.fp ? -1 : 1;
	return (a->at.v > b->at.v) - (a->at.v < b->at.v);
}

static int by_time(const void *pa, const void *pb)
{
	const struct path *a = pa, *b = pb;

	return (path_first(a).v > path_first(b).v) - (path_first(a).v < path_first(b).v);
}

/* The paths of one fingerprint while they are put together, by the time of their first hop; merged ones have none left. */
struct group {
	struct path *list;
	size_t count;
	int64_t longest; /* from a path's first hop to its last */
	struct fitting fitting;
};

static void group_settle(struct group *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->count; i++) {
		if (g->list[i].hop_count)
			g->list[kept++] = g->list[i];
	}
	memset(&g->list[kept], 0, (g->count - kept) * sizeof(*g->list));
	g->count = kept;
}

/* The earlier path that fits best to list[k], at least so and not farther off than reach; among equals the nearest. NULL: none. */
static struct path *group_best(const struct group *g, size_t k, enum fit least, int64_t reach)
{
	struct path *best = NULL, *q = &g->list[k];
	int64_t nearest = 0;

	for (size_t i = k; i-- > 0;) {
		int64_t between = INT64_MAX;
		enum fit how;

		if (!g->list[i].hop_count)
			continue;
		if (journeys_apart(g->list[i].hops[0].sj, q->hops[0].sj) > reach + g->longest)
			break;
		how = paths_fit(&g->fitting, &g->list[i], q, &between);
		if (how < least || between > reach || (best && how == least && between >= nearest))
			continue;
		least = how;
		nearest = between;
		best = &g->list[i];
	}
	return best;
}

static int group_join(struct group *g, enum fit least, int64_t reach, struct arena *arena)
{
	for (size_t k = 1; k < g->count; k++) {
		struct path *q = &g->list[k], *to = group_best(g, k, least, reach);

		for (size_t i = 0; to && i < q->hop_count; i++) {
			int64_t long_ = journeys_apart(to->hops[0].sj, q->hops[i].sj);

			if (path_add_hop(to, q->hops[i].sj, arena) < 0)
				return -ENOMEM;
			if (long_ > g->longest)
				g->longest = long_;
		}
		if (to)
			q->hop_count = 0;
	}
	group_settle(g);
	return 0;
}

/* 8, 9: paths of one fingerprint, from its journeys by time. */
static int join_equals(struct paths *out, const struct stored_journey *const *list, size_t count,
		       const struct fitting *fitting, struct arena *arena)
{
	struct group g = { .list = &out->list[out->count], .count = count, .fitting = *fitting };
	const struct entries *entries = fitting->around->entries;
	bool translated = entries && entries->translate;
	int64_t far = JOIN_NS;
	int r = 0;

	g.fitting.raised = ttl_was_raised(list, count);
	g.fitting.common = contents_are_common(&list[0]->j);
	for (size_t i = 0; i < count; i++) {
		if (path_add_hop(&g.list[i], list[i], arena) < 0)
			return -ENOMEM;
		if (JOIN_NS + 2 * list[i]->error > far)
			far = JOIN_NS + 2 * list[i]->error;
	}
	if (list[0]->j.fp) { /* 1 */
		for (int64_t reach = NS_PER_MS; r == 0 && reach <= NEAR_NS; reach *= 4)
			r = group_join(&g, FIT_CONTINUOUS, reach, arena);
		for (int64_t reach = NS_PER_MS; r == 0 && translated && reach <= NEAR_NS;
		     reach *= 4)
			r = group_join(&g, FIT_MAPPED, reach, arena);
		if (r == 0)
			r = group_join(&g, FIT_NONE, NEAR_NS, arena);
		if (r == 0 && g.fitting.common)
			r = group_join(&g, FIT_MAPPED, far, arena);
		if (r == 0 && (!g.fitting.common || g.count == 2))
			r = group_join(&g, FIT_NONE, far, arena);
	}
	out->count += g.count;
	return r;
}

int paths_join(struct paths *out, const struct stored_journey *list, size_t count,
	       const struct around *around, struct arena *arena)
{
	const struct stored_journey **sorted;
	struct fitting fitting = { .around = around };
	size_t kept = 0;

	memset(out, 0, sizeof(*out));
	sorted = arena_alloc(arena, (count + 1) * sizeof(*sorted));
	out->list = arena_alloc(arena, (count + 1) * sizeof(*out->list));
	if (!sorted || !out->list)
		return -ENOMEM;
	out->cap = count + 1;
	for (size_t i = 0; i < count; i++)
		sorted[i] = &list[i];
	qsort(sorted, count, sizeof(*sorted), by_fingerprint);

	for (size_t from = 0, n; from < count; from += n) {
		for (n = 1; from + n < count && sorted[from + n]->j.fp == sorted[from]->j.fp; n++)
			;
		if (join_equals(out, sorted + from, n, &fitting, arena) < 0)
			return -ENOMEM;
	}
	if (fragments_join(out, JOIN_NS, arena) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < out->count; i++) {
		if (!out->list[i].hop_count)
			continue;
		path_order(&out->list[i]);
		path_doubt(&out->list[i], &(struct sorted){ sorted, count, &fitting });
		if (halves_join(&out->list[i], around, arena) < 0)
			return -ENOMEM;
		path_link(&out->list[i]);
		out->list[kept++] = out->list[i];
	}
	out->count = kept;
	qsort(out->list, out->count, sizeof(*out->list), by_time);
	return 0;
}
