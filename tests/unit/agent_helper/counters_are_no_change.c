/* What counts as a change of a table, and what does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "agent/helper/rawtable.h"

static uint64_t digest4(struct ipt_entry *e, uint32_t count)
{
	uint64_t digest = 0;

	assert_int_equal(rawtable_digest(&digest, FAMILY_IPV4, e, count * sizeof(*e)), 0);
	return digest;
}

static void make(struct ipt_entry e[static 2])
{
	memset(e, 0, 2 * sizeof(*e));
	e[0].next_offset = e[1].next_offset = sizeof(*e);
	e[1].ip.proto = 6;
}

static void counters_and_kernel_notes_are_no_change(void **state)
{
	struct ipt_entry e[2];
	uint64_t before;

	(void)state;
	make(e);
	before = digest4(e, 2);
	make(e);
	e[1].counters.pcnt = 7;
	e[0].counters.bcnt = 9;
	e[1].comefrom = 3;
	e[0].nfcache = 1;
	assert_int_equal(digest4(e, 2), before);
}

static void any_other_byte_is_a_change(void **state)
{
	struct ipt_entry e[2];
	uint64_t before;

	(void)state;
	make(e);
	before = digest4(e, 2);
	make(e);
	e[1].ip.proto = 17;
	assert_int_not_equal(digest4(e, 2), before);
	make(e);
	e[0].ip.src.s_addr = 1;
	assert_int_not_equal(digest4(e, 2), before);
	make(e);
	assert_int_not_equal(digest4(e, 1), before);
}

static void ipv6_entries_are_walked_by_their_own_size(void **state)
{
	struct ip6t_entry e[2] = { 0 };
	uint64_t before = 0, after = 0;

	(void)state;
	e[0].next_offset = e[1].next_offset = sizeof(e[0]);
	assert_int_equal(rawtable_digest(&before, FAMILY_IPV6, e, sizeof(e)), 0);
	e[1].counters.pcnt = 5;
	assert_int_equal(rawtable_digest(&after, FAMILY_IPV6, e, sizeof(e)), 0);
	assert_int_equal(before, after);
}

static void offsets_that_do_not_add_up_are_refused(void **state)
{
	struct ipt_entry e[2];
	uint64_t digest = 0;
	size_t i;
	static const uint16_t bad[] = { 0, 1, sizeof(struct ipt_entry) - 1,
					sizeof(struct ipt_entry) + 1, 65535 };

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		make(e);
		e[1].next_offset = bad[i];
		assert_int_equal(rawtable_digest(&digest, FAMILY_IPV4, e, sizeof(e)), -EBADMSG);
	}
	make(e);
	assert_int_equal(rawtable_digest(&digest, FAMILY_IPV4, e, sizeof(e) - 1), -EBADMSG);
}

static void a_table_that_came_or_went_differs(void **state)
{
	struct rawtables a = { .count = 1, .list = { { FAMILY_IPV4, "nat", 5 } } }, b = a;

	(void)state;
	rawtables_sum(&a);
	rawtables_sum(&b);
	assert_int_equal(a.digest, b.digest);
	assert_int_not_equal(a.digest, 0);
	b.list[0].digest = 6;
	rawtables_sum(&b);
	assert_int_not_equal(a.digest, b.digest);
	b.count = 0;
	rawtables_sum(&b);
	assert_int_not_equal(a.digest, b.digest);
	assert_int_not_equal(b.digest, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_and_kernel_notes_are_no_change),
		cmocka_unit_test(any_other_byte_is_a_change),
		cmocka_unit_test(ipv6_entries_are_walked_by_their_own_size),
		cmocka_unit_test(offsets_that_do_not_add_up_are_refused),
		cmocka_unit_test(a_table_that_came_or_went_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
