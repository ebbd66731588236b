/*
 * The answer to `where`: the ruling about one conversation, the others briefly, and what the answer does not know.
 * Which one answers:
 *  1. of a tuple that was used twice the newest connection; older ones come last
 *  2. of those the one with the worst fate, in the order of VERDICTS
 *  3. of equals the newest
 */
#include "collector/diagnose/diagnose.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/diagnose/answer.h"
#include "collector/diagnose/cause.h"
#include "collector/diagnose/coverage.h"
#include "collector/diagnose/question.h"
#include "collector/diagnose/tracked.h"
#include "collector/stitch/clocks.h"

enum {
	JOURNEYS_MAX = 4000, /* that one question looks at, the newest ones */
	OTHERS_MAX = 20,
	TRACKED_MAX = 200, /* flows that connection tracking alone knows */
	HEAP_MAX = 256 << 20,
};

static int worse_first(const void *pa, const void *pb)
{
	const struct ruling *a = pa, *b = pb;

	if (a->verdict != b->verdict) /* 2 */
		return a->verdict < b->verdict ? -1 : 1;
	/* 3 */
	return (a->conv->first.v < b->conv->first.v) - (a->conv->first.v > b->conv->first.v);
}

/* 1: the newest connection stands for the flow; older ones rank behind every flow. */
static size_t newest_of_each(struct ruling *list, size_t n)
{
	size_t front = 0;

	for (size_t i = 0; i < n; i++) {
		bool newest = true;

		for (size_t k = 0; k < n && newest; k++)
			newest = !(k != i && !conversations_differ(list[k].conv, list[i].conv) &&
				   list[k].conv->first.v > list[i].conv->first.v);
		if (newest) {
			struct ruling swap = list[front];

			list[front++] = list[i];
			list[i] = swap;
		}
	}
	return front;
}

/* --- pieces ------------------------------------------------------------------------------------------------ */

static json_t *json_prefix_addr(const struct flow_prefix *p)
{
	char text[ADDR_TEXT_MAX + 4];

	if (!p->prefix.len)
		return json_null();
	prefix_print(&p->prefix, text);
	return json_string(text);
}

static json_t *json_range(const struct port_range *r)
{
	return r->from && r->from == r->to && !r->negate ? json_integer(r->from) : json_null();
}

/* The flow as it was asked for: nothing matched that could say more. */
static json_t *json_asked(const struct flow *f)
{
	char number[4];

	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "proto",
			 f->proto ? json_string(proto_name(f->proto, number)) : json_null(), "src",
			 json_prefix_addr(&f->src), "sport", json_range(&f->sport), "dst",
			 json_prefix_addr(&f->dst), "dport", json_range(&f->dport), "icmp_type",
			 f->icmp_type >= 0 ? json_integer(f->icmp_type) : json_null(), "icmp_id",
			 f->icmp_id >= 0 ? json_integer(f->icmp_id) : json_null());
}

static json_t *json_other(const struct inquiry *q, const struct ruling *r)
{
	return json_pack("{s:o,s:s,s:s,s:o,s:I,s:o,s:o}", "flow", json_flow(&r->conv->tuple),
			 "verdict", verdict_name(r->verdict), "direction",
			 direction_name(r->direction), "died_at",
			 json_died_at(q, r->verdict <= VERDICT_LOST ? r->decisive : NULL),
			 "packets", (json_int_t)r->packets, "first", json_wall(r->first), "last",
			 json_wall(r->last));
}

/* Deaths that a change has healed since stand among the others. */
static json_t *json_healed(const struct inquiry *q, const struct ruling *r)
{
	const struct fate *h = r->healed;
	json_int_t packets = 0;
	struct wall_ns first = { 0 };

	for (size_t i = 0; i < r->fate_count; i++) {
		if (!fate_same(&r->fates[i], h))
			continue;
		packets++;
		if (!first.v || path_first(r->fates[i].path).v < first.v)
			first = path_first(r->fates[i].path);
	}
	return json_pack("{s:o,s:s,s:s,s:o,s:I,s:o,s:o}", "flow", json_flow(&r->conv->tuple),
			 "verdict", verdict_name(h->verdict), "direction",
			 direction_name(h->path->direction), "died_at", json_died_at(q, h),
			 "packets", packets, "first", json_wall(first), "last",
			 json_wall(path_last(h->path)));
}

static bool on_path(const struct path *p, uint64_t host)
{
	for (size_t i = 0; p && i < p->hop_count; i++) {
		if (p->hops[i].sj->host == host)
			return true;
	}
	return false;
}

/* How many of the stops lie before the hop, by the addresses that it came with. */
static size_t stops_before(const struct stops *s, const struct hop *h)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->list[i].conn->host == h->sj->host)
			return i;
	}
	for (size_t i = 0; i < s->count; i++) {
		if (tuple_equal(&s->list[i].in, hop_tuple_in(h)) &&
		    !tuple_equal(&s->list[i].in, &s->list[i].out))
			return i;
	}
	return s->count && tuple_equal(&s->list[s->count - 1].out, hop_tuple_in(h)) ? s->count : 0;
}

/* Those of stops[*from..until) that no journey tells of. */
static void add_stops(json_t *hops, const struct inquiry *q, const struct stops *s, size_t *from,
		      size_t until, const struct path *p)
{
	for (; *from < until; ++*from) {
		if (!on_path(p, s->list[*from].conn->host))
			json_array_append_new(hops, json_stop(q, &s->list[*from],
							      json_array_size(hops) == 0));
	}
}

/* Behind a stop of connection tracking, a hop is linked by the mapping. */
static void link_to_stop(json_t *hop)
{
	json_object_set_new(hop, "link", json_string(link_kind_name(LINK_NAT)));
	json_object_set_new(hop, "link_confidence",
			    json_string(link_surety_name(LINK_SURETY_LIKELY)));
}

/* The request's hops: those of the packet that shows them, and before and behind them whom connection tracking alone knows of. */
static int add_request(json_t *hops, const struct inquiry *q, const struct ruling *r)
{
	const struct fate *f = ruling_shown(r, DIRECTION_ORIGINAL);
	const struct path *p = f ? f->path : NULL;
	struct stops stops;
	size_t next = 0;
	int ret = stops_find(&stops, q, r->conv);

	if (ret < 0)
		return ret;
	for (size_t i = 0; p && i < p->hop_count; i++) {
		const struct hop *h = &p->hops[i];
		size_t before = json_array_size(hops);
		json_t *o;

		add_stops(hops, q, &stops, &next, stops_before(&stops, h), p);
		o = json_hop(q, h, r->conv, h == f->hop ? f : NULL, DIRECTION_ORIGINAL);
		json_object_set_new(o, "stranger",
				    json_stranger(q, i ? &p->hops[i - 1] : NULL, h,
						  DIRECTION_ORIGINAL));
		if (json_array_size(hops) > before)
			link_to_stop(o);
		json_array_append_new(hops, o);
		if (h == f->hop && f->death != DEATH_NONE)
			break; /* other fragments of it went on, for nothing */
	}
	/* What died was nowhere behind; but other packets of it may have been. */
	if (!f || (f->verdict > VERDICT_LOST && f->verdict != VERDICT_DELIVERED))
		add_stops(hops, q, &stops, &next, stops.count, p);
	return 0;
}

static void add_hops(json_t *hops, const struct inquiry *q, const struct ruling *r,
		     enum direction d)
{
	const struct fate *f = ruling_shown(r, d);

	for (size_t i = 0; f && i < f->path->hop_count; i++) {
		const struct hop *h = &f->path->hops[i];

		json_t *o = json_hop(q, h, r->conv, h == f->hop ? f : NULL, d);

		json_object_set_new(o, "stranger",
				    json_stranger(q, i ? &f->path->hops[i - 1] : NULL, h, d));
		json_array_append_new(hops, o);
		if (h == f->hop && f->death != DEATH_NONE)
			break; /* as above */
	}
}

static json_t *json_loop(const struct inquiry *q, const struct ruling *r)
{
	json_t *hosts;
	struct loop l;

	if (!ruling_loops(&l, q, r))
		return json_null();
	hosts = json_array();
	for (size_t i = 0; i < l.count; i++)
		json_array_append_new(hosts, json_string(l.hosts[i]->id));
	return json_pack("{s:o,s:s,s:o,s:o}", "hosts", hosts, "by",
			 l.by_routes ? "routes" : "packet", "rounds",
			 l.by_routes ? json_null() : json_integer((json_int_t)l.rounds), "hop",
			 l.by_routes ? json_null() : json_integer((json_int_t)l.first));
}

/* Ends of the conversation that no agent watches. */
static json_t *json_unwatched(const struct inquiry *q, const struct ruling *r)
{
	const struct fate *f = ruling_shown(r, DIRECTION_ORIGINAL);
	const struct tuple *ends[2];
	json_t *list = json_array();

	if (!f)
		return list;
	ends[0] = hop_tuple_in(&f->path->hops[0]);
	ends[1] = hop_tuple_out(f->hop);
	/* Whoever sent it from a watched host did so by whatever address. */
	for (int i = hop_first_hook(&f->path->hops[0]) == HOOK_OUTPUT; i < 2; i++) {
		const struct addr *a = i ? &ends[1]->dst : &ends[0]->src;
		char text[ADDR_TEXT_MAX];
		bool owned = false;

		for (size_t k = 0; k < q->fleet->host_count && !owned; k++)
			owned = fleet_owns(&q->fleet->hosts[k], a);
		if (owned)
			continue;
		addr_print(a, text);
		json_array_append_new(list, json_pack("{s:s,s:s}", "addr", text, "position",
						      i ? "last" : "first"));
	}
	return list;
}

static const char *confidence_of(const struct ruling *r)
{
	return r->decisive && r->decisive->observed ? "observed" : "inferred";
}

/* --- the whole ----------------------------------------------------------------------------------------------- */

static json_t *answer_nothing(const struct inquiry *q, bool incomplete)
{
	json_t *o = json_object();
	bool armed = q->fleet->arming_count > 0;

	json_put(o, "flow", json_asked(q->ask->flow));
	json_put(o, "matched", json_integer(0));
	json_put(o, "verdict", json_string("unknown"));
	json_put(o, "direction", json_null());
	json_put(o, "partial", json_false());
	json_put(o, "reply_seen", json_false());
	json_put(o, "provisional", json_boolean(incomplete));
	json_put(o, "confidence", json_null());
	json_put(o, "packets", json_integer(0));
	json_put(o, "first", json_null());
	json_put(o, "last", json_null());
	json_put(o, "died_at", json_null());
	json_put(o, "hops", json_array());
	json_put(o, "causes", json_array());
	json_put(o, "others", json_array());
	json_put(o, "others_omitted", json_integer(0));
	json_put(o, "kind", json_null());
	json_put(o, "unwatched", json_array());
	json_put(o, "loop", json_null());
	json_put(
		o, "reason",
		json_string(
			armed ? "no traced packet matched it in the window"
			      : "no host traced it in the window: start a lease with lasthop trace start"));
	return o;
}

/* A flow that connection tracking alone knows. */
struct tracked {
	const struct translated *t;
	struct stops stops;
	enum verdict verdict;
	bool reply_seen;
};

static int tracked_worse_first(const void *pa, const void *pb)
{
	const struct tracked *a = pa, *b = pb;

	if (a->verdict != b->verdict)
		return a->verdict < b->verdict ? -1 : 1;
	return (a->t->from.v < b->t->from.v) - (a->t->from.v > b->t->from.v);
}

static struct wall_ns tracked_last(const struct tracked *k)
{
	return k->t->until.v ? k->t->until : k->t->from;
}

static json_t *json_tracked_other(const struct tracked *k)
{
	return json_pack("{s:o,s:s,s:s,s:n,s:i,s:o,s:o}", "flow", json_flow(&k->t->first),
			 "verdict", verdict_name(k->verdict), "direction",
			 direction_name(DIRECTION_ORIGINAL), "died_at", "packets", 0, "first",
			 json_wall(k->t->from), "last", json_wall(tracked_last(k)));
}

/* Turns the answer of nothing into one of connection tracking: no packet was seen, but its way is known. */
static void answer_tracked(json_t *o, const struct inquiry *q, const struct tracked *list, size_t n,
			   size_t omitted)
{
	const struct tracked *k = &list[0];
	json_t *hops = json_array(), *others = json_array();
	const struct stop *last = &k->stops.list[k->stops.count - 1];
	const struct fleet_host *h = fleet_host(q->fleet, last->conn->host);
	char reason[256];

	for (size_t i = 0; i < k->stops.count; i++)
		json_array_append_new(hops, json_stop(q, &k->stops.list[i], i == 0));
	for (size_t i = 1; i < n && i <= OTHERS_MAX; i++)
		json_array_append_new(others, json_tracked_other(&list[i]));
	snprintf(reason, sizeof(reason),
		 "only connection tracking saw it: it passed %s; whether it arrived is not known",
		 h ? h->id : "?");
	json_put(o, "flow", json_flow(&k->t->first));
	json_put(o, "matched", json_integer((json_int_t)(n + omitted)));
	json_put(o, "verdict", json_string(verdict_name(k->verdict)));
	json_put(o, "direction", json_string(direction_name(DIRECTION_ORIGINAL)));
	json_put(o, "reply_seen", json_boolean(k->reply_seen));
	json_put(o, "confidence", json_string("inferred"));
	json_put(o, "first", json_wall(k->t->from));
	json_put(o, "last", json_wall(tracked_last(k)));
	json_put(o, "hops", hops);
	json_put(o, "others", others);
	json_put(o, "others_omitted",
		 json_integer((json_int_t)(n - 1 + omitted - json_array_size(others))));
	json_put(o, "reason", k->verdict == VERDICT_UNKNOWN ? json_string(reason) : json_null());
}

/* Nothing was traced, and nothing died: what connection tracking tells. */
static int ask_tracking(json_t *o, const struct inquiry *q)
{
	const struct where_ask *ask = q->ask;
	struct translations t;
	struct tracked *list;
	size_t n = 0;
	int r = translations_find(&t, q->fleet->reader, q->arena, ask->flow, ask->since, ask->until,
				  TRACKED_MAX);

	if (r < 0 || t.count == 0)
		return r;
	list = arena_alloc(q->arena, t.count * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < t.count; i++) {
		struct tracked *k = &list[n];

		k->t = &t.list[i];
		r = stops_of(&k->stops, q, k->t);
		if (r < 0)
			return r;
		if (k->stops.count == 0)
			continue;
		k->verdict = stops_verdict(q, &k->stops, &k->reply_seen);
		n++;
	}
	if (!n)
		return 0;
	qsort(list, n, sizeof(*list), tracked_worse_first);
	answer_tracked(o, q, list, n, t.omitted);
	return 0;
}

/* The times of all hops of a conversation, beside each other. */
static void set_clocks(const struct conversation *c)
{
	struct clocks clocks = { 0 };

	for (size_t i = 0; i < c->original_count; i++)
		clocks_note(&clocks, c->original[i]);
	for (size_t i = 0; i < c->reply_count; i++)
		clocks_note(&clocks, c->reply[i]);
	clocks_solve(&clocks);
	for (size_t i = 0; i < c->original_count; i++)
		clocks_apply(&clocks, c->original[i]);
	for (size_t i = 0; i < c->reply_count; i++)
		clocks_apply(&clocks, c->reply[i]);
	clocks_clear(&clocks);
}

/* What the packets of the decisive fate are: "SYN", where all are that. */
static void kind_of(const struct ruling *r, char kind[static 32])
{
	char other[32];

	packet_text(path_packet(r->decisive->path), kind);
	for (size_t i = 0; i < r->fate_count; i++) {
		const struct fate *f = &r->fates[i];

		if (!ruling_counts(r, f))
			continue;
		packet_text(path_packet(f->path), other);
		if (strcmp(kind, other) != 0) {
			kind[0] = '\0';
			return;
		}
	}
}

static json_t *answer_ruling(const struct inquiry *q, struct ruling *list, size_t n,
			     bool incomplete)
{
	const struct ruling *r = &list[0];
	json_t *o = json_object(), *others = json_array(), *hops = json_array(),
	       *causes = causes_of(q, r);
	bool died = r->verdict <= VERDICT_LOST;
	char kind[32] = "";
	size_t told = 0;

	set_clocks(r->conv);
	if (r->healed) {
		json_array_append_new(others, json_healed(q, r));
		told++;
	}
	for (size_t i = 1; i < n && told < OTHERS_MAX; i++, told++)
		json_array_append_new(others, json_other(q, &list[i]));
	if (add_request(hops, q, r) < 0) {
		json_array_clear(hops);
		add_hops(hops, q, r, DIRECTION_ORIGINAL);
	}
	add_hops(hops, q, r, DIRECTION_REPLY);

	json_put(o, "flow", json_flow(&r->conv->tuple));
	json_put(o, "matched", json_integer((json_int_t)n));
	json_put(o, "verdict", json_string(verdict_name(r->verdict)));
	json_put(o, "direction", json_string(direction_name(r->direction)));
	json_put(o, "partial", json_boolean(r->partial));
	json_put(o, "reply_seen", json_boolean(r->reply_seen));
	json_put(o, "provisional", json_boolean(r->provisional || incomplete));
	json_put(o, "confidence", json_string(confidence_of(r)));
	json_put(o, "packets", json_integer((json_int_t)r->packets));
	json_put(o, "first", json_wall(r->first));
	json_put(o, "last", json_wall(r->last));
	json_put(o, "died_at", json_died_at(q, died ? r->decisive : NULL));
	if (died)
		kind_of(r, kind);
	json_put(o, "kind", json_text(kind));
	json_put(o, "hops", hops);
	json_put(o, "causes", causes);
	json_put(o, "others", others);
	json_put(o, "others_omitted",
		 json_integer((json_int_t)(n - 1 + (r->healed ? 1 : 0) - told)));
	json_put(o, "unwatched", json_unwatched(q, r));
	json_put(o, "loop", json_loop(q, r));
	json_put(o, "reason", json_text(r->reason));
	return o;
}

/* Does anybody tell of packets or connections without being asked to? */
static bool somebody_tells(const struct inquiry *q)
{
	for (size_t i = 0; i < q->ask->live_count; i++) {
		const struct fleet_host *h = fleet_host_by_id(q->fleet, q->ask->live[i].id);

		for (uint32_t k = 0; h && h->has_sources && k < h->sources.count; k++) {
			const struct source_fact *s = &h->sources.list[k];

			if (s->state == SOURCE_ON &&
			    (!strcmp(s->name, "drops") || !strcmp(s->name, "conntrack")))
				return true;
		}
	}
	return false;
}

/* What was seen up to the window's end may not have come yet: nothing found says nothing. */
static bool asked_early(const struct inquiry *q)
{
	const struct where_ask *ask = q->ask;
	struct wall_ns end = { ask->until.v < ask->asked.v ? ask->until.v : ask->asked.v };

	if (ask->now.v - end.v > SETTLE_NS)
		return false;
	for (size_t i = 0; i < q->fleet->arming_count; i++) {
		const struct stored_arming *a = &q->fleet->armings[i];

		if (a->from.v < end.v && (!a->until.v || ask->now.v - a->until.v <= SETTLE_NS))
			return true;
	}
	return somebody_tells(q);
}

/* What is missing anywhere matters where nothing was found, or not the end. */
static json_t *coverage_of(const struct inquiry *q, const struct ruling *r, const json_t *hops)
{
	bool open = !r || r->verdict == VERDICT_UNKNOWN || r->verdict == VERDICT_LOST;
	json_t *o = json_coverage(q->ask);

	json_object_set_new(o, "missing", json_missing(q->ask, q->fleet, open ? NULL : hops));
	return o;
}

static int where_with(json_t **answer, struct inquiry *q)
{
	const struct where_ask *ask = q->ask;
	bool late = coverage_late(ask), incomplete = late || reader_incomplete(q->fleet->reader),
	     early;
	struct rulings found;
	struct ruling *list;
	size_t n, front;
	json_t *o;
	int r = rulings_make(&found, q, JOURNEYS_MAX);

	if (r < 0)
		return r;
	list = found.list;
	n = found.count;
	front = newest_of_each(list, n);
	qsort(list, front, sizeof(*list), worse_first);
	qsort(list + front, n - front, sizeof(*list), worse_first);

	early = n ? list[0].provisional : asked_early(q);
	if (q->need)
		q->need->patience = early || late;
	o = n ? answer_ruling(q, list, n, incomplete) : answer_nothing(q, incomplete || early);
	if (!n && !early && (r = ask_tracking(o, q)) < 0) {
		json_decref(o);
		return r;
	}
	json_put(o, "window",
		 json_pack("{s:o,s:o}", "since", json_wall(ask->since), "until",
			   json_wall(ask->until)));
	json_put(o, "coverage", coverage_of(q, n ? &list[0] : NULL, json_object_get(o, "hops")));
	json_put_losses(o, q->fleet, ask->since, ask->until);
	json_put(o, "cut", json_boolean(found.cut));
	*answer = o;
	return 0;
}

int diagnose_where(json_t **answer, const struct where_ask *ask, struct reader *r,
		   struct where_need *need)
{
	struct question question;
	int ret = question_open(&question, ask, r, need, HEAP_MAX);

	*answer = NULL;
	if (ret == 0)
		ret = where_with(answer, &question.q);
	question_clear(&question);
	return ret;
}
