/* How a rule of nftables may end a packet, and where it may send it, told from its text alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/statement.h"

static void ends_are_told(void **state)
{
	static const struct {
		const char *text;
		bool drops, unclear, always, counted;
	} cases[] = {
		{ "tcp dport 443 drop", true, false, false, false },
		{ "tcp dport 443 counter packets 7 bytes 9 drop", true, false, false, true },
		{ "tcp dport 443 counter drop", true, false, false, true },
		{ "tcp dport 443 counter name \"drop\" accept", false, false, false, false },
		{ "drop", true, false, true, false },
		{ "counter packets 1 bytes 40 accept", false, false, true, true },
		{ "counter goto rest", false, false, true, true },
		{ "counter jump drop", false, false, false, true },
		{ "reject with icmp port-unreachable", true, false, true, false },
		{ "tcp dport vmap { 22 : accept, 23 : drop }", true, false, false, false },
		{ "tcp dport vmap @ports", false, true, false, false },
		{ "ip saddr @drop accept", false, false, false, false },
		{ "tcp dport 25 queue to 3", false, true, false, false },
		{ "log prefix \"drop \" accept comment \"drop it\"", false, false, false, false },
		{ "log prefix \"drop", false, false, false, false },
		{ "ct state established accept comment \"drop\"", false, false, false, false },
		{ "limit rate over 5/second burst 5 packets drop", true, false, false, false },
		{ "xt target \"REJECT\"", false, true, false, false },
		{ "", false, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct statement_ends e = statement_ends(cases[i].text, strlen(cases[i].text));

		if (e.drops != cases[i].drops || e.unclear != cases[i].unclear ||
		    e.always != cases[i].always || e.counted != cases[i].counted)
			fail_msg("%s: drops %d unclear %d always %d counted %d", cases[i].text,
				 e.drops, e.unclear, e.always, e.counted);
	}
}

static void jumps_are_found_in_maps_too(void **state)
{
	static const char text[] = "tcp dport vmap { 22 : jump one, 23 : goto two, 24 : drop } "
				   "counter jump three comment \"jump four\"";
	char chain[CHAIN_NAME_MAX + 1];
	const char *at = text, *end = text + strlen(text);

	(void)state;
	assert_true(statement_jump(&at, end, chain));
	assert_string_equal(chain, "one");
	assert_true(statement_jump(&at, end, chain));
	assert_string_equal(chain, "two");
	assert_true(statement_jump(&at, end, chain));
	assert_string_equal(chain, "three");
	assert_false(statement_jump(&at, end, chain));
}

/* What a tunnel carries, and the header before the last, say nothing about the packet itself. */
static void only_the_packet_itself_must_match(void **state)
{
	static const char *const open[] = {
		"vxlan ip saddr 10.9.9.9 drop",
		"ip6 nexthdr ipv6-frag drop",
		"ip6 nexthdr hopopt drop",
		"ct original ip saddr 10.9.9.9 drop",
		"ip saddr != 10.9.9.9 drop",
		"ip saddr { 10.9.9.9 } drop",
		"ip saddr @s drop",
	};
	struct rule r;
	bool jump;

	(void)state;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		statement_translation(&r, &jump, open[i], strlen(open[i]));
		if (r.src.prefix.len || r.proto)
			fail_msg("%s", open[i]);
	}
}

static void log_lines_have_group_and_prefix(void **state)
{
	static const char grouped[] = "udp dport 9 log prefix \"group 9 \" group 7 snaplen 0 drop";
	static const char kernels[] = "log prefix \"group 7\" level warn accept";
	struct log_words w;

	(void)state;
	assert_true(statement_log(&w, grouped, sizeof(grouped) - 1));
	assert_int_equal(w.group, 7);
	assert_int_equal(w.prefix_len, strlen("group 9 "));
	assert_memory_equal(w.prefix, "group 9 ", w.prefix_len);
	assert_false(statement_log(&w, kernels, sizeof(kernels) - 1));
	assert_false(statement_log(&w, "meta mark 7 accept", 18));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_are_told),
		cmocka_unit_test(jumps_are_found_in_maps_too),
		cmocka_unit_test(only_the_packet_itself_must_match),
		cmocka_unit_test(log_lines_have_group_and_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
