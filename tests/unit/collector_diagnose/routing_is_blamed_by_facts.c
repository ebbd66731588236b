/*
 * What routing did to a packet is told with its rule, route or setting where the host's facts of that time bear it, and a command is
 * proposed only where they show that it helps.
 */
#include "fake.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

enum { SYN = 2 };

static struct facts_rule rules[8];
static uint64_t rt;

static struct facts_rule *policy(uint32_t priority, uint8_t action, uint32_t table_number)
{
	struct facts_rule *r = &rules[fake.facts[rt - 1].rule_count++];

	*r = (struct facts_rule){ .family = 4,
				  .action = action,
				  .priority = priority,
				  .table = table_number,
				  .suppress = -1 };
	return r;
}

/* eth0 to the client, eth1 to the server; its rules are those of every host. */
static void router(void)
{
	struct facts *f;

	rt = host("rt", "10.0.1.1/24");
	f = &fake.facts[rt - 1];
	fake.links[rt - 1][0].conf4 = fake.links[rt - 1][0].forward4 = true;
	fake.links[rt - 1][1] = (struct facts_link){ .ifindex = 3, .name = "eth1", .conf4 = true };
	f->link_count = 2;
	f->rules = rules;
	f->rules4 = true;
	policy(32766, FR_ACT_TO_TBL, RT_TABLE_MAIN);
	route(rt, "10.0.1.0/24", NULL);
	route(rt, "10.0.3.0/24", NULL);
	for (int i = 0; i < 2; i++) {
		fake.routes[rt - 1][i].table = RT_TABLE_MAIN;
		fake.routes[rt - 1][i].type = RTN_UNICAST;
		fake.routes[rt - 1][i].ifindex = 2 + i;
	}
}

static void again(void)
{
	fresh(NULL);
	router();
}

static struct journey *dies(const char *src, const char *reason)
{
	struct journey *j = journey(rt, 1000, 7, tcp(src, 40000, "10.0.3.2", 443), SYN, 1);
	char question[64];

	memcpy(j->in_if, "eth0", 5);
	j->out_if[0] = '\0';
	kernel_freed(j, reason, 0, 64);
	snprintf(question, sizeof(question), "tcp %s 10.0.3.2:443", src);
	ask(question);
	return j;
}

static bool told(const char *words)
{
	char *all = json_dumps(at("causes"), JSON_COMPACT);
	bool found = all && strstr(all, words);

	free(all);
	return found;
}

static void forwarding_is_an_interface_s(void **state)
{
	(void)state;
	router();
	fake.links[rt - 1][0].forward4 = false;
	dies("10.0.1.2", "IP_INADDRERRORS");
	assert_string_equal(text("causes.0.id"), "forwarding-disabled");
	assert_true(told("what comes in by eth0 (net.ipv4.conf.eth0.forwarding is 0)"));
	assert_string_equal(text("causes.0.fix.0"), "sysctl -w net.ipv4.conf.eth0.forwarding=1");
	/* The other interface's setting is not the packet's matter, and what the kernel says stands. */
	again();
	fake.links[rt - 1][1].forward4 = false;
	dies("10.0.1.2", "IP_INADDRERRORS");
	assert_string_equal(text("causes.0.id"), "forwarding-disabled");
	assert_false(told("is 0"));
	assert_int_equal(json_array_size(at("causes.0.fix")), 0);
	/* No route would take it: nothing is proposed. */
	again();
	fake.facts[rt - 1].forward4 = fake.links[rt - 1][0].forward4 = false;
	fake.facts[rt - 1].route_count = 1;
	dies("10.0.1.2", "IP_INADDRERRORS");
	assert_true(told("ip_forward is 0"));
	assert_int_equal(json_array_size(at("causes.0.fix")), 0);
}

static void facts_of_another_time_say_nothing(void **state)
{
	(void)state;
	router();
	fake.links[rt - 1][0].forward4 = false;
	fake.facts_told[rt - 1] =
		1001; /* just after: they may have changed before it, or behind it */
	dies("10.0.1.2", "IP_INADDRERRORS");
	assert_string_equal(text("causes.0.id"), "forwarding-disabled"); /* the kernel's own word */
	assert_false(told("is 0"));
	assert_int_equal(json_array_size(at("causes.0.fix")), 0);
	again();
	fake.facts_told[rt - 1] = 1001;
	fake.routes[rt - 1][1].type = RTN_BLACKHOLE;
	dies("10.0.1.2", "NOT_SPECIFIED");
	assert_string_equal(text("verdict"), "unknown");
}

static void the_filter_is_told_with_its_setting(void **state)
{
	(void)state;
	router();
	route(rt, "10.0.77.0/24", NULL);
	fake.routes[rt - 1][2].table = RT_TABLE_MAIN;
	fake.routes[rt - 1][2].type = RTN_UNICAST;
	fake.routes[rt - 1][2].ifindex = 3;
	fake.facts[rt - 1].rp_filter = 1;
	dies("10.0.77.7", "IP_RPFILTER");
	assert_string_equal(text("causes.0.id"), "rp-filter");
	assert_true(told("strict on eth0, and its route to 10.0.77.7 leads by eth1"));
	assert_string_equal(text("causes.0.fix.0"), "sysctl -w net.ipv4.conf.eth0.rp_filter=2");
	/* Without a route back loose mode refuses it as well. */
	again();
	fake.links[rt - 1][0].rp_filter = 1;
	dies("10.0.77.7", "IP_RPFILTER");
	assert_true(told("it has no route to 10.0.77.7"));
	assert_int_equal(json_array_size(at("causes.0.fix")), 0);
	/* What the facts say is not what the kernel did: only that is told. */
	again();
	dies("10.0.1.2", "IP_RPFILTER");
	assert_string_equal(text("causes.0.id"), "rp-filter");
	assert_false(told("strict"));
	assert_int_equal(json_array_size(at("causes.0.fix")), 0);
}

static void a_rule_that_ends_it_is_named(void **state)
{
	struct facts_rule *r;

	(void)state;
	router();
	rules[1] = rules[0];
	fake.facts[rt - 1].rule_count = 2;
	r = &rules[0];
	*r = (struct facts_rule){
		.family = 4, .action = FR_ACT_BLACKHOLE, .priority = 100, .suppress = -1
	};
	prefix_parse(&r->from, "10.0.1.0/24");
	dies("10.0.1.2", "NOT_SPECIFIED");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("confidence"), "inferred");
	assert_string_equal(text("causes.0.culprit.kind"), "routing-rule");
	assert_string_equal(text("causes.0.culprit.rule_text"), "100: from 10.0.1.0/24 blackhole");
	/* It asks for something that nobody knows: then it may have passed. */
	r->other = true;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	/* Another sender's packets are not for it. */
	r->other = false;
	prefix_parse(&r->from, "10.0.2.0/24");
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	/* The mark of a packet that the kernel freed is known. */
	prefix_parse(&r->from, "10.0.1.0/24");
	r->mark = r->mask = 1;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	fake.journeys[0].j.mark = 1;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
}

static void no_route_tells_who_was_asked(void **state)
{
	(void)state;
	router();
	fake.facts[rt - 1].route_count = 1;
	dies("10.0.1.2", "IP_INNOROUTES");
	assert_string_equal(text("causes.0.id"), "no-route");
	assert_true(told("no route that leads on by rule 32766: from all lookup main"));
	/* Lists that are not whole prove nothing. */
	fake.facts[rt - 1].cut = true;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("causes.0.id"), "no-route");
	assert_false(told("lookup main"));
	again();
	fake.routes[rt - 1][1].type = RTN_UNREACHABLE;
	dies("10.0.1.2", "IP_INNOROUTES");
	assert_true(told("a route of rt swallows it: unreachable 10.0.3.0/24 table main"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(forwarding_is_an_interface_s),        T(facts_of_another_time_say_nothing),
		T(the_filter_is_told_with_its_setting), T(a_rule_that_ends_it_is_named),
		T(no_route_tells_who_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
