/*
 * Two journeys are of one packet only if one of them can have been the earlier one: what the hosts tell of the TTL, of where the
 * packet stayed, and of how it left and came, must allow for it. Then their addresses say how likely it is.
 */
#include "collector/stitch/fit.h"

#include <netinet/in.h>

#include "collector/stitch/entries.h"
#include "collector/stitch/halves.h"
#include "common/reasons.h"

/* Routers that nobody watches between two hosts; senders of two systems begin with TTLs that are 64 apart. */
enum { STRANGERS_MAX = 32 };

static const int64_t DEATH_SLACK_NS = 100LL * NS_PER_MS; /* times of receipt come late */

bool contents_are_common(const struct journey *j)
{
	return j->tuples[0].proto != IPPROTO_TCP && !j->ip_id;
}

int64_t journeys_apart(const struct stored_journey *a, const struct stored_journey *b)
{
	return a->at.v < b->at.v ? b->at.v - a->at.v : a->at.v - b->at.v;
}

static bool has_ports(const struct tuple *t)
{
	return t->sport || t->dport;
}

/* 10: between the same two addresses by other ports, which no host has changed. */
static bool by_other_ports(const struct fitting *f, const struct stored_journey *a,
			   const struct stored_journey *b)
{
	const struct hop ha = { .sj = a }, hb = { .sj = b };
	const struct tuple *ai = hop_tuple_in(&ha), *bi = hop_tuple_in(&hb);

	if (!tuple_equal(ai, hop_tuple_out(&ha)) || !tuple_equal(bi, hop_tuple_out(&hb)) ||
	    are_halves(f->around, &ha, &hb) || are_halves(f->around, &hb, &ha))
		return false;
	return ai->proto == bi->proto && has_ports(ai) && has_ports(bi) &&
	       addr_equal(&ai->src, &bi->src) && addr_equal(&ai->dst, &bi->dst) &&
	       !tuple_equal(ai, bi);
}

static bool seen_coming(const struct hop *h)
{
	return hop_reached(h, CHECKPOINT_PRE_FIRST);
}

static bool seen_leaving(const struct hop *h)
{
	return hop_reached(h, CHECKPOINT_POST_LAST);
}

static bool met(const struct stored_journey *sj, enum hook hook)
{
	for (uint16_t i = 0; i < sj->j.step_count; i++) {
		if (sj->j.steps[i].hook == hook)
			return true;
	}
	return false;
}

/* Did connection tracking make of what a left with what b came with? Their own hosts' only where that was not seen of them. */
static bool is_mapped(const struct fitting *f, const struct hop *a, const struct hop *b)
{
	const struct entries_ask ask = {
		.from = hop_tuple_out(a),
		.to = hop_tuple_in(b),
		.at = a->sj->at,
		.except = { seen_leaving(a) ? a->sj->host : 0, seen_coming(b) ? b->sj->host : 0 },
	};

	return f->around->entries && entries_lead(f->around->entries, &ask);
}

/* 9: did b come with the TTL with which a left? Then no router is between, and nobody who translates. */
static bool is_straight(const struct hop *a, const struct hop *b)
{
	return seen_leaving(a) && seen_coming(b) && hop_ttl_out(a) &&
	       hop_ttl_out(a) == hop_ttl_in(b);
}

/* How b came, against how a left. */
static enum fit follows(const struct fitting *f, const struct stored_journey *a,
			const struct stored_journey *b)
{
	const struct hop ha = { .sj = a }, hb = { .sj = b };
	const struct tuple *out = hop_tuple_out(&ha), *in = hop_tuple_in(&hb);

	if (tuple_equal(out, in))
		return FIT_CONTINUOUS;
	if (is_mapped(f, &ha, &hb))
		return FIT_MAPPED;
	if (by_other_ports(f, a, b)) /* 10 */
		return FIT_APART;
	if (f->common && hop_ttl_out(&ha) > hop_ttl_in(&hb) + STRANGERS_MAX && hop_ttl_in(&hb))
		return FIT_APART;
	if (f->common && a->host != b->host && !met(a, HOOK_POSTROUTING)) /* 9 */
		return FIT_APART;
	return addr_equal(&out->src, &in->src) || addr_equal(&out->dst, &in->dst) ? FIT_SHARED
										  : FIT_NONE;
}

enum fit journeys_fit(const struct fitting *f, const struct stored_journey *a,
		      const struct stored_journey *b)
{
	enum fit forth = follows(f, a, b), back = follows(f, b, a);

	return forth > back ? forth : back;
}

/* 4: by the TTL alone, could a have been met before b? */
static bool ttl_allows(const struct fitting *f, const struct stored_journey *a,
		       const struct stored_journey *b)
{
	const struct hop ha = { .sj = a };
	uint8_t before = journey_first_ttl(&a->j), now = journey_first_ttl(&b->j);

	return f->raised || !before || !now ||
	       (before >= now && (!hop_ttl_out(&ha) || hop_ttl_out(&ha) >= now));
}

static bool is_translator(const struct hop *h)
{
	return !tuple_equal(hop_tuple_in(h), hop_tuple_out(h));
}

/* Did a hop of p, other than a and before b, leave its host as b came? Any, or one that translated. */
static bool left_so(const struct fitting *f, const struct path *p, const struct stored_journey *a,
		    const struct stored_journey *b, bool translated)
{
	const struct hop hb = { .sj = b };

	for (size_t i = 0; i < p->hop_count; i++) {
		const struct hop *h = &p->hops[i];

		if (h->sj != a && h->sj != b && tuple_equal(hop_tuple_out(h), hop_tuple_in(&hb)) &&
		    (!translated || is_translator(h)) && ttl_allows(f, h->sj, b))
			return true;
	}
	return false;
}

/* Does one packet for this address come to many hosts? */
static bool is_for_many(const struct addr *a)
{
	return a->family == 4 ? a->b[0] >= 224 : a->b[0] == 0xff;
}

/* Both paths, of which one has a and the other one b. */
struct both {
	const struct path *p, *q;
};

static bool was_left_so(const struct fitting *f, const struct both *both,
			const struct stored_journey *a, const struct stored_journey *b,
			bool translated)
{
	return left_so(f, both->p, a, b, translated) || left_so(f, both->q, a, b, translated);
}

/* Is b the second half of a passage, of which the first one is known, too? Then that one tells how the packet came. */
static bool is_second_half(const struct fitting *f, const struct both *both,
			   const struct stored_journey *b)
{
	const struct path *paths[] = { both->p, both->q };
	const struct hop hb = { .sj = b };

	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < paths[i]->hop_count; k++) {
			const struct hop *h = &paths[i]->hops[k];

			if (h->sj != b && are_halves(f->around, h, &hb))
				return true;
		}
	}
	return false;
}

/* 4: could b, on the same host, be the packet of a again? */
static bool came_back(const struct fitting *f, const struct both *both,
		      const struct stored_journey *a, const struct stored_journey *b)
{
	const struct hop ha = { .sj = a }, hb = { .sj = b };
	uint8_t before = journey_first_ttl(&a->j), now = journey_first_ttl(&b->j);
	bool as_it_left = tuple_equal(hop_tuple_out(&ha), hop_tuple_in(&hb));

	if (now && (now < before || (f->raised && now > before)))
		return !f->common || as_it_left || is_mapped(f, &ha, &hb) ||
		       was_left_so(f, both, a, b, false);
	if (hop_first_hook(&ha) == HOOK_OUTPUT)
		return as_it_left;
	return !tuple_equal(hop_tuple_in(&ha), hop_tuple_in(&hb)) &&
	       was_left_so(f, both, a, b, true);
}

/* 4: could a have been met before b? */
static bool can_precede(const struct fitting *f, const struct both *both,
			const struct stored_journey *a, const struct stored_journey *b)
{
	const struct hop ha = { .sj = a }, hb = { .sj = b };

	if (are_halves(f->around, &ha, &hb))
		return true;
	if (hop_first_hook(&hb) == HOOK_OUTPUT || !ttl_allows(f, a, b))
		return false;
	if (hop_reached(&ha, CHECKPOINT_IN_LAST) && !is_for_many(&hop_tuple_in(&ha)->dst))
		return false;
	if (!f->raised && is_straight(&ha, &hb) &&
	    !tuple_equal(hop_tuple_out(&ha), hop_tuple_in(&hb)) &&
	    !was_left_so(f, both, a, b, true) && !is_second_half(f, both, b)) /* 9 */
		return false;
	return a->host != b->host || came_back(f, both, a, b);
}

/* 4: with one TTL it is received once. */
static bool both_received(const struct stored_journey *a, const struct stored_journey *b)
{
	const struct hop ha = { .sj = a }, hb = { .sj = b };

	return hop_ttl_in(&ha) && hop_ttl_in(&ha) == hop_ttl_in(&hb) && met(a, HOOK_INPUT) &&
	       met(b, HOOK_INPUT) && !is_for_many(&hop_tuple_in(&ha)->dst);
}

/*
 * Who says that the packet died there: the kernel, which freed it for a deadly reason, or nftables, which dropped it. Of what is for
 * many a copy was dropped.
 */
enum { SAYS_FREED = 1, SAYS_DROPPED = 2 };

static unsigned deaths_of(const struct stored_journey *sj)
{
	bool copied = is_for_many(&sj->j.tuples[0].dst);
	unsigned deaths = 0;

	for (uint16_t i = 0; i < sj->j.step_count; i++) {
		const struct step *s = &sj->j.steps[i];
		const struct reason *r =
			s->label == LABEL_KERNEL && s->prefix ? reason_find(s->prefix) : NULL;

		if (r && r->class <= REASON_REFUSED)
			deaths |= SAYS_FREED;
		if (s->verdict == STEP_VERDICT_DROP && !copied)
			deaths |= SAYS_DROPPED;
	}
	return deaths;
}

/* 5: could a packet that died in `dead` have been in `other`? Only before. */
static bool was_before(const struct stored_journey *other, const struct stored_journey *dead,
		       bool raised)
{
	if (!raised && journey_first_ttl(&other->j) < journey_first_ttl(&dead->j))
		return false;
	return other->at.v <= dead->at.v + other->error + dead->error + DEATH_SLACK_NS;
}

/*
 * 5: a packet dies once. What nftables dropped the kernel frees: of one that a bridge shows twice one half may tell the one, the other
 * half the other.
 */
static bool deaths_allow(const struct stored_journey *a, const struct stored_journey *b,
			 bool raised)
{
	unsigned da = deaths_of(a), db = deaths_of(b);

	if (da && db && (a->host != b->host || (da & db)))
		return false;
	return (!db || was_before(a, b, raised)) && (!da || was_before(b, a, raised));
}

/* A journey of each, if they are of one packet. */
static enum fit hops_fit(const struct fitting *f, const struct both *both,
			 const struct stored_journey *a, const struct stored_journey *b)
{
	enum fit forth, back, how;

	if (a->j.fp_long && b->j.fp_long && a->j.fp_long != b->j.fp_long) /* 2 */
		return FIT_NEVER;
	if (!deaths_allow(a, b, f->raised)) /* 5 */
		return FIT_NEVER;
	if (a->host != b->host && both_received(a, b)) /* 4 */
		return FIT_NEVER;
	forth = can_precede(f, both, a, b) ? follows(f, a, b) : FIT_NEVER;
	back = can_precede(f, both, b, a) ? follows(f, b, a) : FIT_NEVER;
	how = forth > back ? forth : back;
	if (how == FIT_NONE && journey_first_ttl(&a->j) == journey_first_ttl(&b->j))
		return FIT_APART; /* a translator nobody watches would have routed it, too */
	return how;
}

enum fit paths_fit(const struct fitting *f, const struct path *p, const struct path *q,
		   int64_t *between)
{
	const struct stored_journey *first = p->hops[0].sj;
	const struct both both = { p, q };
	enum fit best = FIT_APART;

	for (size_t k = 0; k < q->hop_count; k++) {
		const struct stored_journey *sj = q->hops[k].sj;

		if (journeys_apart(sj, first) > JOIN_NS + sj->error + first->error) /* 3 */
			return FIT_NEVER;
	}
	for (size_t k = 0; k < q->hop_count; k++) {
		for (size_t i = 0; i < p->hop_count; i++) {
			int64_t apart = journeys_apart(p->hops[i].sj, q->hops[k].sj);
			enum fit how = hops_fit(f, &both, p->hops[i].sj, q->hops[k].sj);

			if (how == FIT_NEVER)
				return FIT_NEVER;
			if (how < best)
				continue;
			if (how > best || apart < *between)
				*between = apart;
			best = how;
		}
	}
	return best;
}
