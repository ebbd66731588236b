/*
 * Each open journey holds two lists, one per socket, each in the order in which that socket told it. A list's places
 * never go back, so a merge of the two by place, done once when the journey ends, is the order in which
 * the packet met everything. What log groups say of it is a third list, kept by place, which is the end of its hook. That the
 * kernel freed it is a fourth, of one step, and always the last.
 */
#include "agent/journey/open.h"

#include <stdlib.h>
#include <string.h>

/* Groups tell in batches, each its own: where a line stands in its hook nobody says. Just before our last checkpoint. */
static int64_t log_place(const struct trace_event *e)
{
	return e->step.hook * (INT64_C(1) << 33) + UINT32_MAX - 1;
}

enum { NO_PLACE = -1 };

/*
 * Which of two chains at one place was first, nobody says. But if the packet came no further, and nftables' let it pass, what the
 * legacy one did was the last of it. Returns that place, or NO_PLACE.
 */
static int64_t legacy_ends_at(const struct open *o)
{
	const struct told *legacy = &o->told[FROM_LEGACY], *nft = &o->told[FROM_NFT];
	const struct placed *end;

	if (!legacy->count || !nft->count)
		return NO_PLACE;
	end = &nft->list[nft->count - 1];
	if (end->place != legacy->list[legacy->count - 1].place ||
	    (end->step.verdict != STEP_VERDICT_ACCEPT &&
	     end->step.verdict != STEP_VERDICT_CONTINUE))
		return NO_PLACE;
	return end->place;
}

/*
 * The next step of the three lists that have places; equal ones in the order of enum from, but for those at `turned`, where
 * nftables is the first. NULL: there is none.
 */
static const struct step *next_step(const struct open *o, uint16_t at[static FROM_KERNEL],
				    int64_t turned)
{
	const struct placed *best = NULL;
	int from = 0;

	for (int i = 0; i < FROM_KERNEL; i++) {
		const struct placed *p = &o->told[i].list[at[i]];

		if (at[i] == o->told[i].count)
			continue;
		if (!best || p->place < best->place ||
		    (i == FROM_NFT && p->place == turned && best->place == turned)) {
			best = p;
			from = i;
		}
	}
	if (!best)
		return NULL;
	at[from]++;
	return &best->step;
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

/* Index of the tuple that the packet bore at e; what comes without headers looks as the one before. */
static uint8_t tuple_index(struct open *o, const struct trace_event *e, enum from from)
{
	const struct told *t = &o->told[from];
	struct journey *j = &o->j;
	uint8_t i;

	if (!e->has_packet)
		return t->count ? t->list[t->count - 1].step.tuple : 0;
	i = journey_tuple(j, &e->packet.tuple);
	if (i < j->tuple_count)
		return i;
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

enum from event_from(const struct trace_event *e)
{
	if (e->step.label == LABEL_KERNEL)
		return FROM_KERNEL;
	if (e->logged)
		return FROM_LOG;
	return e->step.backend == BACKEND_LEGACY ? FROM_LEGACY : FROM_NFT;
}

int64_t event_place(const struct trace_event *e)
{
	return (int64_t)e->step.hook * (INT64_C(1) << 33) + e->priority - (int64_t)INT32_MIN;
}

bool event_has_place(const struct trace_event *e)
{
	return e->step.label != LABEL_LOG && e->step.label != LABEL_KERNEL &&
	       e->step.hook != HOOK_NONE && e->priority_known;
}

bool event_in_base_chain(const struct trace_event *e)
{
	return e->step.backend == BACKEND_LEGACY &&
	       strcmp(e->step.chain, hook_name((enum hook)e->step.hook)) == 0;
}

uint32_t open_steps(const struct open *o)
{
	return (uint32_t)o->told[FROM_LEGACY].count + o->told[FROM_NFT].count +
	       o->told[FROM_LOG].count + o->told[FROM_KERNEL].count;
}

bool open_bore(const struct open *o, const struct tuple *t)
{
	return journey_tuple(&o->j, t) < o->j.tuple_count;
}

bool open_came_so(const struct open *o, const struct tuple *t)
{
	const struct journey j = { .tuples = { *t }, .tuple_count = 1 };

	return journey_can_end_as(&j, false, o->has_came ? &o->came : NULL, &o->j.tuples[0]);
}

struct open *open_begin(uint64_t key, const struct trace_event *e)
{
	struct open *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->key = key;
	o->j.at = e->step.at;
	o->exact = e->step.kernel_time;
	packet_copy(&o->j, &e->packet);
	return o;
}

/* What groups log is told in batches: it goes to its place. */
static void sink_by_place(struct told *t)
{
	for (uint16_t i = t->count - 1; i > 0 && t->list[i - 1].place > t->list[i].place; i--) {
		struct placed p = t->list[i];

		t->list[i] = t->list[i - 1];
		t->list[i - 1] = p;
	}
}

static void note_place(struct told *t, const struct trace_event *e)
{
	int64_t place = event_place(e);

	if (place != t->place)
		t->base_number = 0;
	if (event_in_base_chain(e))
		t->base_number = e->step.number;
	t->place = place;
}

bool open_add(struct open *o, const struct trace_event *e, const struct step *named)
{
	enum from from = event_from(e);
	struct told *t = &o->told[from];
	struct placed *p;

	o->last = e->received;
	facts_merge(&o->j, e);
	if ((e->step.label != LABEL_LOG || e->logged) && e->step.label != LABEL_KERNEL)
		o->hooks |= 1u << e->step.hook;
	if (e->step.label == LABEL_CHECKPOINT && (e->step.checkpoint == CHECKPOINT_IN_LAST ||
						  e->step.checkpoint == CHECKPOINT_POST_LAST))
		o->complete = true;
	if (open_steps(o) >= STEPS_MAX || !told_grow(t)) {
		o->j.cut = true;
		return false;
	}
	if (e->has_came) {
		o->has_came = true;
		o->came = e->came;
	}
	if (event_has_place(e))
		note_place(t, e);
	p = &t->list[t->count];
	p->step = *named;
	p->step.tuple = tuple_index(o, e, from);
	/* A chain that was jumped to stands where the last one did. */
	if (from == FROM_NFT && p->step.hook == HOOK_NONE && t->count > 0)
		p->step.hook = t->list[t->count - 1].step.hook;
	p->place = from == FROM_LOG ? log_place(e) : t->place;
	t->count++;
	if (from == FROM_LOG)
		sink_by_place(t);
	return true;
}

void open_merge(struct open *o, struct step *room)
{
	const struct told *k = &o->told[FROM_KERNEL];
	uint16_t at[FROM_KERNEL] = { 0 };
	struct journey *j = &o->j;
	int64_t turned = legacy_ends_at(o);
	const struct step *s;

	j->steps = room;
	j->step_count = 0;
	while ((s = next_step(o, at, turned))) {
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

void open_free(struct open *o)
{
	for (int i = 0; i < FROM_COUNT; i++)
		free(o->told[i].list);
	free(o);
}
