#include "collector/stitch/order.h"

#include <stdlib.h>

#include "collector/stitch/fit.h"

/* On one host: it went up between two steps. */
static bool raises_ttl(const struct journey *j)
{
	uint8_t before = 0;

	for (uint16_t i = 0; i < j->step_count; i++) {
		if (!j->steps[i].ttl)
			continue;
		if (before && j->steps[i].ttl > before)
			return true;
		before = j->steps[i].ttl;
	}
	return false;
}

struct ttls {
	bool raised;     /* on one host */
	uint8_t sent;    /* most that a sender gave it; 0: none is known */
	uint8_t highest; /* most that it came to a host with */
};

static void look_at(struct ttls *t, const struct stored_journey *sj)
{
	const struct hop h = { .sj = sj };
	uint8_t ttl = journey_first_ttl(&sj->j);
	uint8_t *most = hop_first_hook(&h) == HOOK_OUTPUT ? &t->sent : &t->highest;

	t->raised |= raises_ttl(&sj->j);
	if (ttl > *most)
		*most = ttl;
}

static bool rose(const struct ttls *t)
{
	return t->raised || (t->sent && t->sent < t->highest);
}

bool ttl_was_raised(const struct stored_journey *const *list, size_t count)
{
	struct ttls t = { 0 };

	for (size_t i = 0; i < count; i++)
		look_at(&t, list[i]);
	/* Of common contents what one sent and another one got says nothing. */
	return contents_are_common(&list[0]->j) ? t.raised : rose(&t);
}

/* What it left with, or last had there. */
static uint8_t last_ttl(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].ttl)
			return j->steps[i].ttl;
	}
	return 0;
}

/*
 * Of hops with one TTL: who sent it, whose routing has lowered it before it was seen, who passed it on (a bridge), who got it or
 * lowered it then: behind a router it has another one.
 */
static int place(const struct hop *h)
{
	const struct journey *j = &h->sj->j;
	enum hook first = hop_first_hook(h);

	if (first == HOOK_OUTPUT)
		return 0;
	if (first == HOOK_FORWARD || first == HOOK_POSTROUTING)
		return 1;
	for (uint16_t i = 0; i < j->step_count; i++) {
		if (j->steps[i].hook == HOOK_FORWARD || j->steps[i].hook == HOOK_POSTROUTING)
			return last_ttl(h) < journey_first_ttl(j) ? 3 : 2;
	}
	return 3;
}

static int hop_cmp(const void *pa, const void *pb)
{
	const struct hop *a = pa, *b = pb;
	uint8_t ta = journey_first_ttl(&a->sj->j), tb = journey_first_ttl(&b->sj->j);
	int place_a = place(a), place_b = place(b);

	if (ta != tb)
		return ta > tb ? -1 : 1;
	if (place_a != place_b)
		return place_a < place_b ? -1 : 1;
	return (a->sj->at.v > b->sj->at.v) - (a->sj->at.v < b->sj->at.v);
}

static bool came_from_another(const struct path *p, const struct hop *h)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		if (&p->hops[i] != h && tuple_equal(hop_tuple_out(&p->hops[i]), hop_tuple_in(h)) &&
		    !tuple_equal(hop_tuple_in(&p->hops[i]), hop_tuple_in(h)))
			return true;
	}
	return false;
}

/* How badly h fits as the next one behind `before` (NULL: as the first). */
static int misfit(const struct path *p, const struct hop *before, const struct hop *h)
{
	enum {
		ADDRESSES = 1 << 12,
		TTL = 1 << 2
	}; /* a place is 0 to 3, a TTL's difference below 256 */
	int out, in = journey_first_ttl(&h->sj->j);

	if (!before)
		return place(h) + (came_from_another(p, h) ? ADDRESSES : 0);
	out = last_ttl(before);
	return place(h) + TTL * abs(out - in) +
	       (tuple_equal(hop_tuple_out(before), hop_tuple_in(h)) ? 0 : ADDRESSES);
}

static bool path_raised(const struct path *p)
{
	struct ttls t = { 0 };

	for (size_t i = 0; i < p->hop_count; i++)
		look_at(&t, p->hops[i].sj);
	return rose(&t);
}

/* Where the TTL tells nothing: hop by hop. */
static void follow(struct path *p)
{
	for (size_t i = 0; i + 1 < p->hop_count; i++) {
		const struct hop *before = i ? &p->hops[i - 1] : NULL;
		size_t best = i;
		struct hop swap;

		for (size_t k = i + 1; k < p->hop_count; k++) {
			int a = misfit(p, before, &p->hops[k]),
			    b = misfit(p, before, &p->hops[best]);

			if (a < b || (a == b && p->hops[k].sj->at.v < p->hops[best].sj->at.v))
				best = k;
		}
		swap = p->hops[i];
		p->hops[i] = p->hops[best];
		p->hops[best] = swap;
	}
}

/* 6 */
void path_order(struct path *p)
{
	qsort(p->hops, p->hop_count, sizeof(*p->hops), hop_cmp);
	if (path_raised(p))
		follow(p);
}

void path_link(struct path *p)
{
	for (size_t i = 1; i < p->hop_count; i++) {
		const struct hop *before = &p->hops[i - 1];
		struct hop *h = &p->hops[i];
		uint8_t out = hop_ttl_out(before), in = hop_ttl_in(h);
		bool same = tuple_equal(hop_tuple_out(before), hop_tuple_in(h));

		h->link = LINK_PACKET;
		if (h->surety != LINK_SURETY_AMBIGUOUS)
			h->surety =
				same && out && out == in ? LINK_SURETY_SURE : LINK_SURETY_LIKELY;
	}
}
