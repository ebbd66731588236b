/*
 * Differences of two hosts' times for the same packet, both ways; then small steps towards what they ask for, each host within the
 * error of its own clock.
 */
#include "collector/stitch/clocks.h"

#include <stdlib.h>
#include <string.h>

enum { PAIRS_MAX = 4096, ROUNDS = 64 };

static const int64_t RECEIPT_NS = 200LL * NS_PER_MS; /* times of receipt come late, never early */

/* Hosts by their place in the list, a < b. */
struct clock_pair {
	uint8_t a, b;
	bool back;  /* the packet went from b to a */
	int64_t ns; /* from leaving the one to coming to the other */
};

static int place_of(const struct clocks *c, uint64_t host)
{
	for (size_t i = 0; i < c->host_count; i++)
		if (c->hosts[i].host == host)
			return (int)i;
	return -1;
}

static int place_add(struct clocks *c, const struct stored_journey *sj)
{
	int i = place_of(c, sj->host);

	if (i < 0 && c->host_count < CLOCK_HOSTS_MAX) {
		i = (int)c->host_count++;
		c->hosts[i] = (struct clock_host){ .host = sj->host };
	}
	if (i >= 0 && sj->error > c->hosts[i].error)
		c->hosts[i].error = sj->error;
	return i;
}

static bool pair_add(struct clocks *c, struct clock_pair pair)
{
	if (c->pair_count == c->pair_cap) {
		size_t cap = c->pair_cap ? 2 * c->pair_cap : 64;
		struct clock_pair *list =
			cap > PAIRS_MAX ? NULL : realloc(c->pairs, cap * sizeof(*list));

		if (!list)
			return false;
		c->pairs = list;
		c->pair_cap = cap;
	}
	c->pairs[c->pair_count++] = pair;
	return true;
}

void clocks_note(struct clocks *c, const struct path *p)
{
	for (size_t i = 1; i < p->hop_count; i++) {
		const struct hop *from = &p->hops[i - 1], *to = &p->hops[i];
		int a, b;

		if (to->link != LINK_PACKET || to->surety == LINK_SURETY_AMBIGUOUS ||
		    from->sj->host == to->sj->host)
			continue;
		a = place_add(c, from->sj);
		b = place_add(c, to->sj);
		if (a < 0 || b < 0 ||
		    !pair_add(c, (struct clock_pair){ .a = (uint8_t)(a < b ? a : b),
						      .b = (uint8_t)(a < b ? b : a),
						      .back = a > b,
						      .ns = to->sj->at.v - hop_ended(from).v }))
			return;
	}
}

static int by_pair(const void *pa, const void *pb)
{
	const struct clock_pair *a = pa, *b = pb;

	if (a->a != b->a || a->b != b->b)
		return (a->a << 8 | a->b) - (b->a << 8 | b->b);
	if (a->back != b->back)
		return a->back - b->back;
	return (a->ns > b->ns) - (a->ns < b->ns);
}

static bool same_hosts(const struct clock_pair *a, const struct clock_pair *b)
{
	return a->a == b->a && a->b == b->b;
}

/* How much b's clock is ahead of a's, by n packets between them. */
static int64_t ahead(const struct clock_pair *list, size_t n)
{
	size_t forth = 0;
	int64_t there, back;

	while (forth < n && !list[forth].back)
		forth++;
	there = forth ? list[forth / 2].ns : 0;
	back = forth < n ? list[forth + (n - forth) / 2].ns : 0;
	if (forth == n)
		return there < 0 ? there : 0;
	if (!forth)
		return back < 0 ? -back : 0;
	return (there - back) / 2;
}

static void move(struct clock_host *h, int64_t by)
{
	h->correct += by;
	if (h->correct > h->error)
		h->correct = h->error;
	if (h->correct < -h->error)
		h->correct = -h->error;
}

void clocks_solve(struct clocks *c)
{
	size_t kept = 0;

	if (c->pair_count)
		qsort(c->pairs, c->pair_count, sizeof(*c->pairs), by_pair);
	/* One difference is left of each pair of hosts. */
	for (size_t from = 0, n; from < c->pair_count; from += n) {
		struct clock_pair one = c->pairs[from];

		for (n = 1;
		     from + n < c->pair_count && same_hosts(&c->pairs[from], &c->pairs[from + n]);
		     n++)
			;
		one.ns = ahead(&c->pairs[from], n);
		c->pairs[kept++] = one;
	}
	c->pair_count = kept;
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < c->pair_count; i++) {
			struct clock_host *a = &c->hosts[c->pairs[i].a],
					  *b = &c->hosts[c->pairs[i].b];
			int64_t wrong = c->pairs[i].ns + b->correct - a->correct;

			move(a, wrong / 2);
			move(b, -wrong / 2);
		}
	}
}

static int64_t shown(const struct hop *h)
{
	return hop_shown(h, h->sj->at).v;
}

void clocks_apply(const struct clocks *c, struct path *p)
{
	for (size_t i = p->hop_count; i-- > 0;) {
		struct hop *h = &p->hops[i], *next = h + 1;
		int place = place_of(c, h->sj->host);
		int64_t late;

		h->shift = place < 0 ? 0 : c->hosts[place].correct;
		if (i + 1 == p->hop_count)
			continue;
		late = shown(h) - shown(next);
		if (late > 0 && late <= h->sj->error + next->sj->error + RECEIPT_NS)
			h->shift -= late;
	}
}

void clocks_clear(struct clocks *c)
{
	free(c->pairs);
	*c = (struct clocks){ 0 };
}
