#include "agent/journey/fit.h"

#include <string.h>

enum {
	KERNEL_SLACK_MS = 50, /* a step with a time of receipt may be told that late */
	KERNEL_EXACT_MS = 1,  /* a time of the kernel's is off by that much at most */
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

/* Of e, which has a packet: as o's came, or was made, it looked otherwise; or only its end is known, and it cannot have come so. */
static bool came_otherwise(const struct open *o, const struct trace_event *e)
{
	enum checkpoint c = e->step.checkpoint;
	bool begins = c == CHECKPOINT_PRE_FIRST || c == CHECKPOINT_OUT_FIRST;

	if (open_steps(o) == o->told[FROM_KERNEL].count)
		return !open_bore(o, &e->packet.tuple) && !open_came_so(o, &e->packet.tuple);
	return begins && (o->hooks & 1u << e->step.hook) && !open_bore(o, &e->packet.tuple);
}

bool fit_follows(const struct open *o, const struct trace_event *e, enum from from)
{
	const struct told *t = &o->told[from];
	int64_t place;

	if (e->has_packet && (outlives(o, e) || came_otherwise(o, e)))
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
	if (!event_has_place(e) || t->count == 0)
		return true;
	place = event_place(e);
	if (place != t->place)
		return place > t->place;
	if (e->step.label == LABEL_CHECKPOINT)
		return false;
	return !event_in_base_chain(e) || e->step.number > t->base_number;
}

bool fit_ends(const struct open *o, const struct trace_event *e)
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

bool fit_told_twice(const struct open *o, const struct trace_event *e)
{
	const struct told *t = &o->told[FROM_NFT];
	const struct step *last = t->count > 0 ? &t->list[t->count - 1].step : NULL;
	enum checkpoint c = e->step.checkpoint; /* NONE: another step */

	if (c == CHECKPOINT_NONE || !last || last->checkpoint != c ||
	    !open_bore(o, &e->packet.tuple) ||
	    e->received.v - o->last.v >= (int64_t)COMPLETE_IDLE_MS * NS_PER_MS)
		return false;
	if (c != CHECKPOINT_PRE_FIRST && c != CHECKPOINT_OUT_FIRST)
		return true;
	return e->traced_before && last->family == e->step.family && last->ttl == e->step.ttl;
}
