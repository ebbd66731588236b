#include "collector/diagnose/culprit.h"

#include <netinet/in.h>
#include <string.h>

#include "collector/diagnose/ends.h"
#include "collector/diagnose/ruling.h"
#include "collector/stitch/next.h"

enum { ASKED_MAX = 64, NEIGHBOUR_SOLICIT = 135, NEIGHBOUR_ADVERT = 136 };

/* A neighbour is asked for three seconds before the kernel gives up. */
static const int64_t ASKING_NS = 5LL * NS_PER_S;

/* -j TTL --ttl-set 1, -j HL --hl-dec 2; ip ttl set 1. */
static bool lowers_ttl(const struct resolved *r)
{
	const char *text = r->text ? r->text : "";

	if (r->kind != RESOLVED_RULE)
		return false;
	if (!strcmp(r->rule.target, "TTL") || !strcmp(r->rule.target, "HL"))
		return strstr(text, "-set ") || strstr(text, "-dec ");
	return strstr(text, "ip ttl set ") || strstr(text, "ip6 hoplimit set ");
}

const struct fate *culprit_of_ttl(const struct inquiry *q, const struct fate *f)
{
	struct fate *found = NULL;

	for (size_t i = 0; i < f->path->hop_count; i++) {
		const struct hop *h = &f->path->hops[i];
		const struct journey *j = &h->sj->j;

		for (uint16_t k = 0; k < j->step_count; k++) {
			const struct step *s = &j->steps[k];
			struct resolved r;

			if (s->label != LABEL_RULE)
				continue;
			resolve_step(&r, q, h, s);
			if (!lowers_ttl(&r))
				continue;
			if (!found && !(found = arena_alloc(q->arena, sizeof(*found))))
				return NULL;
			*found = (struct fate){ .verdict = f->verdict,
						.death = DEATH_RULE,
						.path = f->path,
						.hop = h,
						.step = s,
						.resolved = r,
						.reason = f->reason };
		}
		if (h == f->hop)
			break;
	}
	return found;
}

/* A packet of another kind that died, too; *one: the only such end, false when it is not the only one. */
static bool take(const struct fate **one, const struct inquiry *q, const struct conversation *c,
		 const struct path *p)
{
	struct fate *fate = arena_alloc(q->arena, sizeof(*fate));

	if (!fate)
		return false;
	fate_of(fate, q, c, p);
	if (fate->death != DEATH_RULE && fate->death != DEATH_POLICY)
		return true;
	if (*one && !fate_same(*one, fate))
		return false;
	*one = fate;
	return true;
}

const struct fate *culprit_of_mtu(const struct inquiry *q, const struct conversation *c,
				  const struct fate *f)
{
	const struct fate *found = NULL;

	for (size_t i = 0; i < c->answer_count; i++) {
		const struct journey *e = path_packet(c->answers[i]);

		if (!e->is_icmp_error || !says_too_big(e) || !e->has_inner ||
		    e->inner_len != f->hop->sj->j.total_len)
			continue;
		if (!take(&found, q, c, c->answers[i]))
			return NULL;
	}
	return found;
}

/* What died of the packets to (or from) an address, before it was given up. */
static bool look(const struct fate **found, const struct inquiry *q, const struct fate *f,
		 const struct addr *a, bool to, uint8_t type)
{
	static const struct conversation none;
	struct flow flow = { .family = 6, .proto = IPPROTO_ICMPV6, .icmp_type = -1, .icmp_id = -1 };
	struct journey_query query = { .flow = &flow, .ends = true, .limit = ASKED_MAX };
	struct wall_ns until = hop_last_at(f->hop);
	struct stored_journey *list = NULL;
	bool cut = false;
	size_t n = 0;

	*(to ? &flow.dst.prefix : &flow.src.prefix) = (struct prefix){ *a, 128 };
	query.since.v = until.v - ASKING_NS - f->hop->sj->error;
	query.until.v = until.v + ASKING_NS + f->hop->sj->error;
	if (reader_journeys(q->fleet->reader, &query, q->arena, &list, &n, &cut) < 0 || cut)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct path *p;

		if (list[i].j.icmp_type != type || !list[i].j.step_count || !list[i].j.tuple_count)
			continue;
		p = arena_alloc(q->arena, sizeof(*p));
		if (!p || path_add_hop(p, &list[i], q->arena) < 0 || !take(found, q, &none, p))
			return false;
	}
	return true;
}

const struct fate *culprit_of_neighbour(const struct inquiry *q, const struct fate *f)
{
	/* Solicited-node multicast, RFC 4291. */
	struct addr asked = { .family = 6, .b = { 0xff, 2, [11] = 1, [12] = 0xff } };
	const struct fleet_host *from = fleet_host(q->fleet, f->hop->sj->host);
	const struct fate *found = NULL;
	struct fleet_next next;

	if (!from || hop_tuple_out(f->hop)->dst.family != 6)
		return NULL;
	fleet_next(&next, q->fleet, from, f->hop);
	if (next.addr.family != 6)
		return NULL;
	memcpy(asked.b + 13, next.addr.b + 13, 3);
	if (!look(&found, q, f, &asked, true, NEIGHBOUR_SOLICIT) ||
	    !look(&found, q, f, &next.addr, false, NEIGHBOUR_ADVERT))
		return NULL;
	return found;
}
