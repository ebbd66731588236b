#include "collector/stitch/halves.h"

#include <errno.h>
#include <string.h>

static const int64_t BETWEEN_NS = 100LL * NS_PER_MS; /* times of receipt come late */

static bool is_through(const struct hop *h)
{
	return hop_reached(h, CHECKPOINT_POST_LAST) || hop_reached(h, CHECKPOINT_IN_LAST);
}

static uint32_t hooks_of(const struct journey *j)
{
	uint32_t hooks = 0;

	for (uint16_t i = 0; i < j->step_count; i++)
		hooks |= 1u << j->steps[i].hook;
	return hooks;
}

/* Of two passages of one host both would have met FORWARD, or none. */
static bool are_complements(const struct journey *a, const struct journey *b)
{
	uint32_t ha = hooks_of(a), hb = hooks_of(b);

	return (ha & hb) == 1u << HOOK_PREROUTING && (ha & 1u << HOOK_FORWARD) &&
	       (hb & 1u << HOOK_POSTROUTING);
}

static size_t steps_in_prerouting(const struct journey *j)
{
	size_t n = 0;

	for (uint16_t i = 0; i < j->step_count; i++)
		n += j->steps[i].hook == HOOK_PREROUTING;
	return n;
}

/*
 * Handed up, a packet meets nothing in PREROUTING but the chain that stands before all others: the kernel has it skip the rest,
 * which it met at the port. What is behind PREROUTING our checkpoints told of the second half; the rules there, of any.
 */
static bool was_handed_up(const struct journey *a, const struct journey *b)
{
	for (uint16_t i = 0; i < a->step_count; i++) {
		if (a->steps[i].label == LABEL_CHECKPOINT && a->steps[i].hook != HOOK_PREROUTING)
			return false;
	}
	return steps_in_prerouting(a) > 1 && steps_in_prerouting(b) == 1 &&
	       b->steps[0].label == LABEL_CHECKPOINT &&
	       b->steps[0].checkpoint == CHECKPOINT_PRE_FIRST;
}

/* All that PREROUTING changes is where a packet goes. */
static bool same_source(const struct tuple *a, const struct tuple *b)
{
	return a->proto == b->proto && addr_equal(&a->src, &b->src) && a->sport == b->sport;
}

/* Did b come as a left PREROUTING? Of two passages of one host both would have met FORWARD, or none. */
static bool came_so(const struct journey *a, const struct journey *b)
{
	const uint32_t pre = 1u << HOOK_PREROUTING;
	uint32_t ha = hooks_of(a), hb = hooks_of(b);

	if (tuple_equal(&a->tuples[0], &b->tuples[0]))
		return are_complements(a, b) || was_handed_up(a, b);
	if ((ha & hb) != pre)
		return false;
	if (a->tuple_count > 1)
		return journey_tuple(a, &b->tuples[0]) < a->tuple_count;
	return ha == pre && steps_in_prerouting(b) == 1 &&
	       same_source(&a->tuples[0], &b->tuples[0]);
}

/* Did the packet come by a device that has others as its ports? True where the host's devices are not known. */
static bool came_by_bridge(const struct around *around, const struct hop *h)
{
	const struct fleet_host *host =
		around->fleet ? fleet_host(around->fleet, h->sj->host) : NULL;
	const struct facts_link *link;

	if (!host || !host->has_facts || !h->sj->j.in_if[0])
		return true;
	link = fleet_link(host, h->sj->j.in_if);
	for (uint32_t i = 0; link && i < host->facts.link_count; i++) {
		if (host->facts.links[i].master == link->ifindex)
			return true;
	}
	return false;
}

bool are_halves(const struct around *around, const struct hop *a, const struct hop *b)
{
	int64_t apart = b->sj->at.v - a->sj->at.v;

	return a->sj->host == b->sj->host && hop_first_hook(a) == HOOK_PREROUTING &&
	       hop_first_hook(b) == HOOK_PREROUTING && !is_through(a) &&
	       hop_ttl_in(a) == hop_ttl_in(b) && apart > -BETWEEN_NS && apart < BETWEEN_NS &&
	       came_so(&a->sj->j, &b->sj->j) && came_by_bridge(around, a);
}

/* By hook; in it first and last checkpoints are that. What the kernel says of a packet's end is the last of all. */
static int rank(const struct step *s)
{
	enum { BEFORE, AMONG, BEHIND, PLACES };
	enum checkpoint c = s->label == LABEL_CHECKPOINT ? s->checkpoint : CHECKPOINT_NONE;
	int place = AMONG;

	if (c == CHECKPOINT_FWD_FIRST || c == CHECKPOINT_IN_FIRST)
		place = BEFORE;
	else if (c == CHECKPOINT_IN_LAST || c == CHECKPOINT_POST_LAST)
		place = BEHIND;
	return (s->label == LABEL_KERNEL ? HOOK_COUNT : s->hook) * PLACES + place;
}

/* Each step of b where a's steps of its rank end. */
static void merge_steps(struct journey *to, const struct journey *a, const struct journey *b,
			const uint8_t number[static TUPLES_MAX])
{
	uint16_t ia = 0, ib = 0, n = 0;

	while (ia < a->step_count || ib < b->step_count) {
		bool from_a = ib == b->step_count ||
			      (ia < a->step_count && rank(&a->steps[ia]) <= rank(&b->steps[ib]));

		to->steps[n] = from_a ? a->steps[ia++] : b->steps[ib++];
		if (!from_a)
			to->steps[n].tuple = number[to->steps[n].tuple % TUPLES_MAX];
		n++;
	}
	to->step_count = n;
}

static int merge(struct hop *a, const struct hop *b, struct arena *arena)
{
	const struct journey *ja = &a->sj->j, *jb = &b->sj->j;
	struct stored_journey *sj = arena_alloc(arena, sizeof(*sj));
	size_t steps = (size_t)ja->step_count + jb->step_count;
	uint8_t number[TUPLES_MAX] = { 0 };

	if (!sj || steps > UINT16_MAX)
		return -ENOMEM;
	*sj = *a->sj;
	sj->j.steps = arena_alloc(arena, (steps + 1) * sizeof(*sj->j.steps));
	if (!sj->j.steps)
		return -ENOMEM;
	for (uint8_t i = 0; i < jb->tuple_count; i++) {
		number[i] = journey_tuple(&sj->j, &jb->tuples[i]);
		if (number[i] == TUPLES_MAX)
			number[i] = TUPLES_MAX - 1;
		else if (number[i] == sj->j.tuple_count)
			sj->j.tuples[sj->j.tuple_count++] = jb->tuples[i];
	}
	merge_steps(&sj->j, ja, jb, number);
	if (jb->out_if[0])
		memcpy(sj->j.out_if, jb->out_if, sizeof(sj->j.out_if));
	sj->j.cut = ja->cut || jb->cut;
	a->sj = sj;
	return 0;
}

int halves_join(struct path *p, const struct around *around, struct arena *arena)
{
	size_t kept = 1;

	for (size_t i = 1; i < p->hop_count; i++) {
		struct hop *before = &p->hops[kept - 1], second = *before;
		int r = 0;

		if (are_halves(around, before, &p->hops[i])) {
			r = merge(before, &p->hops[i], arena);
		} else if (are_halves(around, &p->hops[i],
				      before)) { /* their times are of receipt */
			before->sj = p->hops[i].sj;
			r = merge(before, &second, arena);
		} else {
			p->hops[kept++] = p->hops[i];
		}
		if (r < 0)
			return r;
	}
	p->hop_count = kept;
	return 0;
}
