/*
 * From paths to conversations. The order is the argument:
 *  1. which way does the packet go? its flags or ICMP type say it; else those of another packet of the tuple; else conntrack
 *     (a router that sees only answers takes them for requests); else a tuple that 1 gave a direction; else the question; else
 *     who spoke first
 *  2. an original packet whose first tuple is no translation of another's names a conversation
 *  3. a SYN with another sequence number on the same tuple begins a new one, and so does a packet that another host sent,
 *     or that another gateway translated otherwise: private addresses are used at several sites
 *  4. other original packets belong to the conversation that knows their tuple
 *  5. replies belong to the newest conversation that began before them and knows the reverse of their tuple; of several with the
 *     same addresses to the one whose sender they reach, or whose gate they pass
 *  6. an RST or ICMP from a host that does not own its source address, or that embeds a packet, is an answer about
 *     the conversation, not a part of it
 *  7. where nobody saw the packet before it was translated, conntrack tells what its sender called it
 */
#include "collector/stitch/flows.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "collector/stitch/gather.h"

enum { TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { VARIANTS_MAX = 16, CONN_HOPS_MAX = 8 };

/* Between a packet and conntrack's word of it, on hosts with clocks of their own. */
#define CONN_SLACK_NS (2LL * NS_PER_S)

/* A router that gets no answer from a neighbour tells so after about three seconds. */
#define ERROR_NS (4LL * NS_PER_S)

/* What is known of a conversation while it is put together. */
struct draft {
	struct conversation conv;
	struct tuple variants[VARIANTS_MAX]; /* original direction, as any host saw it */
	size_t variant_count;
	bool has_syn;
	uint32_t syn_seq;
	size_t original_cap, reply_cap, answer_cap;
};

/* What is known of a tuple, looked up by its exact value. */
struct tuple_map {
	struct tuple *keys; /* without an address: free */
	uint8_t *values;
	size_t cap; /* a power of two, at most half of it is used */
};

struct work {
	struct flows *out;
	struct tuple_map directions;   /* enum direction of packets that bear it */
	struct tuple_map translations; /* what an original packet became on its way */
	struct fleet *f;
	const struct flow *flow;
	struct gathered *g;
	struct draft *drafts;
	size_t count;
};

static bool path_has_tuple(const struct path *p, const struct tuple *t)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			if (tuple_equal(&j->tuples[k], t))
				return true;
		}
	}
	return false;
}

/* 1, as far as the packet itself tells. */
static enum direction own_direction(const struct journey *j)
{
	if (j->tuples[0].proto == IPPROTO_TCP && (j->tcp_flags & TCP_SYN))
		return j->tcp_flags & TCP_ACK ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
	if (proto_is_icmp(j->tuples[0].proto) && j->tuples[0].dport)
		return j->icmp_type == j->tuples[0].dport ? DIRECTION_ORIGINAL : DIRECTION_REPLY;
	return DIRECTION_UNKNOWN;
}

static enum direction conn_direction(const struct work *w, const struct path *p)
{
	for (size_t i = 0; i < w->g->conn_count; i++) {
		const struct conn *c = &w->g->conns[i].c;

		if (path_has_tuple(p, &c->orig))
			return DIRECTION_ORIGINAL;
		if (path_has_tuple(p, &c->reply))
			return DIRECTION_REPLY;
	}
	return DIRECTION_UNKNOWN;
}

static enum direction asked_direction(const struct work *w, const struct path *p)
{
	enum direction d = DIRECTION_UNKNOWN;

	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);

			if (flow_has(w->flow, &j->tuples[k]))
				return DIRECTION_ORIGINAL;
			if (flow_has(w->flow, &back))
				d = DIRECTION_REPLY;
		}
	}
	return d;
}

static int tuple_map_init(struct tuple_map *m, size_t count, struct arena *arena)
{
	for (m->cap = 64; m->cap < count * 2;)
		m->cap *= 2;
	m->keys = arena_alloc(arena, m->cap * sizeof(*m->keys));
	m->values = arena_alloc(arena, m->cap);
	return m->keys && m->values ? 0 : -ENOMEM;
}

/* Where t is, or would be. */
static size_t tuple_map_at(const struct tuple_map *m, const struct tuple *t)
{
	size_t i = (size_t)tuple_flow_key(t) & (m->cap - 1);

	while (m->keys[i].src.family && !tuple_equal(&m->keys[i], t))
		i = (i + 1) & (m->cap - 1);
	return i;
}

/* The first value stays. */
static void tuple_map_add(struct tuple_map *m, const struct tuple *t, uint8_t value)
{
	size_t i = tuple_map_at(m, t);

	if (m->keys[i].src.family)
		return;
	m->keys[i] = *t;
	m->values[i] = value;
}

/* 0: not known. */
static uint8_t tuple_map_get(const struct tuple_map *m, const struct tuple *t)
{
	size_t i = tuple_map_at(m, t);

	return m->keys[i].src.family ? m->values[i] : 0;
}

static size_t count_tuples(const struct paths *paths)
{
	size_t n = 0;

	for (size_t i = 0; i < paths->count; i++) {
		for (size_t k = 0; k < paths->list[i].hop_count; k++)
			n += paths->list[i].hops[k].sj->j.tuple_count;
	}
	return n;
}

/* The path's direction is known: so is that of every packet of the same tuples. */
static void learn_direction(struct work *w, const struct path *p)
{
	enum direction other =
		p->direction == DIRECTION_ORIGINAL ? DIRECTION_REPLY : DIRECTION_ORIGINAL;

	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);

			if (tuple_equal(&back, &j->tuples[k]))
				continue;
			tuple_map_add(&w->directions, &j->tuples[k], (uint8_t)p->direction);
			tuple_map_add(&w->directions, &back, (uint8_t)other);
		}
	}
}

/* 1, by the packets of the same tuple that have a direction already. */
static enum direction known_direction(const struct work *w, const struct path *p)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		enum direction d = tuple_map_get(&w->directions, hop_tuple_in(&p->hops[i]));

		if (d != DIRECTION_UNKNOWN)
			return d;
	}
	return DIRECTION_UNKNOWN;
}

static void find_directions(struct work *w)
{
	struct paths *paths = &w->out->paths;

	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];

		p->direction = own_direction(path_packet(p));
		if (p->direction != DIRECTION_UNKNOWN)
			learn_direction(w, p);
	}
	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];

		if (p->direction != DIRECTION_UNKNOWN)
			continue;
		p->direction = known_direction(w, p);
		if (p->direction == DIRECTION_UNKNOWN)
			p->direction = conn_direction(w, p);
		if (p->direction == DIRECTION_UNKNOWN)
			p->direction = asked_direction(w, p);
		if (p->direction == DIRECTION_UNKNOWN)
			p->direction = DIRECTION_ORIGINAL;
		learn_direction(w, p);
	}
}

/* Every tuple that an original packet bore, but for the one it came with first. */
static void find_translations(struct work *w)
{
	struct paths *paths = &w->out->paths;

	for (size_t i = 0; i < paths->count; i++) {
		const struct path *p = &paths->list[i];

		for (size_t k = 0; p->direction == DIRECTION_ORIGINAL && k < p->hop_count; k++) {
			const struct journey *j = &p->hops[k].sj->j;

			for (uint8_t t = 0; t < j->tuple_count; t++) {
				if (!tuple_equal(&j->tuples[t], hop_tuple_in(&p->hops[0])))
					tuple_map_add(&w->translations, &j->tuples[t], 1);
			}
		}
	}
}

/* 6: it left its maker's OUTPUT under somebody else's address. */
static bool made_on_the_way(const struct work *w, const struct path *p)
{
	const struct journey *j = path_packet(p);
	const struct fleet_host *h = fleet_host(w->f, p->hops[0].sj->host);

	if (hop_first_hook(&p->hops[0]) != HOOK_OUTPUT || !h || !h->has_facts)
		return false;
	if (j->tuples[0].proto != IPPROTO_TCP || !(j->tcp_flags & TCP_RST))
		return false;
	return !fleet_owns(h, &j->tuples[0].src);
}

static int list_add(struct path ***list, size_t *count, size_t *cap, struct path *p,
		    struct arena *arena)
{
	if (*count == *cap) {
		size_t next = *cap ? *cap * 2 : 8;
		struct path **bigger = arena_alloc(arena, next * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		if (*count)
			memcpy(bigger, *list, *count * sizeof(*bigger));
		*list = bigger;
		*cap = next;
	}
	(*list)[(*count)++] = p;
	return 0;
}

static bool draft_knows(const struct draft *d, const struct tuple *t)
{
	for (size_t i = 0; i < d->variant_count; i++) {
		if (tuple_equal(&d->variants[i], t))
			return true;
	}
	return false;
}

static void draft_learn(struct draft *d, const struct tuple *t)
{
	if (d->variant_count < VARIANTS_MAX && !draft_knows(d, t))
		d->variants[d->variant_count++] = *t;
}

static void draft_learn_path(struct draft *d, const struct path *p, bool reverse)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);

			draft_learn(d, reverse ? &back : &j->tuples[k]);
		}
	}
}

static bool passed(const struct conversation *c, uint64_t host)
{
	for (size_t i = 0; i < c->original_count; i++) {
		for (size_t k = 0; k < c->original[i]->hop_count; k++) {
			if (c->original[i]->hops[k].sj->host == host)
				return true;
		}
	}
	return false;
}

/* Does another gateway make something else of the same tuple? Then it is that of another site, or this one is. */
static bool is_contested(const struct work *w, const struct stored_conn *c)
{
	for (size_t i = 0; i < w->g->conn_count; i++) {
		const struct stored_conn *other = &w->g->conns[i];

		if (other->host != c->host && tuple_equal(&other->c.orig, &c->c.orig) &&
		    !tuple_equal(&other->c.reply, &c->c.reply))
			return true;
	}
	return false;
}

/* Could the entry, which made `after` of the conversation's addresses, be its own? */
static bool may_be_entry_of(const struct work *w, const struct conversation *c,
			    const struct stored_conn *conn, const struct tuple *after)
{
	if (c->shared && c->gate == conn->host)
		return tuple_equal(&c->beyond, after);
	if (c->shared && conn->c.zone) /* which of them is in it? */
		return false;
	return passed(c, conn->host) || !is_contested(w, conn);
}

/* Conntrack's mappings belong to the conversation, too: they tell what a packet became where nobody saw it leave. */
static void draft_learn_conns(struct work *w, struct draft *d)
{
	for (size_t i = 0; i < w->g->conn_count; i++) {
		struct stored_conn *c = &w->g->conns[i];
		struct tuple after = tuple_reverse(&c->c.reply);

		if (!draft_knows(d, &c->c.orig) || !may_be_entry_of(w, &d->conv, c, &after))
			continue;
		draft_learn(d, &after);
		if (!d->conv.conn || c->from.v > d->conv.conn->from.v)
			d->conv.conn = c;
	}
}

/* The entry that made this tuple at that time; NULL: none, or it could be one of two. */
static struct stored_conn *conn_before(const struct work *w, const struct tuple *t,
				       const struct conversation *c)
{
	struct stored_conn *found = NULL;

	for (size_t i = 0; i < w->g->conn_count; i++) {
		struct stored_conn *s = &w->g->conns[i];
		struct tuple after = tuple_reverse(&s->c.reply);

		if (!tuple_equal(&after, t) || tuple_equal(&s->c.orig, t))
			continue;
		if (s->from.v > c->last.v + CONN_SLACK_NS ||
		    (s->until.v && s->until.v < c->first.v - CONN_SLACK_NS))
			continue;
		if (found && !tuple_equal(&found->c.orig, &s->c.orig))
			return NULL;
		found = s;
	}
	return found;
}

/* 7 */
static void draft_learn_senders(struct work *w, struct draft *d)
{
	for (int hop = 0; hop < CONN_HOPS_MAX; hop++) {
		struct stored_conn *s = conn_before(w, &d->conv.tuple, &d->conv);

		if (!s || draft_knows(d, &s->c.orig))
			return;
		draft_learn(d, &s->c.orig);
		d->conv.tuple = s->c.orig;
		d->conv.conn = s;
	}
}

static struct draft *draft_begin(struct work *w, const struct tuple *t)
{
	struct draft *d = &w->drafts[w->count++];

	memset(d, 0, sizeof(*d));
	d->conv.tuple = *t;
	draft_learn(d, t);
	for (struct draft *other = w->drafts; other < d; other++) {
		if (tuple_equal(&other->conv.tuple, t))
			other->conv.shared = d->conv.shared = true;
	}
	return d;
}

/* Who sent the packet, and who translated it first. */
static void find_origin(struct conversation *c, const struct path *p)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct hop *h = &p->hops[i];

		if (i == 0 && hop_first_hook(h) == HOOK_OUTPUT)
			c->sender = h->sj->host;
		if (tuple_equal(hop_tuple_in(h), hop_tuple_out(h)))
			continue;
		c->gate = h->sj->host;
		c->beyond = *hop_tuple_out(h);
		return;
	}
}

bool conversations_differ(const struct conversation *a, const struct conversation *b)
{
	if (!tuple_equal(&a->tuple, &b->tuple))
		return true;
	if (a->sender && b->sender && a->sender != b->sender)
		return true;
	return a->gate && b->gate && a->gate != b->gate && !tuple_equal(&a->beyond, &b->beyond);
}

/* 3: the newest conversation of the tuple that p may be of, rather one of the same sender or gateway. */
static struct draft *draft_named(struct work *w, const struct tuple *t, const struct path *p)
{
	struct conversation of = { .tuple = *t };
	struct draft *best = NULL;
	bool best_same = false;

	find_origin(&of, p);
	for (size_t k = w->count; k-- > 0;) {
		struct conversation *c = &w->drafts[k].conv;
		bool same =
			(of.sender && of.sender == c->sender) || (of.gate && of.gate == c->gate);

		if (conversations_differ(c, &of))
			continue;
		if (!best || (same && !best_same)) {
			best = &w->drafts[k];
			best_same = same;
		}
	}
	return best;
}

static int draft_add(struct work *w, struct draft *d, struct path *p)
{
	struct conversation *c = &d->conv;
	struct wall_ns first = path_first(p), last = path_last(p);
	bool reply = p->direction == DIRECTION_REPLY;

	draft_learn_path(d, p, reply);
	if (!reply) {
		struct conversation of = { 0 };

		find_origin(&of, p);
		if (!c->sender && tuple_equal(&c->tuple, hop_tuple_in(&p->hops[0])))
			c->sender = of.sender;
		if (!c->gate) {
			c->gate = of.gate;
			c->beyond = of.beyond;
		}
	}
	if (!c->first.v || first.v < c->first.v)
		c->first = first;
	if (last.v > c->last.v)
		c->last = last;
	if (reply)
		return list_add(&c->reply, &c->reply_count, &d->reply_cap, p, w->f->arena);
	return list_add(&c->original, &c->original_count, &d->original_cap, p, w->f->arena);
}

/* What some original packet became on its way does not name a conversation. */
static bool is_translation(const struct work *w, const struct tuple *t)
{
	return tuple_map_get(&w->translations, t);
}

/* 2, 3 */
static int name_conversations(struct work *w)
{
	struct paths *paths = &w->out->paths;

	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];
		const struct journey *j = path_packet(p);
		const struct tuple *t = hop_tuple_in(&p->hops[0]);
		bool syn = t->proto == IPPROTO_TCP && (j->tcp_flags & TCP_SYN);
		struct draft *d = NULL;

		if (p->direction != DIRECTION_ORIGINAL || p->answer || j->is_icmp_error ||
		    is_translation(w, t))
			continue;
		d = draft_named(w, t, p);
		if (!d || (syn && d->has_syn && d->syn_seq != j->tcp_seq))
			d = draft_begin(w, t);
		if (syn) {
			d->has_syn = true;
			d->syn_seq = j->tcp_seq;
		}
		if (draft_add(w, d, p) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* How much of the way says that the reply p is of c: it came to c's sender, and bore what c's gate made of its addresses. */
static int kinship(const struct conversation *c, const struct path *p)
{
	struct tuple back = tuple_reverse(&c->beyond);

	if (p->direction != DIRECTION_REPLY)
		return 0;
	return (c->sender && c->sender == p->hops[p->hop_count - 1].sj->host) +
	       (c->gate && path_has_tuple(p, &back));
}

/* Of the conversations that know the tuple of p those next of kin, of these the newest that had begun before; else the oldest. */
static struct draft *draft_of(struct work *w, const struct tuple *t, const struct path *p)
{
	int64_t at = path_first(p).v + p->hops[0].sj->error;
	struct draft *best = NULL;

	for (size_t i = 0; i < w->count; i++) {
		struct draft *d = &w->drafts[i];
		int nearer;

		if (!draft_knows(d, t))
			continue;
		nearer =
			best && d->conv.shared ? kinship(&d->conv, p) - kinship(&best->conv, p) : 0;
		if (!best || nearer > 0 ||
		    (nearer == 0 && d->conv.first.v <= at && d->conv.first.v >= best->conv.first.v))
			best = d;
	}
	return best;
}

/* 4, 5: what has no conversation yet. */
static int attach_rest(struct work *w, enum direction direction)
{
	struct paths *paths = &w->out->paths;

	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];
		const struct hop *first = &p->hops[0], *last = &p->hops[p->hop_count - 1];
		struct tuple t = *hop_tuple_in(first), end = *hop_tuple_out(last);
		struct draft *d;
		bool new;

		if (p->direction != direction || p->answer || path_packet(p)->is_icmp_error)
			continue;
		if (direction == DIRECTION_ORIGINAL && !is_translation(w, &t))
			continue; /* name_conversations() has taken it */
		if (direction == DIRECTION_REPLY) {
			t = tuple_reverse(&t);
			end = tuple_reverse(&end);
		}
		d = draft_of(w, &t, p);
		if (!d)
			d = draft_of(w, &end, p);
		new = !d;
		if (new)
			d = draft_begin(w, direction == DIRECTION_REPLY ? &end : &t);
		if (draft_add(w, d, p) < 0)
			return -ENOMEM;
		if (new) {
			draft_learn_senders(w, d);
			draft_learn_conns(w, d);
		}
	}
	return 0;
}

/*
 * How long after p the error e, which embeds it, was made; -1: it embeds another packet. IPv6 has no id: then p must
 * have come from whom the error was sent to, as the error's maker saw it.
 */
static int64_t error_after(const struct stored_journey *e, const struct path *p)
{
	const struct journey *j = path_packet(p);

	if (j->ip_version != e->j.ip_version || j->total_len != e->j.inner_len ||
	    j->tuples[0].proto != e->j.inner_proto)
		return -1;
	if (j->ip_version == 4)
		return j->ip_id && j->ip_id == e->j.inner_id ? 0 : -1;
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct stored_journey *sj = p->hops[i].sj;
		int64_t after = e->at.v - sj->at.v;

		if (sj->host == e->host && addr_equal(&sj->j.tuples[0].src, &e->j.tuples[0].dst) &&
		    after >= 0 && after < ERROR_NS)
			return after;
	}
	return -1;
}

/* An ICMP error whose capture lacks the addresses belongs to the packet that fits what it embeds, the last one before it. */
static struct draft *draft_embedded(struct work *w, const struct stored_journey *e)
{
	int64_t best_after = INT64_MAX;
	struct draft *best = NULL;

	for (size_t k = w->count; k-- > 0;) {
		const struct conversation *c = &w->drafts[k].conv;

		for (size_t i = 0; i < c->original_count + c->reply_count; i++) {
			int64_t after = error_after(e, i < c->original_count
							       ? c->original[i]
							       : c->reply[i - c->original_count]);

			if (after >= 0 && after < best_after) {
				best_after = after;
				best = &w->drafts[k];
			}
		}
	}
	return best;
}

/* 6 */
static int attach_answers(struct work *w)
{
	struct paths *paths = &w->out->paths;

	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];
		const struct journey *j = path_packet(p);
		struct draft *d = NULL;

		if (j->is_icmp_error && j->has_inner_tuple) {
			struct tuple back = tuple_reverse(&j->inner);

			d = draft_of(w, &j->inner, p);
			if (!d)
				d = draft_of(w, &back, p);
		} else if (j->is_icmp_error && j->has_inner) {
			d = draft_embedded(w, p->hops[0].sj);
		} else if (p->answer) {
			struct tuple back = tuple_reverse(hop_tuple_in(&p->hops[0]));

			d = draft_of(w, &back, p);
			if (!d)
				d = draft_of(w, hop_tuple_in(&p->hops[0]), p);
		}
		if (!d)
			continue;
		p->answer = true;
		if (list_add(&d->conv.answers, &d->conv.answer_count, &d->answer_cap, p,
			     w->f->arena) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Does the question mean this conversation? Following tuples and fingerprints may have brought strangers. */
static bool was_asked(const struct work *w, const struct draft *d)
{
	for (size_t i = 0; i < d->variant_count; i++) {
		struct tuple back = tuple_reverse(&d->variants[i]);

		if (flow_has(w->flow, &d->variants[i]) || flow_has(w->flow, &back))
			return true;
	}
	return false;
}

static int by_time(const void *pa, const void *pb)
{
	const struct path *a = *(struct path *const *)pa, *b = *(struct path *const *)pb;

	return (path_first(a).v > path_first(b).v) - (path_first(a).v < path_first(b).v);
}

static int by_begin(const void *pa, const void *pb)
{
	const struct conversation *a = pa, *b = pb;

	return (a->first.v > b->first.v) - (a->first.v < b->first.v);
}

int flows_find(struct flows *out, struct fleet *f, const struct flow *flow, size_t limit)
{
	struct gathered g;
	struct work w = { .out = out, .f = f, .flow = flow, .g = &g };
	int r;

	memset(out, 0, sizeof(*out));
	r = gather(&g, f, flow, limit);
	if (r < 0)
		return r;
	out->cut = g.cut;
	out->whole_from = g.whole_from;
	r = paths_join(&out->paths, g.list, g.count, f->arena);
	if (r < 0)
		return r;
	w.drafts = arena_alloc(f->arena, (out->paths.count + 1) * sizeof(*w.drafts));
	if (!w.drafts)
		return -ENOMEM;

	for (size_t i = 0; i < out->paths.count; i++)
		out->paths.list[i].answer = made_on_the_way(&w, &out->paths.list[i]);
	r = tuple_map_init(&w.directions, 2 * count_tuples(&out->paths), f->arena);
	if (r == 0)
		r = tuple_map_init(&w.translations, count_tuples(&out->paths), f->arena);
	if (r < 0)
		return r;
	find_directions(&w);
	find_translations(&w);
	r = name_conversations(&w);
	for (size_t i = 0; r >= 0 && i < w.count; i++) { /* 7 */
		draft_learn_senders(&w, &w.drafts[i]);
		draft_learn_conns(&w, &w.drafts[i]);
	}
	if (r >= 0)
		r = attach_rest(&w, DIRECTION_ORIGINAL);
	if (r >= 0)
		r = attach_rest(&w, DIRECTION_REPLY);
	if (r >= 0)
		r = attach_answers(&w);
	if (r < 0)
		return r;

	out->list = arena_alloc(f->arena, (w.count + 1) * sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	for (size_t i = 0; i < w.count; i++) {
		struct conversation *c = &w.drafts[i].conv;

		if (!was_asked(&w, &w.drafts[i]))
			continue;
		if (c->original_count)
			qsort(c->original, c->original_count, sizeof(*c->original), by_time);
		if (c->reply_count)
			qsort(c->reply, c->reply_count, sizeof(*c->reply), by_time);
		out->list[out->count++] = *c;
	}
	qsort(out->list, out->count, sizeof(*out->list), by_begin);
	return 0;
}
