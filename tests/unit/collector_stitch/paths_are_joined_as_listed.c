/*
 * Named after the numbers of the list in collector/stitch/path.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/path.h"

enum { JOURNEYS = 16 };

static struct arena arena;
static struct stored_journey list[JOURNEYS];
static struct step steps[JOURNEYS][2];
static size_t count;

static struct tuple udp(const char *src, uint16_t sport)
{
	struct tuple t = { .sport = sport, .dport = 53, .proto = 17 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, "203.0.113.9"));
	return t;
}

/* A host saw a packet at ms. By OUTPUT its TTL stays, else the host routes it. */
static void saw(uint64_t host, enum hook first, uint8_t ttl, struct tuple in, struct tuple out,
		int64_t ms)
{
	struct stored_journey *sj = &list[count];
	struct step *s = steps[count];

	*sj = (struct stored_journey){ .row = ++count,
				       .host = host,
				       .at = { ms * NS_PER_MS },
				       .error = NS_PER_MS,
				       .j = { .fp = 7, .steps = s, .step_count = 2 } };
	sj->j.tuples[0] = in;
	sj->j.tuples[1] = out;
	sj->j.tuple_count = 2;
	s[0] = (struct step){ .hook = (uint8_t)first, .ttl = ttl, .label = LABEL_CHECKPOINT };
	s[1] = (struct step){ .hook = HOOK_POSTROUTING,
			      .ttl = (uint8_t)(ttl - (first == HOOK_PREROUTING)),
			      .label = LABEL_CHECKPOINT };
}

static struct paths join(void)
{
	struct paths p;

	assert_int_equal(paths_join(&p, list, count, &arena), 0);
	return p;
}

static int begin(void **state)
{
	(void)state;
	count = 0;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static void path_2_what_long_fingerprints_tell_apart_is_not_one(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	saw(3, HOOK_PREROUTING, 64, t, t, 1);
	assert_int_equal(join().count, 1);
	list[0].j.fp_long = 1;
	list[1].j.fp_long = 2;
	assert_int_equal(join().count, 2);
}

static void path_3_two_seconds_and_the_clocks_errors_apart_is_another(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	saw(3, HOOK_PREROUTING, 64, t, t, 2010);
	assert_int_equal(join().count, 2);
	list[1].error = 20 * NS_PER_MS;
	assert_int_equal(join().count, 1);
}

static void path_4_two_hosts_do_not_send_one_packet(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	saw(2, HOOK_OUTPUT, 64, t, t, 1);
	assert_int_equal(join().count, 2);
}

static void path_4_one_ttl_is_lowered_once(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);

	(void)state;
	saw(3, HOOK_PREROUTING, 64, t, udp("192.0.2.1", 4000), 0);
	saw(4, HOOK_PREROUTING, 64, t, udp("192.0.2.2", 4000), 1);
	assert_int_equal(join().count, 2);
}

static void path_7_equal_packets_at_one_time_are_in_doubt(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);
	struct paths p;

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	saw(1, HOOK_OUTPUT, 64, t, t, 3);
	saw(3, HOOK_PREROUTING, 64, t, t, 4);
	saw(3, HOOK_PREROUTING, 64, t, t, 6);
	p = join();
	assert_int_equal(p.count, 2);
	for (size_t i = 0; i < p.count; i++) {
		assert_int_equal(p.list[i].hop_count, 2);
		assert_int_equal(p.list[i].hops[1].surety, LINK_SURETY_AMBIGUOUS);
	}
}

static void path_7_equal_packets_long_after_each_other_are_not(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);
	struct paths p;

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	saw(3, HOOK_PREROUTING, 64, t, t, 1);
	saw(1, HOOK_OUTPUT, 64, t, t, 200);
	saw(3, HOOK_PREROUTING, 64, t, t, 201);
	p = join();
	assert_int_equal(p.count, 2);
	for (size_t i = 0; i < p.count; i++)
		assert_int_equal(p.list[i].hops[1].surety, LINK_SURETY_SURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(path_2_what_long_fingerprints_tell_apart_is_not_one,
						begin, end),
		cmocka_unit_test_setup_teardown(
			path_3_two_seconds_and_the_clocks_errors_apart_is_another, begin, end),
		cmocka_unit_test_setup_teardown(path_4_two_hosts_do_not_send_one_packet, begin,
						end),
		cmocka_unit_test_setup_teardown(path_4_one_ttl_is_lowered_once, begin, end),
		cmocka_unit_test_setup_teardown(path_7_equal_packets_at_one_time_are_in_doubt,
						begin, end),
		cmocka_unit_test_setup_teardown(path_7_equal_packets_long_after_each_other_are_not,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
