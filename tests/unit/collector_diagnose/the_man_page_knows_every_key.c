/*
 * What scripts rely on is documented: each key of an answer stands in lasthop(1).
 */
#include "three_hosts.h"

#include <stdio.h>

static char *page;

static void are_known(const json_t *v)
{
	const char *key;
	json_t *one;
	char name[100];
	size_t i;

	json_array_foreach((json_t *)v, i, one)
		are_known(one);
	json_object_foreach((json_t *)v, key, one) {
		snprintf(name, sizeof(name), "*%s*", key);
		if (!strstr(page, name))
			fail_msg("lasthop.1 does not know the key %s", key);
		are_known(one);
	}
}

static int begin(void **state)
{
	FILE *f = fopen(TEST_DATA "/../../deploy/man/lasthop.1.scd", "r");

	(void)state;
	page = calloc(1, 1 << 18);
	assert_non_null(page);
	assert_non_null(f);
	assert_true(fread(page, 1, (1 << 18) - 1, f) > 0);
	fclose(f);
	return fresh(state);
}

static int end(void **state)
{
	(void)state;
	free(page);
	return 0;
}

static void of_a_traced_drop(void **state)
{
	static struct author by = { .pid = 7, .via = VIA_BPF };
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443),
		     out = tcp("10.0.3.1", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(sv, "filter", two_rules, 400, 500, 90000, 0);
	fake.tables[0].authors = &by;
	fake.tables[0].author_count = 1;
	lost(rt, "trace-nft", 1, 90000);
	sends(cl, 1000, 7, t, SYN, 1);
	j = forwards(rt, 1001, 7, t, SYN, 1);
	becomes(j, out);
	j->steps[2].tuple = 1;
	rule(receives(sv, 1002, 7, out, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	sends(cl, 5000, 8, tcp("10.0.1.2", 40001, "10.0.3.2", 443), SYN, 1);
	fake.live[0].late_ms = 100000;
	are_known(ask("tcp 10.0.1.2 10.0.3.2:443"));
	assert_int_equal(json_array_size(at("others")), 1);
	assert_int_equal(json_array_size(at("losses")), 1);
	assert_int_equal(json_array_size(at("hops.1.nat")), 1);
	assert_int_equal(number("died_at.changed_by.pid"), 7);
}

static void of_a_drop_that_the_kernel_told(void **state)
{
	uint64_t rt = host("rt", "10.0.1.1/24");
	struct journey *j;

	(void)state;
	table(rt, "filter", two_rules, 0, 500, 90000, 0);
	j = journey(rt, 1000, 7, tcp("10.0.1.2", 40000, "10.0.3.2", 443), SYN, 1);
	kernel_freed(j, "NETFILTER_DROP", 1 << HOOK_FORWARD | 1 << HOOK_INPUT, 64);
	are_known(ask("tcp 10.0.1.2 10.0.3.2:443"));
	assert_true(json_array_size(at("died_at.candidates")) > 0);
	assert_true(json_array_size(at("unwatched")) > 0);
}

static void of_nothing_and_of_what_was_only_tracked(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t rt = host("rt", "10.0.1.1/24");

	(void)state;
	are_known(ask("tcp 10.0.1.2 10.0.3.2:443"));
	fake.conns[fake.conn_count++] =
		(struct stored_conn){ .host = rt,
				      .from = { ms(1000) },
				      .c = { .id = 1, .orig = t, .reply = tuple_reverse(&t) } };
	are_known(ask("tcp 10.0.1.2 10.0.3.2:443"));
	assert_int_equal(json_array_size(at("hops")), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_a_traced_drop, begin, end),
		cmocka_unit_test_setup_teardown(of_a_drop_that_the_kernel_told, begin, end),
		cmocka_unit_test_setup_teardown(of_nothing_and_of_what_was_only_tracked, begin,
						end),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
