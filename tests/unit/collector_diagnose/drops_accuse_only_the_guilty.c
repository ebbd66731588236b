/*
 * What the kernel said when it freed a packet, by the numbers of fate.h (3) and suspects.h: a rule is named only where no
 * other can have done it, and what nobody misses is no death.
 */
#include "fake.h"

enum { SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum {
	IN = 1 << HOOK_INPUT,
	FWD = 1 << HOOK_FORWARD,
	PRE = 1 << HOOK_PREROUTING,
};

static const char *const one_drop =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A FORWARD -p udp -j DROP\n-A FORWARD -p tcp -m tcp --dport 443 -j DROP\nCOMMIT\n";
static const char *const two_drops =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A FORWARD -p tcp -m tcp --dport 443 -m state --state INVALID -j DROP\n"
	"-A FORWARD -p tcp -m tcp --dport 443 -j DROP\nCOMMIT\n";
static const char *const no_drop =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A FORWARD -p tcp -m tcp --dport 443 -j LOG\nCOMMIT\n";

static struct tuple web(void)
{
	return tcp("10.0.1.2", 40000, "10.0.3.2", 443);
}

static uint64_t router(void)
{
	uint64_t rt = host("rt", "10.0.1.1/24");

	address(rt, "10.0.3.1/24");
	route(rt, "10.0.1.0/24", NULL);
	route(rt, "10.0.3.0/24", NULL);
	return rt;
}

static struct journey *dropped(uint64_t h, int64_t t, struct tuple tuple, uint8_t flags,
			       const char *reason, uint32_t hooks)
{
	struct journey *j = journey(h, t, (uint64_t)t, tuple, flags, 1);

	memcpy(j->in_if, "eth0", 5);
	kernel_freed(j, reason, hooks, 64);
	return j;
}

static void counted(uint64_t h, uint8_t content, int64_t before, int64_t until,
		    uint32_t rule_number, uint64_t packets, enum counter_mark mark)
{
	size_t i = fake.counter_count++;
	struct stored_counters *c = &fake.counters[i];

	fake.entries[i][0] =
		(struct counter_entry){ "FORWARD", rule_number, (uint8_t)mark, packets, packets };
	*c = (struct stored_counters){ .host = h,
				       .since = { ms(before) },
				       .before = { ms(before) },
				       .at = { ms(until) },
				       .c = { .family = FAMILY_IPV4,
					      .table = "filter",
					      .content = { { content } },
					      .parts = 1,
					      .count = rule_number ? 1 : 0,
					      .entries = fake.entries[i] } };
}

static void fate_3a_the_only_rule_that_can_have_done_it_is_named(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", one_drop, 0, 500, 90000, 0);
	dropped(rt, 1000, web(), SYN, "NETFILTER_DROP", FWD);
	dropped(rt, 2000, web(), SYN, "NETFILTER_DROP", FWD);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("confidence"), "inferred");
	assert_string_equal(text("died_at.host"), "rt");
	assert_string_equal(text("died_at.kind"), "rule");
	assert_int_equal(number("died_at.rule"), 2);
	assert_string_equal(text("died_at.reason"), "NETFILTER_DROP");
	assert_string_equal(text("died_at.hooks.0"), "FORWARD");
	assert_int_equal(number("packets"), 2);
	assert_string_equal(text("hops.0.in"), "eth0");
	/* The hook decides, too: nothing drops in INPUT, and connection tracking is not there. */
	fresh(NULL);
	rt = router();
	table(rt, "filter", one_drop, 0, 500, 90000, 0);
	dropped(rt, 1000, web(), SYN, "NETFILTER_DROP", IN);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_int_equal(json_array_size(at("died_at.candidates")), 0);
}

/* What was remembered of a packet before a change says nothing of one behind it. */
static void fate_3a_each_packet_has_the_rules_of_its_time(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", two_drops, 0, 500, 9000, 10000);
	table(rt, "filter", one_drop, 9000, 10000, 90000, 0);
	dropped(rt, 1000, web(), SYN, "NETFILTER_DROP", FWD);
	dropped(rt, 1001, web(), SYN, "NETFILTER_DROP", FWD);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_int_equal(number("packets"), 2);
	dropped(rt, 20000, web(), SYN, "NETFILTER_DROP", FWD);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.kind"), "rule");
	assert_int_equal(number("died_at.rule"), 2);
	assert_int_equal(number("packets"), 1);
}

static void fate_3a_one_of_several_is_never_named(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", two_drops, 0, 500, 90000, 0);
	dropped(rt, 20000, web(), SYN, "NETFILTER_DROP", FWD);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_true(json_is_null(at("died_at.rule")) && json_is_null(at("died_at.table")));
	assert_int_equal(json_array_size(at("died_at.candidates")), 2);
	assert_int_equal(number("died_at.candidates.1.rule"), 2);
	/* Unless only one of them counted anything then. */
	counted(rt, 1, 15000, 25000, 2, 3, COUNTER_EXACT);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.kind"), "rule");
	assert_int_equal(number("died_at.rule"), 2);
	assert_string_equal(text("confidence"), "inferred");
	assert_int_equal(number("died_at.candidates.0.packets"), 3);
}

/* suspects 4: what was counted near the edge of a reading may stand in the next one. */
static void counters_near_an_edge_acquit_nobody(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", two_drops, 0, 500, 90000, 0);
	dropped(rt, 24800, web(), SYN, "NETFILTER_DROP", FWD);
	counted(rt, 1, 15000, 25000, 2, 3, COUNTER_EXACT);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.kind"), "kernel");
	counted(rt, 1, 25000, 35000, 1, 1, COUNTER_EXACT);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_int_equal(json_array_size(at("died_at.candidates")), 2);
}

static void a_counter_that_was_reset_acquits_nobody(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", two_drops, 0, 500, 90000, 0);
	dropped(rt, 20000, web(), SYN, "NETFILTER_DROP", FWD);
	counted(rt, 1, 15000, 25000, 2, 3, COUNTER_EXACT);
	counted(rt, 1, 15000, 25000, 1, 0, COUNTER_RESET);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_int_equal(json_array_size(at("died_at.candidates")), 2);
}

/* A rule may have been put there since the last look. */
static void tables_that_were_not_read_since_name_nobody(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", one_drop, 0, 500, 900, 0);
	fake.hosts[rt - 1].checked.v = ms(900);
	dropped(rt, 1000, web(), SYN, "NETFILTER_DROP", FWD);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_int_equal(json_array_size(at("died_at.candidates")), 1);
}

static void fate_3a_where_no_rule_can_have_it_was_connection_tracking(void **state)
{
	uint64_t rt = router();

	(void)state;
	table(rt, "filter", one_drop, 0, 500, 90000, 0);
	dropped(rt, 1000, web(), SYN, "NETFILTER_DROP", PRE);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("confidence"), "inferred");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_string_equal(text("causes.0.id"), "conntrack-full");
}

/* Behind the last checkpoint no rule is left that could do it. */
static void fate_3a_an_entry_that_was_not_confirmed_is_no_rules_fault(void **state)
{
	uint64_t rt = router();
	struct journey *j;

	(void)state;
	table(rt, "filter", one_drop, 0, 500, 90000, 0);
	armed(rt, 0, 0);
	j = journey(rt, 1000, 7, web(), SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	kernel_freed(j, "NETFILTER_DROP", 1 << HOOK_POSTROUTING, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_true(json_is_null(at("died_at.rule")));
}

/* The trace would have told of a DROP: a match of its own accord did it (hotdrop), and no other rule is suspected. */
static void fate_3a_a_trace_acquits_the_rules_that_it_does_not_show(void **state)
{
	uint64_t rt = router();
	struct journey *j;

	(void)state;
	table(rt, "filter", no_drop, 0, 500, 90000, 0);
	table(rt, "mangle", one_drop, 0, 500, 90000, 0);
	armed(rt, 0, 0);
	j = journey(rt, 1000, 7, web(), SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	kernel_freed(j, "NETFILTER_DROP", FWD, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_int_equal(json_array_size(at("died_at.candidates")), 0);
	/* Evidence was lost: then they are suspects again. */
	lost(rt, "trace-legacy", 900, 1100);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_int_equal(json_array_size(at("died_at.candidates")), 1);
}

/* The packet ended where its trace ends, and the kernel says why. */
static void fate_3_the_kernels_word_explains_a_gap(void **state)
{
	uint64_t rt = router();
	struct journey *j;

	(void)state;
	armed(rt, 0, 0);
	j = journey(rt, 1000, 7, web(), SYN, 1);
	memcpy(j->in_if, "eth0", 5);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	kernel_freed(j, "IP_RPFILTER", 0, 64);
	lost(rt, "trace-nft", 900, 1100); /* nothing is inferred from absence here */
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("confidence"), "observed");
	assert_string_equal(text("died_at.reason"), "IP_RPFILTER");
	assert_string_equal(text("causes.0.id"), "rp-filter");
}

static void fate_3_what_is_no_death_is_no_verdict(void **state)
{
	static const char *const none[] = { "TCP_RFC7323_PAWS", "SOCKET_CLOSE", "TCP_OLD_DATA",
					    "NOT_SPECIFIED", "NEVER_HEARD_OF" };
	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		uint64_t rt;

		fresh(NULL);
		rt = router();
		dropped(rt, 1000, web(), SYN, none[i], 0);
		ask("tcp 10.0.1.2 10.0.3.2:443");
		assert_string_equal(text("verdict"), "unknown");
		assert_true(json_is_null(at("died_at")));
		assert_non_null(strstr(text("reason"), none[i]));
	}
}

static void fate_6a_a_blackhole_swallows_without_a_reason(void **state)
{
	uint64_t rt = router();

	(void)state;
	dropped(rt, 1000, web(), SYN, "NOT_SPECIFIED", 0);
	route(rt, "10.0.3.2/32", NULL);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	fake.routes[rt - 1][2].type = 6; /* RTN_BLACKHOLE */
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
	assert_string_equal(text("confidence"), "inferred");
	assert_string_equal(text("causes.0.id"), "no-route");
	fake.steps[0][0].prefix = "SOCKET_CLOSE";
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
}

static void fate_3b_a_closed_connection_is_not_a_refusal(void **state)
{
	struct tuple t = web(), back = tuple_reverse(&t);
	static const uint8_t late[] = { ACK, PSH | ACK, RST, RST | ACK, ACK | 1 };
	uint64_t rt = router();

	(void)state;
	for (size_t i = 0; i < sizeof(late); i++)
		dropped(rt, 1000 + (int64_t)i, t, late[i], "NO_SOCKET", 0);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "unknown");
	dropped(rt, 1100, back, SYN | ACK, "NO_SOCKET", 0);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered"); /* it was answered */
	dropped(rt, 1200, t, SYN, "NO_SOCKET", 0);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "refused");
	assert_string_equal(text("died_at.kind"), "socket");
	assert_string_equal(text("died_at.reason"), "NO_SOCKET");
	assert_string_equal(text("causes.0.id"), "not-listening");
}

static void fate_3c_what_was_for_the_whole_link_is_not_missed(void **state)
{
	uint64_t rt = router();
	struct tuple t = tcp("10.0.1.2", 5353, "224.0.0.251", 5353);

	(void)state;
	t.proto = 17;
	dropped(rt, 1000, t, 0, "IP_INNOROUTES", 0);
	ask("udp 10.0.1.2 224.0.0.251:5353");
	assert_string_equal(text("verdict"), "unknown");
	/* Traced, it ends behind PREROUTING, whatever its TTL. */
	fake.journey_count = 0;
	armed(rt, 0, 0);
	checkpoint(journey(rt, 1000, 7, t, 0, 0), CHECKPOINT_PRE_FIRST, 1);
	ask("udp 10.0.1.2 224.0.0.251:5353");
	assert_string_equal(text("verdict"), "unknown");
	assert_true(json_is_null(at("died_at")));
}

/* A sender hears its own broadcast: that is no arrival, nor an excuse for who dropped it. */
static void fate_0_the_senders_own_copy_does_not_decide(void **state)
{
	uint64_t cl = host("cl", "10.0.1.2/24"), gw = host("gw", "10.0.1.1/24");
	struct tuple t = tcp("10.0.1.2", 68, "10.0.1.255", 67);
	struct journey *j;

	(void)state;
	t.proto = 17;
	j = journey(cl, 1000, 7, t, 0, 0);
	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	kernel_freed(journey(gw, 1001, 7, t, 0, 0), "NETFILTER_DROP", 1 << HOOK_INPUT, 64);
	j = journey(cl, 1002, 7, t, 0, 0);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_IN_LAST, 64);
	ask("udp 10.0.1.2 10.0.1.255:67");
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.host"), "gw");
}

/* A bridge flooded it: one copy arrived, another one died. */
static void fate_0_the_copy_that_arrived_decides(void **state)
{
	uint64_t sv = host("sv", "10.0.3.2/24"), other = host("other", "10.0.3.9/24");
	struct journey *j;

	(void)state;
	armed(sv, 0, 0);
	j = journey(sv, 1000, 7, web(), SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_IN_LAST, 64);
	kernel_freed(journey(other, 1001, 7, web(), SYN, 1), "IP_RPFILTER", 0, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	/* Alone it is a death. */
	fake.journey_count = 0;
	kernel_freed(journey(other, 1001, 7, web(), SYN, 1), "IP_RPFILTER", 0, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "discarded");
}

static void reasons_with_several_meanings_are_told_by_packet_and_facts(void **state)
{
	uint64_t rt = router();

	(void)state;
	dropped(rt, 1000, web(), SYN, "IP_INHDR", 0)->steps[0].ttl = 1;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("causes.0.id"), "ttl-expired");
	fresh(NULL);
	rt = router();
	dropped(rt, 1000, web(), SYN, "IP_INADDRERRORS", 0);
	fake.facts[rt - 1].forward4 = false;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("causes.0.id"), "forwarding-disabled");
	/* One interface alone, or only then. */
	fake.facts[rt - 1].forward4 = true;
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("causes.0.id"), "forwarding-disabled");
	fresh(NULL);
	dropped(router(), 1000, web(), SYN, "IP_INNOROUTES", 0);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("causes.0.id"), "no-route");
}

/* --- drops --------------------------------------------------------------------------------------------------- */

static void list(const char *on, bool follow)
{
	const char *names[] = { on };
	struct drops_ask d = { .on = names, .on_count = on ? 1 : 0, .follow = follow };
	struct where_ask a = { .until = { ms(FAKE_NOW) },
			       .now = { ms(FAKE_NOW) },
			       .live = fake.live,
			       .live_count = fake.host_count };

	json_decref(fake.answer);
	assert_int_equal(diagnose_drops(&fake.answer, &d, &a, NULL, NULL), 0);
}

static void drops_stand_by_place_deaths_first(void **state)
{
	static struct source_fact off = { "drops", SOURCE_FAILED, "no BTF" };
	uint64_t rt = router(), old = host("old", "10.9.0.1/24");
	struct tuple t = web(), udp = tcp("10.0.1.7", 1, "10.0.3.2", 53);

	(void)state;
	udp.proto = 17;
	fake.sources[old - 1] = (struct sources){ .count = 1, .list = &off };
	table(rt, "filter", one_drop, 0, 500, 90000, 0);
	for (int i = 0; i < 3; i++) {
		t.sport++;
		dropped(rt, 1000 + i, t, SYN, "NETFILTER_DROP", FWD);
	}
	dropped(rt, 2000, udp, 0, "NETFILTER_DROP", FWD);
	dropped(rt, 3000, udp, 0, "IP_RPFILTER", 0);
	for (int i = 0; i < 9; i++)
		dropped(rt, 4000 + i, t, ACK, "NOT_SPECIFIED", 0);
	dropped(rt, 5000, t, ACK, "NO_SOCKET", 0);
	/* Traced: it got through, or nobody knows. */
	checkpoint(journey(rt, 6000, 1, t, SYN, 9), CHECKPOINT_IN_LAST, 63);
	checkpoint(journey(rt, 6000, 2, t, SYN, 9), CHECKPOINT_PRE_FIRST, 63);
	lost(rt, "drops:NETFILTER_DROP", 1000, 2000);
	lost(rt, "drops:NETFILTER_DROP", 3000, 4000);
	lost(rt, "conntrack", 3000, 4000);
	list(NULL, false);
	assert_int_equal(json_array_size(at("places")), 5);
	assert_int_equal(number("places.0.died_at.rule"), 2);
	assert_int_equal(number("places.0.packets"), 3);
	assert_true(json_is_null(at("places.0.flows.0.flow.sport")));
	assert_int_equal(number("places.0.flows.0.flow.dport"), 443);
	assert_string_equal(text("places.1.class"), "discarded");
	assert_int_equal(number("places.1.flows.0.flow.sport"), 1);
	assert_int_equal(number("places.2.died_at.rule"), 1);
	assert_string_equal(text("places.3.class"), "untold");
	assert_int_equal(number("places.3.packets"), 9);
	assert_true(json_is_null(at("places.3.died_at")));
	assert_string_equal(text("places.4.class"), "consequence");
	assert_int_equal(number("packets"), 15);
	assert_int_equal(json_array_size(at("excess")), 1);
	assert_int_equal(number("excess.0.count"), 10);
	assert_string_equal(text("coverage.missing.0.host"), "old");
	assert_int_equal(json_array_size(at("coverage.missing")), 1);
	list("r?", false);
	assert_int_equal(json_array_size(at("unknown_hosts")), 0);
	assert_int_equal(json_array_size(at("coverage.missing")), 0);
	list("nobody", false);
	assert_string_equal(text("unknown_hosts.0"), "nobody");
	assert_int_equal(json_array_size(at("places")), 0);
}

static void followed_drops_stand_by_time_and_port(void **state)
{
	uint64_t rt = router();
	struct tuple t = web();

	(void)state;
	table(rt, "filter", one_drop, 0, 500, 90000, 0);
	dropped(rt, 1000, t, SYN, "NETFILTER_DROP", FWD);
	dropped(rt, 1001, t, SYN, "NETFILTER_DROP", FWD);
	t.sport++;
	dropped(rt, 900, t, SYN, "NETFILTER_DROP", FWD);
	list(NULL, true);
	assert_int_equal(json_array_size(at("drops")), 2);
	assert_int_equal(number("drops.0.flow.sport"), 40001);
	assert_int_equal(number("drops.1.flow.sport"), 40000);
	assert_int_equal(number("drops.1.packets"), 2);
	assert_int_equal(number("drops.1.died_at.rule"), 2);
	assert_int_equal(number("next"), 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fresh, fresh)
	const struct CMUnitTest tests[] = {
		T(fate_0_the_senders_own_copy_does_not_decide),
		T(fate_0_the_copy_that_arrived_decides),
		T(fate_3a_the_only_rule_that_can_have_done_it_is_named),
		T(fate_3a_each_packet_has_the_rules_of_its_time),
		T(fate_3a_one_of_several_is_never_named),
		T(counters_near_an_edge_acquit_nobody),
		T(a_counter_that_was_reset_acquits_nobody),
		T(tables_that_were_not_read_since_name_nobody),
		T(fate_3a_where_no_rule_can_have_it_was_connection_tracking),
		T(fate_3a_an_entry_that_was_not_confirmed_is_no_rules_fault),
		T(fate_3a_a_trace_acquits_the_rules_that_it_does_not_show),
		T(fate_3_the_kernels_word_explains_a_gap),
		T(fate_3_what_is_no_death_is_no_verdict),
		T(fate_6a_a_blackhole_swallows_without_a_reason),
		T(fate_3b_a_closed_connection_is_not_a_refusal),
		T(fate_3c_what_was_for_the_whole_link_is_not_missed),
		T(reasons_with_several_meanings_are_told_by_packet_and_facts),
		T(drops_stand_by_place_deaths_first),
		T(followed_drops_stand_by_time_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
