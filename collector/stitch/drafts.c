#include "collector/stitch/drafts.h"

#include <errno.h>
#include <string.h>

enum { CONN_HOPS_MAX = 8 };

/* Between a packet and conntrack's word of it, on hosts with clocks of their own. */
#define CONN_SLACK_NS (2LL * NS_PER_S)

int drafts_init(struct drafts *d, size_t max, size_t tuples, const struct entries *entries,
		struct arena *arena)
{
	*d = (struct drafts){ .entries = entries, .arena = arena };
	d->list = arena_alloc(arena, (max + 1) * sizeof(*d->list));
	if (!d->list)
		return -ENOMEM;
	return tuple_lists_init(&d->by_variant, tuples + 2 * entries->count, arena);
}

static bool draft_knows(const struct draft *d, const struct tuple *t)
{
	for (size_t i = 0; i < d->variant_count; i++) {
		if (tuple_equal(&d->variants[i], t))
			return true;
	}
	return false;
}

static void draft_learn(struct drafts *all, struct draft *d, const struct tuple *t)
{
	size_t i = d->variant_count;

	if (i == VARIANTS_MAX || draft_knows(d, t))
		return;
	d->variants[i] = *t;
	d->variant_count++;
	tuple_lists_add(&all->by_variant, t, &d->links[i], (uint32_t)(d - all->list));
}

static void draft_learn_path(struct drafts *all, struct draft *d, const struct path *p,
			     bool reverse)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct journey *j = &p->hops[i].sj->j;

		for (uint8_t k = 0; k < j->tuple_count; k++) {
			struct tuple back = tuple_reverse(&j->tuples[k]);

			draft_learn(all, d, reverse ? &back : &j->tuples[k]);
		}
	}
}

struct draft *draft_begin(struct drafts *all, const struct tuple *t)
{
	struct draft *d = &all->list[all->count++];

	memset(d, 0, sizeof(*d));
	d->conv.tuple = *t;
	for (const struct tuple_link *l = tuple_lists_get(&all->by_variant, t); l; l = l->next) {
		struct conversation *other = &all->list[l->number].conv;

		if (tuple_equal(&other->tuple, t))
			other->shared = d->conv.shared = true;
	}
	draft_learn(all, d, t);
	return d;
}

/* --- its packets ------------------------------------------------------------------------------------------- */

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

struct draft *drafts_named(struct drafts *all, const struct tuple *t, const struct path *p)
{
	const struct tuple_link *l = tuple_lists_get(&all->by_variant, t);
	struct conversation of = { .tuple = *t };
	struct draft *best = NULL;
	bool best_same = false;

	find_origin(&of, p);
	for (; l; l = l->next) {
		const struct conversation *c = &all->list[l->number].conv;
		bool same =
			(of.sender && of.sender == c->sender) || (of.gate && of.gate == c->gate);

		if (conversations_differ(c, &of))
			continue;
		if (same || !best_same) {
			best = &all->list[l->number];
			best_same = same;
		}
	}
	return best;
}

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

/* How much of the way says that the reply p is of c: it came to c's sender, and bore what c's gate made of its addresses. */
static int kinship(const struct conversation *c, const struct path *p)
{
	struct tuple back = tuple_reverse(&c->beyond);

	if (p->direction != DIRECTION_REPLY)
		return 0;
	return (c->sender && c->sender == p->hops[p->hop_count - 1].sj->host) +
	       (c->gate && path_has_tuple(p, &back));
}

struct draft *drafts_knowing(struct drafts *all, const struct tuple *t, const struct path *p)
{
	const struct tuple_link *l = tuple_lists_get(&all->by_variant, t);
	int64_t at = path_first(p).v + p->hops[0].sj->error;
	struct draft *best = NULL;

	for (; l; l = l->next) {
		struct draft *d = &all->list[l->number];
		int nearer =
			best && d->conv.shared ? kinship(&d->conv, p) - kinship(&best->conv, p) : 0;

		if (!best || nearer > 0 ||
		    (nearer == 0 && d->conv.first.v <= at && d->conv.first.v >= best->conv.first.v))
			best = d;
	}
	return best;
}

int draft_add(struct drafts *all, struct draft *d, struct path *p)
{
	struct conversation *c = &d->conv;
	struct wall_ns first = path_first(p), last = path_last(p);
	bool reply = p->direction == DIRECTION_REPLY;

	draft_learn_path(all, d, p, reply);
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
		return list_add(&c->reply, &c->reply_count, &d->reply_cap, p, all->arena);
	return list_add(&c->original, &c->original_count, &d->original_cap, p, all->arena);
}

int draft_answer(struct drafts *all, struct draft *d, struct path *p)
{
	return list_add(&d->conv.answers, &d->conv.answer_count, &d->answer_cap, p, all->arena);
}

/* --- what connection tracking knows of it ---------------------------------------------------------------------- */

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

/* Could the entry, which made `after` of the conversation's addresses, be its own? */
static bool may_be_its_entry(const struct entries *e, const struct conversation *c,
			     const struct stored_conn *entry, const struct tuple *after)
{
	if (c->shared && c->gate == entry->host)
		return tuple_equal(&c->beyond, after);
	if (c->shared && entry->c.zone) /* which of them is in it? */
		return false;
	return passed(c, entry->host) || !entries_contest(e, entry);
}

/* Where a draft stands in the lists of the entries that begin with its tuples. */
struct begun {
	const struct tuple_link *at[VARIANTS_MAX];
	size_t count; /* of its variants looked up */
};

/* The next entry that begins with a tuple that it knows by now, as they are listed; NULL: none from there on. */
static struct stored_conn *next_entry(struct begun *b, const struct draft *d,
				      const struct entries *e, uint32_t *from)
{
	const struct tuple_link *next = NULL;

	for (; b->count < d->variant_count; b->count++)
		b->at[b->count] = tuple_lists_get(&e->before, &d->variants[b->count]);
	for (size_t i = 0; i < b->count; i++) {
		while (b->at[i] && b->at[i]->number < *from)
			b->at[i] = b->at[i]->next;
		if (b->at[i] && (!next || b->at[i]->number < next->number))
			next = b->at[i];
	}
	if (!next)
		return NULL;
	*from = next->number + 1;
	return &e->list[next->number];
}

/* Its mappings belong to the conversation, too: they tell what a packet became where nobody saw it leave. */
static void learn_translations(struct drafts *all, struct draft *d)
{
	struct begun begun = { .count = 0 };
	struct stored_conn *c;
	uint32_t from = 0;

	while ((c = next_entry(&begun, d, all->entries, &from))) {
		struct tuple after = tuple_reverse(&c->c.reply);

		if (!may_be_its_entry(all->entries, &d->conv, c, &after))
			continue;
		draft_learn(all, d, &after);
		if (!d->conv.conn || c->from.v > d->conv.conn->from.v)
			d->conv.conn = c;
	}
}

/* 7 */
static void learn_senders(struct drafts *all, struct draft *d)
{
	for (int hop = 0; hop < CONN_HOPS_MAX; hop++) {
		struct stored_conn *c =
			entries_made(all->entries, &d->conv.tuple,
				     (struct wall_ns){ d->conv.first.v - CONN_SLACK_NS },
				     (struct wall_ns){ d->conv.last.v + CONN_SLACK_NS });

		if (!c || draft_knows(d, &c->c.orig))
			return;
		draft_learn(all, d, &c->c.orig);
		d->conv.tuple = c->c.orig;
		d->conv.conn = c;
	}
}

void draft_ask_entries(struct drafts *all, struct draft *d)
{
	learn_senders(all, d);
	learn_translations(all, d);
}
