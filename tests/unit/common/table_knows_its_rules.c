/*
 * iptables-save text is cut into the rules that the kernel numbers, and each rule says what NAT and verdicts need.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/table.h"

static void rules_have_the_kernel_s_numbers(void **state)
{
	static const char text[] =
		"*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:GUARD - [0:0]\n"
		"-A INPUT -i lo -j ACCEPT\n-A GUARD -s 10.0.0.0/8 -j RETURN\n-A INPUT -j GUARD\n-A GUARD -j DROP\nCOMMIT\n";
	const struct chain *c;
	struct table t;

	(void)state;
	assert_int_equal(table_parse(&t, text, strlen(text)), 0);
	assert_string_equal(t.name, "filter");
	c = table_chain(&t, "INPUT");
	assert_string_equal(c->policy, "DROP");
	assert_int_equal(c->rule_count, 2);
	assert_memory_equal(chain_rule(c, 2)->text, "-A INPUT -j GUARD", chain_rule(c, 2)->len);
	assert_null(chain_rule(c, 3));
	assert_null(chain_rule(c, 0));
	assert_string_equal(table_chain(&t, "GUARD")->policy, "-");
	assert_null(table_chain(&t, "NOPE"));
	table_clear(&t);
}

static void what_is_no_table_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"garbage\n",
		":INPUT ACCEPT [0:0]\nCOMMIT\n",
		"*filter\n-A INPUT -j DROP\nCOMMIT\n",
		"*filter\n*nat\nCOMMIT\n",
		"*filter\n:A - [0:0]\n:A - [0:0]\nCOMMIT\n",
		"*filter\n:A - [0:0]\nCOMMIT\n-A A -j DROP\n",
	};
	struct table t;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(table_parse(&t, texts[i], strlen(texts[i])), -EBADMSG);
}

static struct rule parse(const char *text)
{
	struct rule r;

	assert_int_equal(rule_parse(&r, text, strlen(text)), 0);
	return r;
}

static void a_rule_says_what_it_matches(void **state)
{
	struct rule r = parse(
		"-A FORWARD ! -s 10.0.0.0/8 -d 192.0.2.1/32 -i eth+ ! -o wan -p tcp -m multiport --dports 80,443,8000:8100 "
		"-m comment --comment \"a \\\"quoted\\\" -j DROP\" -j ACCEPT");

	(void)state;
	assert_true(r.src.negate && r.src.prefix.len == 8 && !r.dst.negate &&
		    r.dst.prefix.len == 32);
	assert_string_equal(r.in_if, "eth+");
	assert_true(r.out_negate);
	assert_int_equal(r.dport_count, 3);
	assert_int_equal(r.dports[2].from, 8000);
	assert_int_equal(r.dports[2].to, 8100);
	assert_string_equal(r.comment, "a \"quoted\" -j DROP");
	assert_string_equal(r.target, "ACCEPT");
	assert_false(r.other);
	r = parse("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
	assert_true(r.other);
	r = parse("-A INPUT -p udp -m udp ! --sport :1023 -g GUARD");
	assert_true(r.sport_negate && r.sports[0].from == 0 && r.sports[0].to == 1023 && r.is_goto);
	r = parse("-A FORWARD -p tcp -j REJECT --reject-with tcp-reset");
	assert_string_equal(r.reject_with, "tcp-reset");
	r = parse("-A FORWARD");
	assert_string_equal(r.target, "");
}

static void translations_are_read(void **state)
{
	static const struct {
		const char *text, *from, *until;
		uint16_t port_from, port_until;
	} cases[] = {
		{ "-A P -j DNAT --to-destination 10.0.3.2", "10.0.3.2", "10.0.3.2", 0, 0 },
		{ "-A P -j DNAT --to-destination 10.0.3.2:8443", "10.0.3.2", "10.0.3.2", 8443,
		  8443 },
		{ "-A P -j DNAT --to-destination 10.0.3.2-10.0.3.9:100-200 --random", "10.0.3.2",
		  "10.0.3.9", 100, 200 },
		{ "-A P -j DNAT --to-destination :8443", "", "", 8443, 8443 },
		{ "-A P -j DNAT --to-destination [2001:db8::1]:80", "2001:db8::1", "2001:db8::1",
		  80, 80 },
		{ "-A P -j DNAT --to-destination 2001:db8::1", "2001:db8::1", "2001:db8::1", 0, 0 },
		{ "-A P -j DNAT --to-destination [2001:db8::1-2001:db8::9]:80-90", "2001:db8::1",
		  "2001:db8::9", 80, 90 },
		{ "-A P -j SNAT --to-source 198.18.0.1:1024-2048 --persistent", "198.18.0.1",
		  "198.18.0.1", 1024, 2048 },
		{ "-A P -j REDIRECT --to-ports 3128", "", "", 3128, 3128 },
		{ "-A P -j MASQUERADE --to-ports 1024-65535", "", "", 1024, 65535 },
	};
	struct rule r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char from[ADDR_TEXT_MAX], until[ADDR_TEXT_MAX];

		r = parse(cases[i].text);
		addr_print(&r.to_from, from);
		addr_print(&r.to_until, until);
		assert_string_equal(from, cases[i].from[0] ? cases[i].from : "-");
		assert_string_equal(until, cases[i].until[0] ? cases[i].until : "-");
		assert_int_equal(r.to_port_from, cases[i].port_from);
		assert_int_equal(r.to_port_until, cases[i].port_until);
	}
	r = parse("-A P -d 192.0.2.0/24 -j NETMAP --to 10.0.5.0/24");
	assert_int_equal(r.to_net.len, 24);
}

static void text_inside_quotes_is_no_rule(void **state)
{
	static const char text[] =
		"*filter\n:INPUT ACCEPT [0:0]\n"
		"-A INPUT -m comment --comment \"one\nCOMMIT\n-A INPUT -j DROP \\\" two\" -j ACCEPT\n"
		"-A INPUT -i p\"><i> -j DROP\n-A INPUT -i q -m comment --comment \"x\" -j ACCEPT\nCOMMIT\n";
	const struct chain *c;
	struct table t;
	struct rule r;

	(void)state;
	assert_int_equal(table_parse(&t, text, strlen(text)), 0);
	c = table_chain(&t, "INPUT");
	assert_int_equal(c->rule_count, 3);
	assert_int_equal(rule_parse(&r, c->rules[0].text, c->rules[0].len), 0);
	assert_string_equal(r.comment, "one\nCOMMIT\n-A INPUT -j DROP \" two");
	assert_string_equal(r.target, "ACCEPT");
	assert_int_equal(rule_parse(&r, c->rules[1].text, c->rules[1].len), 0);
	assert_string_equal(r.in_if, "p\"><i>");
	assert_string_equal(r.target, "DROP");
	table_clear(&t);
}

static void values_that_look_like_options_are_values(void **state)
{
	struct rule r = parse("-A INPUT -m string --string \"-j\" --algo bm --to 65535 -j DROP");

	(void)state;
	assert_string_equal(r.target, "DROP");
	assert_true(r.other);
	r = parse("-A INPUT -m comment --comment -g -j DROP");
	assert_string_equal(r.target, "DROP");
	assert_string_equal(r.comment, "-g");
	assert_false(r.is_goto);
	r = parse("-A INPUT -j LOG --log-prefix -j --log-level 7");
	assert_string_equal(r.target, "LOG");
	r = parse("-A INPUT -j NFLOG --nflog-prefix \"-j DROP\" --nflog-group 3");
	assert_string_equal(r.target, "NFLOG");
}

static void two_lists_of_ports_are_not_one(void **state)
{
	struct rule r =
		parse("-A INPUT -p tcp -m tcp --dport 80 -m multiport --dports 80,443 -j ACCEPT");

	(void)state;
	assert_int_equal(r.dport_count, 1);
	assert_true(r.other);
}

static void hostile_text_is_refused_or_bounded(void **state)
{
	static char long_text[40000];
	struct rule r;

	(void)state;
	assert_true(rule_parse(&r, "-A X --comment \"open", 20) < 0);
	memset(long_text, 'a', sizeof(long_text));
	assert_true(rule_parse(&r, long_text, sizeof(long_text)) < 0);
	for (size_t i = 0; i + 2 < sizeof(long_text) / 40; i += 2)
		memcpy(long_text + i, "a ", 2);
	assert_true(rule_parse(&r, long_text, 1000) < 0);
}

static void fifty_thousand_rules_are_cut(void **state)
{
	enum { RULES = 50000 };
	char *text = malloc(RULES * 64 + 256);
	struct table t;
	size_t n;

	(void)state;
	n = (size_t)snprintf(text, 256, "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n");
	for (int i = 0; i < RULES; i++)
		n += (size_t)snprintf(text + n, 64, "-A PREROUTING -s 10.%d.%d.1/32 -j DROP\n",
				      i / 256, i % 256);
	n += (size_t)snprintf(text + n, 64, "COMMIT\n");
	assert_int_equal(table_parse(&t, text, n), 0);
	assert_int_equal(table_chain(&t, "PREROUTING")->rule_count, RULES);
	assert_memory_equal(chain_rule(table_chain(&t, "PREROUTING"), 257)->text,
			    "-A PREROUTING -s 10.1.0.1/32 -j DROP", 36);
	table_clear(&t);
	free(text);
}

static void a_table_of_nothing_but_chains_is_refused(void **state)
{
	char *text = malloc((TABLE_CHAINS_MAX + 1) * 16 + 64);
	struct table t;
	size_t n;

	(void)state;
	n = (size_t)snprintf(text, 16, "*filter\n");
	for (int i = 0; i <= TABLE_CHAINS_MAX; i++)
		n += (size_t)snprintf(text + n, 16, ":c%06d - \n", i);
	n += (size_t)snprintf(text + n, 16, "COMMIT\n");
	assert_int_equal(table_parse(&t, text, n), -EBADMSG);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_have_the_kernel_s_numbers),
		cmocka_unit_test(what_is_no_table_is_refused),
		cmocka_unit_test(a_rule_says_what_it_matches),
		cmocka_unit_test(translations_are_read),
		cmocka_unit_test(text_inside_quotes_is_no_rule),
		cmocka_unit_test(values_that_look_like_options_are_values),
		cmocka_unit_test(two_lists_of_ports_are_not_one),
		cmocka_unit_test(hostile_text_is_refused_or_bounded),
		cmocka_unit_test(fifty_thousand_rules_are_cut),
		cmocka_unit_test(a_table_of_nothing_but_chains_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
