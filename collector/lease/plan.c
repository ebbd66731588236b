/*
 * A closure over translations: what the named packets could become at any host's hooks, and what they may have
 * been before.
 */
#include "collector/lease/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/lease/nat.h"

enum { NAT_RULES_MAX = 100000 }; /* of all hosts together */

struct plan {
	struct pattern *list;
	size_t count;
	bool cut;
};

static uint8_t host_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

/* Does every packet of b belong to a, too? */
static bool covers(const struct pattern *a, const struct pattern *b)
{
	if (a->family != b->family || (a->proto && a->proto != b->proto))
		return false;
	if (a->src.len && (a->src.len > b->src.len || !prefix_has(&a->src, &b->src.addr)))
		return false;
	if (a->dst.len && (a->dst.len > b->dst.len || !prefix_has(&a->dst, &b->dst.addr)))
		return false;
	if ((a->sport && a->sport != b->sport) || (a->dport && a->dport != b->dport))
		return false;
	return !a->icmp_id || a->icmp_id == b->icmp_id;
}

static void add(struct plan *p, const struct pattern *new)
{
	if (!pattern_valid(new))
		return;
	for (size_t i = 0; i < p->count; i++) {
		if (covers(&p->list[i], new))
			return;
	}
	if (p->count == PATTERNS_MAX)
		p->cut = true;
	else
		p->list[p->count++] = *new;
}

/* --- addresses of a host ------------------------------------------------------------------------------------- */

static bool name_matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (n && pattern[n - 1] == '+')
		return !strncmp(pattern, name, n - 1);
	return !strcmp(pattern, name);
}

typedef void each_end(struct plan *p, const struct pattern *from, const struct nat_rule *r,
		      const struct prefix *end);

static void for_addresses(struct plan *p, const struct pattern *from, const struct nat_rule *r,
			  const struct plan_host *h, const char *iface, each_end *fn)
{
	for (uint32_t i = 0; h->facts && i < h->facts->addr_count; i++) {
		const struct facts_addr *a = &h->facts->addrs[i];
		const struct facts_link *l = facts_link_of(h->facts, a->ifindex);
		struct prefix end = { a->addr.addr, host_bits(from->family) };

		if (a->addr.addr.family != from->family || addr_is_loopback(&a->addr.addr))
			continue;
		if (iface[0] && (!l || !name_matches(iface, l->name)))
			continue;
		fn(p, from, r, &end);
	}
}

/* --- translations ---------------------------------------------------------------------------------------------- */

static bool one_port(const uint16_t (*ranges)[2], uint8_t n, bool negate)
{
	return n == 1 && !negate && ranges[0][0] == ranges[0][1];
}

/* What of the pattern the rule takes: the rest goes on as it is. */
static struct pattern narrowed(const struct pattern *p, const struct nat_rule *r)
{
	struct pattern new = *p;

	if (!new.proto && !r->proto_negate)
		new.proto = r->proto;
	if (!r->src.negate && r->src.prefix.len > new.src.len)
		new.src = r->src.prefix;
	if (!r->dst.negate && r->dst.prefix.len > new.dst.len)
		new.dst = r->dst.prefix;
	if (!new.dport && proto_has_ports(new.proto) &&
	    one_port(r->dports, r->dport_count, r->dport_negate))
		new.dport = r->dports[0][0];
	return new;
}

static void source_becomes(struct plan *p, const struct pattern *from, const struct nat_rule *r,
			   const struct prefix *end)
{
	struct pattern new = *from;

	(void)r;
	new.src = *end;
	new.sport = 0; /* NAT may choose another */
	new.icmp_id = 0;
	add(p, &new);
}

static void target_port(struct pattern *new, const struct nat_rule *r)
{
	if (!r->to_port_from)
		return;
	new->dport = 0;
	if (r->to_port_from == r->to_port_until && proto_has_ports(new->proto))
		new->dport = r->to_port_from;
}

static void target_becomes(struct plan *p, const struct pattern *from, const struct nat_rule *r,
			   const struct prefix *end)
{
	struct pattern new = *from;

	new.dst = *end;
	target_port(&new, r);
	add(p, &new);
}

/* The longest prefix that holds both addresses. */
static struct prefix holding(const struct addr *a, const struct addr *b)
{
	struct prefix p = { *a, host_bits(a->family) };

	while (p.len > 0 && !prefix_has(&p, b))
		p.len--;
	return p;
}

static void next_addr(struct addr *a)
{
	for (int i = a->family == 4 ? 3 : 15; i >= 0 && ++a->b[i] == 0; i--)
		;
}

/* Each address of a small range, else the prefix that holds it. */
static void for_range(struct plan *p, const struct pattern *from, const struct nat_rule *r,
		      each_end *fn)
{
	enum { EACH_MAX = 8 };
	struct prefix end = { r->to_from, host_bits(r->to_from.family) };
	struct addr last = r->to_from;
	int count = 1;

	for (; count <= EACH_MAX && addr_cmp(&last, &r->to_until) < 0; count++)
		next_addr(&last);
	if (count > EACH_MAX) {
		end = holding(&r->to_from, &r->to_until);
		count = 1;
	}
	for (; count > 0; count--) {
		fn(p, from, r, &end);
		next_addr(&end.addr);
	}
}

static void net_becomes(struct plan *p, const struct pattern *from, const struct nat_rule *r,
			bool source)
{
	struct pattern new = *from;
	struct prefix *end = source ? &new.src : &new.dst;
	const struct prefix *was = source ? &from->src : &from->dst;

	if (!r->to_net.len || r->to_net.addr.family != from->family)
		return;
	if (was->len == host_bits(from->family)) {
		struct addr a = r->to_net.addr;

		for (int bit = r->to_net.len; bit < was->len; bit++) {
			uint8_t mask = (uint8_t)(0x80 >> (bit % 8));

			a.b[bit / 8] =
				(uint8_t)((a.b[bit / 8] & ~mask) | (was->addr.b[bit / 8] & mask));
		}
		*end = (struct prefix){ a, was->len };
	} else {
		*end = r->to_net;
	}
	add(p, &new);
}

/* Where a walk stands. */
struct step_of_plan {
	struct plan *plan;
	const struct plan_host *host;
	const struct pattern *from;
};

static void loopback_becomes(struct plan *p, const struct pattern *from, const struct nat_rule *r)
{
	struct prefix end;

	if (prefix_parse(&end, from->family == 4 ? "127.0.0.1" : "::1"))
		target_becomes(p, from, r, &end);
}

static void translate(void *arg, const struct nat_rule *r, enum hook hook)
{
	const struct step_of_plan *s = arg;
	bool source = hook == HOOK_POSTROUTING || hook == HOOK_INPUT;
	struct pattern from = narrowed(s->from, r);

	switch (r->kind) {
	case NAT_MASQUERADE:
		for_addresses(s->plan, &from, r, s->host, r->out_negate ? "" : r->out_if,
			      source_becomes);
		break;
	case NAT_REDIRECT:
		if (hook == HOOK_OUTPUT)
			loopback_becomes(s->plan, &from, r);
		else
			for_addresses(s->plan, &from, r, s->host, r->in_negate ? "" : r->in_if,
				      target_becomes);
		break;
	case NAT_SNAT:
		if (r->to_from.family == from.family)
			for_range(s->plan, &from, r, source_becomes);
		break;
	case NAT_DNAT:
		if (r->to_from.family == from.family) {
			for_range(s->plan, &from, r, target_becomes);
		} else if (!r->to_from.family && r->to_port_from) {
			target_port(&from, r);
			add(s->plan, &from);
		}
		break;
	case NAT_NETMAP:
		net_becomes(s->plan, &from, r, source);
		break;
	default:
		break;
	}
}

/* The pattern may name what a translation made: then what it was before belongs to the flow, too. */
static void translate_back(struct plan *p, const struct pattern *from, const struct nat_rule *r)
{
	struct pattern new = *from;

	if (r->kind != NAT_DNAT || r->to_from.family != from->family ||
	    !prefix_has(&from->dst, &r->to_from) || !from->dst.len)
		return;
	if (r->to_port_from && from->dport &&
	    (from->dport < r->to_port_from || from->dport > r->to_port_until))
		return;
	if (r->proto && from->proto && r->proto != from->proto)
		return;
	new.dst = r->dst.negate ? (struct prefix){ { 0 }, 0 } : r->dst.prefix;
	if (r->to_port_from) {
		new.dport = 0;
		if (one_port(r->dports, r->dport_count, r->dport_negate))
			new.dport = r->dports[0][0];
	}
	if (!new.dst.len && !new.dport)
		return; /* it would keep nothing of its end */
	if (new.dport && !new.proto)
		new.proto = r->proto;
	add(p, &new);
}

static void exact(struct pattern *p, const struct tuple *t)
{
	memset(p, 0, sizeof(*p));
	p->family = t->src.family;
	p->proto = t->proto;
	p->src = (struct prefix){ t->src, host_bits(t->src.family) };
	p->dst = (struct prefix){ t->dst, host_bits(t->dst.family) };
	if (proto_has_ports(t->proto)) {
		p->sport = t->sport;
		p->dport = t->dport;
	} else if (proto_is_icmp(t->proto)) {
		p->icmp_id = t->sport;
	}
}

static void for_conns(struct plan *p, const struct pattern *from, const struct conn *conns,
		      size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct tuple after = tuple_reverse(&conns[i].reply);
		struct pattern new;

		if (tuple_equal(&after, &conns[i].orig))
			continue;
		if (pattern_has(from, &conns[i].orig)) {
			exact(&new, &after);
			add(p, &new);
		} else if (pattern_has(from, &after)) {
			exact(&new, &conns[i].orig);
			add(p, &new);
		}
	}
}

/* One table of a host's. */
struct plan_nat {
	const struct plan_host *host;
	uint8_t family; /* of the packets that it is walked for */
	struct nat nat;
};

static int read_nat(struct plan *p, struct plan_nat *nats, size_t *count,
		    const struct plan_host *hosts, size_t n, uint8_t family)
{
	uint32_t room = NAT_RULES_MAX;

	for (size_t h = 0; h < n; h++) {
		const struct table *const *tables = hosts[h].nat[family == 4 ? 0 : 1];

		p->cut |= hosts[h].more;
		for (int i = 0; i < PLAN_NATS_MAX && tables[i]; i++) {
			struct plan_nat *one = &nats[*count];
			int r = nat_read(&one->nat, tables[i], room, &p->cut);

			if (r < 0)
				return r;
			one->host = &hosts[h];
			one->family = family;
			room -= one->nat.rule_count;
			(*count)++;
		}
	}
	return 0;
}

static void forwards(struct plan *p, struct plan_nat *nats, size_t n, size_t at)
{
	struct pattern from = p->list[at];

	for (size_t i = 0; i < n; i++) {
		struct step_of_plan s = { p, nats[i].host, &from };

		if (nats[i].family == from.family)
			nat_walk(&nats[i].nat, &from, translate, &s);
	}
}

static void backwards(struct plan *p, const struct plan_nat *nats, size_t n, size_t at)
{
	struct pattern from = p->list[at];

	for (size_t i = 0; i < n; i++) {
		for (uint32_t k = 0; nats[i].family == from.family && k < nats[i].nat.rule_count;
		     k++)
			translate_back(p, &from, &nats[i].nat.rules[k]);
	}
}

int plan_patterns(const struct pattern *named, size_t named_count, const struct plan_host *hosts,
		  size_t host_count, const struct conn *conns, size_t conn_count,
		  struct pattern out[static PATTERNS_MAX], size_t *count, bool *cut)
{
	struct plan p = { .list = out };
	bool six = false, four = false;
	struct plan_nat *nats;
	size_t at, forward, nat_count = 0;
	int r = 0;

	*count = 0;
	*cut = false;
	for (size_t i = 0; i < named_count; i++) {
		if (!pattern_valid(&named[i]))
			return -EINVAL;
		six |= named[i].family == 6;
		four |= named[i].family == 4;
		add(&p, &named[i]);
	}
	nats = calloc(2 * host_count * PLAN_NATS_MAX + 1, sizeof(*nats));
	if (!nats)
		return -ENOMEM;
	if (four)
		r = read_nat(&p, nats, &nat_count, hosts, host_count, 4);
	if (six && r >= 0)
		r = read_nat(&p, nats, &nat_count, hosts, host_count, 6);
	if (r < 0)
		goto out;

	for (at = 0; at < p.count; at++) {
		struct pattern from = out[at];

		forwards(&p, nats, nat_count, at);
		for_conns(&p, &from, conns, conn_count);
	}
	forward = p.count;
	for (at = 0; at < forward; at++)
		backwards(&p, nats, nat_count, at);
	/* What was before one host's translation may meet another's. */
	for (at = forward; at < p.count; at++)
		forwards(&p, nats, nat_count, at);
	*count = p.count;
	*cut = p.cut;
out:
	for (size_t i = 0; i < nat_count; i++)
		nat_clear(&nats[i].nat);
	free(nats);
	return r;
}
