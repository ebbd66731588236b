/*
 * When the events of a source are too many, and what becomes of it; by the clock of the test alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/worker/calm.h"

enum { RATE = 1000, STEP_MS = 10 };

static struct calm calm;
static struct boot_ns now;

static int setup(void **state)
{
	(void)state;
	calm_init(&calm, RATE);
	now = (struct boot_ns){ INT64_C(1000) * NS_PER_S };
	return 0;
}

/* Events at a steady rate for so long, or until they were too many. */
static bool flood(uint32_t rate, int seconds)
{
	for (int ms = 0; ms < seconds * 1000; ms += STEP_MS) {
		for (uint32_t i = 0; i < rate * STEP_MS / 1000; i++)
			calm_event(&calm);
		if (calm_enough(&calm, now))
			return true;
		now.v += STEP_MS * NS_PER_MS;
	}
	return false;
}

static int64_t rest_seconds(void)
{
	return (calm.ends.v - now.v) / NS_PER_S;
}

static void come_back(void)
{
	now = calm.ends;
	assert_false(calm_waits(&calm, now));
	calm_return(&calm, now);
}

static void the_rate_itself_is_borne(void **state)
{
	(void)state;
	assert_false(flood(RATE, 100));
	assert_int_equal(calm_due(&calm, now).v, 0);
}

static void more_is_too_much_after_two_seconds(void **state)
{
	struct boot_ns began = now;

	(void)state;
	assert_true(flood(2 * RATE, 10));
	assert_int_equal((now.v - began.v) / NS_PER_S, CALM_WINDOW_S);
	assert_true(calm_waits(&calm, now));
	assert_int_equal(rest_seconds(), CALM_REST_S);
}

static void a_short_burst_is_borne(void **state)
{
	(void)state;
	assert_false(flood(100, 3));
	for (int i = 0; i < RATE; i++)
		calm_event(&calm);
	assert_false(calm_enough(&calm, now));
	assert_false(flood(100, 10));
}

static void silence_before_a_flood_does_not_hide_it(void **state)
{
	(void)state;
	assert_false(flood(100, 3));
	now.v += INT64_C(3600) * NS_PER_S;
	assert_true(flood(2 * RATE, 10));
}

static void zero_never_rests(void **state)
{
	(void)state;
	calm_init(&calm, 0);
	assert_false(flood(100 * RATE, 10));
}

/* All of the time between going and coming back is told, once. */
static void what_is_missed_is_told_without_a_hole(void **state)
{
	struct boot_ns went, at;
	struct loss l;
	int told = 0;

	(void)state;
	assert_false(calm_missed(&calm, now, true, &l));
	assert_true(flood(2 * RATE, 10));
	went = at = now;
	while (calm_waits(&calm, now)) {
		struct boot_ns due = calm_due(&calm, now);

		assert_true(due.v > now.v);
		now = due;
		if (!calm_missed(&calm, now, false, &l))
			continue;
		told++;
		assert_string_equal(l.source, "conntrack");
		assert_false(l.count_known);
		assert_int_equal(l.from.v, at.v);
		at = l.until;
	}
	assert_int_equal(told, CALM_REST_S / CALM_TELL_S);
	now.v += NS_PER_S / 2; /* until it is open */
	assert_true(calm_missed(&calm, now, true, &l));
	assert_int_equal(l.from.v, at.v);
	assert_int_equal(l.until.v, now.v);
	calm_return(&calm, now);
	assert_false(calm_missed(&calm, now, true, &l));
	assert_true(now.v - went.v > (int64_t)CALM_REST_S * NS_PER_S);
}

static void a_lasting_flood_is_tried_less_and_less(void **state)
{
	int64_t last = 0;

	(void)state;
	for (int i = 0; i < 8; i++) {
		assert_true(flood(2 * RATE, 10));
		assert_true(rest_seconds() == 2 * last || i == 0 || last == CALM_REST_MAX_S);
		last = rest_seconds();
		come_back();
	}
	assert_int_equal(last, CALM_REST_MAX_S);
	assert_false(flood(100, CALM_REST_MAX_S + 10));
	assert_true(flood(2 * RATE, 10));
	assert_int_equal(rest_seconds(), CALM_REST_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_rate_itself_is_borne, setup),
		cmocka_unit_test_setup(more_is_too_much_after_two_seconds, setup),
		cmocka_unit_test_setup(a_short_burst_is_borne, setup),
		cmocka_unit_test_setup(silence_before_a_flood_does_not_hide_it, setup),
		cmocka_unit_test_setup(zero_never_rests, setup),
		cmocka_unit_test_setup(what_is_missed_is_told_without_a_hole, setup),
		cmocka_unit_test_setup(a_lasting_flood_is_tried_less_and_less, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
