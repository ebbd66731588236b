/*
 * Finds the open journey that an event goes on with, begins it, and ends it.
 *
 * Which of several journeys with one fingerprint an event belongs to, each socket decides for itself: it goes
 * on where it wrote last, and moves to the next one when the event cannot follow what it wrote there (a
 * place that lies behind, a hook that this kind of passage does not have). Those that bore the event's addresses come first:
 * equal packets of several flows may be on several CPUs at once.
 */
#include "agent/journey/assembler.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/journey/fit.h"
#include "agent/journey/names.h"
#include "agent/journey/open.h"
#include "common/must.h"

enum {
	STEPS_EACH = 16, /* what open_max journeys may hold on average */
	NAMES_MAX = 1 << 20,
};

struct assembler {
	assembler_emit *emit;
	void *arg;
	uint32_t open_max, count;
	uint32_t steps;                   /* held by all open journeys */
	uint32_t buckets;                 /* a power of two */
	struct open **by_key, **by_trace; /* owned, while anything is open */
	struct open *oldest, *newest;
	struct names *names;
	struct step *merged; /* owned; STEPS_MAX, made when first needed */
	struct assembler_losses losses;
};

/* Without a fingerprint only the addresses and the IP header tell packets apart. */
static uint64_t key_of(const struct packet *p)
{
	uint64_t ids = (uint64_t)p->ip_id << 32 | (uint64_t)p->frag << 16 | p->total_len;

	return p->fp ? p->fp : tuple_flow_key(&p->tuple) ^ (ids * UINT64_C(0x9e3779b97f4a7c15));
}

static struct open **key_bucket(struct assembler *a, uint64_t key)
{
	return &a->by_key[(key ^ key >> 32) & (a->buckets - 1)];
}

static struct open **trace_bucket(struct assembler *a, uint32_t id)
{
	return &a->by_trace[(id ^ id >> 16) & (a->buckets - 1)];
}

static void trace_unlink(struct assembler *a, struct open *o)
{
	struct open **at;

	if (!o->j.trace_id)
		return;
	for (at = trace_bucket(a, o->j.trace_id); *at != o; at = &(*at)->trace_next)
		must(*at);
	*at = o->trace_next;
	o->trace_next = NULL;
	o->j.trace_id = 0;
}

/* From now on events with this id and no headers belong to o. */
static void trace_link(struct assembler *a, struct open *o, uint32_t id)
{
	struct open **bucket;

	trace_unlink(a, o);
	if (!id)
		return;
	bucket = trace_bucket(a, id);
	o->j.trace_id = id;
	o->trace_next = *bucket;
	*bucket = o;
}

static void age_unlink(struct assembler *a, struct open *o)
{
	*(o->older ? &o->older->newer : &a->oldest) = o->newer;
	*(o->newer ? &o->newer->older : &a->newest) = o->older;
	o->older = o->newer = NULL;
}

/* o is the newest from now on. */
static void age_link(struct assembler *a, struct open *o)
{
	o->older = a->newest;
	*(a->newest ? &a->newest->newer : &a->oldest) = o;
	a->newest = o;
}

static void finish(struct assembler *a, struct open *o)
{
	struct open **at = key_bucket(a, o->key);
	uint32_t id = o->j.trace_id;

	for (; *at != o; at = &(*at)->key_next)
		must(*at);
	*at = o->key_next;
	trace_unlink(a, o);
	o->j.trace_id = id;
	age_unlink(a, o);
	a->count--;
	a->steps -= open_steps(o);

	open_merge(o, a->merged);
	a->emit(a->arg, &o->j);
	open_free(o);
}

static void note_early(struct assembler *a, const struct open *o, struct boot_ns now)
{
	if (o->complete && now.v - o->last.v >= (int64_t)COMPLETE_IDLE_MS * NS_PER_MS)
		return;
	if (!a->losses.orphans && !a->losses.early)
		a->losses.since = now;
	a->losses.early++;
}

static void note_orphan(struct assembler *a, struct boot_ns now)
{
	if (!a->losses.orphans && !a->losses.early)
		a->losses.since = now;
	a->losses.orphans++;
}

static void finish_early(struct assembler *a, struct boot_ns now)
{
	struct open *o = a->oldest;

	note_early(a, o, now);
	finish(a, o);
}

static int64_t apart(const struct open *o, const struct trace_event *e)
{
	int64_t ns = o->j.at.v - e->step.at.v;

	return ns < 0 ? -ns : ns;
}

/* Of the journeys of this key, best one that bore e's addresses, the one that began nearest to when the kernel freed its packet. */
static struct open *find_freed(struct assembler *a, uint64_t key, const struct trace_event *e)
{
	struct open *o, *best = NULL;
	bool better, bears;

	for (o = *key_bucket(a, key); o; o = o->key_next) {
		if (o->key != key || !fit_ends(o, e) ||
		    !journey_can_end_as(&o->j, o->complete, e->has_came ? &e->came : NULL,
					&e->packet.tuple))
			continue;
		bears = open_bore(o, &e->packet.tuple);
		better = !best || apart(o, e) < apart(best, e);
		if (best && bears != open_bore(best, &e->packet.tuple))
			better = bears;
		if (better)
			best = o;
	}
	return best;
}

/* Of the journeys of this key, all or those that bore e's addresses: where its source wrote last, or after that. */
static struct open *find_after(struct assembler *a, uint64_t key, const struct trace_event *e,
			       enum from from, bool all)
{
	struct open *o, *start = NULL;

	for (o = *key_bucket(a, key); o; o = o->key_next) {
		if (o->key == key && (all || open_bore(o, &e->packet.tuple)) &&
		    (!start || o->told[from].count > 0))
			start = o;
	}
	for (o = start; o; o = o->key_next) {
		if (o != start && (o->key != key || (!all && !open_bore(o, &e->packet.tuple))))
			continue;
		if (fit_follows(o, e, from))
			return o;
	}
	return NULL;
}

/* The journey of this key that e goes on with; NULL when it begins a new one. */
static struct open *find(struct assembler *a, uint64_t key, const struct trace_event *e,
			 enum from from)
{
	struct open *o;

	if (!a->by_key)
		return NULL;
	if (from == FROM_KERNEL)
		return find_freed(a, key, e);
	o = find_after(a, key, e, from, false);
	if (!o)
		o = find_after(a, key, e, from, true);
	if (o)
		return o;
	/* Its death may have been told before anything else of it was. */
	for (o = *key_bucket(a, key); o; o = o->key_next) {
		if (o->key == key && open_steps(o) == o->told[FROM_KERNEL].count &&
		    fit_follows(o, e, from))
			return o;
	}
	return NULL;
}

static struct open *find_trace(struct assembler *a, uint32_t id)
{
	struct open *o;

	if (!a->by_trace || !id)
		return NULL;
	for (o = *trace_bucket(a, id); o && o->j.trace_id != id; o = o->trace_next)
		;
	return o;
}

/* Ids are used again: does e, which bears o's, go on with it? Rather with one of its key that bore its addresses. */
static bool has_id_of(struct assembler *a, const struct open *o, const struct trace_event *e)
{
	return fit_follows(o, e, FROM_NFT) &&
	       (open_bore(o, &e->packet.tuple) || !find_after(a, o->key, e, FROM_NFT, false));
}

/* The hash tables exist only while something is traced: an idle agent holds none of it. */
static bool buckets_ready(struct assembler *a)
{
	if (!a->by_key)
		a->by_key = calloc(a->buckets, sizeof(struct open *));
	if (!a->by_trace)
		a->by_trace = calloc(a->buckets, sizeof(struct open *));
	if (!a->merged)
		a->merged = calloc(STEPS_MAX, sizeof(*a->merged));
	return a->by_key && a->by_trace && a->merged;
}

static struct open *begin(struct assembler *a, uint64_t key, const struct trace_event *e)
{
	struct open **at, *o;

	if (!buckets_ready(a))
		return NULL;
	if (a->count >= a->open_max)
		finish_early(a, e->received);
	o = open_begin(key, e);
	if (!o)
		return NULL;
	for (at = key_bucket(a, key); *at; at = &(*at)->key_next)
		;
	*at = o;
	age_link(a, o);
	a->count++;
	return o;
}

/* Interned copies of the step's texts; false when there is no room for them. */
static bool names_take(struct assembler *a, struct step *st)
{
	st->table = names_keep(a->names, st->table ? st->table : "");
	st->chain = names_keep(a->names, st->chain ? st->chain : "");
	if (st->prefix) {
		st->prefix = names_keep(a->names, st->prefix);
		return st->table && st->chain && st->prefix;
	}
	return st->table && st->chain;
}

int assembler_new(struct assembler **out, uint32_t open_max, assembler_emit *emit, void *arg)
{
	struct assembler *a = calloc(1, sizeof(*a));
	int r;

	must(open_max > 0);
	if (!a)
		return -ENOMEM;
	r = names_new(&a->names, NAMES_MAX);
	if (r < 0) {
		free(a);
		return r;
	}
	a->emit = emit;
	a->arg = arg;
	a->open_max = open_max;
	for (a->buckets = 64; a->buckets < open_max; a->buckets *= 2)
		;
	*out = a;
	return 0;
}

void assembler_limit(struct assembler *a, uint32_t open_max)
{
	must(open_max > 0);
	a->open_max = open_max;
	while (a->count > open_max)
		finish_early(a, boot_now());
}

void assembler_add(struct assembler *a, const struct trace_event *e)
{
	enum from from = event_from(e);
	struct open *o = from == FROM_NFT ? find_trace(a, e->trace_id) : NULL;
	struct step named = e->step;
	uint64_t key;

	if (!names_take(a, &named)) {
		while (a->oldest)
			finish_early(a, e->received);
		names_reset(a->names);
		o = NULL;
		named = e->step;
		if (!names_take(a, &named)) {
			note_orphan(a, e->received);
			return;
		}
	}
	if (e->has_packet) {
		key = key_of(&e->packet);
		if (o && o->key == key && fit_told_twice(o, e))
			return;
		if (!o || o->key != key || !has_id_of(a, o, e))
			o = find(a, key, e, from);
		if (!o)
			o = begin(a, key, e);
	} else if (o && !fit_follows(o, e, from)) {
		o = NULL;
	}
	if (!o) {
		note_orphan(a, e->received);
		return;
	}
	if (from == FROM_NFT && e->has_packet)
		trace_link(a, o, e->trace_id);
	if (o != a->newest) {
		age_unlink(a, o);
		age_link(a, o);
	}
	a->steps += open_add(o, e, &named);
	while (a->steps > a->open_max * STEPS_EACH && a->oldest != a->newest)
		finish_early(a, e->received);
}

uint32_t assembler_tick(struct assembler *a, struct boot_ns now)
{
	while (a->oldest && now.v - a->oldest->last.v >= (int64_t)JOURNEY_IDLE_MS * NS_PER_MS)
		finish(a, a->oldest);
	return a->count;
}

void assembler_flush(struct assembler *a)
{
	while (a->oldest)
		finish(a, a->oldest);
	names_reset(a->names);
	free(a->by_key);
	free(a->by_trace);
	free(a->merged);
	a->by_key = a->by_trace = NULL;
	a->merged = NULL;
}

struct assembler_losses assembler_losses(struct assembler *a)
{
	struct assembler_losses l = a->losses;

	a->losses = (struct assembler_losses){ 0 };
	return l;
}

void assembler_free(struct assembler *a)
{
	if (!a)
		return;
	while (a->oldest) {
		struct open *o = a->oldest;

		age_unlink(a, o);
		open_free(o);
	}
	names_free(a->names);
	free(a->by_key);
	free(a->by_trace);
	free(a->merged);
	free(a);
}
