/*
 * Each open journey holds two lists, one per socket, each in the order in which that socket told it. A list's places
 * never go back, so a merge of the two by place, done once when the journey ends, is the order in which
 * the packet met everything. What log groups say of it is a third list, kept by place, which is the end of its hook. That the
 * kernel freed it is a fourth, of one step, and always the last.
 *
 * Which of several journeys with one fingerprint an event belongs to, each socket decides for itself: it goes
 * on where it wrote last, and moves to the next one when the event cannot follow what it wrote there (a
 * place that lies behind, a hook that this kind of passage does not have). Those that bore the event's addresses come first:
 * equal packets of several flows may be on several CPUs at once.
 */
#include "agent/journey/assembler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/journey/names.h"
#include "common/must.h"

enum from { FROM_LEGACY, FROM_NFT, FROM_LOG, FROM_KERNEL, FROM_COUNT };

enum {
	STEPS_EACH = 16, /* what open_max journeys may hold on average */
	NAMES_MAX = 1 << 20,
	COMPLETE_IDLE_MS = 50, /* a journey whose last checkpoint came is whole after that */
	KERNEL_SLACK_MS = 50,  /* a step with a time of receipt may be told that late */
	KERNEL_EXACT_MS = 1,   /* a time of the kernel's is off by that much at most */
};

struct placed {
	struct step step;
	int64_t place;
};

struct told {
	struct placed *list; /* owned */
	uint16_t count, cap;
	int64_t place;        /* of the last with a place of its own */
	uint32_t base_number; /* legacy: of the last rule met in the built-in chain there */
};

struct open {
	struct open *older, *newer; /* by last event */
	struct open *key_next;      /* same bucket, by creation */
	struct open *trace_next;    /* same bucket, the newest first */
	uint64_t key;
	struct boot_ns last;
	uint32_t hooks; /* 1 << enum hook */
	bool complete;  /* its last checkpoint came */
	bool exact;     /* the time of what was told first is the kernel's */
	bool has_came;  /* the kernel, which freed it, says what it bore as it came */
	struct tuple came;
	struct told told[FROM_COUNT];
	struct journey j; /* without its steps; tuples in order of arrival */
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

/* Hooks that a passage with this one cannot have. */
static const uint32_t foreign_hooks[HOOK_COUNT] = {
	[HOOK_PREROUTING] = 1 << HOOK_OUTPUT,
	[HOOK_INPUT] =
		1 << HOOK_FORWARD | 1 << HOOK_OUTPUT | 1 << HOOK_POSTROUTING | 1 << HOOK_EGRESS,
	[HOOK_FORWARD] = 1 << HOOK_INPUT | 1 << HOOK_OUTPUT,
	[HOOK_OUTPUT] = 1 << HOOK_PREROUTING | 1 << HOOK_INPUT | 1 << HOOK_FORWARD,
	[HOOK_POSTROUTING] = 1 << HOOK_INPUT,
	[HOOK_EGRESS] = 1 << HOOK_INPUT,
};

static int64_t place_of(const struct trace_event *e)
{
	return (int64_t)e->step.hook * (INT64_C(1) << 33) + e->priority - (int64_t)INT32_MIN;
}

static bool has_place(const struct trace_event *e)
{
	return e->step.label != LABEL_LOG && e->step.label != LABEL_KERNEL &&
	       e->step.hook != HOOK_NONE && e->priority_known;
}

/* Groups tell in batches, each its own: where a line stands in its hook nobody says. Just before our last checkpoint. */
static int64_t log_place(const struct trace_event *e)
{
	return e->step.hook * (INT64_C(1) << 33) + UINT32_MAX - 1;
}

static bool in_base_chain(const struct trace_event *e)
{
	return e->step.backend == BACKEND_LEGACY &&
	       strcmp(e->step.chain, hook_name((enum hook)e->step.hook)) == 0;
}

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

static void age_link(struct assembler *a, struct open *o)
{
	o->older = a->newest;
	*(a->newest ? &a->newest->newer : &a->oldest) = o;
	a->newest = o;
}

static void open_free(struct open *o)
{
	for (int i = 0; i < FROM_COUNT; i++)
		free(o->told[i].list);
	free(o);
}

/* Tuples in the order in which the packet bore them, the first as it came. */
static void tuples_order(struct journey *j)
{
	struct tuple ordered[TUPLES_MAX];
	uint8_t number[TUPLES_MAX];
	uint8_t count = 0;

	memset(number, 0xff, sizeof(number));
	for (uint16_t i = 0; i < j->step_count; i++) {
		uint8_t *to = &number[j->steps[i].tuple];

		if (*to == 0xff) {
			*to = count;
			ordered[count++] = j->tuples[j->steps[i].tuple];
		}
		j->steps[i].tuple = *to;
	}
	memcpy(j->tuples, ordered, count * sizeof(*ordered));
	j->tuple_count = count;
}

/* A packet of which nothing but its end is known: as it came, too. */
static void tuples_complete(struct open *o)
{
	struct journey *j = &o->j;

	if (!o->has_came || o->told[FROM_LEGACY].count || o->told[FROM_NFT].count ||
	    o->told[FROM_LOG].count || j->tuple_count != 1)
		return;
	j->tuples[1] = j->tuples[0];
	j->tuples[0] = o->came;
	j->tuple_count = 2;
	for (uint16_t i = 0; i < j->step_count; i++)
		j->steps[i].tuple = 1;
}

static uint32_t steps_of(const struct open *o)
{
	return (uint32_t)o->told[FROM_LEGACY].count + o->told[FROM_NFT].count +
	       o->told[FROM_LOG].count + o->told[FROM_KERNEL].count;
}

/* The next step of the three lists that have places; equal ones in the order of enum from. NULL: there is none. */
static const struct step *next_step(const struct open *o, uint16_t at[static FROM_KERNEL])
{
	const struct placed *best = NULL;
	int from = 0;

	for (int i = 0; i < FROM_KERNEL; i++) {
		const struct placed *p = &o->told[i].list[at[i]];

		if (at[i] < o->told[i].count && (!best || p->place < best->place)) {
			best = p;
			from = i;
		}
	}
	if (!best)
		return NULL;
	at[from]++;
	return &best->step;
}

static void merge(struct assembler *a, struct open *o)
{
	const struct told *k = &o->told[FROM_KERNEL];
	uint16_t at[FROM_KERNEL] = { 0 };
	struct journey *j = &o->j;
	const struct step *s;

	j->steps = a->merged;
	j->step_count = 0;
	while ((s = next_step(o, at))) {
		j->steps[j->step_count] = *s;
		/* No step is earlier than the first: the best time for it is the earliest of all. */
		if (j->step_count == 0 || j->steps[j->step_count].at.v < j->at.v)
			j->at = j->steps[j->step_count].at;
		j->step_count++;
	}
	if (k->count && j->step_count < STEPS_MAX) {
		j->steps[j->step_count] = k->list[0].step;
		if (j->step_count++ == 0 || k->list[0].step.at.v < j->at.v)
			j->at = k->list[0].step.at;
	}
	tuples_order(j);
	tuples_complete(o);
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
	a->steps -= steps_of(o);

	merge(a, o);
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

static enum from from_of(const struct trace_event *e)
{
	if (e->step.label == LABEL_KERNEL)
		return FROM_KERNEL;
	if (e->logged)
		return FROM_LOG;
	return e->step.backend == BACKEND_LEGACY ? FROM_LEGACY : FROM_NFT;
}

static int64_t slack(bool kernel_time)
{
	return (int64_t)(kernel_time ? KERNEL_EXACT_MS : KERNEL_SLACK_MS) * NS_PER_MS;
}

/*
 * Can a packet that had this TTL when the kernel freed it be o's? A loop brings one packet by many times, each time with a lower
 * one; within a host it falls by one.
 */
static bool bore_ttl(const struct open *o, uint8_t ttl)
{
	uint8_t high = 0, low = 0;

	for (int from = 0; from < FROM_KERNEL; from++) {
		for (uint16_t i = 0; i < o->told[from].count; i++) {
			uint8_t told = o->told[from].list[i].step.ttl;

			if (told > high)
				high = told;
			if (told && (!low || told < low))
				low = told;
		}
	}
	return !ttl || !low || ttl == low || (low == high && ttl + 1 == low);
}

/*
 * Can the kernel have freed o's packet at e? A packet is freed once, after all that it met: nothing of o is younger (but for the
 * time that reading takes), and no hook of it lies behind those where that may have been.
 */
static bool ends(const struct open *o, const struct trace_event *e)
{
	uint32_t mask = e->step.number;

	if (o->told[FROM_KERNEL].count > 0 || !bore_ttl(o, e->step.ttl))
		return false;
	if (e->step.at.v + slack(o->exact) < o->j.at.v ||
	    e->step.at.v - o->j.at.v > (int64_t)JOURNEY_IDLE_MS * NS_PER_MS)
		return false;
	/* Hooks are numbered in the order in which packets meet them. */
	return mask == 0 || o->hooks < mask << 1;
}

/* Is e of a time when o's packet was dead, or of a TTL that it never had? Then it is of another one. */
static bool outlives(const struct open *o, const struct trace_event *e)
{
	const struct told *k = &o->told[FROM_KERNEL];
	uint8_t ttl = k->count > 0 ? k->list[0].step.ttl : 0;

	if (ttl && e->step.ttl && e->step.ttl != ttl && e->step.ttl != ttl + 1)
		return true;
	return k->count > 0 && e->step.at.v > k->list[0].step.at.v + slack(e->step.kernel_time);
}

/* A packet meets a rule once: the same line in the same hook is of another one. */
static bool logged_before(const struct open *o, const struct trace_event *e)
{
	const struct told *t = &o->told[FROM_LOG];

	for (uint16_t i = 0; i < t->count; i++) {
		const struct step *s = &t->list[i].step;

		if (s->hook == e->step.hook && s->number == e->step.number &&
		    strcmp(s->prefix, e->step.prefix) == 0)
			return true;
	}
	return false;
}

/* nft's ids change between hooks at most, and where a bridge hands a packet to IP: two ids in one hook of one family are two packets. */
static bool has_other_id(const struct open *o, const struct trace_event *e)
{
	const struct told *t = &o->told[FROM_NFT];
	const struct step *last = t->count > 0 ? &t->list[t->count - 1].step : NULL;

	return last && o->j.trace_id && e->trace_id && o->j.trace_id != e->trace_id &&
	       last->hook == e->step.hook && last->family == e->step.family;
}

/* Can e come after what its source told of o? */
static bool follows(const struct open *o, const struct trace_event *e, enum from from)
{
	const struct told *t = &o->told[from];
	int64_t place;

	if (e->has_packet && outlives(o, e))
		return false;
	if (from == FROM_NFT && has_other_id(o, e))
		return false;
	if (e->received.v - o->last.v > (int64_t)JOURNEY_IDLE_MS * NS_PER_MS)
		return false;
	if (e->step.label == LABEL_LOG && !e->logged)
		return true;
	if (foreign_hooks[e->step.hook] & o->hooks)
		return false;
	if (e->logged)
		return !logged_before(o, e);
	if (!has_place(e) || t->count == 0)
		return true;
	place = place_of(e);
	if (place != t->place)
		return place > t->place;
	if (e->step.label == LABEL_CHECKPOINT)
		return false;
	return !in_base_chain(e) || e->step.number > t->base_number;
}

static int64_t apart(const struct open *o, const struct trace_event *e)
{
	int64_t ns = o->j.at.v - e->step.at.v;

	return ns < 0 ? -ns : ns;
}

static bool bore(const struct open *o, const struct tuple *t)
{
	return journey_tuple(&o->j, t) < o->j.tuple_count;
}

/* Of the journeys of this key, best one that bore e's addresses, the one that began nearest to when the kernel freed its packet. */
static struct open *find_freed(struct assembler *a, uint64_t key, const struct trace_event *e)
{
	struct open *o, *best = NULL;
	bool better, bears;

	for (o = *key_bucket(a, key); o; o = o->key_next) {
		if (o->key != key || !ends(o, e))
			continue;
		bears = bore(o, &e->packet.tuple);
		better = !best || apart(o, e) < apart(best, e);
		if (best && bears != bore(best, &e->packet.tuple))
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
		if (o->key == key && (all || bore(o, &e->packet.tuple)) &&
		    (!start || o->told[from].count > 0))
			start = o;
	}
	for (o = start; o; o = o->key_next) {
		if (o->key == key && (all || bore(o, &e->packet.tuple)) && follows(o, e, from))
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
		if (o->key == key && steps_of(o) == o->told[FROM_KERNEL].count &&
		    follows(o, e, from))
			return o;
	}
	return NULL;
}

/* While the helper replaces its table, those of both are met. Where packets begin it may be the next one, after an untold end. */
static bool told_twice(const struct open *o, const struct trace_event *e)
{
	const struct told *t = &o->told[FROM_NFT];
	enum checkpoint c = e->step.checkpoint; /* NONE: another step */

	return c != CHECKPOINT_NONE && c != CHECKPOINT_PRE_FIRST && c != CHECKPOINT_OUT_FIRST &&
	       t->count > 0 && t->list[t->count - 1].step.checkpoint == c &&
	       e->received.v - o->last.v < (int64_t)COMPLETE_IDLE_MS * NS_PER_MS;
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

static void packet_copy(struct journey *j, const struct packet *p)
{
	j->fp = p->fp;
	j->ip_version = p->ip_version;
	j->total_len = p->total_len;
	j->ip_id = p->ip_id;
	j->tcp_flags = p->tcp_flags;
	j->icmp_type = p->icmp_type;
	j->icmp_code = p->icmp_code;
	j->tcp_window = p->tcp_window;
	j->icmp_seq = p->icmp_seq;
	j->tcp_seq = p->tcp_seq;
	j->tcp_ack = p->tcp_ack;
	j->is_icmp_error = p->is_icmp_error;
	j->has_inner = p->has_inner;
	j->has_inner_tuple = p->has_inner_tuple;
	j->inner_proto = p->inner_proto;
	j->inner_ttl = p->inner_ttl;
	j->inner_len = p->inner_len;
	j->inner_id = p->inner_id;
	j->inner = p->inner;
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
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->key = key;
	o->j.at = e->step.at;
	o->exact = e->step.kernel_time;
	packet_copy(&o->j, &e->packet);
	for (at = key_bucket(a, key); *at; at = &(*at)->key_next)
		;
	*at = o;
	age_link(a, o);
	a->count++;
	return o;
}

/* Index of the tuple that the packet bore at e; what comes without headers looks as the one before. */
static uint8_t tuple_index(struct open *o, const struct trace_event *e, enum from from)
{
	const struct told *t = &o->told[from];
	struct journey *j = &o->j;

	if (!e->has_packet)
		return t->count ? t->list[t->count - 1].step.tuple : 0;
	if (bore(o, &e->packet.tuple))
		return journey_tuple(j, &e->packet.tuple);
	if (j->tuple_count == TUPLES_MAX) {
		j->cut = true;
		return TUPLES_MAX - 1;
	}
	j->tuples[j->tuple_count] = e->packet.tuple;
	return j->tuple_count++;
}

static void facts_merge(struct journey *j, const struct trace_event *e)
{
	enum hook h = (enum hook)e->step.hook;
	bool inbound = h == HOOK_PREROUTING || h == HOOK_INPUT || h == HOOK_FORWARD;
	bool outbound =
		h == HOOK_FORWARD || h == HOOK_OUTPUT || h == HOOK_POSTROUTING || h == HOOK_EGRESS;

	if (e->step.label == LABEL_KERNEL)
		inbound = outbound = true; /* it says which devices it knows */
	if (inbound && j->in_if[0] == '\0')
		memcpy(j->in_if, e->in_if, sizeof(j->in_if));
	if (outbound && e->out_if[0] != '\0')
		memcpy(j->out_if, e->out_if, sizeof(j->out_if));
	if (inbound)
		ether_merge(&j->ether, &e->ether);
	if (e->mark)
		j->mark = e->mark;
	if (e->has_packet && e->packet.fp_long && !j->fp_long)
		j->fp_long = e->packet.fp_long;
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

static bool told_grow(struct told *t)
{
	uint16_t cap = t->cap ? t->cap * 2 : 8;
	struct placed *grown;

	if (t->count < t->cap)
		return true;
	grown = reallocarray(t->list, cap, sizeof(*grown));
	if (!grown)
		return false;
	t->list = grown;
	t->cap = cap;
	return true;
}

static void append(struct assembler *a, struct open *o, const struct trace_event *e,
		   const struct step *named, enum from from)
{
	struct told *t = &o->told[from];
	struct placed p = { .step = *named, .place = t->place };
	bool base = in_base_chain(e);

	age_unlink(a, o);
	age_link(a, o);
	o->last = e->received;
	facts_merge(&o->j, e);
	if ((e->step.label != LABEL_LOG || e->logged) && e->step.label != LABEL_KERNEL)
		o->hooks |= 1u << e->step.hook;
	if (e->step.label == LABEL_CHECKPOINT && (e->step.checkpoint == CHECKPOINT_IN_LAST ||
						  e->step.checkpoint == CHECKPOINT_POST_LAST))
		o->complete = true;
	if (steps_of(o) >= STEPS_MAX || !told_grow(t)) {
		o->j.cut = true;
		return;
	}
	p.step.tuple = tuple_index(o, e, from);
	if (e->has_came) {
		o->has_came = true;
		o->came = e->came;
	}
	/* A chain that was jumped to stands where the last one did. */
	if (from == FROM_NFT && p.step.hook == HOOK_NONE && t->count > 0)
		p.step.hook = t->list[t->count - 1].step.hook;
	if (has_place(e)) {
		p.place = place_of(e);
		if (p.place != t->place)
			t->base_number = 0;
		if (base)
			t->base_number = e->step.number;
		t->place = p.place;
	}
	if (from == FROM_LOG)
		p.place = log_place(e);
	t->list[t->count++] = p;
	for (uint16_t i = t->count - 1; from == FROM_LOG && i > 0; i--) {
		if (t->list[i - 1].place <= p.place)
			break;
		t->list[i] = t->list[i - 1];
		t->list[i - 1] = p;
	}
	a->steps++;
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
	enum from from = from_of(e);
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
		if (o && o->key == key && told_twice(o, e))
			return;
		if (!o || o->key != key || !follows(o, e, from))
			o = find(a, key, e, from);
		if (!o)
			o = begin(a, key, e);
	} else if (o && !follows(o, e, from)) {
		o = NULL;
	}
	if (!o) {
		note_orphan(a, e->received);
		return;
	}
	if (from == FROM_NFT && e->has_packet)
		trace_link(a, o, e->trace_id);
	append(a, o, e, &named, from);
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
