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

#include "collector/stitch/directions.h"
#include "collector/stitch/embedded.h"
#include "collector/stitch/gather.h"

struct work {
	struct flows *out;
	struct tuple_map translations; /* what an original packet became on its way */
	struct fleet *f;
	const struct flow *flow;
	struct drafts drafts;
};

static size_t count_tuples(const struct paths *paths)
{
	size_t n = 0;

	for (size_t i = 0; i < paths->count; i++) {
		for (size_t k = 0; k < paths->list[i].hop_count; k++)
			n += paths->list[i].hops[k].sj->j.tuple_count;
	}
	return n;
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

/* What some original packet became on its way does not name a conversation. */
static bool is_translation(const struct work *w, const struct tuple *t)
{
	return tuple_map_get(&w->translations, t);
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
		d = drafts_named(&w->drafts, t, p);
		if (!d || (syn && d->has_syn && d->syn_seq != j->tcp_seq))
			d = draft_begin(&w->drafts, t);
		if (syn) {
			d->has_syn = true;
			d->syn_seq = j->tcp_seq;
		}
		if (draft_add(&w->drafts, d, p) < 0)
			return -ENOMEM;
	}
	return 0;
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
		d = drafts_knowing(&w->drafts, &t, p);
		if (!d)
			d = drafts_knowing(&w->drafts, &end, p);
		new = !d;
		if (new)
			d = draft_begin(&w->drafts, direction == DIRECTION_REPLY ? &end : &t);
		if (draft_add(&w->drafts, d, p) < 0)
			return -ENOMEM;
		if (new)
			draft_ask_entries(&w->drafts, d);
	}
	return 0;
}

/* 6 */
static int attach_answers(struct work *w)
{
	struct paths *paths = &w->out->paths;
	struct embedded embedded = { 0 };

	for (size_t i = 0; i < paths->count; i++) {
		struct path *p = &paths->list[i];
		const struct journey *j = path_packet(p);
		struct draft *d = NULL;

		if (j->is_icmp_error && j->has_inner_tuple) {
			struct tuple back = tuple_reverse(&j->inner);

			d = drafts_knowing(&w->drafts, &j->inner, p);
			if (!d)
				d = drafts_knowing(&w->drafts, &back, p);
		} else if (j->is_icmp_error && j->has_inner) {
			if (embedded_find(&d, &embedded, &w->drafts, p->hops[0].sj) < 0)
				return -ENOMEM;
		} else if (p->answer) {
			struct tuple back = tuple_reverse(hop_tuple_in(&p->hops[0]));

			d = drafts_knowing(&w->drafts, &back, p);
			if (!d)
				d = drafts_knowing(&w->drafts, hop_tuple_in(&p->hops[0]), p);
		}
		if (!d)
			continue;
		p->answer = true;
		if (draft_answer(&w->drafts, d, p) < 0)
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

/* 1 to 7 */
static int put_together(struct work *w, const struct entries *entries)
{
	struct paths *paths = &w->out->paths;
	size_t tuples = count_tuples(paths);
	int r;

	for (size_t i = 0; i < paths->count; i++)
		paths->list[i].answer = made_on_the_way(w, &paths->list[i]);
	r = directions_find(paths, entries, w->flow, tuples, w->f->arena);
	if (r == 0)
		r = tuple_map_init(&w->translations, tuples, w->f->arena);
	if (r == 0)
		r = drafts_init(&w->drafts, paths->count, tuples, entries, w->f->arena);
	if (r < 0)
		return r;
	find_translations(w);
	r = name_conversations(w);
	for (size_t i = 0; r == 0 && i < w->drafts.count; i++)
		draft_ask_entries(&w->drafts, &w->drafts.list[i]);
	if (r == 0)
		r = attach_rest(w, DIRECTION_ORIGINAL);
	if (r == 0)
		r = attach_rest(w, DIRECTION_REPLY);
	return r < 0 ? r : attach_answers(w);
}

int flows_find(struct flows *out, struct fleet *f, const struct flow *flow, size_t limit)
{
	struct work w = { .out = out, .f = f, .flow = flow };
	struct entries entries;
	struct gathered g;
	int r;

	memset(out, 0, sizeof(*out));
	r = gather(&g, f, flow, limit);
	if (r < 0)
		return r;
	out->cut = g.cut;
	out->whole_from = g.whole_from;
	r = entries_init(&entries, g.conns, g.conn_count, f->arena);
	if (r >= 0)
		r = paths_join(&out->paths, g.list, g.count, &(struct around){ f, &entries },
			       f->arena);
	if (r >= 0)
		r = put_together(&w, &entries);
	if (r < 0)
		return r;

	out->list = arena_alloc(f->arena, (w.drafts.count + 1) * sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	for (size_t i = 0; i < w.drafts.count; i++) {
		struct conversation *c = &w.drafts.list[i].conv;

		if (!was_asked(&w, &w.drafts.list[i]))
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
