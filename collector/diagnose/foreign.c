/*
 * The error embeds the beginning of the packet as its maker had it: behind all translations of watched hosts, so that the
 * number, the length and the protocol tell which packet it was. A TTL in it tells how far that came.
 */
#include "collector/diagnose/foreign.h"

#include <stdio.h>
#include <string.h>

static const int64_t BEFORE_NS = 2LL * NS_PER_S; /* times of receipt come late, clocks differ */
static const int64_t AFTER_NS = 4LL * NS_PER_S;  /* a neighbour is asked for three seconds */

static bool embeds(const struct journey *e, const struct journey *j)
{
	const struct tuple *out = &j->tuples[j->tuple_count - 1];

	if (!e->is_icmp_error || !e->has_inner || e->ip_version != j->ip_version ||
	    e->inner_proto != j->tuples[0].proto || e->inner_len != j->total_len)
		return false;
	if (e->ip_version == 4 && e->inner_id != j->ip_id)
		return false;
	/* Somebody behind may have translated its source. */
	return !e->has_inner_tuple ||
	       (addr_equal(&e->inner.dst, &out->dst) && e->inner.dport == out->dport);
}

const struct journey *foreign_error(const struct conversation *c, const struct hop *h,
				    struct wall_ns left, struct addr *maker)
{
	for (size_t i = 0; i < c->answer_count; i++) {
		const struct hop *first = &c->answers[i]->hops[0];
		const struct journey *e = &first->sj->j;
		int64_t slack = first->sj->error + h->sj->error;

		if (hop_first_hook(first) == HOOK_OUTPUT || !embeds(e, &h->sj->j))
			continue;
		if (first->sj->at.v < left.v - BEFORE_NS - slack ||
		    first->sj->at.v > left.v + AFTER_NS + slack)
			continue;
		*maker = hop_tuple_in(first)->src;
		return e;
	}
	return NULL;
}

enum says {
	SAYS_NOTHING,
	SAYS_REJECTED,
	SAYS_PORT,
	SAYS_ROUTE,
	SAYS_NEIGHBOUR,
	SAYS_MTU,
	SAYS_TTL
};

/* RFC 792, 1812, 4443. */
static enum says says(const struct journey *e, const char **with)
{
	static const struct {
		uint8_t version, type, code;
		enum says says;
		const char *with;
	} known[] = {
		{ 4, 3, 0, SAYS_ROUTE, "icmp-net-unreachable" },
		{ 4, 3, 1, SAYS_NEIGHBOUR, "icmp-host-unreachable" },
		{ 4, 3, 2, SAYS_PORT, "icmp-proto-unreachable" },
		{ 4, 3, 3, SAYS_PORT, "icmp-port-unreachable" },
		{ 4, 3, 4, SAYS_MTU, NULL },
		{ 4, 3, 9, SAYS_REJECTED, "icmp-net-prohibited" },
		{ 4, 3, 10, SAYS_REJECTED, "icmp-host-prohibited" },
		{ 4, 3, 13, SAYS_REJECTED, "icmp-admin-prohibited" },
		{ 4, 11, 0, SAYS_TTL, NULL },
		{ 6, 1, 0, SAYS_ROUTE, "icmp6-no-route" },
		{ 6, 1, 1, SAYS_REJECTED, "icmp6-adm-prohibited" },
		{ 6, 1, 3, SAYS_NEIGHBOUR, "icmp6-addr-unreachable" },
		{ 6, 1, 4, SAYS_PORT, "icmp6-port-unreachable" },
		{ 6, 1, 5, SAYS_REJECTED, "icmp6-policy-fail" },
		{ 6, 1, 6, SAYS_REJECTED, "icmp6-reject-route" },
		{ 6, 2, 0, SAYS_MTU, NULL },
		{ 6, 3, 0, SAYS_TTL, NULL },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].version == e->ip_version && known[i].type == e->icmp_type &&
		    known[i].code == e->icmp_code) {
			*with = known[i].with;
			return known[i].says;
		}
	}
	return SAYS_NOTHING;
}

static void discarded(struct fate *f, const char *reason, const char *cause)
{
	f->verdict = VERDICT_DISCARDED;
	f->reason = reason;
	f->cause = cause;
}

bool foreign_fate(struct fate *f, const struct inquiry *q, const struct journey *e,
		  const struct addr *maker)
{
	bool end = addr_equal(maker, &hop_tuple_out(f->hop)->dst);
	const char *with = NULL;
	enum says what = says(e, &with);
	char text[ADDR_TEXT_MAX];

	if (what == SAYS_NOTHING)
		return false;
	if (what == SAYS_PORT && end) {
		f->verdict = VERDICT_REFUSED;
		f->reason = "NO_SOCKET";
		f->cause = "not-listening";
	} else if (what == SAYS_REJECTED || what == SAYS_PORT) {
		f->verdict = VERDICT_REJECTED;
		f->reason = with;
		f->reject_with = with;
		f->cause = "reject";
	} else if (what == SAYS_MTU) {
		discarded(f, "PKT_TOO_BIG", "mtu");
	} else if (what == SAYS_TTL) {
		discarded(f, "TTL_EXPIRED", "ttl-expired");
	} else if (what == SAYS_ROUTE) {
		discarded(f, "NO_ROUTE", "no-route");
	} else {
		discarded(f, "NEIGH_FAILED", "neighbor-unreachable");
	}
	addr_print(maker, text);
	f->answered_by = arena_strndup(q->arena, text, strlen(text));
	f->answer = e;
	f->death = DEATH_LINK;
	f->observed = false;
	f->provisional = false;
	return f->answered_by != NULL;
}
