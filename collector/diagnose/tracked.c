#include "collector/diagnose/tracked.h"

#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdlib.h>
#include <string.h>

enum { FLOWS_MAX = 16 }; /* that one conversation's addresses may mean */

/* Between a packet and conntrack's word of it, on hosts with clocks of their own. */
static const int64_t SLACK_NS = 2LL * NS_PER_S;

static bool owns(const struct inquiry *q, const struct stored_conn *c, const struct addr *a)
{
	const struct fleet_host *h = fleet_host(q->fleet, c->host);

	return h && fleet_owns(h, a);
}

/* 2: -1 the sender, 1 the receiver, 0 on the way. */
static int end_of(const struct inquiry *q, const struct stop *s)
{
	if (owns(q, s->conn, &s->in.src))
		return -1;
	return owns(q, s->conn, &s->out.dst) ? 1 : 0;
}

/* Puts s behind the others of its stretch that came before it. */
static void place(const struct inquiry *q, struct stops *o, size_t from, const struct stop *s)
{
	size_t at = o->count++;
	int end = end_of(q, s);

	while (at > from) {
		const struct stop *before = &o->list[at - 1];
		int other = end_of(q, before);

		if (other < end || (other == end && before->conn->from.v <= s->conn->from.v))
			break;
		o->list[at] = *before;
		at--;
	}
	o->list[at] = *s;
}

/* Who saw these addresses, and changed nothing. */
static void add_seen(struct stops *o, const struct inquiry *q, const struct translated *t,
		     const struct tuple *bears)
{
	size_t from = o->count, between = 0;

	for (size_t i = 0; i < t->seen_count; i++) {
		struct stop s = { .conn = t->seen[i], .in = *bears, .out = *bears };
		bool told = false;

		if (!tuple_equal(&t->seen[i]->c.orig, bears))
			continue;
		for (size_t k = 0; k < o->count && !told; k++)
			told = o->list[k].conn->host == s.conn->host;
		if (!told)
			place(q, o, from, &s);
	}
	for (size_t i = from; i < o->count; i++)
		between += end_of(q, &o->list[i]) == 0;
	for (size_t i = from; i < o->count; i++)
		o->list[i].ambiguous = between > 1 && end_of(q, &o->list[i]) == 0;
}

int stops_of(struct stops *out, const struct inquiry *q, const struct translated *t)
{
	*out = (struct stops){ 0 };
	out->list = arena_alloc(q->arena, (t->count + t->seen_count + 1) * sizeof(*out->list));
	if (!out->list)
		return -ENOMEM;
	add_seen(out, q, t, &t->first);
	for (size_t i = 0; i < t->count; i++) { /* 1 */
		out->list[out->count++] = (struct stop){ .conn = t->list[i].conn,
							 .in = t->list[i].in,
							 .out = t->list[i].out,
							 .ambiguous = t->ambiguous };
		add_seen(out, q, t, &t->list[i].out);
	}
	return 0;
}

/* Could these be the conversation's entries? Those of another site have another gateway. */
static bool is_of(const struct translated *t, const struct conversation *c)
{
	if (!tuple_equal(&t->first, &c->tuple) || t->from.v > c->last.v + SLACK_NS)
		return false;
	for (size_t i = 0; i < t->count; i++) {
		if (c->gate == t->list[i].conn->host)
			return tuple_equal(&c->beyond, &t->list[i].out);
	}
	return !c->gate || t->count == 0 || !t->ambiguous;
}

int stops_find(struct stops *out, const struct inquiry *q, const struct conversation *c)
{
	struct flow flow = flow_of_tuple(&c->tuple);
	struct translations t;
	int r = translations_find(&t, q->fleet->reader, q->arena, &flow,
				  (struct wall_ns){ c->first.v - SLACK_NS },
				  (struct wall_ns){ c->last.v + SLACK_NS }, FLOWS_MAX);

	*out = (struct stops){ 0 };
	for (size_t i = 0; r == 0 && i < t.count; i++) {
		if (is_of(&t.list[i], c))
			return stops_of(out, q, &t.list[i]);
	}
	return r;
}

json_t *json_stop(const struct inquiry *q, const struct stop *s, bool first)
{
	const struct fleet_host *h = fleet_host(q->fleet, s->conn->host);
	bool arrived = owns(q, s->conn, &s->out.dst);

	return json_pack(
		"{s:s,s:s,s:n,s:n,s:n,s:n,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:[],s:n,s:n,s:n,s:n,s:n}",
		"host", h ? h->id : "?", "direction", direction_name(DIRECTION_ORIGINAL), "in",
		"out", "ttl_in", "ttl_out", "outcome", arrived ? "delivered" : "accepted", "at",
		json_wall(s->conn->from), "tuple_in", json_tuple(&s->in), "tuple_out",
		json_tuple(&s->out), "nat", json_translation(&s->in, &s->out, DIRECTION_ORIGINAL),
		"link", first ? json_null() : json_string(link_kind_name(LINK_NAT)),
		"link_confidence",
		first ? json_null()
		      : json_string(link_surety_name(s->ambiguous ? LINK_SURETY_AMBIGUOUS
								  : LINK_SURETY_LIKELY)),
		"steps", "packet", "clock_error_ns", "stranger", "row", "link_layer");
}

enum verdict stops_verdict(const struct inquiry *q, const struct stops *s, bool *reply_seen)
{
	const struct stop *last = s->count ? &s->list[s->count - 1] : NULL;

	*reply_seen = false;
	for (size_t i = 0; i < s->count; i++)
		*reply_seen |= (s->list[i].conn->c.status & IPS_SEEN_REPLY) != 0;
	if (last && (*reply_seen || owns(q, last->conn, &last->out.dst)))
		return VERDICT_DELIVERED;
	return VERDICT_UNKNOWN;
}

bool stops_passed(struct stops *out, const struct inquiry *q, const struct conversation *c,
		  uint64_t host, struct wall_ns death)
{
	if (stops_find(out, q, c) < 0)
		return false;
	for (size_t i = 0; i < out->count; i++) {
		const struct stored_conn *conn = out->list[i].conn;

		if (conn->c.zone == 0 && conn->from.v > death.v &&
		    (conn->host == host || owns(q, conn, &out->list[i].out.dst)) &&
		    !fleet_lost(q->fleet, conn->host, death, conn->from))
			return true;
	}
	return false;
}
