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

/* The last packet that a host saw stayed there. */
static void received(void)
{
	steps[count - 1][1].hook = HOOK_INPUT;
	steps[count - 1][1].ttl = steps[count - 1][0].ttl;
}

static struct paths join(void)
{
	struct paths p;

	assert_int_equal(paths_join(&p, list, count, &(struct around){ 0 }, &arena), 0);
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

static void path_4_one_ttl_is_received_once(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);

	(void)state;
	saw(3, HOOK_PREROUTING, 64, t, t, 0);
	received();
	saw(4, HOOK_PREROUTING, 64, t, t, 1);
	received();
	assert_int_equal(join().count, 2);
}

static void path_4_what_is_for_many_is_received_by_many(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);

	(void)state;
	assert_true(addr_parse(&t.dst, "224.0.0.251"));
	saw(3, HOOK_PREROUTING, 64, t, t, 0);
	received();
	saw(4, HOOK_PREROUTING, 64, t, t, 1);
	received();
	assert_int_equal(join().count, 1);
}

/* Hops of path i, by host; 0 ends the list. */
static void assert_hosts(const struct paths *p, size_t i, const uint64_t *hosts)
{
	size_t n = 0;

	for (; hosts[n]; n++) {
		assert_true(n < p->list[i].hop_count);
		assert_int_equal(p->list[i].hops[n].sj->host, hosts[n]);
	}
	assert_int_equal(p->list[i].hop_count, n);
}

/* Two senders behind two gateways; what the third one makes of the first packet is told before the second one's gateway is. */
static void path_9_what_left_so_comes_before_what_shares_an_address(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000), a = udp("100.64.0.1", 4000),
		     b = udp("100.64.0.2", 4000), a_out = udp("198.51.100.1", 4001),
		     b_out = udp("198.51.100.1", 4002);
	struct paths p;

	(void)state;
	saw(5, HOOK_PREROUTING, 63, a, a_out, 0);
	saw(4, HOOK_PREROUTING, 64, t, b, 1);
	saw(3, HOOK_PREROUTING, 64, t, a, 3);
	saw(5, HOOK_PREROUTING, 63, b, b_out, 4);
	p = join();
	assert_int_equal(p.count, 2);
	assert_hosts(&p, 0, (uint64_t[]){ 4, 5, 0 });
	assert_true(tuple_equal(hop_tuple_out(&p.list[0].hops[1]), &b_out));
	assert_hosts(&p, 1, (uint64_t[]){ 3, 5, 0 });
}

/* The first packet of four was lost, and OUTPUT is told late: the others do not move up. */
static void path_8_the_nearest_comes_first(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);
	struct paths p;

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	for (int i = 1; i < 4; i++) {
		saw(3, HOOK_PREROUTING, 64, t, t, 1000 * i);
		saw(4, HOOK_PREROUTING, 63, t, t, 1000 * i + 1);
		saw(1, HOOK_OUTPUT, 64, t, t, 1000 * i + 2);
	}
	p = join();
	assert_int_equal(p.count, 4);
	assert_hosts(&p, 0, (uint64_t[]){ 1, 0 });
	for (size_t i = 1; i < 4; i++) {
		assert_hosts(&p, i, (uint64_t[]){ 1, 3, 4, 0 });
		assert_true(path_first(&p.list[i]).v > (int64_t)(1000 * i) * NS_PER_MS);
	}
}

/* The gateway between told nothing. */
static void path_9_parts_that_share_an_address_are_joined(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000), out = udp("198.51.100.1", 4001);
	struct paths p;

	(void)state;
	saw(1, HOOK_OUTPUT, 64, t, t, 0);
	saw(3, HOOK_PREROUTING, 64, t, t, 1);
	saw(5, HOOK_PREROUTING, 62, out, out, 2);
	saw(6, HOOK_PREROUTING, 61, out, out, 3);
	received();
	p = join();
	assert_int_equal(p.count, 1);
	assert_hosts(&p, 0, (uint64_t[]){ 1, 3, 5, 6, 0 });
}

/* A router that mirrors: its copy is sent with what TTL was left. */
static void path_4_no_packet_had_more_than_it_was_sent_with(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000);
	struct paths p;

	(void)state;
	saw(3, HOOK_OUTPUT, 62, t, t, 0);
	saw(1, HOOK_OUTPUT, 64, t, t, 1);
	saw(2, HOOK_PREROUTING, 64, t, t, 2);
	saw(3, HOOK_PREROUTING, 63, t, t, 3);
	p = join();
	assert_int_equal(p.count, 2);
	assert_int_equal(p.list[0].hop_count + p.list[1].hop_count, 4);
	assert_int_equal(p.list[1].hop_count, 3);
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

/* As it was seen over IPv6: one that died long before, of which nothing else was told. */
static void path_10_an_earlier_one_by_another_port_is_no_hop(void **state)
{
	struct tuple one = udp("10.0.0.5", 40001), two = udp("10.0.0.5", 40006);
	struct paths p;

	(void)state;
	saw(3, HOOK_PREROUTING, 64, two, two, 0);
	saw(1, HOOK_OUTPUT, 64, one, one, 1475);
	saw(3, HOOK_PREROUTING, 64, one, one, 1476);
	p = join();
	assert_int_equal(p.count, 2);
	assert_hosts(&p, 0, (uint64_t[]){ 3, 0 });
	assert_hosts(&p, 1, (uint64_t[]){ 1, 3, 0 });
}

/* The second packet's sender told nothing; the first one was not seen any further. */
static void path_10_other_ports_between_the_same_addresses_are_another_packet(void **state)
{
	struct tuple one = udp("10.0.0.5", 40001), two = udp("10.0.0.5", 40006);
	struct paths p;

	(void)state;
	saw(1, HOOK_OUTPUT, 64, one, one, 0);
	saw(3, HOOK_PREROUTING, 64, two, two, 1);
	saw(4, HOOK_PREROUTING, 63, two, two, 2);
	p = join();
	assert_int_equal(p.count, 2);
	assert_hosts(&p, 0, (uint64_t[]){ 1, 0 });
	assert_hosts(&p, 1, (uint64_t[]){ 3, 4, 0 });
}

/* Whoever changed no more than the port told so: all three are one, whichever comes first. */
static void path_10_a_translation_of_ports_that_was_seen_joins(void **state)
{
	struct tuple one = udp("10.0.0.5", 40001), two = udp("10.0.0.5", 40006);
	struct paths p;

	(void)state;
	saw(1, HOOK_OUTPUT, 64, one, one, 0);
	saw(4, HOOK_PREROUTING, 63, two, two, 1);
	received();
	saw(3, HOOK_PREROUTING, 64, one, two, 2);
	p = join();
	assert_int_equal(p.count, 1);
	assert_hosts(&p, 0, (uint64_t[]){ 1, 3, 4, 0 });
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(path_2_what_long_fingerprints_tell_apart_is_not_one),
		CASE(path_3_two_seconds_and_the_clocks_errors_apart_is_another),
		CASE(path_4_two_hosts_do_not_send_one_packet),
		CASE(path_4_no_packet_had_more_than_it_was_sent_with),
		CASE(path_4_one_ttl_is_lowered_once),
		CASE(path_4_one_ttl_is_received_once),
		CASE(path_4_what_is_for_many_is_received_by_many),
		CASE(path_9_what_left_so_comes_before_what_shares_an_address),
		CASE(path_8_the_nearest_comes_first),
		CASE(path_9_parts_that_share_an_address_are_joined),
		CASE(path_7_equal_packets_at_one_time_are_in_doubt),
		CASE(path_7_equal_packets_long_after_each_other_are_not),
		CASE(path_10_other_ports_between_the_same_addresses_are_another_packet),
		CASE(path_10_an_earlier_one_by_another_port_is_no_hop),
		CASE(path_10_a_translation_of_ports_that_was_seen_joins),
	};
#undef CASE

	return cmocka_run_group_tests(tests, NULL, NULL);
}
