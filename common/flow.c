/*
 * A flow in use: as text, as patterns of a lease, and whether a packet is of it.
 */
#include "common/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void add(char *text, const char *flag, bool negate, const char *value)
{
	size_t n = strlen(text);

	snprintf(text + n, FLOW_TEXT_MAX - n, "%s%s%s %s", n ? " " : "", negate ? "! " : "", flag,
		 value);
}

static void add_port(char *text, const char *flag, const struct port_range *r)
{
	char value[16];

	if (!r->from && !r->to)
		return;
	snprintf(value, sizeof(value), r->from == r->to ? "%u" : "%u:%u", r->from, r->to);
	add(text, flag, r->negate, value);
}

static void add_prefix(char *text, const char *flag, const struct flow_prefix *p)
{
	char value[ADDR_TEXT_MAX + 4];

	if (!p->prefix.addr.family)
		return;
	prefix_print(&p->prefix, value);
	add(text, flag, p->negate, value);
}

void flow_print(const struct flow *f, char text[static FLOW_TEXT_MAX])
{
	char number[16];

	text[0] = '\0';
	if (f->family && !f->src.prefix.addr.family && !f->dst.prefix.addr.family)
		snprintf(text, FLOW_TEXT_MAX, "-%u", f->family);
	if (f->proto)
		add(text, "-p", f->proto_negate, proto_name(f->proto, number));
	add_prefix(text, "-s", &f->src);
	add_prefix(text, "-d", &f->dst);
	add_port(text, "--sport", &f->sport);
	add_port(text, "--dport", &f->dport);
	if (f->icmp_type >= 0) {
		snprintf(number, sizeof(number), "%d", f->icmp_type);
		add(text, "--icmp-type", false, number);
	}
	if (f->icmp_id >= 0) {
		snprintf(number, sizeof(number), "%d", f->icmp_id);
		add(text, "--icmp-id", false, number);
	}
	if (f->in_if[0])
		add(text, "-i", f->in_negate, f->in_if);
	if (f->out_if[0])
		add(text, "-o", f->out_negate, f->out_if);
}

static bool prefix_matches(const struct flow_prefix *p, const struct addr *a)
{
	return !p->prefix.len || prefix_has(&p->prefix, a) != p->negate;
}

static bool port_matches(const struct port_range *r, uint16_t port)
{
	return (!r->from && !r->to) || (port >= r->from && port <= r->to) != r->negate;
}

bool flow_has(const struct flow *f, const struct tuple *t)
{
	bool ports = f->sport.to || f->dport.to;

	if (f->family && f->family != t->src.family)
		return false;
	if (f->proto && (f->proto == t->proto) == f->proto_negate)
		return false;
	if (!prefix_matches(&f->src, &t->src) || !prefix_matches(&f->dst, &t->dst))
		return false;
	if (ports && (!proto_has_ports(t->proto) || !port_matches(&f->sport, t->sport) ||
		      !port_matches(&f->dport, t->dport)))
		return false;
	if ((f->icmp_id >= 0 || f->icmp_type >= 0) && !proto_is_icmp(t->proto))
		return false;
	/* A tuple knows the request's type in both directions: 8 stands for 8 and 0. */
	if (f->icmp_type > 0 && f->icmp_type != 129 && t->dport && f->icmp_type != t->dport &&
	    f->icmp_type != 14 && f->icmp_type != 16 && f->icmp_type != 18)
		return false;
	return f->icmp_id < 0 || f->icmp_id == t->sport;
}

int flow_patterns(const struct flow *f, struct pattern out[static FLOW_PATTERNS_MAX], size_t *count,
		  struct why *why)
{
	static const uint8_t families[] = { 4, 6 }, protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct pattern p = { .proto = f->proto };

	*count = 0;
	if (f->proto_negate || f->src.negate || f->dst.negate || f->sport.negate || f->dport.negate)
		return why_set(
			why, -EINVAL,
			"a lease cannot trace by what a flow is not: leave '!' out and filter the answer instead");
	if (f->src.prefix.len)
		p.src = f->src.prefix;
	if (f->dst.prefix.len)
		p.dst = f->dst.prefix;
	/* A range cannot be a set's key: the lease takes every port, the answer is filtered. */
	if (f->sport.from == f->sport.to)
		p.sport = f->sport.from;
	if (f->dport.from == f->dport.to)
		p.dport = f->dport.from;
	if (f->icmp_id > 0)
		p.icmp_id = (uint16_t)f->icmp_id;
	for (size_t i = 0; i < 2; i++) {
		uint8_t family = f->family                    ? f->family
				 : f->proto == IPPROTO_ICMP   ? 4
				 : f->proto == IPPROTO_ICMPV6 ? 6
							      : 0;

		if (family && family != families[i])
			continue;
		p.family = families[i];
		for (size_t k = 0; k < 2; k++) {
			bool any = (p.sport || p.dport) && !f->proto;

			if (any)
				p.proto = protos[k];
			if (any || k == 0)
				out[(*count)++] = p;
		}
	}
	if (!pattern_valid(&out[0]))
		return why_set(why, -EINVAL,
			       "a lease needs at least one address or port: add -s, -d or --dport");
	return 0;
}

struct flow flow_of_tuple(const struct tuple *t)
{
	uint8_t bits = t->src.family == 4 ? 32 : 128;
	struct flow f = { .family = t->src.family,
			  .proto = t->proto,
			  .icmp_type = -1,
			  .icmp_id = -1,
			  .src.prefix = { t->src, bits },
			  .dst.prefix = { t->dst, bits } };

	if (proto_has_ports(t->proto)) {
		f.sport = (struct port_range){ t->sport, t->sport, false };
		f.dport = (struct port_range){ t->dport, t->dport, false };
	} else if (proto_is_icmp(t->proto) && t->dport) {
		f.icmp_id = t->sport;
	}
	return f;
}
