/*
 * Rules of policy routing are followed in their order; what they ask for and nobody knows leaves each outcome open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "collector/stitch/routing.h"

static struct facts_link links[] = {
	{ .ifindex = 1, .name = "lo" },
	{ .ifindex = 2, .name = "lan" },
	{ .ifindex = 3, .name = "wan" },
	{ .ifindex = 4, .name = "vpn" },
};
static struct facts_route routes[32];
static struct facts_rule rules[32];
static struct facts facts;
static struct routing_ask ask;
static struct routings got;

static void fresh(void)
{
	facts = (struct facts){ .rules4 = true,
				.rules6 = true,
				.link_count = 4,
				.links = links,
				.routes = routes,
				.rules = rules };
	for (size_t i = 0; i < 4; i++)
		links[i].master = 0;
	ask = (struct routing_ask){ .iif = "lan", .ports_known = true, .mark_known = true };
	ask.t.proto = 6;
	ask.t.sport = 40000;
	ask.t.dport = 443;
	addr_parse(&ask.t.src, "10.0.1.2");
	addr_parse(&ask.t.dst, "10.9.0.1");
}

static void name(char out[static IFNAME_MAX + 1], const char *text)
{
	memcpy(out, text, strlen(text) + 1);
}

static struct facts_route *route(uint32_t table, const char *dst, int32_t ifindex)
{
	struct facts_route *r = &routes[facts.route_count++];

	*r = (struct facts_route){ .table = table, .ifindex = ifindex, .type = RTN_UNICAST };
	assert_true(prefix_parse(&r->dst, dst));
	return r;
}

/* Rules stand in the order in which they are made here. */
static struct facts_rule *rule(uint32_t priority, uint32_t table)
{
	struct facts_rule *r = &rules[facts.rule_count++];

	*r = (struct facts_rule){ .family = 4,
				  .action = FR_ACT_TO_TBL,
				  .priority = priority,
				  .table = table,
				  .suppress = -1 };
	return r;
}

static struct facts_rule *ending(uint32_t priority, uint8_t action)
{
	struct facts_rule *r = rule(priority, 0);

	r->action = action;
	return r;
}

static bool leads(int32_t ifindex)
{
	for (size_t i = 0; i < got.count; i++)
		if (got.list[i].route && got.list[i].route->ifindex == ifindex)
			return true;
	return false;
}

static bool nowhere(void)
{
	for (size_t i = 0; i < got.count; i++)
		if (!got.list[i].route && !got.list[i].rule)
			return true;
	return false;
}

/* The only way, by this interface; 0: no route. */
static void only(int32_t ifindex)
{
	routings_find(&got, &facts, &ask);
	assert_true(got.known);
	assert_int_equal(got.count, 1);
	assert_true(ifindex ? leads(ifindex) : nowhere());
}

static void both(int32_t a, int32_t b)
{
	routings_find(&got, &facts, &ask);
	assert_true(got.known);
	assert_int_equal(got.count, 2);
	assert_true(a ? leads(a) : nowhere());
	assert_true(b ? leads(b) : nowhere());
}

/* Table 100 by wan, if the returned rule is for the packet; else main by vpn. */
static struct facts_rule *fork_at_100(void)
{
	struct facts_rule *r;

	fresh();
	route(100, "0.0.0.0/0", 3);
	route(254, "0.0.0.0/0", 4);
	r = rule(100, 100);
	rule(32766, 254);
	return r;
}

static void a_table_without_a_route_passes_on(void **state)
{
	(void)state;
	fresh();
	rule(0, 255);
	rule(100, 100);
	rule(32766, 254);
	only(0);
	assert_int_equal(got.asked_count, 3);
	route(254, "0.0.0.0/0", 3);
	route(100, "10.8.0.0/16", 4);
	only(3);
	route(100, "10.9.0.0/16", 4);
	only(4);
	assert_int_equal(got.list[0].rule->priority, 100);
}

static void the_longest_prefix_then_the_metric_decides(void **state)
{
	(void)state;
	fresh();
	rule(32766, 254);
	route(254, "10.0.0.0/8", 2);
	route(254, "10.9.0.0/16", 3)->metric = 20;
	only(3);
	route(254, "10.9.0.0/16", 4)->metric = 10;
	only(4);
	route(254, "10.9.0.0/16", 2)->metric = 10; /* ECMP */
	both(4, 2);
}

static void what_a_rule_asks_for_is_compared(void **state)
{
	struct facts_rule *r;

	(void)state;
	r = fork_at_100();
	only(3);
	prefix_parse(&r->from, "10.0.1.0/24");
	only(3);
	prefix_parse(&r->from, "10.0.2.0/24");
	only(4);
	r->invert = true;
	only(3);
	r = fork_at_100();
	prefix_parse(&r->to, "10.9.0.1/32");
	name(r->iif, "lan");
	r->proto = 6;
	r->dport[0] = 400;
	r->dport[1] = 443;
	r->sport[0] = r->sport[1] = 40000;
	r->mark = 1;
	r->mask = 3;
	ask.mark = 5;
	only(3);
	ask.mark = 6;
	only(4);
	ask.mark = 5;
	ask.t.dport = 444;
	only(4);
	ask.t.dport = 400;
	only(3);
	ask.t.proto = 17;
	only(4);
	ask.t.proto = 6;
	ask.iif = "wan";
	only(4);
	ask.iif = ""; /* made here: it comes by lo */
	only(4);
	name(r->iif, "lo");
	only(3);
}

static void what_is_not_known_leaves_both(void **state)
{
	struct facts_rule *r;

	(void)state;
	r = fork_at_100();
	r->mark = 7;
	r->mask = UINT32_MAX;
	only(4);
	ask.mark_known = false;
	both(3, 4);
	r->invert = true;
	both(3, 4);
	r = fork_at_100();
	r->dport[0] = r->dport[1] = 443;
	ask.ports_known = false; /* a fragment */
	both(3, 4);
	r = fork_at_100();
	name(r->iif, "lan");
	ask.iif = NULL;
	both(3, 4);
	r = fork_at_100();
	r->tos = 8;
	both(3, 4);
	r = fork_at_100();
	r->other = true;
	both(3, 4);
	prefix_parse(&r->from, "10.0.2.0/24"); /* whatever else it asks for */
	only(4);
	r = fork_at_100();
	name(r->oif, "wan");
	only(4); /* what is forwarded asks for no interface */
	ask.iif = "";
	both(3, 4);
}

static void rules_end_packets_and_jump(void **state)
{
	struct facts_rule *r;

	(void)state;
	fresh();
	r = ending(100, FR_ACT_BLACKHOLE);
	rule(32766, 254);
	route(254, "0.0.0.0/0", 3);
	routings_find(&got, &facts, &ask);
	assert_int_equal(got.count, 1);
	assert_ptr_equal(got.list[0].rule, r);
	assert_null(got.list[0].route);
	r->mark = r->mask = 1;
	only(3);
	fresh();
	ending(50, FR_ACT_NOP);
	ending(100, FR_ACT_GOTO)->target = 300;
	ending(200, FR_ACT_PROHIBIT);
	rule(300, 100);
	route(100, "0.0.0.0/0", 3);
	only(3);
	rules[1].target = 301; /* no such rule: the kernel goes on with the next one */
	routings_find(&got, &facts, &ask);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.list[0].rule->action, FR_ACT_PROHIBIT);
	rules[1].target = 300;
	rules[1].tos = 4; /* not known: either */
	routings_find(&got, &facts, &ask);
	assert_int_equal(got.count, 2);
	assert_true(leads(3));
}

static void suppressed_and_thrown_routes_do_not_count(void **state)
{
	struct facts_rule *r;

	(void)state;
	r = fork_at_100();
	r->suppress = 0; /* no default route of that table */
	only(4);
	route(100, "10.9.0.0/16", 3);
	only(3);
	fork_at_100();
	route(100, "10.9.0.0/16", 0)->type = RTN_THROW;
	only(4);
	r = fork_at_100();
	routes[0].type = RTN_BLACKHOLE; /* an end, which is never suppressed */
	r->suppress = 0;
	routings_find(&got, &facts, &ask);
	assert_int_equal(got.count, 1);
	assert_true(route_swallows(got.list[0].route));
}

static void routes_may_be_for_some_packets_only(void **state)
{
	(void)state;
	fresh();
	rule(32766, 254);
	route(254, "10.9.0.0/16", 3);
	route(254, "10.9.0.0/16", 4)->tos = 8;
	both(3, 4);
	fresh();
	rule(32766, 254)->family = 6;
	addr_parse(&ask.t.src, "2001:db8:1::1");
	addr_parse(&ask.t.dst, "2001:db8:9::1");
	route(254, "2001:db8:9::/48", 3);
	prefix_parse(&route(254, "2001:db8:9::/48", 4)->src, "2001:db8:1::/64");
	only(4);
	addr_parse(&ask.t.src, "2001:db8:2::1");
	only(3);
	rules[0].family = 4; /* those of IPv4 are not for it */
	only(0);
}

static void without_rules_each_table_counts(void **state)
{
	(void)state;
	fork_at_100();
	facts.rules4 = false;
	facts.rule_count = 0;
	routings_find(&got, &facts, &ask);
	assert_false(got.known);
	assert_int_equal(got.count, 2);
	fork_at_100();
	facts.cut = true;
	routings_find(&got, &facts, &ask);
	assert_false(got.known);
	/* A VRF has a table of its own: which one is not told. */
	fork_at_100()->l3mdev = true;
	only(4);
	links[1].master = 4;
	routings_find(&got, &facts, &ask);
	assert_false(got.known);
	assert_true(leads(3) && leads(4));
	ask.iif = "wan";
	only(4);
}

static void it_is_printed_as_ip_does(void **state)
{
	char text[ROUTING_TEXT_MAX];
	struct facts_rule *r;

	(void)state;
	r = fork_at_100();
	routing_rule_print(r, text);
	assert_string_equal(text, "100: from all lookup 100");
	routing_rule_print(r + 1, text);
	assert_string_equal(text, "32766: from all lookup main");
	prefix_parse(&r->from, "10.0.1.0/24");
	prefix_parse(&r->to, "10.9.0.1/32");
	name(r->iif, "lan");
	name(r->oif, "wan");
	r->mark = 1;
	r->mask = 3;
	r->invert = true;
	r->proto = 6;
	r->sport[0] = 10;
	r->sport[1] = 20;
	r->dport[0] = r->dport[1] = 443;
	r->suppress = 0;
	routing_rule_print(r, text);
	assert_string_equal(
		text,
		"100: not from 10.0.1.0/24 to 10.9.0.1 fwmark 0x1/0x3 iif lan oif wan ipproto tcp sport 10-20 dport 443 lookup 100 suppress_prefixlength 0");
	addr_parse(&routes[0].gateway, "198.18.0.2");
	routes[0].metric = 5;
	route_print(&facts, &routes[0], text);
	assert_string_equal(text, "default via 198.18.0.2 dev wan table 100 metric 5");
	routes[1].type = RTN_BLACKHOLE;
	route_print(&facts, &routes[1], text);
	assert_string_equal(text, "blackhole default table main");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_without_a_route_passes_on),
		cmocka_unit_test(the_longest_prefix_then_the_metric_decides),
		cmocka_unit_test(what_a_rule_asks_for_is_compared),
		cmocka_unit_test(what_is_not_known_leaves_both),
		cmocka_unit_test(rules_end_packets_and_jump),
		cmocka_unit_test(suppressed_and_thrown_routes_do_not_count),
		cmocka_unit_test(routes_may_be_for_some_packets_only),
		cmocka_unit_test(without_rules_each_table_counts),
		cmocka_unit_test(it_is_printed_as_ip_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
