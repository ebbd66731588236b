/* What the helper takes for its worker's message, and which leases it agrees to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/netns.h"
#include "agent/helper/request.h"

static const struct boot_ns now = { INT64_C(5000) * NS_PER_S };

static struct helper_lease lease(void)
{
	struct helper_lease l = {
		.id = 1,
		.deadline = (uint64_t)now.v + NS_PER_S,
		.rate = 100,
		.modulus = 1,
		.pattern_count = 1,
		.patterns[0] = { .family = 4, .proto = 6, .dport = 443 },
	};

	return l;
}

static int check(const struct helper_request *q)
{
	return request_check(q, sizeof(*q), q->op == HELPER_RCVBUF, 2);
}

static void requests_of_the_worker_are_taken(void **state)
{
	struct helper_request q = { .op = HELPER_OPEN, .what = SOURCE_HOST, .netns = 1 };

	(void)state;
	assert_int_equal(check(&q), 0);
	q = (struct helper_request){ .op = HELPER_DUMP, .what = DUMP_RULESET };
	assert_int_equal(check(&q), 0);
	q = (struct helper_request){ .op = HELPER_RCVBUF, .what = 1 };
	assert_int_equal(check(&q), 0);
	q = (struct helper_request){ .op = HELPER_LEASE, .lease = lease() };
	assert_int_equal(check(&q), 0);
	q = (struct helper_request){ .op = HELPER_STOP };
	assert_int_equal(check(&q), 0);
	q = (struct helper_request){ .op = HELPER_LEASE_STATE, .known = 1 };
	assert_int_equal(check(&q), 0);
}

static void odd_sizes_and_descriptors_are_not_the_workers(void **state)
{
	struct helper_request q = { .op = HELPER_OPEN };

	(void)state;
	assert_int_equal(request_check(&q, sizeof(q) - 1, 0, 1), -EPROTO);
	assert_int_equal(request_check(&q, sizeof(q) + 1, 0, 1), -EPROTO);
	assert_int_equal(request_check(&q, sizeof(q), 1, 1), -EPROTO);
	q.op = HELPER_RCVBUF;
	q.what = 1;
	assert_int_equal(request_check(&q, sizeof(q), 0, 1), -EPROTO);
	assert_int_equal(request_check(&q, sizeof(q), 2, 1), -EPROTO);
}

static void numbers_out_of_range_are_not_the_workers(void **state)
{
	struct helper_request bad[] = {
		{ .op = HELPER_NONE },
		{ .op = HELPER_NETNS },
		{ .op = UINT32_MAX },
		{ .op = HELPER_OPEN, .netns = 2 },
		{ .op = HELPER_OPEN, .what = HELPER_SOURCE_COUNT },
		{ .op = HELPER_DUMP, .what = HELPER_DUMP_COUNT },
		{ .op = HELPER_RCVBUF, .what = 0 },
		{ .op = HELPER_LEASE_STATE, .known = 0 },
		{ .op = HELPER_LEASE, .lease = { .id = 0 } },
		{ .op = HELPER_LEASE, .lease = { .id = 1, .site = LEASE_SITES + 1 } },
		{ .op = HELPER_LEASE, .lease = { .id = 1, .pattern_count = PATTERNS_MAX + 1 } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(check(&bad[i]), -EPROTO);
}

/* Bytes of any kind: whatever is let through is within every bound that the rest relies on. */
static void random_requests_never_get_past_a_bound(void **state)
{
	struct helper_request q;
	uint8_t *bytes = (uint8_t *)&q;
	struct why why;
	size_t i, round;

	(void)state;
	srandom(1);
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < sizeof(q); i++)
			bytes[i] = (uint8_t)random();
		q.op %= HELPER_LOGGERS_PUT + 2;
		q.netns %= 4;
		q.what %= 8;
		q.lease.site %= LEASE_SITES + 2;
		q.lease.pattern_count %= PATTERNS_MAX + 8;
		if (check(&q) < 0)
			continue;
		assert_true(q.op > HELPER_NONE && q.op <= HELPER_LOGGERS_PUT &&
			    q.op != HELPER_NETNS && q.netns < 2);
		if (q.op == HELPER_LEASE) {
			assert_true(q.lease.pattern_count <= PATTERNS_MAX);
			lease_check(&q.lease, now, &why);
		}
	}
}

static void lease_within_the_limits_is_agreed_to(void **state)
{
	struct helper_lease l = lease();
	struct why why;

	(void)state;
	assert_int_equal(lease_check(&l, now, &why), 0);
	l.deadline = (uint64_t)now.v + (uint64_t)LEASE_SECONDS_MAX * NS_PER_S;
	l.rate = LEASE_RATE_MAX;
	l.modulus = 65536;
	assert_int_equal(lease_check(&l, now, &why), 0);
}

static void lease_beyond_a_limit_is_refused_with_why(void **state)
{
	struct helper_lease l = lease();
	struct why why = { "" };

	(void)state;
	l.deadline = (uint64_t)now.v + (uint64_t)LEASE_SECONDS_MAX * NS_PER_S + 1;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	assert_string_equal(why.text, "a lease may last 900 s at most");
	l.deadline = UINT64_MAX;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l.deadline = (uint64_t)now.v;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l = lease();
	l.rate = LEASE_RATE_MAX + 1;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l.rate = 0;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l = lease();
	l.modulus = 131072;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l.modulus = 12;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l = lease();
	l.pattern_count = 0;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	l.pattern_count = 2;
	assert_int_equal(lease_check(&l, now, &why), -EINVAL);
	assert_non_null(strstr(why.text, "pattern 2"));
}

static void names_of_namespaces_are_no_paths(void **state)
{
	char longest[ID_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[ID_MAX + 1] = '\0';
	assert_false(netns_name_valid(longest));
	longest[ID_MAX] = '\0';
	assert_true(netns_name_valid(longest));
	assert_true(netns_name_valid("gw-1.lan_2"));
	assert_true(netns_name_valid("..."));
	assert_false(netns_name_valid(""));
	assert_false(netns_name_valid("."));
	assert_false(netns_name_valid(".."));
	assert_false(netns_name_valid("a/b"));
	assert_false(netns_name_valid("a b"));
	assert_false(netns_name_valid("a\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_the_worker_are_taken),
		cmocka_unit_test(odd_sizes_and_descriptors_are_not_the_workers),
		cmocka_unit_test(numbers_out_of_range_are_not_the_workers),
		cmocka_unit_test(random_requests_never_get_past_a_bound),
		cmocka_unit_test(lease_within_the_limits_is_agreed_to),
		cmocka_unit_test(lease_beyond_a_limit_is_refused_with_why),
		cmocka_unit_test(names_of_namespaces_are_no_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
