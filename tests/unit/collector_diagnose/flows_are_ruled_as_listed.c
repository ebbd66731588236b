/*
 * What the fates of packets say about their flow, by the numbers of ruling.h, path.h, flows.c and where.c, and what is said where
 * nothing, or not all, was seen.
 */
#include "three_hosts.h"

static void ruling_1_a_reset_on_the_way_is_no_reply(void **state)
{
	static const char *const rejecting =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		"-A FORWARD -p tcp -m tcp --dport 443 -j REJECT --reject-with tcp-reset\nCOMMIT\n";
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443), back = tuple_reverse(&t);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(rt, "filter", rejecting, 0, 500, 90000, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	j = journey(rt, 1001, 7, t, SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	sends(rt, 1002, 8, back, RST | ACK, 0)->tcp_ack = 2;
	checkpoint(receives(cl, 1003, 8, back, RST | ACK, 0), CHECKPOINT_IN_LAST, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "rejected");
	assert_string_equal(text("died_at.reject_with"), "tcp-reset");
	assert_true(json_is_false(at("reply_seen")));
	assert_int_equal(json_array_size(at("hops")), 2);
}

static void ruling_2_an_answer_proves_arrival(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "203.0.113.9", 443), back = tuple_reverse(&t);
	uint64_t cl = host("cl", "10.0.1.2/24");
	struct journey *j;

	(void)state;
	route(cl, "0.0.0.0/0", "10.0.1.1");
	armed(cl, 0, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	j = receives(cl, 1002, 8, back, SYN | ACK, 90);
	j->tcp_ack = 2;
	checkpoint(j, CHECKPOINT_IN_LAST, 60);
	ask("tcp 10.0.1.2 203.0.113.9:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_true(json_is_true(at("reply_seen")));
}

static void ruling_3_a_retransmission_that_arrived_counts(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, SYN, 1);
	sends(cl, 2000, 8, t, SYN, 1);
	forwards(rt, 2001, 8, t, SYN, 1);
	checkpoint(receives(sv, 2002, 8, t, SYN, 1), CHECKPOINT_IN_LAST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
}

static void ruling_5_a_death_beside_arrivals_is_partial(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(sv, "filter", two_rules, 0, 500, 90000, 0);
	checkpoint(receives(sv, 1000, 7, t, SYN, 1), CHECKPOINT_IN_LAST, 63);
	rule(receives(sv, 1100, 8, t, ACK, 2), HOOK_INPUT, "filter", "INPUT", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_true(json_is_true(at("partial")));
	assert_int_equal(number("packets"), 1);
}

/* The kernel freed it there; nobody traced it. */
static void freed(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple, const char *reason,
		  uint8_t ttl)
{
	struct step *s = add_step(journey(h, t, fp, tuple, SYN, 1), ttl);

	s->label = LABEL_KERNEL;
	s->prefix = reason;
}

/* Two flows whose packets have one fingerprint (IPv6 has no id, a fingerprint no ports). */
static void path_5_a_packet_dies_once(void **state)
{
	struct tuple one = tcp("10.0.1.2", 40000, "10.0.3.2", 443),
		     two = tcp("10.0.1.2", 40001, "10.0.3.2", 444);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	freed(cl, 1000, 7, one, "IP_OUTNOROUTES", 64);
	freed(sv, 1500, 7, two, "NO_SOCKET", 62);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.host"), "cl");
	assert_string_equal(text("died_at.reason"), "IP_OUTNOROUTES");
	ask("tcp 10.0.1.2 10.0.3.2:444");
	assert_string_equal(text("died_at.host"), "sv");
	assert_string_equal(text("verdict"), "refused");
}

static void path_5_a_packet_is_nowhere_after_its_death(void **state)
{
	struct tuple one = tcp("10.0.1.2", 40000, "10.0.3.2", 443),
		     two = tcp("10.0.1.2", 40001, "10.0.3.2", 444);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	freed(cl, 1000, 7, one, "IP_OUTNOROUTES", 64);
	checkpoint(receives(sv, 1500, 7, two, ACK, 1), CHECKPOINT_IN_LAST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.host"), "cl");
	assert_int_equal(json_array_size(at("hops")), 1);
	ask("tcp 10.0.1.2 10.0.3.2:444");
	assert_string_equal(text("verdict"), "delivered");
}

static void flows_1_a_dead_reply_is_told_with_its_direction(void **state)
{
	static const char *const guard =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:BACK - [0:0]\n"
		"-A FORWARD -i eth0 -j BACK\n-A BACK -p tcp -m tcp --sport 443 -j DROP\nCOMMIT\n";
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443),
		     out = tcp("10.0.3.1", 40000, "10.0.3.2", 443);
	struct tuple back = tuple_reverse(&t), in = tuple_reverse(&out);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(rt, "filter", guard, 0, 500, 90000, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	j = journey(rt, 1001, 7, t, SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	becomes(j, out);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	checkpoint(receives(sv, 1002, 7, out, SYN, 1), CHECKPOINT_IN_LAST, 63);
	sends(sv, 1003, 8, in, SYN | ACK, 50)->tcp_ack = 2;
	j = journey(rt, 1004, 8, in, SYN | ACK, 50);
	j->tcp_ack = 2;
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	becomes(j, back);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	rule(j, HOOK_FORWARD, "filter", "BACK", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("direction"), "reply");
	assert_string_equal(text("died_at.host"), "rt");
	assert_string_equal(text("died_at.chain"), "BACK");
	assert_int_equal(json_array_size(at("died_at.jumps")), 1);
	assert_string_equal(text("died_at.jumps.0.chain"), "FORWARD");
	assert_string_equal(text("causes.1.id"), "return-path");
	assert_true(json_is_true(at("reply_seen")));
	assert_string_equal(text("hops.1.nat.0.kind"), "snat");
	assert_string_equal(text("hops.1.nat.0.from"), "10.0.1.2:40000");
	assert_string_equal(text("hops.1.nat.0.to"), "10.0.3.1:40000");
	assert_string_equal(text("hops.3.direction"), "reply");
	assert_string_equal(text("flow.src"), "10.0.1.2");
}

static void flows_2_two_clients_behind_one_address_stay_apart(void **state)
{
	struct tuple a = tcp("10.0.1.2", 40000, "10.0.3.2", 443),
		     b = tcp("10.0.1.3", 40000, "10.0.3.2", 443);
	struct tuple a_out = tcp("10.0.3.1", 40000, "10.0.3.2", 443),
		     b_out = tcp("10.0.3.1", 1024, "10.0.3.2", 443);
	uint64_t rt = host("rt", "10.0.3.1/24"), sv = host("sv", "10.0.3.2/24");
	struct tuple in[2] = { a, b }, out[2] = { a_out, b_out };

	(void)state;
	route(rt, "10.0.3.0/24", NULL);
	armed(rt, 0, 0);
	armed(sv, 0, 0);
	table(sv, "filter", two_rules, 0, 500, 90000, 0);
	for (int i = 0; i < 2; i++) {
		/* Equal contents: the same fingerprint. */
		struct journey *j = journey(rt, 1000 + i, 7, in[i], SYN, 1);

		checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
		checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
		becomes(j, out[i]);
		checkpoint(j, CHECKPOINT_POST_LAST, 63);
		j = receives(sv, 1005 + i, 7, out[i], SYN, 1);
		if (i == 0)
			checkpoint(j, CHECKPOINT_IN_LAST, 63);
		else
			rule(j, HOOK_INPUT, "filter", "INPUT", 1, 63);
	}
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_int_equal(number("matched"), 1);
	ask("tcp 10.0.1.3 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_int_equal(number("matched"), 1);
}

static void where_1_a_tuple_used_twice_answers_for_the_newest(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(sv, "filter", two_rules, 0, 500, 3000, 4000);
	table(sv, "filter", open_table, 3000, 4000, 90000, 0);
	rule(receives(sv, 1000, 7, t, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	checkpoint(receives(sv, 9000, 8, t, SYN, 77), CHECKPOINT_IN_LAST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_int_equal(number("matched"), 2);
	assert_string_equal(text("others.0.verdict"), "dropped");
	assert_int_equal(number("others.0.died_at.rule"), 1);
}

/* Hairpin NAT, and OUTPUT's time of receipt is later than the packet's return: one packet, one path. */
static void path_4_a_packet_that_comes_back_to_its_sender_stays_one(void **state)
{
	struct tuple out = tcp("10.0.1.2", 40000, "198.18.0.1", 443),
		     in = tcp("10.0.1.1", 40000, "10.0.1.3", 8443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(cl, "filter", two_rules, 0, 500, 90000, 0);
	rule(receives(cl, 1000, 7, in, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	sends(cl, 1001, 7, out, SYN, 1);
	j = forwards(rt, 1002, 7, out, SYN, 1);
	becomes(j, in);
	j->steps[2].tuple = 1;
	ask("tcp 10.0.1.2 198.18.0.1:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_int_equal(number("matched"), 1);
	assert_int_equal(json_array_size(at("hops")), 3);
	assert_string_equal(text("hops.0.host"), "cl");
	assert_string_equal(text("hops.0.out"), "eth0");
	assert_string_equal(text("hops.1.host"), "rt");
	assert_string_equal(text("hops.2.outcome"), "dropped");
}

static struct journey *of_ipv6(struct journey *j, const char *src, const char *dst, uint8_t proto)
{
	j->ip_version = 6;
	j->tuples[0].proto = proto;
	assert_true(addr_parse(&j->tuples[0].src, src) && addr_parse(&j->tuples[0].dst, dst));
	return j;
}

/* nft's copy of an ICMPv6 error ends in the embedded source: length, protocol, place and time tell which packet it is about. */
static void flows_6_an_icmpv6_error_is_about_the_packet_before_it(void **state)
{
	const char *cl = "2001:db8:1::2", *sv = "2001:db8:3::2";
	uint64_t h;
	struct journey *e;

	(void)state;
	h = host("sv", "2001:db8:3::2/64");
	checkpoint(of_ipv6(receives(h, 1000, 7, tcp("10.0.1.2", 40000, "10.0.3.2", 53), 0, 0), cl,
			   sv, 17),
		   CHECKPOINT_IN_LAST, 63);
	checkpoint(of_ipv6(receives(h, 1010, 8, tcp("10.0.1.2", 40000, "10.0.3.2", 54), 0, 0), cl,
			   sv, 17),
		   CHECKPOINT_IN_LAST, 63);
	e = of_ipv6(sends(h, 1012, 9, tcp("10.0.3.2", 0, "10.0.1.2", 0), 0, 0), sv, cl, 58);
	e->icmp_type = 1;
	e->icmp_code = 4;
	e->is_icmp_error = e->has_inner = true;
	e->inner_proto = 17;
	e->inner_len = 60;
	ask("udp [2001:db8:1::2]:40000 [2001:db8:3::2]:54");
	assert_string_equal(text("verdict"), "refused");
	assert_string_equal(text("died_at.reason"), "NO_SOCKET");
	ask("-p udp -s 2001:db8:1::2 -d 2001:db8:3::2");
	assert_int_equal(number("matched"), 2);
	assert_int_equal(number("flow.dport"), 54);
	assert_string_equal(text("others.0.verdict"), "delivered");
}

/* Nothing found while agents may still tell says nothing: the question is to be put again. */
static void a_question_put_early_asks_for_patience(void **state)
{
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.asked = FAKE_NOW - 5;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_true(json_is_true(at("provisional")) && fake.patience);
	fake.asked = FAKE_NOW - 800;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_true(json_is_false(at("provisional")) && !fake.patience);
	fake.asked = FAKE_NOW - 5;
	fake.arming_count = 0; /* nobody traces: nothing can follow */
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_true(json_is_false(at("provisional")) && !fake.patience);
}

static void a_host_that_is_late_leaves_it_open(void **state)
{
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.arming_count = 0;
	fake.live[1].late_ms = 1200;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_true(fake.patience);
	assert_true(json_is_true(at("provisional")));
	assert_string_equal(text("coverage.late.0.host"), "rt");
	assert_int_equal(number("coverage.late.0.lag_ms"), 1200);
}

static void nothing_seen_is_said_with_what_was_searched(void **state)
{
	(void)state;
	host("cl", "10.0.1.2/24");
	fake.live[0].answering = false;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_int_equal(number("matched"), 0);
	assert_string_equal(text("coverage.silent.0"), "cl");
	assert_int_equal(number("coverage.asked"), 1);
	assert_int_equal(number("coverage.answering"), 0);
	assert_string_equal(text("flow.dst"), "10.0.3.2");
	assert_int_equal(number("flow.dport"), 443);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, fresh)
		T(ruling_1_a_reset_on_the_way_is_no_reply),
		T(ruling_2_an_answer_proves_arrival),
		T(ruling_3_a_retransmission_that_arrived_counts),
		T(ruling_5_a_death_beside_arrivals_is_partial),
		T(path_5_a_packet_dies_once),
		T(path_5_a_packet_is_nowhere_after_its_death),
		T(flows_1_a_dead_reply_is_told_with_its_direction),
		T(flows_2_two_clients_behind_one_address_stay_apart),
		T(where_1_a_tuple_used_twice_answers_for_the_newest),
		T(path_4_a_packet_that_comes_back_to_its_sender_stays_one),
		T(flows_6_an_icmpv6_error_is_about_the_packet_before_it),
		T(a_question_put_early_asks_for_patience),
		T(a_host_that_is_late_leaves_it_open),
		T(nothing_seen_is_said_with_what_was_searched),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
