/*
 * Where nobody tells of changes they are looked for: each second, or as rarely as 1 % of a core needs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/worker/rules.h"

static void emit(void *arg, const struct record *r)
{
	(void)arg;
	(void)r;
}

static void rarely_enough_for_one_per_cent_of_a_core(void **state)
{
	static const int64_t costs_ms[] = { 0, 1, 8, 9, 43, 400, 3000 };
	struct rules r;
	struct helper_answer a = { .op = HELPER_DUMP, .digest = 77, .before = NS_PER_S };

	(void)state;
	rules_init(&r, DUMP_RULESET, TABLES_CPU_SHARE);
	assert_true(rules_take(&r, &a, -1, 0, emit, NULL));
	r.check_wanted = false;
	for (size_t i = 0; i < sizeof(costs_ms) / sizeof(costs_ms[0]); i++) {
		a.cpu_ns = costs_ms[i] * NS_PER_MS;
		a.before += NS_PER_S;
		a.after = a.before + a.cpu_ns;
		assert_false(rules_take(&r, &a, -1, 0, emit, NULL));
		assert_true(r.due.v - a.before >= NS_PER_S);
		assert_true(a.cpu_ns * 100 <= r.due.v - a.before);
		/* And no more rarely than that. */
		assert_true(r.due.v - a.before == NS_PER_S || r.due.v - a.before <= a.cpu_ns * 150);
		assert_int_equal(r.last.v, a.before);
	}
	rules_clear(&r);
}

static void at_once_when_somebody_tells_of_one(void **state)
{
	struct rules r;
	struct helper_answer a = { .op = HELPER_DUMP, .digest = 77, .cpu_ns = NS_PER_S };

	(void)state;
	rules_init(&r, DUMP_RULESET, TABLES_CPU_SHARE);
	assert_true(rules_take(&r, &a, -1, 0, emit, NULL));
	r.asked = r.again = true; /* as host_look() does while a read is under way */
	rules_take(&r, &a, -1, 0, emit, NULL);
	assert_int_equal(r.due.v, 0);
	rules_clear(&r);
}

/* A table changes all the time, and each of its texts costs half a second. */
static void texts_are_read_for_a_share_of_a_core(void **state)
{
	struct rules r;
	struct helper_answer a = { .op = HELPER_DUMP, .spent_ns = NS_PER_S / 2 };
	int64_t now = NS_PER_S, reads = 0, first = 0, seconds = 600;

	(void)state;
	rules_init(&r, DUMP_RULESET, TABLES_CPU_SHARE);
	for (; now < seconds * NS_PER_S; now += 100 * NS_PER_MS) {
		r.due.v = 0; /* something changed, as host_look() says */
		if (rules_due(&r).v > now)
			continue;
		reads++;
		first += now < 2 * NS_PER_S;
		a.before = a.after = now;
		a.digest = (uint64_t)reads;
		assert_true(rules_take(&r, &a, -1, 0, emit, NULL));
	}
	assert_true(first >= 2); /* the first changes are read at once */
	assert_true(reads * a.spent_ns <= seconds * NS_PER_S / TEXTS_CPU_SHARE + 2 * NS_PER_S);
	assert_true(reads * a.spent_ns >= seconds * NS_PER_S / TEXTS_CPU_SHARE);
	/* Who asks what stands now does not wait. */
	assert_true(rules_due(&r).v > now);
	rules_ask(&r);
	assert_int_equal(rules_due(&r).v, 0);
	rules_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rarely_enough_for_one_per_cent_of_a_core),
		cmocka_unit_test(at_once_when_somebody_tells_of_one),
		cmocka_unit_test(texts_are_read_for_a_share_of_a_core),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
