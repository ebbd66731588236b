/*
 * One parser for flags, the short form and pasted lines: each reads to the same flow, prints to flags that read
 * back, and what is wrong is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/flow.h"

static void every_notation_means_the_same(void **state)
{
	static const struct {
		const char *text, *flags;
	} cases[] = {
		{ "tcp 10.0.1.2 10.0.3.2:443", "-p tcp -s 10.0.1.2 -d 10.0.3.2 --dport 443" },
		{ "tcp 10.0.1.2 -> 10.0.3.2:443", "-p tcp -s 10.0.1.2 -d 10.0.3.2 --dport 443" },
		{ "tcp 10.0.1.2:51240 10.0.3.2:443",
		  "-p tcp -s 10.0.1.2 -d 10.0.3.2 --sport 51240 --dport 443" },
		{ "--dport 443 --destination 10.0.3.2 --source 10.0.1.2 --protocol tcp",
		  "-p tcp -s 10.0.1.2 -d 10.0.3.2 --dport 443" },
		{ "-p tcp -m tcp -s 10.0.1.0/24 ! -d 10.0.3.2 --dport 8000:8100",
		  "-p tcp -s 10.0.1.0/24 ! -d 10.0.3.2 --dport 8000:8100" },
		{ "--not -s 10.0.1.2 -i eth+", "! -s 10.0.1.2 -i eth+" },
		{ "udp dport 53", "-p udp --dport 53" },
		{ "udp 2001:db8::2 [2001:db8::1]:53",
		  "-p udp -s 2001:db8::2 -d 2001:db8::1 --dport 53" },
		{ "icmp 10.0.1.2 10.0.3.2", "-p icmp -s 10.0.1.2 -d 10.0.3.2" },
		{ "-p icmp -d 2001:db8::1 --icmp-type echo-request",
		  "-p icmpv6 -d 2001:db8::1 --icmp-type 128" },
		{ "06:52:07.113 IP 10.1.0.2.51240 > 10.1.0.1.443: Flags [S], seq 1, win 64240",
		  "-p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 51240 --dport 443" },
		{ "06:52:07.113 IP6 2001:db8::2.53 > 2001:db8::1.4444: UDP, length 3",
		  "-p udp -s 2001:db8::2 -d 2001:db8::1 --sport 53 --dport 4444" },
		{ "12:00:00.1 IP 10.0.1.2 > 10.0.3.2: ICMP echo request, id 5, seq 1",
		  "-p icmp -s 10.0.1.2 -d 10.0.3.2 --icmp-id 5" },
		{ "tcp      6 117 SYN_SENT src=10.0.1.2 dst=10.0.3.2 sport=4000 dport=443 [UNREPLIED] src=1.2.3.4 dst=5.6.7.8 sport=1 dport=2",
		  "-p tcp -s 10.0.1.2 -d 10.0.3.2 --sport 4000 --dport 443" },
		{ "drop: IN=lan OUT=wan MAC= SRC=10.0.1.2 DST=10.0.3.2 LEN=60 TTL=63 ID=1 PROTO=TCP SPT=4000 DPT=443 SYN",
		  "-p tcp -s 10.0.1.2 -d 10.0.3.2 --sport 4000 --dport 443" },
		{ "--protocol=udp --dport=domain", "-p udp --dport 53" },
		{ "tcp 10.0.1.2 10.0.3.2:https", "-p tcp -s 10.0.1.2 -d 10.0.3.2 --dport 443" },
		{ "-p tcp --sport 1024: --dport :1023",
		  "-p tcp --sport 1024:65535 --dport 0:1023" },
		{ "-6 udp dport 53", "-6 -p udp --dport 53" },
		{ "--icmp-type echo-request -p icmp -d 2001:db8::1",
		  "-p icmpv6 -d 2001:db8::1 --icmp-type 128" },
		{ "tcp 10.1.0.2:51240 → 10.1.0.1:443 · 3 SYN, no reply · last 06:52:07",
		  "-p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 51240 --dport 443" },
		{ "06:52:07.113456 eth0  In  IP 10.1.0.2.51240 > 10.1.0.1.https: Flags [S], seq 1",
		  "-p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 51240 --dport 443" },
		{ "10.1.0.2.51240 > 10.1.0.1.443: Flags [S], seq 1",
		  "-p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 51240 --dport 443" },
		{ "06:52:07.1 02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype IPv4 (0x0800), length 74: 10.1.0.2.5 > 10.1.0.1.443: Flags [S], seq 1",
		  "-p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 5 --dport 443" },
		{ "06:52:07.1 IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 60)\n    10.1.0.2.5 > 10.1.0.1.443: Flags [S]",
		  "-p tcp -s 10.1.0.2 -d 10.1.0.1 --sport 5 --dport 443" },
		{ "06:52:07.113 IP 10.1.0.2.40000 > 10.1.0.1.53: 12345+ A? example.com. (29)",
		  "-p udp -s 10.1.0.2 -d 10.1.0.1 --sport 40000 --dport 53" },
		{ "06:52:07.113 IP 10.1.0.1 > 10.1.0.2: ICMP 10.1.0.1 udp port 53 unreachable, length 36",
		  "-p icmp -s 10.1.0.1 -d 10.1.0.2" },
		{ "12:00:00.1 IP6 2001:db8::2 > 2001:db8::1: ICMP6, echo request, id 7, seq 1, length 64",
		  "-p icmpv6 -s 2001:db8::2 -d 2001:db8::1 --icmp-id 7" },
		{ "ipv6     10 tcp      6 431999 ESTABLISHED src=2001:db8::2 dst=2001:db8::1 sport=4000 dport=443 src=2001:db8::1 dst=2001:db8::2 sport=443 dport=4000 [ASSURED] mark=0 use=1",
		  "-p tcp -s 2001:db8::2 -d 2001:db8::1 --sport 4000 --dport 443" },
		{ "    [NEW] icmp     1 30 src=10.0.1.2 dst=10.0.3.2 type=8 code=0 id=77 [UNREPLIED] src=10.0.3.2 dst=10.0.1.2 type=0 code=0 id=77",
		  "-p icmp -s 10.0.1.2 -d 10.0.3.2 --icmp-id 77" },
		{ "IN=lan OUT=wan SRC=10.0.1.2 DST=10.0.3.2 LEN=84 TOS=0x00 PREC=0x00 TTL=63 ID=9 DF PROTO=ICMP TYPE=8 CODE=0 ID=5 SEQ=1",
		  "-p icmp -s 10.0.1.2 -d 10.0.3.2 --icmp-id 5" },
		{ "IN=wan OUT= SRC=10.0.3.2 DST=10.0.1.2 LEN=56 TTL=63 ID=9 PROTO=ICMP TYPE=3 CODE=3 [SRC=10.0.1.2 DST=10.0.3.2 LEN=28 TTL=1 ID=4 PROTO=UDP SPT=4 DPT=53 LEN=8 ]",
		  "-p icmp -s 10.0.3.2 -d 10.0.1.2" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *argv[] = { cases[i].text };
		char text[FLOW_TEXT_MAX], again[FLOW_TEXT_MAX];
		const char *back[] = { text };
		struct why why = { "" };
		struct flow f;

		if (flow_parse(&f, 1, argv, &why) < 0)
			fail_msg("%s: %s", cases[i].text, why.text);
		flow_print(&f, text);
		assert_string_equal(text, cases[i].flags);
		assert_int_equal(flow_parse(&f, 1, back, &why), 0);
		flow_print(&f, again);
		assert_string_equal(text, again);
	}
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *named;
	} cases[] = {
		{ "tcp 10.0.1.999 10.0.3.2", "10.0.1.999" },
		{ "-p nonsense", "nonsense" },
		{ "-s", "-s" },
		{ "-s 10.0.0.1 -s 10.0.0.2", "10.0.0.2" },
		{ "--dport 70000", "70000" },
		{ "--dport 9:3", "9:3" },
		{ "-s 10.0.0.1 -d 2001:db8::1", "2001:db8::1" },
		{ "-p icmp --dport 80", "ports" },
		{ "-x 3", "-x" },
		{ "-p icmpv6 -s 10.0.0.1", "icmpv6" },
		{ "-6 -s 10.0.0.1", "10.0.0.1" },
		{ "-p tcp !", "!" },
		{ "-p icmp --icmp-type pung", "pung" },
		{ "-p \033[31mx", "[31mx" },
		{ "! 10.0.0.1", "10.0.0.1" },
		{ "--dport :", ":" },
		{ "", "no flow" },
		{ "tcp 10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.3" },
		{ "-i averyveryverylongname", "averyveryverylongname" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *argv[] = { cases[i].text };
		struct why why = { "" };
		struct flow f;

		assert_true(flow_parse(&f, 1, argv, &why) < 0);
		if (!strstr(why.text, cases[i].named))
			fail_msg("%s: %s", cases[i].text, why.text);
	}
}

static struct tuple tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = 6 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	return t;
}

static bool has(const char *text, struct tuple t)
{
	const char *argv[] = { text };
	struct flow f;

	assert_int_equal(flow_parse(&f, 1, argv, NULL), 0);
	return flow_has(&f, &t);
}

static void it_matches_one_direction(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);

	(void)state;
	assert_true(has("tcp 10.0.1.2 10.0.3.2:443", t));
	assert_false(has("tcp 10.0.3.2 10.0.1.2:443", t));
	assert_false(has("udp 10.0.1.2 10.0.3.2:443", t));
	assert_true(has("-s 10.0.0.0/16", t));
	assert_false(has("! -s 10.0.0.0/16", t));
	assert_true(has("! -s 10.9.0.0/16", t));
	assert_true(has("--dport 440:450", t));
	assert_false(has("! --dport 440:450", t));
	assert_false(has("-p icmp -s 10.0.1.2", t));
}

static void a_lease_keeps_an_address_or_port(void **state)
{
	static const char *const refused[] = { "-p tcp", "! -s 10.0.0.1", "-i eth0 -p udp",
					       "--dport 1000:2000" };
	struct pattern p[FLOW_PATTERNS_MAX];
	struct flow f;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const char *argv[] = { refused[i] };
		struct why why = { "" };

		assert_int_equal(flow_parse(&f, 1, argv, NULL), 0);
		assert_true(flow_patterns(&f, p, &n, &why) < 0);
		assert_true(why.text[0]);
	}
	assert_int_equal(flow_parse(&f, 1, (const char *[]){ "tcp 10.0.1.2 10.0.3.2:443" }, NULL),
			 0);
	assert_int_equal(flow_patterns(&f, p, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(p[0].dport, 443);
	assert_int_equal(p[0].src.len, 32);
}

static void a_lease_means_all_that_is_not_named(void **state)
{
	static const struct {
		const char *flow;
		struct {
			uint8_t family, proto;
		} patterns[FLOW_PATTERNS_MAX];
	} known[] = {
		{ "--dport 53", { { 4, 6 }, { 4, 17 }, { 6, 6 }, { 6, 17 } } },
		{ "-p udp --dport 53", { { 4, 17 }, { 6, 17 } } },
		{ "-d 10.0.3.2 --dport 53", { { 4, 6 }, { 4, 17 } } },
		{ "-d 2001:db8::2", { { 6, 0 } } },
		{ "-p icmp -d 10.0.3.2", { { 4, 1 } } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct pattern p[FLOW_PATTERNS_MAX];
		struct flow f;
		size_t n;

		assert_int_equal(flow_parse(&f, 1, &known[i].flow, NULL), 0);
		assert_int_equal(flow_patterns(&f, p, &n, NULL), 0);
		for (size_t k = 0; k < n; k++) {
			assert_true(pattern_valid(&p[k]));
			assert_int_equal(p[k].family, known[i].patterns[k].family);
			assert_int_equal(p[k].proto, known[i].patterns[k].proto);
		}
		assert_true(n == FLOW_PATTERNS_MAX || !known[i].patterns[n].family);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_notation_means_the_same),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(it_matches_one_direction),
		cmocka_unit_test(a_lease_keeps_an_address_or_port),
		cmocka_unit_test(a_lease_means_all_that_is_not_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
