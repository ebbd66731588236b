/*
 * A closure over translations. Whether a rule translates the flow is asked with three answers in mind: what the
 * pattern leaves open, and matches that nobody reads here, could match.
 */
#include "collector/lease/plan.h"

#include <errno.h>
#include <string.h>

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

/* Could a packet whose address lies in have lie in the rule's prefix? */
static bool could_match(const struct rule_prefix *rule, const struct prefix *have)
{
	bool overlap;

	if (!rule->prefix.len || !have->len)
		return true;
	overlap = rule->prefix.len <= have->len ? prefix_has(&rule->prefix, &have->addr)
						: prefix_has(have, &rule->prefix.addr);
	/* "Not this prefix" fails for sure only when the pattern lies wholly inside it. */
	if (rule->negate)
		return !(rule->prefix.len <= have->len && overlap);
	return overlap;
}

static bool could_match_port(const uint16_t (*ranges)[2], uint8_t n, bool negate, uint16_t port)
{
	bool hit = false;

	if (n == 0 || !port)
		return true;
	for (uint8_t i = 0; i < n; i++)
		hit |= port >= ranges[i][0] && port <= ranges[i][1];
	return hit != negate;
}

static bool could_translate(const struct rule *r, const struct pattern *p)
{
	if (r->proto && p->proto && (r->proto == p->proto) == r->proto_negate)
		return false;
	if (!could_match(&r->src, &p->src) || !could_match(&r->dst, &p->dst))
		return false;
	return could_match_port((const uint16_t(*)[2])r->sports, r->sport_count, r->sport_negate,
				p->sport) &&
	       could_match_port((const uint16_t(*)[2])r->dports, r->dport_count, r->dport_negate,
				p->dport);
}

/* --- addresses of a host ------------------------------------------------------------------------------------- */

static bool name_matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (n && pattern[n - 1] == '+')
		return !strncmp(pattern, name, n - 1);
	return !strcmp(pattern, name);
}

static const struct facts_link *link_of(const struct facts *f, int32_t ifindex)
{
	for (uint32_t i = 0; i < f->link_count; i++) {
		if (f->links[i].ifindex == ifindex)
			return &f->links[i];
	}
	return NULL;
}

typedef void each_addr(struct plan *p, const struct pattern *from, const struct rule *r,
		       const struct addr *a);

static void for_addresses(struct plan *p, const struct pattern *from, const struct rule *r,
			  const struct plan_host *h, const char *iface, each_addr *fn)
{
	for (uint32_t i = 0; h->facts && i < h->facts->addr_count; i++) {
		const struct facts_addr *a = &h->facts->addrs[i];
		const struct facts_link *l = link_of(h->facts, a->ifindex);

		if (a->addr.addr.family != from->family || addr_is_loopback(&a->addr.addr))
			continue;
		if (iface[0] && (!l || !name_matches(iface, l->name)))
			continue;
		fn(p, from, r, &a->addr.addr);
	}
}

/* --- translations ---------------------------------------------------------------------------------------------- */

static void source_becomes(struct plan *p, const struct pattern *from, const struct rule *r,
			   const struct addr *a)
{
	struct pattern new = *from;

	(void)r;
	new.src = (struct prefix){ *a, host_bits(from->family) };
	new.sport = 0; /* NAT may choose another */
	new.icmp_id = 0;
	add(p, &new);
}

static void target_port(struct pattern *new, const struct rule *r)
{
	if (r->to_port_from)
		new->dport = r->to_port_from == r->to_port_until &&proto_has_ports(new->proto)
				     ? r->to_port_from
				     : 0;
}

static void target_becomes(struct plan *p, const struct pattern *from, const struct rule *r,
			   const struct addr *a)
{
	struct pattern new = *from;

	new.dst = (struct prefix){ *a, host_bits(from->family) };
	if (!new.proto && r->proto && !r->proto_negate)
		new.proto = r->proto;
	target_port(&new, r);
	add(p, &new);
}

/* Each address of a small range, else the prefix that holds it. */
static void for_range(struct plan *p, const struct pattern *from, const struct rule *r,
		      each_addr *fn)
{
	enum { EACH_MAX = 8 };
	struct addr a = r->to_from;
	int last = a.family == 4 ? 3 : 15;

	for (int i = 0; i < EACH_MAX; i++) {
		fn(p, from, r, &a);
		if (addr_cmp(&a, &r->to_until) >= 0)
			return;
		for (int k = last; k >= 0 && ++a.b[k] == 0; k--)
			;
	}
	p->cut = true;
}

static void net_becomes(struct plan *p, const struct pattern *from, const struct rule *r,
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

static void translate(struct plan *p, const struct pattern *from, const struct rule *r,
		      const struct plan_host *h, const char *chain)
{
	bool after = !strcmp(chain, "POSTROUTING") || !strcmp(chain, "INPUT");

	if (!could_translate(r, from))
		return;
	if (!strcmp(r->target, "MASQUERADE")) {
		for_addresses(p, from, r, h, r->out_negate ? "" : r->out_if, source_becomes);
	} else if (!strcmp(r->target, "REDIRECT")) {
		for_addresses(p, from, r, h, r->in_negate ? "" : r->in_if, target_becomes);
	} else if (!strcmp(r->target, "SNAT") && r->to_from.family == from->family) {
		for_range(p, from, r, source_becomes);
	} else if (!strcmp(r->target, "DNAT")) {
		if (r->to_from.family == from->family) {
			for_range(p, from, r, target_becomes);
		} else if (!r->to_from.family && r->to_port_from) {
			struct pattern new = *from; /* only the port changes */

			target_port(&new, r);
			add(p, &new);
		}
	} else if (!strcmp(r->target, "NETMAP")) {
		/* In a user chain it may be either. */
		if (after || strcmp(chain, "PREROUTING"))
			net_becomes(p, from, r, true);
		if (!after)
			net_becomes(p, from, r, false);
	}
}

/* The pattern may name what a translation made: then what it was before belongs to the flow, too. */
static void translate_back(struct plan *p, const struct pattern *from, const struct rule *r)
{
	struct pattern new = *from;

	if (strcmp(r->target, "DNAT") || r->to_from.family != from->family ||
	    !prefix_has(&from->dst, &r->to_from) || !from->dst.len)
		return;
	if (r->to_port_from && from->dport &&
	    (from->dport < r->to_port_from || from->dport > r->to_port_until))
		return;
	if (r->proto && from->proto && r->proto != from->proto)
		return;
	new.dst = r->dst.negate ? (struct prefix){ { 0 }, 0 } : r->dst.prefix;
	if (r->to_port_from)
		new.dport = r->dport_count == 1 && r->dports[0].from == r->dports[0].to &&
					    !r->dport_negate
				    ? r->dports[0].from
				    : 0;
	if (!new.dst.len && !new.dport)
		return; /* it would keep nothing of its end */
	if (!new.proto &&new.dport)
		new.proto = r->proto;
	add(p, &new);
}

static void for_rules(struct plan *p, const struct pattern *from, const struct plan_host *h,
		      bool back)
{
	const struct table *t = h->nat[from->family == 4 ? 0 : 1];

	for (uint32_t c = 0; t && c < t->chain_count; c++) {
		const struct chain *chain = &t->chains[c];

		for (uint32_t i = 0; i < chain->rule_count; i++) {
			struct rule r;

			if (rule_parse(&r, chain->rules[i].text, chain->rules[i].len) < 0)
				continue;
			if (back)
				translate_back(p, from, &r);
			else
				translate(p, from, &r, h, chain->name);
		}
	}
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

int plan_patterns(const struct pattern *named, const struct plan_host *hosts, size_t host_count,
		  const struct conn *conns, size_t conn_count,
		  struct pattern out[static PATTERNS_MAX], size_t *count, bool *cut)
{
	struct plan p = { .list = out };
	size_t forward;

	*count = 0;
	*cut = false;
	if (!pattern_valid(named))
		return -EINVAL;
	add(&p, named);
	for (size_t i = 0; i < p.count; i++) {
		struct pattern from = out[i];

		for (size_t h = 0; h < host_count; h++)
			for_rules(&p, &from, &hosts[h], false);
		for_conns(&p, &from, conns, conn_count);
	}
	forward = p.count;
	for (size_t i = 0; i < forward; i++) {
		struct pattern from = out[i];

		for (size_t h = 0; h < host_count; h++)
			for_rules(&p, &from, &hosts[h], true);
	}
	*count = p.count;
	*cut = p.cut;
	return 0;
}
