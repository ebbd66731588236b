/*
 * Every journey that a flow names has a key in the flow's range, and a question for ICMP does not lead through
 * the TCP that an address had.
 */
#include "collector/store/keys.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct tuple tuple_of(const char *src, uint16_t sport, const char *dst, uint16_t dport,
			     uint8_t proto)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = proto };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	return t;
}

/* Whether the flow names a range, and one of the tuple's keys lies in it. */
static bool leads(const char *text, const struct tuple *t)
{
	struct journey j = { .fp = 1, .tuple_count = 1, .tuples = { *t } };
	uint64_t keys[KEYS_MAX];
	struct key_range range;
	struct flow f;
	struct why why;
	size_t n = keys_of(&j, (struct wall_ns){ 0 }, keys);

	assert_int_equal(flow_parse(&f, 1, &text, &why), 0);
	assert_true(keys_of_flow(&f, &range));
	for (size_t i = 0; i < n; i++) {
		if (keys[i] >= range.from && keys[i] <= range.to)
			return true;
	}
	return false;
}

static void a_flow_finds_both_directions(void **state)
{
	struct tuple t = tuple_of("10.0.0.1", 40000, "10.0.0.2", 443, IPPROTO_TCP),
		     back = tuple_reverse(&t);

	(void)state;
	assert_true(leads("-p tcp -s 10.0.0.1 --sport 40000 -d 10.0.0.2 --dport 443", &t));
	assert_true(leads("-p tcp -s 10.0.0.1 --sport 40000 -d 10.0.0.2 --dport 443", &back));
	assert_false(leads("-p tcp -s 10.0.0.1 --sport 40001 -d 10.0.0.2 --dport 443", &t));
	assert_true(leads("-p tcp -s 10.0.0.1 -d 10.0.0.2 --dport 443", &t));
	assert_true(leads("-p tcp -s 10.0.0.1 -d 10.0.0.2 --dport 443", &back));
}

static void an_address_finds_every_protocol_or_the_one(void **state)
{
	struct tuple tcp = tuple_of("2001:db8::1", 40000, "2001:db8::2", 443, IPPROTO_TCP);
	struct tuple icmp = tuple_of("2001:db8::9", 0, "2001:db8::1", 0, IPPROTO_ICMPV6);
	struct tuple last = tuple_of("10.0.0.1", 0, "10.0.0.2", 0, 255);

	(void)state;
	assert_true(leads("-s 2001:db8::1", &tcp) && leads("-d 2001:db8::1", &tcp));
	assert_true(leads("-s 2001:db8::1", &icmp) && leads("-d 10.0.0.2", &last));
	assert_true(leads("-p icmpv6 -d 2001:db8::1", &icmp));
	assert_false(leads("-p icmpv6 -d 2001:db8::1", &tcp));
	assert_true(leads("-p tcp -s 2001:db8::1 --dport 443", &tcp));
	assert_true(leads("! -p icmpv6 -s 2001:db8::1", &tcp));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_finds_both_directions),
		cmocka_unit_test(an_address_finds_every_protocol_or_the_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
