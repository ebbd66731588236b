/*
 * Strangers between hosts, loops, the same addresses at two sites, several next hops: what may be said of them, and what not.
 */
#include "fake.h"

static struct tuple web(const char *src, const char *dst)
{
	return tcp(src, 40000, dst, 443);
}

static void forwards(uint64_t h, int64_t at, struct tuple in, struct tuple out, uint8_t ttl,
		     const char *in_if)
{
	struct journey *j = journey(h, at, 7, in, 0, 0);

	snprintf(j->in_if, sizeof(j->in_if), "%s", in_if);
	checkpoint(j, CHECKPOINT_PRE_FIRST, ttl);
	if (!tuple_equal(&in, &out))
		becomes(j, out);
	checkpoint(j, CHECKPOINT_POST_LAST, (uint8_t)(ttl - 1));
}

static void sends(uint64_t h, int64_t at, uint64_t fp, struct tuple t)
{
	struct journey *j = journey(h, at, fp, t, 0, 0);

	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
}

static void receives(uint64_t h, int64_t at, uint64_t fp, struct tuple t, uint8_t ttl)
{
	struct journey *j = journey(h, at, fp, t, 0, 0);

	checkpoint(j, CHECKPOINT_PRE_FIRST, ttl);
	checkpoint(j, CHECKPOINT_IN_LAST, ttl);
}

static void a_stranger_is_told_by_what_it_did(void **state)
{
	struct tuple in = web("10.0.1.2", "203.0.113.9"), out = web("198.18.0.1", "10.0.3.2");
	uint64_t cl = host("cl", "10.0.1.2/24"), sv = host("sv", "10.0.3.2/24");

	(void)state;
	route(cl, "0.0.0.0/0", "10.0.1.1");
	armed(cl, 0, 0);
	armed(sv, 0, 0);
	sends(cl, 1000, 7, in);
	receives(sv, 1001, 7, out, 61);
	ask("tcp 10.0.1.2 203.0.113.9:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_true(json_is_null(at("hops.0.stranger")));
	assert_string_equal(text("hops.1.stranger.addr"), "10.0.1.1");
	assert_true(json_is_null(at("hops.1.stranger.host")));
	assert_int_equal(number("hops.1.stranger.ttl_steps"), 3);
	assert_string_equal(text("hops.1.stranger.nat.0.kind"), "dnat");
	assert_string_equal(text("hops.1.stranger.nat.0.to"), "10.0.3.2:443");
	assert_string_equal(text("hops.1.stranger.nat.1.from"), "10.0.1.2:40000");
	assert_string_equal(text("hops.1.link_confidence"), "likely");
}

static void a_neighbour_is_no_stranger(void **state)
{
	struct tuple t = web("10.0.1.2", "10.0.1.3");
	uint64_t cl = host("cl", "10.0.1.2/24"), sv = host("sv", "10.0.1.3/24");

	(void)state;
	route(cl, "10.0.1.0/24", NULL);
	armed(cl, 0, 0);
	armed(sv, 0, 0);
	sends(cl, 1000, 7, t);
	receives(sv, 1001, 7, t, 40); /* a rule of its own may have set it */
	ask("tcp 10.0.1.2 10.0.1.3:443");
	assert_true(json_is_null(at("hops.1.stranger")));
}

/* Rounds come out of order: what is read late has an early TTL. */
static void a_loop_is_named_and_one_packet(void **state)
{
	struct tuple t = web("10.0.1.2", "10.0.9.9");
	uint64_t a = host("a", "10.0.1.1/24"), b = host("b", "10.0.2.2/24");
	struct step *s;

	(void)state;
	armed(a, 0, 0);
	armed(b, 0, 0);
	for (int i = 0; i < 3; i++) {
		uint8_t ttl = (uint8_t)(3 + 2 * i);

		forwards(a, 1000 + i, t, t, ttl, ttl == 7 ? "lan" : "wan");
		if (ttl > 3)
			forwards(b, 1000 + i, t, t, (uint8_t)(ttl - 1), "eth0");
	}
	s = add_step(journey(b, 1010, 7, t, 0, 0), 1);
	s->label = LABEL_KERNEL;
	s->prefix = "IP_INHDR";
	ask("tcp 10.0.1.2 10.0.9.9:443");
	assert_int_equal(number("matched"), 1);
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("causes.0.id"), "ttl-expired");
	assert_int_equal(json_array_size(at("hops")), 6);
	assert_int_equal(number("hops.0.ttl_in"), 7);
	assert_string_equal(text("loop.hosts.0"), "b");
	assert_string_equal(text("loop.hosts.1"), "a");
	assert_string_equal(text("loop.by"), "packet");
	assert_int_equal(number("loop.rounds"), 1);
}

/* A firewall beside the router sends it back by another interface. */
static void to_come_back_is_no_loop(void **state)
{
	struct tuple t = web("10.0.1.2", "10.0.3.2");
	uint64_t rt = host("rt", "10.0.1.1/24"), fw = host("fw", "10.0.5.2/24"),
		 sv = host("sv", "10.0.3.2/24");

	(void)state;
	armed(rt, 0, 0);
	armed(fw, 0, 0);
	armed(sv, 0, 0);
	forwards(rt, 1000, t, t, 64, "lan");
	forwards(fw, 1001, t, t, 63, "eth0");
	forwards(rt, 1002, t, t, 62, "fw");
	receives(sv, 1003, 7, t, 61);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_int_equal(json_array_size(at("hops")), 4);
	assert_true(json_is_null(at("loop")));
}

/* Without a SYN the sender alone tells two flows of one tuple apart. */
static void flows_3_two_senders_are_two_flows(void **state)
{
	struct tuple t = web("10.0.1.2", "10.0.3.2");
	uint64_t one = host("one", "10.0.1.2/24"), two = host("two", "10.0.1.2/24"),
		 sv = host("sv", "10.0.3.2/24");

	(void)state;
	armed(one, 0, 0);
	armed(two, 0, 0);
	armed(sv, 0, 0);
	route(one, "0.0.0.0/0", "10.0.1.1");
	route(two, "0.0.0.0/0", "10.0.1.1");
	sends(one, 1000, 7, t);
	receives(sv, 1001, 7, t, 62);
	sends(two, 1100, 8, t);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("matched"), 2);
	sends(one, 2000, 9, t);
	receives(sv, 2001, 9, t, 62);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(number("matched"), 2);
}

/* Two hosts have the next address: what is lost is lost to neither by name, and one that may have missed it hides that. */
static void fate_5d_several_next_hops_are_all_asked(void **state)
{
	struct tuple t = web("10.0.1.2", "10.0.3.2");
	uint64_t cl = host("cl", "10.0.1.2/24"), a = host("a", "10.0.1.1/24"),
		 b = host("b", "10.0.1.1/24");

	(void)state;
	route(cl, "0.0.0.0/0", "10.0.1.1");
	armed(cl, 0, 0);
	armed(a, 0, 0);
	armed(b, 0, 0);
	sends(cl, 1000, 7, t);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
	assert_string_equal(text("died_at.between.0"), "cl");
	assert_true(json_is_null(at("died_at.between.1")));
	lost(b, "trace-nft", 900, 1100);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	/* Another packet of the flow shows which one it is. */
	sends(cl, 3000, 8, t);
	forwards(a, 3001, t, t, 64, "lan");
	fake.journeys[fake.journey_count - 1].j.fp = 8;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
	assert_string_equal(text("died_at.between.1"), "a");
}

/* A lease's new plan takes the old one's place at once: no gap between the two. */
static void fate_5d_a_new_plan_leaves_no_gap(void **state)
{
	struct tuple t = web("10.0.1.2", "10.0.3.2");
	uint64_t cl = host("cl", "10.0.1.2/24"), a = host("a", "10.0.1.1/24");

	(void)state;
	route(cl, "0.0.0.0/0", "10.0.1.1");
	armed(cl, 0, 0);
	armed(a, 0, 990);
	armed(a, 990, 0);
	sends(cl, 1000, 7, t);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
	fake.armings[2].from.v = ms(991);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, fresh)
		T(a_stranger_is_told_by_what_it_did), T(a_neighbour_is_no_stranger),
		T(a_loop_is_named_and_one_packet),    T(to_come_back_is_no_loop),
		T(flows_3_two_senders_are_two_flows), T(fate_5d_several_next_hops_are_all_asked),
		T(fate_5d_a_new_plan_leaves_no_gap),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
