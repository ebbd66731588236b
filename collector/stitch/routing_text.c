/*
 * As `ip rule` and `ip route` print them, so that what is told can be found on the host.
 */
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "collector/stitch/routing.h"

struct text {
	char *p;
	size_t n;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, ROUTING_TEXT_MAX - t->n, fmt, ap);
	va_end(ap);
	t->n += n > 0 ? (size_t)n : 0;
	if (t->n >= ROUTING_TEXT_MAX)
		t->n = ROUTING_TEXT_MAX - 1;
}

static void put_prefix(struct text *t, const char *key, const struct prefix *p)
{
	char text[ADDR_TEXT_MAX + 4];

	prefix_print(p, text);
	if (p->len == (p->addr.family == 4 ? 32 : 128))
		addr_print(&p->addr, text);
	put(t, "%s%s", key, text);
}

static void put_table(struct text *t, const char *key, uint32_t table)
{
	const char *name = table == RT_TABLE_LOCAL     ? "local"
			   : table == RT_TABLE_MAIN    ? "main"
			   : table == RT_TABLE_DEFAULT ? "default"
						       : NULL;

	if (name)
		put(t, "%s%s", key, name);
	else
		put(t, "%s%u", key, table);
}

static void put_ports(struct text *t, const char *key, const uint16_t range[static 2])
{
	if (!range[1])
		return;
	put(t, " %s %u", key, range[0]);
	if (range[1] != range[0])
		put(t, "-%u", range[1]);
}

static void put_action(struct text *t, const struct facts_rule *r)
{
	switch (r->action) {
	case FR_ACT_TO_TBL:
		if (r->l3mdev)
			put(t, " lookup [l3mdev-table]");
		else
			put_table(t, " lookup ", r->table);
		if (r->suppress >= 0)
			put(t, " suppress_prefixlength %d", r->suppress);
		break;
	case FR_ACT_GOTO:
		put(t, " goto %u", r->target);
		break;
	case FR_ACT_NOP:
		put(t, " nop");
		break;
	case FR_ACT_BLACKHOLE:
		put(t, " blackhole");
		break;
	case FR_ACT_UNREACHABLE:
		put(t, " unreachable");
		break;
	case FR_ACT_PROHIBIT:
		put(t, " prohibit");
		break;
	}
}

void routing_rule_print(const struct facts_rule *r, char text[static ROUTING_TEXT_MAX])
{
	struct text t = { text, 0 };
	char number[4];

	put(&t, "%u:%s from ", r->priority, r->invert ? " not" : "");
	if (r->from.addr.family)
		put_prefix(&t, "", &r->from);
	else
		put(&t, "all");
	if (r->to.addr.family)
		put_prefix(&t, " to ", &r->to);
	if (r->tos)
		put(&t, " tos 0x%02x", r->tos);
	if (r->mask == UINT32_MAX)
		put(&t, " fwmark 0x%x", r->mark);
	else if (r->mask)
		put(&t, " fwmark 0x%x/0x%x", r->mark, r->mask);
	if (r->iif[0])
		put(&t, " iif %s", r->iif);
	if (r->oif[0])
		put(&t, " oif %s", r->oif);
	if (r->proto)
		put(&t, " ipproto %s", proto_name(r->proto, number));
	put_ports(&t, "sport", r->sport);
	put_ports(&t, "dport", r->dport);
	put_action(&t, r);
}

void route_print(const struct facts *f, const struct facts_route *r,
		 char text[static ROUTING_TEXT_MAX])
{
	static const char *const types[] = {
		[RTN_LOCAL] = "local ",         [RTN_BROADCAST] = "broadcast ",
		[RTN_ANYCAST] = "anycast ",     [RTN_MULTICAST] = "multicast ",
		[RTN_BLACKHOLE] = "blackhole ", [RTN_UNREACHABLE] = "unreachable ",
		[RTN_PROHIBIT] = "prohibit ",   [RTN_THROW] = "throw "
	};
	const char *type = r->type < sizeof(types) / sizeof(types[0]) ? types[r->type] : NULL;
	const char *dev = route_swallows(r) ? "" : route_device(f, r);
	char gateway[ADDR_TEXT_MAX];
	struct text t = { text, 0 };

	put(&t, "%s", type ? type : "");
	if (r->dst.len)
		put_prefix(&t, "", &r->dst);
	else
		put(&t, "default");
	if (r->src.len)
		put_prefix(&t, " from ", &r->src);
	if (r->gateway.family) {
		addr_print(&r->gateway, gateway);
		put(&t, " via %s", gateway);
	}
	if (dev[0])
		put(&t, " dev %s", dev);
	put_table(&t, " table ", r->table);
	if (r->metric)
		put(&t, " metric %u", r->metric);
}
