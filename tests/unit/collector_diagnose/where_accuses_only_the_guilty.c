/*
 * Verdicts by the numbers of fate.h, ruling.h, path.h, flows.h and where.c: each accusation, and each way in which missing evidence must
 * turn it into unknown.
 */
#include "fake.h"

enum { SYN = 2, RST = 4, ACK = 16 };

static const char *const two_rules =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A INPUT -p tcp -m tcp --dport 443 -j DROP\n-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n";
static const char *const open_table =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

/* cl (10.0.1.2) - rt (10.0.1.1, 10.0.3.1) - sv (10.0.3.2), all armed all the time. */
static void three_hosts(uint64_t *cl, uint64_t *rt, uint64_t *sv)
{
	*cl = host("cl", "10.0.1.2/24");
	*rt = host("rt", "10.0.1.1/24");
	*sv = host("sv", "10.0.3.2/24");
	address(*rt, "10.0.3.1/24");
	route(*cl, "0.0.0.0/0", "10.0.1.1");
	route(*rt, "10.0.1.0/24", NULL);
	route(*rt, "10.0.3.0/24", NULL);
	route(*sv, "0.0.0.0/0", "10.0.3.1");
	armed(*cl, 0, 0);
	armed(*rt, 0, 0);
	armed(*sv, 0, 0);
}

static struct journey *sends(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple, uint8_t flags,
			     uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	return j;
}

static struct journey *forwards(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple,
				uint8_t flags, uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	return j;
}

static struct journey *receives(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple,
				uint8_t flags, uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_PRE_FIRST, 63);
	checkpoint(j, CHECKPOINT_IN_FIRST, 63);
	return j;
}

static void fate_2_a_drop_rule_is_named(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(sv, "filter", two_rules, 0, 500, 90000, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	forwards(rt, 1001, 7, t, SYN, 1);
	rule(receives(sv, 1002, 7, t, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("direction"), "original");
	assert_string_equal(text("died_at.host"), "sv");
	assert_string_equal(text("died_at.kind"), "rule");
	assert_int_equal(number("died_at.rule"), 1);
	assert_string_equal(text("died_at.rule_text"),
			    "-A INPUT -p tcp -m tcp --dport 443 -j DROP");
	assert_string_equal(text("confidence"), "observed");
	assert_string_equal(text("causes.0.id"), "explicit-drop");
	assert_string_equal(text("hops.0.host"), "cl");
	assert_string_equal(text("hops.1.host"), "rt");
	assert_string_equal(text("hops.2.host"), "sv");
	assert_string_equal(text("hops.1.link_confidence"), "sure");
	assert_true(json_is_null(at("hops.0.link")));
}

/* The kernel prints "policy" for an unconditional rule, too: the number decides. */
static void fate_2_the_policy_is_one_behind_the_last_rule(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(rt, "filter", two_rules, 0, 500, 90000, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	j = journey(rt, 1001, 7, t, SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	j->steps[2].label = LABEL_POLICY;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.kind"), "policy");
	assert_true(json_is_null(at("died_at.rule")));
	assert_string_equal(text("died_at.rule_text"), "-P FORWARD DROP");
	assert_string_equal(text("causes.0.id"), "default-policy");
}

/* The end of a chain that was entered by goto leads past the chain that holds the goto. */
static void fate_2_a_goto_returns_to_the_last_jump(void **state)
{
	static const char *const chains =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n"
		"-A INPUT -j A\n-A INPUT -p tcp -j DROP\n-A A -g B\n-A B -p udp -j ACCEPT\nCOMMIT\n";
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(sv, "filter", chains, 0, 500, 90000, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	forwards(rt, 1001, 7, t, SYN, 1);
	j = receives(sv, 1002, 7, t, SYN, 1);
	rule(j, HOOK_INPUT, "filter", "INPUT", 1, 63);
	rule(j, HOOK_INPUT, "filter", "A", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	rule(j, HOOK_INPUT, "filter", "B", 2, 63);
	rule(j, HOOK_INPUT, "filter", "INPUT", 2, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_int_equal(number("died_at.rule"), 2);
	assert_int_equal(json_array_size(at("died_at.jumps")), 0);
}

static void fate_2_a_rule_that_may_have_changed_is_not_named(void **state)
{
	static const char *const other =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
		"-A INPUT -s 10.0.9.9/32 -j ACCEPT\n-A INPUT -p tcp -j DROP\nCOMMIT\n";
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(sv, "filter", two_rules, 0, 500, 900, 1500);
	table(sv, "filter", other, 900, 1500, 90000, 0);
	rule(receives(sv, 1002, 7, t, SYN, 1), HOOK_INPUT, "filter", "INPUT", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("confidence"), "inferred");
	assert_string_equal(text("died_at.reason"), "ruleset-changed");
	assert_true(json_is_null(at("died_at.rule")));
}

static void fate_4_input_passed_is_delivered(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, SYN, 1);
	forwards(rt, 1001, 7, t, SYN, 1);
	checkpoint(receives(sv, 1002, 7, t, SYN, 1), CHECKPOINT_IN_LAST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_true(json_is_null(at("died_at")));
	assert_true(json_is_false(at("reply_seen")));
}

static void fate_4_a_reset_by_the_server_is_a_refusal(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443), back = tuple_reverse(&t);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, SYN, 1);
	checkpoint(receives(sv, 1002, 7, t, SYN, 1), CHECKPOINT_IN_LAST, 63);
	sends(sv, 1003, 8, back, RST | ACK, 0)->tcp_ack = 2;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "refused");
	assert_string_equal(text("died_at.kind"), "socket");
	assert_string_equal(text("died_at.host"), "sv");
	assert_string_equal(text("causes.0.id"), "not-listening");
}

static void fate_5b_beyond_the_watched_hosts_it_left(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "203.0.113.9", 443);
	uint64_t cl = host("cl", "10.0.1.2/24");

	(void)state;
	route(cl, "0.0.0.0/0", "10.0.1.1");
	armed(cl, 0, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	ask("tcp 10.0.1.2 203.0.113.9:443");
	assert_string_equal(text("verdict"), "left");
}

static void fate_5c_unseen_by_a_watching_neighbour_it_is_lost(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, SYN, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
	assert_string_equal(text("died_at.kind"), "link");
	assert_string_equal(text("died_at.between.0"), "cl");
	assert_string_equal(text("died_at.between.1"), "rt");
	assert_string_equal(text("causes.0.id"), "lost-between-hosts");
}

static void fate_5f_what_was_not_looked_at_hides_it(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, SYN, 1);
	fake.cut = true;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_true(json_is_true(at("cut")));
	assert_non_null(strstr(text("reason"), "more packets match"));
}

static void fate_5d_a_loss_of_the_neighbour_hides_it(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	lost(rt, "trace-limit", 500, 1500);
	sends(cl, 1000, 7, t, SYN, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

static void fate_5d_a_neighbour_that_was_not_armed_hides_it(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.armings[1].from.v = ms(1010);
	sends(cl, 1000, 7, t, SYN, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

static void fate_5d_a_thinner_sample_hides_ordinary_packets(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.armings[1].modulus = 8;
	sends(cl, 1000, 7, t, ACK, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

/* An agent that hangs is connected, too: only what it told since shows that it was at work. */
static void fate_5d_an_agent_that_told_nothing_since_hides_it(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, SYN, 1);
	fake.hosts[rt - 1].checked.v = ms(1100);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	fake.hosts[rt - 1].checked.v = ms(1800);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
}

/* The wire takes it in segments or fragments: other packets arrive. */
static void fate_5d_a_packet_above_the_mtu_leaves_in_pieces(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	j = sends(cl, 1000, 7, t, 16, 1);
	fake.facts[cl - 1].links[0].mtu = 1500;
	j->total_len = 1500;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
	j->total_len = 1501;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

static void fate_5d_silence_of_a_moment_says_nothing(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, FAKE_NOW - 100, 7, t, SYN, 1);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_true(json_is_true(at("provisional")));
}

static void fate_7_no_forwarding_discards(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.facts[rt - 1].forward4 = false;
	sends(cl, 1000, 7, t, SYN, 1);
	checkpoint(journey(rt, 1001, 7, t, SYN, 1), CHECKPOINT_PRE_FIRST, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_string_equal(text("died_at.host"), "rt");
	assert_string_equal(text("causes.0.id"), "forwarding-disabled");
	assert_true(json_is_null(at("died_at.rule")));
}

/* A packet that follows the word "armed" at once was traced whole: what ended it is known. */
static void fate_7_a_lease_counts_from_its_beginning(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.arming_count = 0;
	armed(cl, 998, 0);
	armed(rt, 998, 0);
	fake.facts[rt - 1].forward4 = false;
	sends(cl, 1000, 7, t, SYN, 1);
	checkpoint(journey(rt, 1001, 7, t, SYN, 1), CHECKPOINT_PRE_FIRST, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	fake.armings[1].from.v = ms(1002);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

/* A fragment ends where its host puts the whole together: no death. */
static void fate_7_what_cannot_be_followed_has_no_end(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	fake.facts[rt - 1].forward4 = false;
	checkpoint(journey(rt, 1001, 0, t, SYN, 1), CHECKPOINT_PRE_FIRST, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

/* The table exists and its steps are missing: what is not seen may have dropped it, or not. */
static void fate_7_an_unseen_table_accuses_nobody(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	table(rt, "filter", two_rules, 0, 500, 90000, 0);
	sends(cl, 1000, 7, t, SYN, 1);
	j = journey(rt, 1001, 7, t, SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	assert_true(json_is_null(at("died_at")));
}

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
		T(fate_2_a_drop_rule_is_named),
		T(fate_2_the_policy_is_one_behind_the_last_rule),
		T(fate_2_a_goto_returns_to_the_last_jump),
		T(fate_2_a_rule_that_may_have_changed_is_not_named),
		T(fate_4_input_passed_is_delivered),
		T(fate_4_a_reset_by_the_server_is_a_refusal),
		T(fate_5b_beyond_the_watched_hosts_it_left),
		T(fate_5c_unseen_by_a_watching_neighbour_it_is_lost),
		T(fate_5f_what_was_not_looked_at_hides_it),
		T(fate_5d_a_loss_of_the_neighbour_hides_it),
		T(fate_5d_a_neighbour_that_was_not_armed_hides_it),
		T(fate_5d_a_thinner_sample_hides_ordinary_packets),
		T(fate_5d_an_agent_that_told_nothing_since_hides_it),
		T(fate_5d_a_packet_above_the_mtu_leaves_in_pieces),
		T(fate_5d_silence_of_a_moment_says_nothing),
		T(fate_7_no_forwarding_discards),
		T(fate_7_a_lease_counts_from_its_beginning),
		T(fate_7_what_cannot_be_followed_has_no_end),
		T(fate_7_an_unseen_table_accuses_nobody),
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
