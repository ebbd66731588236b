/*
 * Each round asks the store for what the last one made known: fingerprints, then tuples. NAT chains of n
 * gateways need about n rounds.
 */
#include "collector/stitch/gather.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "collector/stitch/fragments.h"
#include "collector/stitch/path.h"
#include "common/fingerprint.h"

enum {
	ROUNDS_MAX = 8,
	TUPLES_ASKED_MAX = 512, /* different tuples that one question follows */
	CONNS_MAX = 1024,
	FRAGMENTED_MAX = 64,   /* packets whose fragments one question looks for */
	JOIN_MARGIN_MS = 3000, /* a packet may have met other hosts this much outside the window */
	FREED_MS =
		300, /* between a packet's last step and the kernel's word that it freed it ... */
	FREED_LATE_MS = 10000, /* ... and if it waited for a neighbour's address */
};

/* Fragments of a packet are together, give or take a route's change. */
#define FRAGMENTS_NS (1LL * NS_PER_S)

struct gathering {
	struct gathered *g;
	struct fleet *f;
	const struct flow *flow;
	size_t limit;
	uint64_t *rows; /* open addressing, sorted by nothing: which rows are in the list */
	size_t row_cap;
	size_t fps_done, tuples_done; /* journeys whose fingerprints and tuples were asked */
	size_t conns_done;
	bool *ended; /* by index in the list: it became the end of another one */
	struct tuple asked[TUPLES_ASKED_MAX];
	size_t asked_count;
	struct wall_ns since, until;
};

/* Where the row is in the table, or would be. */
static size_t row_place(const struct gathering *w, uint64_t row)
{
	size_t i = (row * UINT64_C(0x9e3779b97f4a7c15)) & (w->row_cap - 1);

	while (w->rows[i] && w->rows[i] != row + 1)
		i = (i + 1) & (w->row_cap - 1);
	return i;
}

static bool row_add(struct gathering *w, uint64_t row)
{
	size_t i = row_place(w, row);

	if (w->rows[i])
		return false;
	w->rows[i] = row + 1;
	return true;
}

static bool row_known(const void *arg, uint64_t row)
{
	const struct gathering *w = arg;

	return w->rows[row_place(w, row)] != 0;
}

/* More matched: what is older than the oldest row that came, or arrived before it, may have been left out. */
static void left_out(struct gathering *w, struct wall_ns oldest)
{
	oldest.v += (int64_t)JOIN_MARGIN_MS * NS_PER_MS;
	w->g->cut = true;
	if (oldest.v > w->g->whole_from.v)
		w->g->whole_from = oldest;
}

static int take(struct gathering *w, const struct stored_journey *list, size_t n)
{
	struct gathered *g = w->g;

	for (size_t i = 0; i < n; i++) {
		if (g->count == g->cap) {
			left_out(w, w->until);
			return 0;
		}
		if (list[i].j.tuple_count && list[i].j.step_count && row_add(w, list[i].row))
			g->list[g->count++] = list[i];
	}
	return 0;
}

static int ask(struct gathering *w, struct journey_query *q)
{
	struct stored_journey *list = NULL;
	bool cut = false;
	size_t n = 0;
	int r;

	if (q->since.v < w->since.v)
		q->since = w->since;
	q->until = w->until;
	q->skip = row_known;
	q->skip_arg = w;
	if (!q->limit)
		q->limit = w->limit;
	r = reader_journeys(w->f->reader, q, w->f->arena, &list, &n, &cut);
	if (r < 0)
		return r;
	/* Fingerprints are looked up one by one: those that no room was left for may be of any time. */
	if (cut)
		left_out(w, n && !q->fp_count ? list[0].at : w->until);
	return take(w, list, n);
}

static int ask_fingerprints(struct gathering *w)
{
	size_t n = w->g->count - w->fps_done, count = 0;
	struct journey_query q = { 0 };
	uint64_t *fps;

	if (!n)
		return 0;
	fps = arena_alloc(w->f->arena, n * sizeof(*fps));
	if (!fps)
		return -ENOMEM;
	/* A host that hung tells of them too late, nobody too early. */
	q.since = w->until;
	for (size_t i = w->fps_done; i < w->g->count; i++) {
		const struct stored_journey *sj = &w->g->list[i];
		int64_t early = sj->at.v - (int64_t)JOIN_MARGIN_MS * NS_PER_MS - 2 * sj->error;

		if (!sj->j.fp)
			continue;
		fps[count++] = sj->j.fp;
		if (early < q.since.v)
			q.since.v = early;
	}
	w->fps_done = w->g->count;
	if (!count)
		return 0;
	qsort(fps, count, sizeof(*fps), fingerprint_cmp);
	q.fps = fps;
	for (size_t i = 0; i < count; i++)
		if (!i || fps[i] != fps[i - 1])
			fps[q.fp_count++] = fps[i];
	q.limit = w->g->cap - w->g->count + 1;
	return ask(w, &q);
}

static int take_conns(struct gathering *w, const struct flow *flow)
{
	struct stored_conn *list = NULL;
	size_t n = 0;
	int r = reader_conns(w->f->reader, flow, w->since, w->until, CONNS_MAX, w->f->arena, &list,
			     &n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && w->g->conn_count < w->g->conn_cap; i++) {
		bool known = false;

		for (size_t k = 0; k < w->g->conn_count && !known; k++) {
			const struct stored_conn *c = &w->g->conns[k];

			known = c->host == list[i].host && c->c.id == list[i].c.id &&
				c->from.v == list[i].from.v &&
				tuple_equal(&c->c.orig, &list[i].c.orig);
		}
		if (!known)
			w->g->conns[w->g->conn_count++] = list[i];
	}
	return 0;
}

/* One more tuple to follow, unless an earlier question has covered it. */
static int follow_tuple(struct gathering *w, const struct tuple *t)
{
	struct tuple back = tuple_reverse(t);
	struct journey_query q = { 0 };
	struct flow flow;
	int r;

	if (proto_is_icmp(t->proto) && !t->dport)
		return 0; /* an ICMP error is nobody's flow */
	for (size_t i = 0; i < w->asked_count; i++) {
		if (tuple_equal(&w->asked[i], t) || tuple_equal(&w->asked[i], &back))
			return 0;
	}
	if (w->asked_count == TUPLES_ASKED_MAX) {
		w->g->cut = true;
		return 0;
	}
	w->asked[w->asked_count++] = *t;
	flow = flow_of_tuple(t);
	r = take_conns(w, &flow);
	if (r < 0)
		return r;
	q.flow = &flow;
	return ask(w, &q);
}

/* The same, unless the first question has covered it. */
static int ask_tuple(struct gathering *w, const struct tuple *t)
{
	struct tuple back = tuple_reverse(t);

	return flow_has(w->flow, t) || flow_has(w->flow, &back) ? 0 : follow_tuple(w, t);
}

/*
 * More matched than the first question took, the newest. What ended matters more than what is new; and what became of those flows
 * otherwise may be older, too.
 */
static int ask_ends(struct gathering *w)
{
	struct journey_query ends = { .flow = w->flow, .ends = true, .examine = w->g->cap };
	size_t known = w->g->count, until;
	int r = ask(w, &ends);

	until = w->g->count;
	for (size_t i = known; i < until && r >= 0 && w->asked_count < TUPLES_ASKED_MAX / 2; i++)
		r = follow_tuple(w, &w->g->list[i].j.tuples[0]);
	return r;
}

static int ask_tuples(struct gathering *w)
{
	size_t journeys = w->g->count, conns = w->g->conn_count;
	int r = 0;

	for (size_t i = w->tuples_done; i < journeys && r >= 0; i++) {
		const struct journey *j = &w->g->list[i].j;

		for (uint8_t k = 0; k < j->tuple_count && r >= 0; k++)
			r = ask_tuple(w, &j->tuples[k]);
	}
	w->tuples_done = journeys;
	for (size_t i = w->conns_done; i < conns && r >= 0; i++) {
		struct tuple orig = w->g->conns[i].c.orig, reply = w->g->conns[i].c.reply;

		r = ask_tuple(w, &orig);
		if (r >= 0)
			r = ask_tuple(w, &reply);
	}
	w->conns_done = conns;
	return r;
}

/* Later fragments bear no ports: they are found by addresses and by the number that they share with the first. */
static int ask_fragments(struct gathering *w)
{
	size_t journeys = w->g->count;

	for (size_t i = 0, asked = 0; i < journeys && asked < FRAGMENTED_MAX; i++) {
		const struct journey *j = &w->g->list[i].j;
		const struct tuple *t = &j->tuples[0];
		struct flow flow = {
			.proto = t->proto, .family = t->src.family, .icmp_type = -1, .icmp_id = -1
		};
		struct journey_query q = { .flow = &flow, .limit = w->limit };
		struct stored_journey *list = NULL;
		size_t n = 0;
		bool cut = false;
		int r;

		if (!journey_is_fragment(j) || (!t->sport && !t->dport))
			continue;
		asked++;
		flow.src.prefix = (struct prefix){ t->src, t->src.family == 4 ? 32 : 128 };
		flow.dst.prefix = (struct prefix){ t->dst, t->dst.family == 4 ? 32 : 128 };
		q.since.v = w->g->list[i].at.v - FRAGMENTS_NS - w->g->list[i].error;
		q.until.v = w->g->list[i].at.v + FRAGMENTS_NS + w->g->list[i].error;
		r = reader_journeys(w->f->reader, &q, w->f->arena, &list, &n, &cut);
		for (size_t k = 0; r >= 0 && k < n; k++) {
			if (journey_is_fragment(&list[k].j) && list[k].j.ip_id == j->ip_id)
				r = take(w, &list[k], 1);
		}
		if (r < 0)
			return r;
		if (cut)
			w->g->cut = true;
	}
	return 0;
}

/* ICMP errors whose capture did not hold the embedded addresses are found by whom they were sent to. */
static int ask_errors(struct gathering *w)
{
	struct addr seen[64];
	size_t n = 0, journeys = w->g->count;

	for (size_t i = 0; i < journeys; i++) {
		const struct journey *j = &w->g->list[i].j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			const struct addr *a = &j->tuples[k].src;
			struct journey_query q = { 0 };
			struct flow flow = { .icmp_type = -1, .icmp_id = -1 };
			bool known = false;
			int r;

			for (size_t s = 0; s < n && !known; s++)
				known = addr_equal(&seen[s], a);
			if (known || n == sizeof(seen) / sizeof(seen[0]))
				continue;
			seen[n++] = *a;
			flow.family = a->family;
			flow.proto = a->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
			flow.dst.prefix = (struct prefix){ *a, a->family == 4 ? 32 : 128 };
			q.flow = &flow;
			r = ask(w, &q);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static const struct step *freed_step(const struct journey *j)
{
	const struct step *last = j->step_count ? &j->steps[j->step_count - 1] : NULL;

	return last && last->label == LABEL_KERNEL ? last : NULL;
}

/* Did the packet have the TTL there with which the kernel freed it? One that goes round passes a host many times. */
static bool bore_ttl(const struct journey *j, uint8_t ttl)
{
	uint8_t high = 0, low = 0;

	for (uint16_t i = 0; i < j->step_count; i++) {
		uint8_t told = j->steps[i].ttl;

		if (told > high)
			high = told;
		if (told && (!low || told < low))
			low = told;
	}
	return ttl == low || (low == high && ttl + 1 == low);
}

static const struct tuple *died_as(const struct journey *freed)
{
	return &freed->tuples[freed->tuple_count - 1];
}

/* By its addresses: can the passage be of the packet that was freed? Others with equal contents passed, too. */
static bool can_be_of(const struct stored_journey *passage, const struct journey *freed)
{
	const struct hop h = { .sj = passage };
	bool whole = hop_reached(&h, CHECKPOINT_POST_LAST) || hop_reached(&h, CHECKPOINT_IN_LAST);

	return journey_can_end_as(&passage->j, whole,
				  freed->tuple_count > 1 ? &freed->tuples[0] : NULL,
				  died_as(freed));
}

/*
 * The packet's passage through that host which ended when the kernel freed it: of those that bore its addresses, if any did, the
 * first with its TTL that nothing else has ended. A rule may have set another TTL meanwhile: where it passed only once, that is the one.
 */
static struct stored_journey *passage_of(struct gathered *g, const struct stored_journey *freed)
{
	const char *reason = freed_step(&freed->j)->prefix;
	bool late = reason && !strncmp(reason, "NEIGH_", 6);
	int64_t longest = (int64_t)(late ? FREED_LATE_MS : FREED_MS) * NS_PER_MS;
	struct stored_journey *first = NULL;
	bool first_addresses = false, first_ttl = false;
	size_t passages = 0;

	for (size_t i = 0; i < g->count; i++) {
		struct stored_journey *sj = &g->list[i];
		int64_t waited = freed->at.v - sj->at.v;
		bool addresses, ttl;

		if (sj == freed || sj->host != freed->host || sj->j.fp != freed->j.fp ||
		    !sj->j.step_count || freed_step(&sj->j) || waited < 0 || waited > longest ||
		    !can_be_of(sj, &freed->j))
			continue;
		addresses = journey_tuple(&sj->j, died_as(&freed->j)) < sj->j.tuple_count;
		ttl = bore_ttl(&sj->j, freed_step(&freed->j)->ttl);
		if (first && addresses < first_addresses)
			continue;
		if (!first || addresses > first_addresses)
			passages = 0;
		passages++;
		if (passages == 1 || ttl > first_ttl ||
		    (ttl == first_ttl && sj->at.v < first->at.v)) {
			first = sj;
			first_addresses = addresses;
			first_ttl = ttl;
		}
	}
	return first_ttl || passages == 1 ? first : NULL;
}

static int add_end(struct gathering *w, struct stored_journey *sj, const struct journey *freed)
{
	struct journey *j = &sj->j;
	struct step *steps = arena_alloc(w->f->arena, (j->step_count + 1u) * sizeof(*steps));
	const struct tuple *at = died_as(freed);
	uint8_t tuple = journey_tuple(j, at);

	if (!steps)
		return -ENOMEM;
	memcpy(steps, j->steps, j->step_count * sizeof(*steps));
	steps[j->step_count] = freed->steps[0];
	if (tuple == j->tuple_count && tuple < TUPLES_MAX)
		j->tuples[j->tuple_count++] = *at;
	steps[j->step_count].tuple = tuple < TUPLES_MAX ? tuple : TUPLES_MAX - 1;
	j->steps = steps;
	j->step_count++;
	return 0;
}

/*
 * A packet that waited (for its neighbour's address, in a queue) is freed long after its agent has told its journey: that the
 * kernel did so is the end of it.
 */
static int join_ends(struct gathering *w)
{
	struct gathered *g = w->g;
	size_t kept = 0;

	for (size_t i = 0; i < g->count; i++) {
		const struct journey *j = &g->list[i].j;
		struct stored_journey *passage = NULL;

		if (j->step_count == 1 && j->fp && freed_step(j))
			passage = passage_of(g, &g->list[i]);
		if (passage && add_end(w, passage, j) < 0)
			return -ENOMEM;
		w->ended[i] = passage != NULL;
	}
	for (size_t i = 0; i < g->count; i++)
		if (!w->ended[i])
			g->list[kept++] = g->list[i];
	g->count = kept;
	return 0;
}

int gather(struct gathered *g, struct fleet *f, const struct flow *flow, size_t limit)
{
	const int64_t margin = (int64_t)JOIN_MARGIN_MS * NS_PER_MS;
	struct journey_query q = { .flow = flow };
	struct gathering *w;
	size_t before;
	int r;

	memset(g, 0, sizeof(*g));
	w = arena_alloc(f->arena, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->g = g;
	w->f = f;
	w->flow = flow;
	w->limit = limit;
	w->since = f->since;
	w->until = f->until;
	g->cap = limit * 4;
	g->conn_cap = CONNS_MAX;
	for (w->row_cap = 64; w->row_cap < g->cap * 2;)
		w->row_cap *= 2;
	g->list = arena_alloc(f->arena, g->cap * sizeof(*g->list));
	g->conns = arena_alloc(f->arena, g->conn_cap * sizeof(*g->conns));
	w->rows = arena_alloc(f->arena, w->row_cap * sizeof(*w->rows));
	w->ended = arena_alloc(f->arena, g->cap * sizeof(*w->ended));
	if (!g->list || !g->conns || !w->rows || !w->ended)
		return -ENOMEM;

	r = ask(w, &q);
	if (r >= 0 && g->cut)
		r = ask_ends(w);
	if (r >= 0)
		r = take_conns(w, flow);
	w->g->whole_from.v = 0; /* whom the first question left out, the next ones find */
	w->since.v -= margin;
	w->until.v += margin;
	for (int round = 0; r >= 0 && round < ROUNDS_MAX; round++) {
		before = g->count + g->conn_count;
		r = ask_fingerprints(w);
		if (r >= 0)
			r = ask_tuples(w);
		if (g->count + g->conn_count == before)
			break;
	}
	if (r >= 0)
		r = ask_fragments(w);
	if (r >= 0)
		r = ask_errors(w);
	if (r < 0)
		return r;
	if (g->count)
		qsort(g->list, g->count, sizeof(*g->list), stored_journey_cmp);
	return join_ends(w);
}
