#include "collector/stitch/fragments.h"

bool journey_is_fragment(const struct journey *j)
{
	return !j->fp && j->ip_version == 4 && j->ip_id;
}

static bool same_addrs(const struct tuple *a, const struct tuple *b)
{
	if (a->proto != b->proto || !addr_equal(&a->src, &b->src) || !addr_equal(&a->dst, &b->dst))
		return false;
	/* Only a first fragment has ports. */
	if ((!a->sport && !a->dport) || (!b->sport && !b->dport))
		return true;
	return a->sport == b->sport && a->dport == b->dport;
}

/* May a and b be of one packet, as far as number, protocol and addresses tell? Ports count where both have them. */
static bool fragment_fits(const struct journey *a, const struct journey *b)
{
	if (a->ip_version != b->ip_version || a->ip_id != b->ip_id)
		return false;
	for (uint8_t i = 0; i < a->tuple_count; i++) {
		for (uint8_t k = 0; k < b->tuple_count; k++) {
			if (same_addrs(&a->tuples[i], &b->tuples[k]))
				return true;
		}
	}
	return false;
}

/* It went through the host, as far as that host can tell. */
static bool got_through(const struct hop *h)
{
	return hop_reached(h, CHECKPOINT_POST_LAST) || hop_reached(h, CHECKPOINT_IN_LAST);
}

/* The hop of p on the fragment's host that is of fragments, too; NULL: none. *whole: that host had it whole. */
static struct hop *hop_on(const struct path *p, uint64_t host, bool *whole)
{
	*whole = false;
	for (size_t i = 0; i < p->hop_count; i++) {
		if (p->hops[i].sj->host != host)
			continue;
		if (journey_is_fragment(&p->hops[i].sj->j))
			return &p->hops[i];
		*whole = true;
	}
	return NULL;
}

static bool is_of(const struct path *p, const struct stored_journey *sj, int64_t apart)
{
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct stored_journey *other = p->hops[i].sj;
		int64_t between = sj->at.v - other->at.v;

		if (between < 0)
			between = -between;
		if (between <= apart + sj->error + other->error && fragment_fits(&other->j, &sj->j))
			return true;
	}
	return false;
}

/* The kernel freed it there, or it is not known what became of it, or it went on. */
static int rank(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	if (j->step_count && j->steps[j->step_count - 1].label == LABEL_KERNEL)
		return 0;
	return got_through(h) ? 2 : 1;
}

/* Does `a` tell more of the packet's end on the host than b? */
static bool tells_more(const struct hop *a, const struct hop *b)
{
	const struct tuple *ta = &a->sj->j.tuples[0], *tb = &b->sj->j.tuples[0];

	if (rank(a) != rank(b))
		return rank(a) < rank(b);
	return (ta->sport || ta->dport) && !tb->sport && !tb->dport;
}

/* 1: it went with p; 0: it did not. */
static int join(struct path *p, struct path *alone, int64_t apart, struct arena *arena)
{
	struct hop *here, *h = &alone->hops[0];
	bool whole;
	int r;

	if (p == alone || !p->hop_count || !is_of(p, h->sj, apart))
		return 0;
	here = hop_on(p, h->sj->host, &whole);
	if (whole)
		return 1; /* what the host saw before it had put them together */
	if (here && tells_more(h, here))
		*here = *h;
	r = here ? 0 : path_add_hop(p, h->sj, arena);
	return r < 0 ? r : 1;
}

int fragments_join(struct paths *out, int64_t apart, struct arena *arena)
{
	for (int whole = 1; whole >= 0; whole--) { /* to whole packets first, then to one another */
		for (size_t i = 0; i < out->count; i++) {
			struct path *alone = &out->list[i];
			int r = 0;

			if (alone->hop_count != 1 || !journey_is_fragment(&alone->hops[0].sj->j))
				continue;
			for (size_t k = 0; k < out->count && r == 0; k++) {
				if (out->list[k].hop_count &&
				    journey_is_fragment(&out->list[k].hops[0].sj->j) == !whole)
					r = join(&out->list[k], alone, apart, arena);
			}
			if (r < 0)
				return r;
			if (r > 0)
				alone->hop_count = 0;
		}
	}
	return 0;
}
