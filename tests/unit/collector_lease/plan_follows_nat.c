/*
 * A lease's patterns follow what every host could make of the flow, and never widen to everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "collector/lease/plan.h"

struct fleet {
	struct table nat[2];
	struct facts facts[2];
	struct facts_link links[2][2];
	struct facts_addr addrs[2][2];
	struct plan_host hosts[2];
	struct pattern out[PATTERNS_MAX];
	size_t count;
	bool cut;
};

static void address(struct fleet *f, int h, int i, const char *name, const char *text)
{
	f->links[h][i].ifindex = i + 1;
	memcpy(f->links[h][i].name, name, strlen(name) + 1);
	f->addrs[h][i].ifindex = i + 1;
	assert_true(prefix_parse(&f->addrs[h][i].addr, text));
	f->facts[h].link_count = f->facts[h].addr_count = (uint32_t)i + 1;
}

/* gw masquerades to wan, rt publishes 203.0.113.10:443 as 10.0.3.2:8443. */
static int make(void **state)
{
	static const char *const texts[2] = {
		"*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n",
		"*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:PUB - [0:0]\n-A PREROUTING -j PUB\n"
		"-A PUB -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443\nCOMMIT\n",
	};
	struct fleet *f = calloc(1, sizeof(*f));

	for (int i = 0; i < 2; i++) {
		assert_int_equal(table_parse(&f->nat[i], texts[i], strlen(texts[i])), 0);
		f->facts[i].links = f->links[i];
		f->facts[i].addrs = f->addrs[i];
		f->hosts[i] = (struct plan_host){
			i ? "rt" : "gw", &f->facts[i], { { &f->nat[i] } }, false
		};
	}
	address(f, 0, 0, "lan", "10.0.1.1/24");
	address(f, 0, 1, "wan", "198.18.0.1/24");
	address(f, 1, 0, "wan", "198.18.0.2/24");
	*state = f;
	return 0;
}

static int unmake(void **state)
{
	struct fleet *f = *state;

	table_clear(&f->nat[0]);
	table_clear(&f->nat[1]);
	free(f);
	return 0;
}

static void plan(struct fleet *f, const char *text, const struct conn *conns, size_t n)
{
	const char *argv[] = { text };
	struct pattern named[FLOW_PATTERNS_MAX];
	struct flow flow;
	size_t count;

	assert_int_equal(flow_parse(&flow, 1, argv, NULL), 0);
	assert_int_equal(flow_patterns(&flow, named, &count, NULL), 0);
	assert_int_equal(plan_patterns(named, count, f->hosts, 2, conns, n, f->out, &f->count,
				       &f->cut),
			 0);
}

static bool selects(const struct fleet *f, const char *src, uint16_t sport, const char *dst,
		    uint16_t dport)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = 6 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	for (size_t i = 0; i < f->count; i++) {
		if (pattern_has(&f->out[i], &t))
			return true;
	}
	return false;
}

static void both_translations_are_followed(void **state)
{
	struct fleet *f = *state;

	plan(f, "tcp 10.0.1.2 203.0.113.10:443", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 40000, "203.0.113.10", 443));
	assert_true(selects(f, "198.18.0.1", 50000, "203.0.113.10", 443));
	assert_true(selects(f, "198.18.0.1", 50000, "10.0.3.2", 8443));
	assert_true(selects(f, "10.0.3.2", 8443, "198.18.0.1", 50000));   /* the answer */
	assert_false(selects(f, "10.0.1.1", 50000, "203.0.113.10", 443)); /* not wan's address */
	assert_false(selects(f, "10.0.1.9", 40000, "203.0.113.10", 443));
	assert_false(selects(f, "198.18.0.1", 50000, "10.0.3.2", 22));
	assert_false(f->cut);
}

static void a_rule_that_cannot_match_adds_nothing(void **state)
{
	struct fleet *f = *state;

	plan(f, "udp 10.0.1.2 203.0.113.10:443", NULL, 0);
	assert_int_equal(f->count, 2); /* named and masqueraded */
	plan(f, "tcp 10.0.1.2 203.0.113.10:80", NULL, 0);
	assert_false(selects(f, "198.18.0.1", 1, "10.0.3.2", 8443));
}

static void the_server_s_view_leads_back(void **state)
{
	struct fleet *f = *state;

	plan(f, "tcp 10.0.1.2 10.0.3.2:8443", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 40000, "203.0.113.10", 443));
}

static void connections_are_followed_exactly(void **state)
{
	struct fleet *f = *state;
	struct conn c = { 0 };

	c.orig = (struct tuple){ .sport = 40000, .dport = 25, .proto = 6 };
	addr_parse(&c.orig.src, "10.0.1.2");
	addr_parse(&c.orig.dst, "192.0.2.9");
	c.reply = (struct tuple){ .sport = 2525, .dport = 61000, .proto = 6 };
	addr_parse(&c.reply.src, "192.0.2.77");
	addr_parse(&c.reply.dst, "192.0.2.1");
	plan(f, "tcp 10.0.1.2 192.0.2.9:25", &c, 1);
	assert_true(selects(f, "192.0.2.1", 61000, "192.0.2.77", 2525));
	assert_false(selects(f, "192.0.2.1", 61001, "192.0.2.77", 2525));
}

static void it_never_matches_everything(void **state)
{
	struct fleet *f = *state;

	plan(f, "tcp dport 443", NULL, 0);
	for (size_t i = 0; i < f->count; i++)
		assert_true(pattern_valid(&f->out[i]));
	assert_false(selects(f, "10.9.9.9", 1, "10.9.9.8", 22));
	assert_true(selects(f, "10.9.9.9", 1, "10.0.3.2", 8443));
}

/* Puts another table nat in the place of a host's. */
static void change(struct fleet *f, int h, const char *text)
{
	table_clear(&f->nat[h]);
	assert_int_equal(table_parse(&f->nat[h], text, strlen(text)), 0);
}

static void only_chains_that_it_can_reach_count(void **state)
{
	struct fleet *f = *state;

	change(f, 1,
	       "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n"
	       ":KUBE-SVC-A - [0:0]\n:KUBE-SVC-B - [0:0]\n:KUBE-SEP-A1 - [0:0]\n:KUBE-SEP-A2 - [0:0]\n"
	       ":KUBE-SEP-B1 - [0:0]\n:LOOP - [0:0]\n"
	       "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
	       "-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment \"a/a:web\" -m tcp --dport 80 -j KUBE-SVC-A\n"
	       "-A KUBE-SERVICES -d 10.96.0.11/32 -p tcp -m comment --comment \"b/b:web\" -m tcp --dport 80 -j KUBE-SVC-B\n"
	       "-A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A1\n"
	       "-A KUBE-SVC-A -j KUBE-SEP-A2\n-A KUBE-SVC-A -j LOOP\n-A LOOP -g KUBE-SVC-A\n"
	       "-A KUBE-SVC-B -j KUBE-SEP-B1\n"
	       "-A KUBE-SEP-A1 -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:8080\n"
	       "-A KUBE-SEP-A2 -p tcp -m tcp -j DNAT --to-destination 10.244.2.5:8080\n"
	       "-A KUBE-SEP-B1 -p tcp -m tcp -j DNAT --to-destination 10.244.3.5:9090\nCOMMIT\n");
	plan(f, "tcp 10.0.1.2 10.96.0.10:80", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 1, "10.244.1.5", 8080));
	assert_true(selects(f, "198.18.0.1", 1, "10.244.2.5", 8080));
	assert_false(selects(f, "10.0.1.2", 1, "10.244.3.5", 9090));
	assert_false(f->cut);
}

static void a_rule_that_surely_ends_the_chain_hides_the_rest(void **state)
{
	struct fleet *f = *state;

	change(f, 0,
	       "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.0.0.0/8 -d 10.0.0.0/8 -j RETURN\n"
	       "-A POSTROUTING -m mark --mark 0x1 -j ACCEPT\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n");
	plan(f, "tcp 10.0.1.2 10.0.9.9:80", NULL, 0);
	assert_int_equal(f->count, 1);
	plan(f, "tcp 10.0.1.2 192.0.2.9:80", NULL, 0);
	assert_true(selects(f, "198.18.0.1", 1, "192.0.2.9", 80));
}

static void every_kind_of_translation_is_followed(void **state)
{
	struct fleet *f = *state;

	change(f, 1,
	       "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
	       "-A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 10.7.7.0/24\n"
	       "-A PREROUTING -d 203.0.113.1/32 -p tcp -m tcp --dport 25 -j DNAT --to-destination 10.8.0.7-10.8.0.9\n"
	       "-A PREROUTING -d 203.0.113.2/32 -p tcp -m tcp --dport 25 -j DNAT --to-destination 10.8.16.1-10.8.16.254\n"
	       "-A PREROUTING -i wan -p tcp -m tcp --dport 3128 -j REDIRECT --to-ports 3129\n"
	       "-A OUTPUT -p tcp -m tcp --dport 8000 -j REDIRECT --to-ports 8001\n"
	       "-A POSTROUTING -s 10.5.0.0/16 -j SNAT --to-source 198.51.100.5-198.51.100.6\nCOMMIT\n");
	plan(f, "tcp 10.6.0.1 192.0.2.33:22", NULL, 0);
	assert_true(selects(f, "10.6.0.1", 1, "10.7.7.33", 22));
	assert_false(selects(f, "10.6.0.1", 1, "10.7.7.34", 22));
	plan(f, "tcp 10.6.0.1 203.0.113.1:25", NULL, 0);
	assert_true(selects(f, "10.6.0.1", 1, "10.8.0.7", 25));
	assert_true(selects(f, "10.6.0.1", 1, "10.8.0.9", 25));
	assert_false(selects(f, "10.6.0.1", 1, "10.8.0.10", 25));
	plan(f, "tcp 10.6.0.1 203.0.113.2:25", NULL, 0);
	assert_true(selects(f, "10.6.0.1", 1, "10.8.16.200", 25));
	assert_false(selects(f, "10.6.0.1", 1, "10.8.17.1", 25));
	assert_false(f->cut);
	plan(f, "tcp 10.6.0.1 8.8.8.8:3128", NULL, 0);
	assert_true(selects(f, "10.6.0.1", 1, "198.18.0.2", 3129));
	plan(f, "tcp 10.6.0.1 8.8.8.8:8000", NULL, 0);
	assert_true(selects(f, "10.6.0.1", 1, "127.0.0.1", 8001));
	plan(f, "tcp 10.5.0.1 8.8.8.8:80", NULL, 0);
	assert_true(selects(f, "198.51.100.6", 1, "8.8.8.8", 80));
	plan(f, "-s 10.6.0.1", NULL, 0); /* what the rule takes of it */
	assert_true(selects(f, "10.6.0.1", 1, "10.8.0.7", 25));
	assert_false(selects(f, "10.6.9.9", 1, "10.8.0.7", 25));
}

static void too_many_are_cut_and_said(void **state)
{
	struct fleet *f = *state;
	char *text = malloc(1 << 16);
	size_t n = (size_t)snprintf(text, 64, "*nat\n:PREROUTING ACCEPT [0:0]\n");

	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, 128,
				      "-A PREROUTING -m statistic --mode random --probability 0.1 "
				      "-j DNAT --to-destination 10.200.0.%d\n",
				      i + 1);
	snprintf(text + n, 16, "COMMIT\n");
	change(f, 1, text);
	free(text);
	plan(f, "tcp 10.0.1.2 203.0.113.10:443", NULL, 0);
	assert_true(f->cut);
	assert_int_equal(f->count, PATTERNS_MAX);
	assert_true(selects(f, "10.0.1.2", 1, "203.0.113.10", 443));
}

/* A cluster of 20,000 services on one host: seconds would be minutes for a fleet. */
static void large_tables_are_walked_once_per_pattern(void **state)
{
	enum { SERVICES = 20000 };
	struct fleet *f = *state;
	char *text = malloc(SERVICES * 320 + 256);
	struct timespec from, until;
	size_t n;

	n = (size_t)snprintf(text, 256, "*nat\n:PREROUTING ACCEPT [0:0]\n:SERVICES - [0:0]\n");
	for (int i = 0; i < SERVICES; i++)
		n += (size_t)snprintf(text + n, 64, ":SVC%d - [0:0]\n", i);
	n += (size_t)snprintf(text + n, 64, "-A PREROUTING -j SERVICES\n");
	for (int i = 0; i < SERVICES; i++)
		n += (size_t)snprintf(
			text + n, 128,
			"-A SERVICES -d 10.96.%d.%d/32 -p tcp -m tcp --dport 80 -j SVC%d\n",
			i / 250, i % 250 + 1, i);
	for (int i = 0; i < SERVICES; i++)
		n += (size_t)snprintf(
			text + n, 128,
			"-A SVC%d -p tcp -m tcp -j DNAT --to-destination 10.128.%d.%d:8080\n", i,
			i / 250, i % 250 + 1);
	snprintf(text + n, 16, "COMMIT\n");
	change(f, 1, text);
	free(text);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	plan(f, "tcp 10.0.1.2 10.96.7.8:80", NULL, 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &until);
	assert_true(selects(f, "198.18.0.1", 1, "10.128.7.8", 8080));
	assert_false(selects(f, "198.18.0.1", 1, "10.128.7.9", 8080));
	assert_false(f->cut);
	assert_true(until.tv_sec - from.tv_sec < 5);
}

static void every_firewall_of_a_host_translates(void **state)
{
	static const char native[] =
		"table inet fw {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\n"
		"\tchain pre {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n"
		"\t\tip daddr 192.0.2.1 tcp dport 80 counter dnat ip to 10.0.3.4:8080\n"
		"\t\tct original ip saddr 192.0.2.2 ip daddr 192.0.2.3 jump deep comment \"ip daddr 192.0.2.9\"\n"
		"\t\tip daddr != 192.0.2.3 tcp dport 90-99 dnat ip to 10.0.3.6-10.0.3.7\n"
		"\t\tip daddr @s dnat ip to tcp dport map { 70 : 10.0.3.9 }\n"
		"\t\tmeta nfproto ipv6 tcp dport 80 dnat ip6 to [fd00::5]:8080\n\t}\n\n"
		"\tchain deep {\n\t\tmeta l4proto tcp redirect to :22\n\t}\n\n"
		"\tchain post {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
		"\t\tiifname \"lan\" oifname \"w*\" masquerade\n\t}\n\n"
		"\tchain filter {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
	struct fleet *f = *state;
	struct table t;

	assert_int_equal(table_parse_nft(&t, native, sizeof(native) - 1), 0);
	change(f, 0, "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n");
	f->hosts[0].nat[0][1] = &t;
	f->hosts[0].nat[1][0] = &t;
	plan(f, "tcp 10.0.1.2 192.0.2.1:80", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 1, "10.0.3.4", 8080));
	assert_true(selects(f, "198.18.0.1", 1, "10.0.3.4", 8080));
	assert_false(selects(f, "10.0.1.1", 1, "10.0.3.4", 8080)); /* not an address of w* */
	plan(f, "tcp 10.0.1.2 203.0.113.10:443", NULL, 0); /* by the other host's legacy table */
	assert_true(selects(f, "198.18.0.1", 1, "10.0.3.2", 8443));
	plan(f, "tcp 10.0.1.2 192.0.2.3:2222", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 1, "10.0.1.1", 22));
	assert_false(selects(f, "10.0.1.2", 1, "10.0.3.4", 8080));
	plan(f, "tcp 10.0.1.2 192.0.2.4:95", NULL, 0);
	assert_true(selects(f, "10.0.1.2", 1, "10.0.3.7", 95));
	plan(f, "tcp 2001:db8::2 [fd00::2]:80", NULL, 0);
	assert_true(selects(f, "2001:db8::2", 1, "fd00::5", 8080));
	assert_false(f->cut);
	f->hosts[0].more = true;
	plan(f, "tcp 10.0.1.2 192.0.2.4:95", NULL, 0);
	assert_true(f->cut);
	table_clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
		T(both_translations_are_followed),
		T(a_rule_that_cannot_match_adds_nothing),
		T(the_server_s_view_leads_back),
		T(connections_are_followed_exactly),
		T(it_never_matches_everything),
		T(only_chains_that_it_can_reach_count),
		T(a_rule_that_surely_ends_the_chain_hides_the_rest),
		T(every_kind_of_translation_is_followed),
		T(every_firewall_of_a_host_translates),
		T(too_many_are_cut_and_said),
		T(large_tables_are_walked_once_per_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
