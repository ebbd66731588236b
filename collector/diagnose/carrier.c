#include "collector/diagnose/carrier.h"

#include <netinet/in.h>
#include <string.h>

#include "collector/diagnose/ruling.h"

enum {
	PAIRS_MAX = 64,    /* of addresses of both ends that are looked at */
	CARRIERS_MAX = 64, /* packets between two of them */
	HEADERS_MIN = 20,  /* IP in IP */
	HEADERS_MAX = 120, /* IPv6, UDP, a VPN's header, padding */
};

static const int64_t BEFORE_NS = 50LL * NS_PER_MS; /* times of receipt come late */
static const int64_t AFTER_NS = 300LL * NS_PER_MS;

struct search {
	const struct inquiry *q;
	const struct fate *f;
	const struct fate *found;
	bool ambiguous;
	size_t pairs;
};

static bool may_carry(const struct stored_journey *outer, const struct fate *f,
		      const struct addr *from, const struct addr *to)
{
	const struct tuple *t = &outer->j.tuples[0];
	int more = (int)outer->j.total_len - (int)f->hop->sj->j.total_len;

	/* Tunnels over TCP do not carry packet by packet. */
	return outer->j.tuple_count && outer->j.step_count && t->proto != IPPROTO_TCP &&
	       !proto_is_icmp(t->proto) && addr_equal(&t->src, from) && addr_equal(&t->dst, to) &&
	       more >= HEADERS_MIN && more <= HEADERS_MAX;
}

static void weigh(struct search *s, const struct stored_journey *outer)
{
	static const struct conversation none;
	struct path *p = arena_alloc(s->q->arena, sizeof(*p));
	struct fate *fate = arena_alloc(s->q->arena, sizeof(*fate));

	if (!p || !fate || path_add_hop(p, outer, s->q->arena) < 0)
		return;
	fate_of(fate, s->q, &none, p);
	if (fate->death == DEATH_NONE || fate->death == DEATH_LINK)
		return;
	if (s->found && !fate_same(s->found, fate))
		s->ambiguous = true;
	s->found = fate;
}

static int look(struct search *s, const struct addr *from, const struct addr *to)
{
	const struct stored_journey *sj = s->f->hop->sj;
	struct flow flow = { .family = from->family, .icmp_type = -1, .icmp_id = -1 };
	struct journey_query query = { .flow = &flow, .ends = true, .limit = CARRIERS_MAX };
	struct wall_ns left = path_last(s->f->path);
	struct stored_journey *list = NULL;
	bool cut = false;
	size_t n = 0;
	int r;

	flow.src.prefix = (struct prefix){ *from, from->family == 4 ? 32 : 128 };
	flow.dst.prefix = (struct prefix){ *to, to->family == 4 ? 32 : 128 };
	query.since.v = left.v - BEFORE_NS - 2 * sj->error;
	query.until.v = left.v + AFTER_NS + 2 * sj->error;
	r = reader_journeys(s->q->fleet->reader, &query, s->q->arena, &list, &n, &cut);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (may_carry(&list[i], s->f, from, to))
			weigh(s, &list[i]);
	}
	if (cut)
		s->ambiguous = true;
	return r;
}

/* The tunnel's end has its address on another interface than the tunnel's. */
static bool is_of_link(const struct facts *facts, const struct facts_addr *a, const char *link)
{
	const struct facts_link *own = facts_link_of(facts, a->ifindex);

	return own && !strcmp(own->name, link);
}

const struct fate *carrier_fate(const struct inquiry *q, const struct fate *f)
{
	const struct fleet_host *from = fleet_host(q->fleet, f->hop->sj->host), *to = NULL;
	struct search s = { .q = q, .f = f };

	if (f->death == DEATH_LINK && f->next && f->next_sure)
		to = fleet_host_by_id(q->fleet, f->next);
	if (!from || !to || !from->has_facts || !to->has_facts)
		return NULL;
	for (uint32_t a = 0; a < from->facts.addr_count; a++) {
		for (uint32_t b = 0; b < to->facts.addr_count && s.pairs < PAIRS_MAX; b++) {
			const struct addr *x = &from->facts.addrs[a].addr.addr;
			const struct addr *y = &to->facts.addrs[b].addr.addr;

			if (x->family != y->family || addr_equal(x, y) ||
			    is_of_link(&from->facts, &from->facts.addrs[a], f->hop->sj->j.out_if))
				continue;
			s.pairs++;
			if (look(&s, x, y) < 0)
				return NULL;
		}
	}
	return s.ambiguous ? NULL : s.found;
}
