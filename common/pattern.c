/*
 * Patterns are compared by what they select: prefixes by their bits, ports only for protocols that have
 * ports, the ICMP id for queries only (errors carry none of their own).
 */
#include "common/pattern.h"

static uint8_t family_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

static bool prefix_valid(const struct prefix *p, uint8_t family)
{
	if (p->len == 0)
		return p->addr.family == 0 || p->addr.family == family;
	return p->addr.family == family && p->len <= family_bits(family);
}

bool pattern_valid(const struct pattern *p)
{
	if (p->family != 4 && p->family != 6)
		return false;
	if (!prefix_valid(&p->src, p->family) || !prefix_valid(&p->dst, p->family))
		return false;
	if ((p->sport || p->dport) && !proto_has_ports(p->proto))
		return false;
	if (p->icmp_id && !proto_is_icmp(p->proto))
		return false;
	return p->src.len || p->dst.len || p->sport || p->dport;
}

static bool selects(const struct prefix *p, const struct addr *a)
{
	return p->len == 0 || prefix_has(p, a);
}

static bool port_selects(uint16_t wanted, uint16_t port)
{
	return wanted == 0 || wanted == port;
}

static bool has_one_way(const struct pattern *p, const struct tuple *t)
{
	if (!selects(&p->src, &t->src) || !selects(&p->dst, &t->dst))
		return false;
	if (p->sport == 0 && p->dport == 0)
		return true;
	return proto_has_ports(t->proto) && port_selects(p->sport, t->sport) &&
	       port_selects(p->dport, t->dport);
}

bool pattern_has(const struct pattern *p, const struct tuple *t)
{
	struct tuple back = tuple_reverse(t);

	if (t->src.family != p->family)
		return false;
	if (p->proto && p->proto != t->proto)
		return false;
	/* A tuple keeps the id in sport in both directions; dport 0 is an error, which has no id. */
	if (p->icmp_id && (t->dport == 0 || t->sport != p->icmp_id))
		return false;
	return has_one_way(p, t) || has_one_way(p, &back);
}

static bool prefix_same(const struct prefix *a, const struct prefix *b)
{
	if (a->len != b->len)
		return false;
	return a->len == 0 || prefix_has(a, &b->addr);
}

bool pattern_equal(const struct pattern *a, const struct pattern *b)
{
	return a->family == b->family && a->proto == b->proto && prefix_same(&a->src, &b->src) &&
	       prefix_same(&a->dst, &b->dst) && a->sport == b->sport && a->dport == b->dport &&
	       a->icmp_id == b->icmp_id;
}
