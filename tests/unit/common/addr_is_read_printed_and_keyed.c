/*
 * Addresses, prefixes, tuples and times print as they were read; a flow has one key in both directions, and the key is the
 * same on every machine, since it is stored.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/addr.h"
#include "common/clock.h"

static struct addr addr(const char *text)
{
	struct addr a;

	assert_true(addr_parse(&a, text));
	return a;
}

static void addresses_print_as_they_were_read(void **state)
{
	const char *good[] = { "0.0.0.0", "10.0.1.2",    "255.255.255.255", "::",
			       "::1",     "2001:db8::1", "fe80::1:2:3:4" };
	const char *bad[] = { "",         "10.0.1", "10.0.1.256", "1.2.3.4 ",
			      "2001:db8", "::g",    "10.0.1.2/8", "-" };
	char out[ADDR_TEXT_MAX];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		a = addr(good[i]);
		addr_print(&a, out);
		assert_string_equal(out, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(addr_parse(&a, bad[i]));
		assert_int_equal(a.family, 0);
	}
	addr_print(&a, out);
	assert_string_equal(out, "-");
	a = addr("127.9.9.9");
	assert_true(addr_is_loopback(&a));
	a = addr("::1");
	assert_true(addr_is_loopback(&a));
	a = addr("::2");
	assert_false(addr_is_loopback(&a));
	a = addr("169.254.1.1");
	assert_true(addr_is_link_local(&a));
	a = addr("febf::1");
	assert_true(addr_is_link_local(&a));
	a = addr("fec0::1");
	assert_false(addr_is_link_local(&a));
	a = addr("239.1.1.1");
	assert_true(addr_is_multicast(&a));
	a = addr("255.255.255.255");
	assert_true(addr_is_multicast(&a));
	a = addr("ff02::1");
	assert_true(addr_is_multicast(&a));
	a = addr("240.0.0.1");
	assert_false(addr_is_multicast(&a));
}

static void prefixes_select_by_their_bits(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool has;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.9.9.9/8", "10.1.1.1", true },
		{ "10.0.0.0/255.0.0.0", "10.1.1.1", true },
		{ "10.0.0.1", "10.0.0.1", true },
		{ "10.0.0.1", "10.0.0.2", false },
		{ "10.0.0.0/9", "10.127.0.1", true },
		{ "10.0.0.0/9", "10.128.0.1", false },
		{ "10.0.0.0/31", "10.0.0.1", true },
		{ "10.0.0.0/31", "10.0.0.2", false },
		{ "0.0.0.0/0", "9.9.9.9", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "2001:db8::/127", "2001:db8::1", true },
	};
	const char *bad[] = {
		"10.0.0.0/33",          "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x",
		"10.0.0.0/255.0.255.0", "::/129",      "/8",        "2001:db8::1/255.255.0.0",
		"10.0.0.0/ffff::"
	};
	char out[ADDR_TEXT_MAX + 4];
	struct prefix p;
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(prefix_parse(&p, cases[i].prefix));
		a = addr(cases[i].addr);
		assert_int_equal(prefix_has(&p, &a), cases[i].has);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(prefix_parse(&p, bad[i]));
	assert_true(prefix_parse(&p, "10.0.0.0/255.255.0.0"));
	prefix_print(&p, out);
	assert_string_equal(out, "10.0.0.0/16");
	assert_true(prefix_parse(&p, "2001:db8::1/128"));
	prefix_print(&p, out);
	assert_string_equal(out, "2001:db8::1");
}

static void protocols_have_names(void **state)
{
	char number[4];
	uint8_t proto;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		assert_true(proto_parse(&proto, proto_name((uint8_t)i, number)));
		assert_int_equal(proto, i);
	}
	assert_true(proto_parse(&proto, "IPv6-ICMP"));
	assert_int_equal(proto, IPPROTO_ICMPV6);
	assert_false(proto_parse(&proto, "256"));
	assert_false(proto_parse(&proto, "tcpx"));
	assert_false(proto_parse(&proto, ""));
}

static struct tuple tuple(const char *src, uint16_t sport, const char *dst, uint16_t dport,
			  uint8_t proto)
{
	return (struct tuple){
		.src = addr(src), .dst = addr(dst), .sport = sport, .dport = dport, .proto = proto
	};
}

/* The keys are on disk: a change of these numbers loses every flow that was stored before. */
static void flow_keys_are_stored(void **state)
{
	const struct {
		struct tuple t;
		uint64_t key;
	} known[] = {
		{ tuple("10.0.1.2", 46930, "10.0.3.2", 443, IPPROTO_TCP),
		  UINT64_C(0x01620934d0f9e570) },
		{ tuple("2001:db8::1", 5353, "2001:db8::2", 53, IPPROTO_UDP),
		  UINT64_C(0x0fdbe5a2d43aff24) },
		{ tuple("10.0.1.2", 77, "10.0.3.2", 8, IPPROTO_ICMP),
		  UINT64_C(0x0043659159f6ef77) },
		{ tuple("127.0.0.1", 40000, "127.0.0.1", 80, IPPROTO_TCP),
		  UINT64_C(0xc55b19f764d06c76) },
		{ tuple("10.0.1.2", 0, "10.0.3.2", 0, IPPROTO_GRE), UINT64_C(0x8e80d330a50d93ba) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct tuple back = tuple_reverse(&known[i].t), again = tuple_reverse(&back);

		if (tuple_flow_key(&known[i].t) != known[i].key)
			print_message("key %zu is 0x%016" PRIx64 "\n", i,
				      tuple_flow_key(&known[i].t));
		assert_true(tuple_flow_key(&known[i].t) == known[i].key);
		assert_true(tuple_flow_key(&back) == known[i].key);
		assert_true(tuple_equal(&again, &known[i].t));
		for (size_t j = 0; j < i; j++)
			assert_true(known[j].key != known[i].key);
	}
}

static void flows_of_ports_and_ids_reverse(void **state)
{
	struct tuple t = tuple("10.0.1.2", 1, "10.0.3.2", 2, IPPROTO_TCP), back = tuple_reverse(&t),
		     other = t;

	(void)state;
	assert_int_equal(back.sport, 2);
	assert_int_equal(back.dport, 1);
	other.sport = 2; /* ports exchanged, addresses not: another flow */
	other.dport = 1;
	assert_true(tuple_flow_key(&other) != tuple_flow_key(&t));
	t.proto = IPPROTO_ICMP;
	back = tuple_reverse(&t);
	assert_int_equal(back.sport, 1);
	assert_int_equal(back.dport, 2);
}

static void endpoints_show_ports_where_there_are_some(void **state)
{
	char out[ENDPOINT_TEXT_MAX];
	struct addr four = addr("10.0.1.2"), six = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

	(void)state;
	endpoint_print(&four, 443, IPPROTO_TCP, out);
	assert_string_equal(out, "10.0.1.2:443");
	endpoint_print(&four, 443, IPPROTO_ICMP, out);
	assert_string_equal(out, "10.0.1.2");
	endpoint_print(&six, 65535, IPPROTO_UDP, out);
	assert_string_equal(out, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void times_have_nine_digits(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000000000Z" },
		{ 1767323045123456789, "2026-01-02T03:04:05.123456789Z" },
		{ -1, "1969-12-31T23:59:59.999999999Z" },
		{ -NS_PER_S, "1969-12-31T23:59:59.000000000Z" },
		{ INT64_MAX, "2262-04-11T23:47:16.854775807Z" },
		{ INT64_MIN, "1677-09-21T00:12:43.145224192Z" },
	};
	char out[WALL_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wall_print((struct wall_ns){ cases[i].ns }, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void the_kernel_clock_counts_suspends(void **state)
{
	struct timespec before, after;
	struct boot_ns now;

	(void)state;
	clock_gettime(CLOCK_BOOTTIME, &before);
	now = boot_now();
	clock_gettime(CLOCK_BOOTTIME, &after);
	assert_true(now.v >= before.tv_sec * INT64_C(1000000000) + before.tv_nsec);
	assert_true(now.v <= after.tv_sec * INT64_C(1000000000) + after.tv_nsec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_print_as_they_were_read),
		cmocka_unit_test(prefixes_select_by_their_bits),
		cmocka_unit_test(protocols_have_names),
		cmocka_unit_test(flow_keys_are_stored),
		cmocka_unit_test(flows_of_ports_and_ids_reverse),
		cmocka_unit_test(endpoints_show_ports_where_there_are_some),
		cmocka_unit_test(times_have_nine_digits),
		cmocka_unit_test(the_kernel_clock_counts_suspends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
