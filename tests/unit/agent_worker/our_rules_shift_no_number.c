/* What the kernel says of raw is corrected by our rules there, and left out where it cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/worker/ours.h"

static struct trace_event met(const char *table, const char *chain, uint32_t number, int64_t ms)
{
	return (struct trace_event){ .step = { .backend = BACKEND_LEGACY,
					       .family = FAMILY_IPV4,
					       .table = table,
					       .chain = chain,
					       .number = number },
				     .received = { ms * NS_PER_MS } };
}

static uint32_t number_of(struct ours *o, const char *table, const char *chain, uint32_t number)
{
	struct trace_event e = met(table, chain, number, 5000);

	return ours_correct(o, &e) ? e.step.number : 0;
}

static void numbers_are_the_administrators(void **state)
{
	struct ours o = { 0 };
	struct trace_event six = met("raw", "PREROUTING", 3, 5000);
	struct loss l;

	(void)state;
	assert_int_equal(number_of(&o, "raw", "PREROUTING", 3), 3);
	ours_asked(&o);
	ours_answered(&o, 2 | 4 << 16, (struct boot_ns){ 1000 * (int64_t)NS_PER_MS });
	assert_true(ours_stand(&o));
	assert_int_equal(number_of(&o, "raw", "PREROUTING", 3), 1);
	assert_int_equal(number_of(&o, "raw", "OUTPUT", 7), 5);
	assert_int_equal(number_of(&o, "raw", "PREROUTING", 2), 0); /* one of ours */
	assert_int_equal(number_of(&o, "raw", "GUARD", 2), 2);
	assert_int_equal(number_of(&o, "filter", "OUTPUT", 2), 2);
	six.step.family = FAMILY_IPV6;
	assert_false(ours_correct(&o, &six));
	assert_false(ours_lost(&o, (struct boot_ns){ 1 }, &l)); /* that was none of theirs */
}

static void what_came_in_between_is_left_out_and_counted(void **state)
{
	struct ours o = { 0 };
	struct trace_event e = met("raw", "PREROUTING", 3, 900);
	struct loss l;

	(void)state;
	ours_asked(&o);
	assert_false(ours_correct(&o, &e)); /* before or after? */
	ours_answered(&o, 2, (struct boot_ns){ 1000 * (int64_t)NS_PER_MS });
	e = met("raw", "PREROUTING", 3, 1050);
	assert_false(ours_correct(&o, &e)); /* it may have waited in the socket */
	e = met("mangle", "PREROUTING", 3, 1050);
	assert_true(ours_correct(&o, &e));
	assert_true(ours_lost(&o, (struct boot_ns){ 2 }, &l));
	assert_true(l.count_known && l.count == 2);
	assert_int_equal(l.from.v, 900 * (int64_t)NS_PER_MS);
	assert_false(ours_lost(&o, (struct boot_ns){ 2 }, &l));
	ours_told(&o, 2, (struct boot_ns){ 5000 * (int64_t)NS_PER_MS }); /* no news */
	assert_int_equal(number_of(&o, "raw", "PREROUTING", 3), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_the_administrators),
		cmocka_unit_test(what_came_in_between_is_left_out_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
