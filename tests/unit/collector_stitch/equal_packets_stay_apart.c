/*
 * Packets of different senders with equal contents, which no host can have made of one another: none is a hop of another one. And
 * next to each what really is one packet. Named after the numbers of the list in collector/stitch/path.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/entries.h"
#include "collector/stitch/path.h"

enum { JOURNEYS = 16, CONNS = 4 };

static struct arena arena;
static struct stored_journey list[JOURNEYS];
static struct step steps[JOURNEYS][3];
static struct stored_conn conns[CONNS];
static size_t count, conn_count;

/* Host 3 has one device, which is no bridge. */
static struct facts_link link = { .ifindex = 2, .name = "eth0" };
static struct fleet_host router = { .host = 3,
				    .has_facts = true,
				    .facts = { .link_count = 1, .links = &link } };
static const struct fleet fleet = { .hosts = &router, .host_count = 1 };

static struct tuple udp(const char *src, uint16_t sport)
{
	struct tuple t = { .sport = sport, .dport = 514, .proto = 17 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, "203.0.113.9"));
	return t;
}

static struct tuple to(struct tuple t, const char *dst)
{
	assert_true(addr_parse(&t.dst, dst));
	return t;
}

static struct stored_journey *journey(uint64_t host, struct tuple in, struct tuple out, int64_t ms)
{
	struct stored_journey *sj = &list[count];

	memset(steps[count], 0, sizeof(steps[count]));
	*sj = (struct stored_journey){
		.host = host,
		.at = { ms * NS_PER_MS },
		.error = NS_PER_MS,
		.j = { .fp = 7,
		       .ip_version = 4,
		       .in_if = "eth0",
		       .steps = steps[count],
		       .step_count = 2 },
	};
	sj->row = ++count;
	sj->j.tuples[0] = in;
	sj->j.tuples[1] = out;
	sj->j.tuple_count = tuple_equal(&in, &out) ? 1 : 2;
	return sj;
}

static void step(struct step *s, enum hook hook, enum checkpoint c, int ttl)
{
	*s = (struct step){ .hook = (uint8_t)hook,
			    .ttl = (uint8_t)ttl,
			    .label = LABEL_CHECKPOINT,
			    .checkpoint = (uint8_t)c };
}

static struct stored_journey *sent(uint64_t host, int ttl, struct tuple t, int64_t ms)
{
	struct stored_journey *sj = journey(host, t, t, ms);

	step(&sj->j.steps[0], HOOK_OUTPUT, CHECKPOINT_OUT_FIRST, ttl);
	step(&sj->j.steps[1], HOOK_POSTROUTING, CHECKPOINT_POST_LAST, ttl);
	return sj;
}

static struct stored_journey *routed(uint64_t host, int ttl, struct tuple in, struct tuple out,
				     int64_t ms)
{
	struct stored_journey *sj = journey(host, in, out, ms);

	step(&sj->j.steps[0], HOOK_PREROUTING, CHECKPOINT_PRE_FIRST, ttl);
	step(&sj->j.steps[1], HOOK_POSTROUTING, CHECKPOINT_POST_LAST, ttl - 1);
	sj->j.steps[1].tuple = (uint8_t)(sj->j.tuple_count - 1);
	return sj;
}

static struct stored_journey *bridged(uint64_t host, int ttl, struct tuple in, struct tuple out,
				      int64_t ms)
{
	struct stored_journey *sj = routed(host, ttl, in, out, ms);

	sj->j.steps[1].ttl = (uint8_t)ttl;
	return sj;
}

static struct stored_journey *received(uint64_t host, int ttl, struct tuple t, int64_t ms)
{
	struct stored_journey *sj = journey(host, t, t, ms);

	step(&sj->j.steps[0], HOOK_PREROUTING, CHECKPOINT_PRE_FIRST, ttl);
	step(&sj->j.steps[1], HOOK_INPUT, CHECKPOINT_IN_LAST, ttl);
	return sj;
}

/* It came, and nothing else is known: a rule of FORWARD ended it, or the kernel. */
static struct stored_journey *ended(uint64_t host, int ttl, struct tuple t, int64_t ms)
{
	struct stored_journey *sj = routed(host, ttl, t, t, ms);

	sj->j.step_count = 1;
	return sj;
}

/* Connection tracking of a host made `after` of `before`. */
static void tracked(uint64_t host, struct tuple before, struct tuple after)
{
	conns[conn_count++] =
		(struct stored_conn){ .host = host,
				      .c = { .orig = before, .reply = tuple_reverse(&after) } };
}

static struct paths join(void)
{
	struct entries entries;
	const struct around around = { &fleet, &entries };
	struct paths p;

	assert_int_equal(entries_init(&entries, conns, conn_count, &arena), 0);
	assert_int_equal(paths_join(&p, list, count, &around, &arena), 0);
	return p;
}

/* Every packet has a path of its own, of which all hops have the row's number in `packets`. */
static void assert_packets(const uint64_t *packets, size_t n)
{
	struct paths p = join();

	assert_int_equal(p.count, n);
	for (size_t i = 0; i < p.count; i++) {
		for (size_t k = 1; k < p.list[i].hop_count; k++)
			assert_int_equal(packets[p.list[i].hops[k].sj->row - 1],
					 packets[p.list[i].hops[0].sj->row - 1]);
	}
}

#define PACKETS(n, ...) assert_packets((uint64_t[]){ __VA_ARGS__ }, n)

static int begin(void **state)
{
	(void)state;
	count = conn_count = 0;
	router.has_facts = true;
	arena_init(&arena, 1 << 20);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static void path_4_two_clients_of_one_router(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.4.2", 4000);

	(void)state;
	routed(3, 64, a, a, 0);
	ended(3, 64, b, 1);
	PACKETS(2, 1, 2);
}

/* The router's own word of the first one is missing where it left. */
static void path_4_two_clients_behind_a_gateway_that_translates(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.4.2", 4000);

	(void)state;
	sent(1, 64, a, 0);
	sent(2, 64, b, 0);
	ended(3, 64, a, 1);
	routed(3, 64, b, udp("198.18.0.1", 4000), 1);
	received(5, 63, udp("198.18.0.1", 4000), 2);
	PACKETS(2, 1, 2, 1, 2, 2);
}

/*
 * Two sites with equal addresses, of which one's gateway told nothing: the first sender stands with the other one's gateway, which left
 * the second packet so. But what the third gateway has lowered does not come again with the TTL that it had.
 */
static void path_4_what_was_lowered_does_not_come_again_as_it_was(void **state)
{
	struct tuple t = udp("10.0.0.5", 4000), a = udp("100.64.0.1", 4000),
		     b = udp("100.64.0.2", 4000);
	struct paths p;

	(void)state;
	routed(10, 63, a, udp("198.51.100.1", 4001), 0);
	sent(1, 64, t, 0);
	received(11, 62, udp("198.51.100.1", 4001), 1);
	routed(9, 64, t, b, 3);
	routed(10, 63, b, udp("198.51.100.1", 4002), 4);
	sent(2, 64, t, 5);
	p = join();
	for (size_t i = 0; i < p.count; i++) {
		size_t passed = 0;

		for (size_t k = 0; k < p.list[i].hop_count; k++)
			passed += p.list[i].hops[k].sj->host == 10;
		assert_true(passed < 2);
	}
}

static void path_4_clients_at_different_distances_of_one_router(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.7.4.2", 4000);

	(void)state;
	routed(3, 64, a, a, 0);
	ended(3, 63, b, 1);
	PACKETS(2, 1, 2);
}

static void path_4_clients_of_different_systems(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.1.3", 4000);

	(void)state;
	sent(1, 64, a, 0);
	routed(3, 64, a, a, 1);
	routed(3, 128, b, b, 2);
	routed(4, 63, a, a, 3);
	ended(4, 127, b, 4);
	PACKETS(2, 1, 1, 2, 1, 2);
}

/* A number in the header that both have is no accident: somebody whom nobody watches translates, and sends it back. */
static void path_4_a_stranger_sends_it_back_translated(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.9.1", 4000);

	(void)state;
	routed(3, 64, a, a, 0)->j.ip_id = 77;
	routed(3, 62, b, b, 1)->j.ip_id = 77;
	PACKETS(1, 1, 1);
}

/* In whatever order they are told. */
static void path_4_a_watched_one_sends_it_back_translated(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.9.1", 4000);

	(void)state;
	for (int first = 0; first < 3; first++) {
		count = 0;
		routed(3, 64, a, a, first == 0 ? 9 : 0);
		routed(4, 63, a, b, first == 1 ? 9 : 1);
		routed(3, 62, b, b, first == 2 ? 9 : 2);
		PACKETS(1, 1, 1, 1);
	}
}

/* A bridge sends it through another one, which translates without routing. */
static void path_4_a_bridge_beside_a_bridge_translates(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = to(a, "10.0.1.9");

	(void)state;
	bridged(3, 64, a, a, 0);
	bridged(4, 64, a, b, 1);
	bridged(3, 64, b, b, 2);
	received(5, 64, b, 3);
	PACKETS(1, 1, 1, 1, 1);
}

/* One is for the published address, the other for what stands behind it: the host's own entry explains nothing. */
static void path_4_a_published_address_and_what_is_behind_it(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = to(a, "10.0.9.1");

	(void)state;
	tracked(3, a, b);
	ended(3, 64, a, 0);
	routed(3, 64, b, b, 1);
	PACKETS(2, 1, 2);
}

/* One socket sends to two hosts. The first packet died before anything but that it came was seen of it. */
static void path_6_only_a_bridge_shows_a_packet_twice(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = to(a, "203.0.113.10");

	(void)state;
	ended(3, 64, a, 0);
	routed(3, 64, b, b, 1);
	PACKETS(2, 1, 2);
	link.master = link.ifindex; /* of itself: no other is needed */
	PACKETS(1, 1, 1);
	link.master = 0;
}

/* How the first one ended, and how the other one passed, may not have been told yet. */
static void path_9_who_was_not_seen_to_leave_has_no_other_addresses(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.4.2", 4000);

	(void)state;
	ended(3, 64, b, 1);
	routed(5, 63, a, a, 2);
	received(6, 62, a, 3);
	PACKETS(2, 1, 2, 2);
	/* Who was, has been translated by a host that nobody watches. */
	list[0].j.step_count = 2;
	list[1].j.steps[0].ttl = 62;
	list[1].j.steps[1].ttl = list[2].j.steps[0].ttl = list[2].j.steps[1].ttl = 61;
	PACKETS(1, 1, 1, 1);
}

/* Between two containers' host and one of them nobody translates, but within that host: the second half came as nobody sent it. */
static void path_6_a_second_half_came_as_the_first_one(void **state)
{
	struct tuple a = udp("172.17.0.2", 80), b = to(a, "10.0.9.1");

	(void)state;
	link.master = link.ifindex;
	sent(1, 64, a, 2);
	ended(3, 64, a, 3);
	routed(3, 64, b, b, 0);
	received(5, 63, b, 1);
	PACKETS(1, 1, 1, 1, 1);
	/* What the second one met in FORWARD was told of the first one. */
	list[1].j.tuples[list[1].j.tuple_count++] = b;
	list[1].j.step_count = 2;
	step(&list[1].j.steps[1], HOOK_FORWARD, CHECKPOINT_NONE, 63);
	PACKETS(1, 1, 1, 1, 1);
	/* But both met it. */
	list[2].j.steps[1].hook = HOOK_FORWARD;
	assert_int_not_equal(join().count, 1);
	link.master = 0;
}

static void path_4_what_one_routes_another_does_not_get_with_the_same_ttl(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("203.0.113.77", 4000);

	(void)state;
	routed(3, 64, a, a, 0);
	received(5, 64, b, 1);
	PACKETS(2, 1, 2);
}

static void path_4_what_was_received_goes_nowhere(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.7.4.2", 4000);

	(void)state;
	received(5, 63, a, 0);
	ended(3, 62, b, 1);
	PACKETS(2, 1, 2);
}

/* ... unless it is for many. */
static void path_4_what_is_for_many_is_received_and_routed(void **state)
{
	struct tuple a = to(udp("10.0.1.2", 4000), "239.1.2.3");

	(void)state;
	sent(1, 16, a, 0);
	received(5, 16, a, 1);
	routed(3, 16, a, a, 1);
	received(6, 15, a, 2);
	PACKETS(1, 1, 1, 1, 1);
}

/* Two routers announce themselves in equal words. */
static void path_4_equal_words_of_two_to_many(void **state)
{
	struct tuple a = to(udp("10.0.1.2", 4000), "224.0.0.18"),
		     b = to(udp("10.0.1.3", 4000), "224.0.0.18");

	(void)state;
	sent(1, 255, a, 0);
	sent(2, 255, b, 0);
	received(1, 255, b, 1);
	received(2, 255, a, 1);
	received(3, 255, a, 2);
	received(3, 255, b, 2);
	PACKETS(2, 1, 2, 2, 1, 1, 2);
}

/* Pings of one id and number, without a time in them: a gateway gives the second one another id. */
static void path_4_equal_pings_of_two_clients(void **state)
{
	struct tuple a = udp("10.0.1.2", 7), b = udp("10.0.4.2", 7), out = udp("198.18.0.1", 7),
		     other = udp("198.18.0.1", 8);

	(void)state;
	a.proto = b.proto = out.proto = other.proto = 1;
	a.dport = b.dport = out.dport = other.dport = 8;
	routed(3, 64, a, out, 0);
	routed(3, 64, b, other, 0);
	ended(5, 63, out, 1);
	received(5, 63, other, 1);
	PACKETS(2, 1, 2, 1, 2);
}

/* GRE has no ports, and two clients may carry the same. */
static void path_4_equal_contents_without_ports(void **state)
{
	struct tuple a = udp("10.0.1.2", 0), b = udp("10.0.4.2", 0);

	(void)state;
	a.proto = b.proto = 47;
	a.dport = b.dport = 0;
	routed(3, 64, a, a, 0);
	ended(3, 64, b, 1);
	received(5, 63, a, 2);
	PACKETS(2, 1, 2, 1);
}

static void path_5_what_a_rule_of_nftables_dropped_is_nowhere_after(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.7.4.2", 4000);

	(void)state;
	ended(3, 64, a, 0)->j.steps[0].verdict = STEP_VERDICT_DROP;
	received(5, 62, b, 1);
	PACKETS(2, 1, 2);
}

/* Of a packet that a bridge shows twice one half has the kernel's word of its death, the other one the rule's. */
static void path_5_one_death_may_be_told_twice(void **state)
{
	struct tuple t = udp("10.0.1.2", 4000);
	struct stored_journey *freed, *dropped;

	(void)state;
	router.has_facts = false; /* eth0 may be a bridge */
	sent(1, 64, t, 0);
	freed = ended(3, 64, t, 1);
	freed->j.steps[1] = (struct step){ .hook = HOOK_PREROUTING, .ttl = 64 };
	freed->j.steps[2] = (struct step){ .hook = HOOK_FORWARD,
					   .label = LABEL_KERNEL,
					   .prefix = "NETFILTER_DROP" };
	freed->j.step_count = 3;
	dropped = ended(3, 64, t, 2);
	dropped->j.steps[1] =
		(struct step){ .hook = HOOK_FORWARD, .ttl = 63, .verdict = STEP_VERDICT_DROP };
	dropped->j.step_count = 2;
	PACKETS(1, 1, 1, 1);
	freed->j.steps[2] = dropped->j.steps[1]; /* two rules: two packets */
	assert_int_not_equal(join().count, 1);
}

/* Nobody is between the two: none who can have translated. */
static void path_9_with_one_ttl_nobody_has_translated(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.7.4.2", 4000);

	(void)state;
	routed(3, 64, a, a, 0);
	ended(4, 63, b, 1);
	PACKETS(2, 1, 2);
}

static void path_9_a_router_that_nobody_watches_may_have(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.7.4.2", 4000);

	(void)state;
	routed(3, 64, a, a, 0);
	ended(4, 62, b, 1);
	PACKETS(1, 1, 1);
}

/* Many packets have these contents, and long after one another two of them say nothing. */
static void path_9_common_contents_are_one_packet_only_close_together(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.7.4.2", 4000);

	(void)state;
	routed(3, 64, a, a, 0);
	ended(4, 62, b, 300);
	PACKETS(1, 1, 1); /* nobody else has them */
	routed(3, 64, a, a, 1000);
	ended(4, 62, b, 1300);
	PACKETS(4, 1, 2, 3, 4);
	for (size_t i = 0; i < count; i++)
		list[i].j.ip_id = 77;
	PACKETS(2, 1, 1, 3, 3);
}

/* Nobody traced the host that changed no more than the port. */
static void path_10_a_translation_of_ports_that_was_tracked_joins(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.1.2", 5000);

	(void)state;
	sent(1, 64, a, 0);
	received(5, 63, b, 1);
	PACKETS(2, 1, 2);
	tracked(3, a, b);
	PACKETS(1, 1, 1);
}

static void path_10_replies_are_translated_back(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.1.2", 5000);

	(void)state;
	sent(5, 64, tuple_reverse(&b), 0);
	received(1, 63, tuple_reverse(&a), 1);
	PACKETS(2, 1, 2);
	tracked(3, a, b);
	PACKETS(1, 1, 1);
}

/* Two gateways behind each other, and a second client with the same contents at the same time. */
static void path_9_connection_tracking_tells_which_is_which(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.1.3", 4000);

	(void)state;
	sent(1, 64, a, 0);
	sent(2, 64, b, 1);
	received(5, 62, udp("198.51.100.1", 9001), 1);
	received(5, 62, udp("198.51.100.1", 9002), 2);
	tracked(3, a, udp("100.64.0.1", 9));
	tracked(4, udp("100.64.0.1", 9), udp("198.51.100.1", 9002));
	tracked(3, b, udp("100.64.0.1", 10));
	tracked(4, udp("100.64.0.1", 10), udp("198.51.100.1", 9001));
	PACKETS(2, 1, 2, 2, 1);
}

static void path_10_an_entry_of_another_time_joins_nothing(void **state)
{
	struct tuple a = udp("10.0.1.2", 4000), b = udp("10.0.1.2", 5000);

	(void)state;
	sent(1, 64, a, 10000);
	received(5, 63, b, 10001);
	tracked(3, a, b);
	conns[0].from.v = 1LL * NS_PER_S;
	conns[0].until.v = 5LL * NS_PER_S;
	PACKETS(2, 1, 2);
	conns[0].until.v = 9LL * NS_PER_S;
	PACKETS(1, 1, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(path_4_two_clients_of_one_router),
		CASE(path_4_two_clients_behind_a_gateway_that_translates),
		CASE(path_4_what_was_lowered_does_not_come_again_as_it_was),
		CASE(path_4_clients_at_different_distances_of_one_router),
		CASE(path_4_clients_of_different_systems),
		CASE(path_4_a_stranger_sends_it_back_translated),
		CASE(path_4_a_watched_one_sends_it_back_translated),
		CASE(path_4_a_bridge_beside_a_bridge_translates),
		CASE(path_4_a_published_address_and_what_is_behind_it),
		CASE(path_6_only_a_bridge_shows_a_packet_twice),
		CASE(path_9_who_was_not_seen_to_leave_has_no_other_addresses),
		CASE(path_6_a_second_half_came_as_the_first_one),
		CASE(path_4_what_one_routes_another_does_not_get_with_the_same_ttl),
		CASE(path_4_what_was_received_goes_nowhere),
		CASE(path_4_what_is_for_many_is_received_and_routed),
		CASE(path_4_equal_words_of_two_to_many),
		CASE(path_4_equal_pings_of_two_clients),
		CASE(path_4_equal_contents_without_ports),
		CASE(path_5_what_a_rule_of_nftables_dropped_is_nowhere_after),
		CASE(path_5_one_death_may_be_told_twice),
		CASE(path_9_with_one_ttl_nobody_has_translated),
		CASE(path_9_a_router_that_nobody_watches_may_have),
		CASE(path_9_common_contents_are_one_packet_only_close_together),
		CASE(path_10_a_translation_of_ports_that_was_tracked_joins),
		CASE(path_10_replies_are_translated_back),
		CASE(path_9_connection_tracking_tells_which_is_which),
		CASE(path_10_an_entry_of_another_time_joins_nothing),
	};
#undef CASE

	return cmocka_run_group_tests(tests, NULL, NULL);
}
