/*
 * Fates by the numbers of fate.h: each accusation, and each way in which missing evidence must turn it into unknown.
 */
#include "three_hosts.h"

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

static void fate_5d_what_did_not_tell_how_it_left_hides_it(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	j = sends(cl, 1000, 7, t, SYN, 1);
	j->steps[1].ttl = 0;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	j->steps[1].ttl = 64;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
}

/* Behind all checkpoints connection tracking gave it other numbers, as for SYNPROXY. */
static void fate_5d_one_with_other_contents_hides_it(void **state)
{
	struct tuple t = tcp("10.0.1.2", 40000, "10.0.3.2", 443);
	uint64_t cl, rt, sv;
	struct journey *j;

	(void)state;
	three_hosts(&cl, &rt, &sv);
	sends(cl, 1000, 7, t, PSH | ACK, 1);
	j = forwards(rt, 1001, 8, t, PSH | ACK, 77);
	checkpoint(receives(sv, 1001, 8, t, PSH | ACK, 77), CHECKPOINT_IN_LAST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	j->tcp_flags = ACK;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "lost");
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
		T(fate_5d_what_did_not_tell_how_it_left_hides_it),
		T(fate_5d_one_with_other_contents_hides_it),
		T(fate_5d_silence_of_a_moment_says_nothing),
		T(fate_7_no_forwarding_discards),
		T(fate_7_a_lease_counts_from_its_beginning),
		T(fate_7_what_cannot_be_followed_has_no_end),
		T(fate_7_an_unseen_table_accuses_nobody),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
