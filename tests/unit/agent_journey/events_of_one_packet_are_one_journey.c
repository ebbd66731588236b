/*
 * The assembler: which trace events make one journey, and in what order.
 */
#include "tests/unit/agent_journey/bench.h"

static void two_sockets_out_of_order_make_one_journey(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	/* All of nft's first, as when its socket is read first. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_PRE_CT, 1, &p);
	checkpoint(b, CHECKPOINT_FWD_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 2, &p);
	legacy(b, HOOK_PREROUTING, "mangle", "PREROUTING", 1, &p);
	legacy(b, HOOK_PREROUTING, "nat", "PREROUTING", 1, &p);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
	legacy(b, HOOK_FORWARD, "filter", "user", 5, &p);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 3, &p);
	legacy(b, HOOK_POSTROUTING, "nat", "POSTROUTING", 1, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "<pre_first> raw2 <pre_ct> mangle1 nat1 <fwd_first> filter1 filter5 "
			   "filter3 nat1 <post_last>");
	assert_int_equal(b->got[0].tuple_count, 1);
	assert_int_equal(b->got[0].trace_id, 1);
}

static void nat_shows_as_tuples_in_order(void **state)
{
	struct bench *b = bench_of(state);
	struct packet came = packet("10.0.0.1", "192.0.2.1", 7);
	struct packet dnat = packet("10.0.0.1", "10.0.9.9", 7);
	struct packet snat = packet("192.0.2.1", "10.0.9.9", 7);

	dnat.ttl = snat.ttl = 63;
	legacy(b, HOOK_PREROUTING, "nat", "PREROUTING", 1, &came);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &dnat);
	legacy(b, HOOK_POSTROUTING, "nat", "POSTROUTING", 1, &dnat);
	/* The other socket's events arrive last, and with another order of first appearance. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 4, &came);
	checkpoint(b, CHECKPOINT_FWD_FIRST, 4, &dnat);
	checkpoint(b, CHECKPOINT_POST_LAST, 4, &snat);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "<pre_first> nat1 <fwd_first> filter1 nat1 <post_last>");
	assert_int_equal(b->got[0].tuple_count, 3);
	assert_true(tuple_equal(&b->got[0].tuples[0], &came.tuple));
	assert_true(tuple_equal(&b->got[0].tuples[1], &dnat.tuple));
	assert_true(tuple_equal(&b->got[0].tuples[2], &snat.tuple));
	assert_int_equal(b->got[0].steps[0].tuple, 0);
	assert_int_equal(b->got[0].steps[3].tuple, 1);
	assert_int_equal(b->got[0].steps[5].tuple, 2);
	assert_int_equal(b->got[0].steps[1].ttl, 64);
	assert_int_equal(b->got[0].steps[2].ttl, 63);
}

static void loopback_is_two_journeys(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("127.0.0.1", "127.0.0.1", 7);

	checkpoint(b, CHECKPOINT_OUT_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &p);
	checkpoint(b, CHECKPOINT_IN_LAST, 2, &p);
	legacy(b, HOOK_OUTPUT, "filter", "OUTPUT", 1, &p);
	legacy(b, HOOK_POSTROUTING, "mangle", "POSTROUTING", 1, &p);
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "<out_first> filter1 mangle1 <post_last>");
	expect(&b->got[1], "<pre_first> raw1 filter1 <in_last>");
}

static void loopback_without_legacy_output_still_splits(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("127.0.0.1", "127.0.0.1", 7);

	checkpoint(b, CHECKPOINT_OUT_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
	/* Its own socket is read before the rest of nft's: it cannot be of a journey with OUTPUT. */
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &p);
	checkpoint(b, CHECKPOINT_IN_LAST, 2, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "<out_first> <post_last>");
	expect(&b->got[1], "<pre_first> filter1 <in_last>");
}

static void two_passages_through_lo_are_four_journeys(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("::1", "::1", 7);

	for (uint32_t round = 0; round < 2; round++) {
		legacy(b, HOOK_OUTPUT, "filter", "OUTPUT", 1, &p);
		legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
		legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	}
	for (uint32_t round = 0; round < 2; round++) {
		checkpoint(b, CHECKPOINT_OUT_FIRST, 10 + round, &p);
		checkpoint(b, CHECKPOINT_POST_LAST, 10 + round, &p);
		checkpoint(b, CHECKPOINT_PRE_FIRST, 20 + round, &p);
		checkpoint(b, CHECKPOINT_IN_LAST, 20 + round, &p);
	}
	settle(b);
	assert_int_equal(b->count, 4);
	for (int i = 0; i < 4; i++) {
		bool out = b->got[i].steps[0].hook == HOOK_OUTPUT;

		expect(&b->got[i], out ? "<out_first> filter1 <post_last>"
				       : "<pre_first> raw1 filter1 <in_last>");
	}
}

static void a_retransmission_is_a_journey_of_its_own(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	/* Dropped by rule 3 of INPUT each time; the last lines of both are the same. */
	for (uint32_t round = 0; round < 3; round++) {
		checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
		checkpoint(b, CHECKPOINT_IN_FIRST, 1, &p);
	}
	for (uint32_t round = 0; round < 3; round++)
		legacy(b, HOOK_INPUT, "filter", "INPUT", 3, &p);
	settle(b);
	assert_int_equal(b->count, 3);
	for (int i = 0; i < 3; i++)
		expect(&b->got[i], "<pre_first> <in_first> filter3");
}

static void the_same_packet_a_second_later_is_another_journey(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	b->now.v += NS_PER_S;
	/* Not even a tick in between. */
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "raw1");
	expect(&b->got[1], "filter1");
}

static void a_user_chain_may_be_entered_twice(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	legacy(b, HOOK_INPUT, "filter", "user", 2, &p);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 4, &p);
	legacy(b, HOOK_INPUT, "filter", "user", 2, &p);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 5, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "filter1 filter2 filter4 filter2 filter5");
}

/* Two equal packets on two CPUs: what only one's id tells is not taken for the other's. */
static void equal_packets_at_once_keep_their_ids(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_PRE_CT, 2, &p); /* its first one was not told */
	checkpoint(b, CHECKPOINT_PRE_CT, 1, &p);
	checkpoint(b, CHECKPOINT_FWD_FIRST, 2, &p);
	checkpoint(b, CHECKPOINT_FWD_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 2, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "<pre_first> <pre_ct> <fwd_first> <post_last>");
	assert_int_equal(b->got[0].trace_id, 1);
	expect(&b->got[1], "<pre_ct> <fwd_first> <post_last>");
	assert_int_equal(b->got[1].trace_id, 2);
}

/* Legacy lines have no id: their addresses tell equal packets of two flows apart. */
static void equal_packets_at_once_keep_their_addresses(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = packet("10.0.0.3", "10.0.0.2", 7);

	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &q);
	legacy(b, HOOK_PREROUTING, "nat", "PREROUTING", 1, &p);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
	legacy(b, HOOK_PREROUTING, "nat", "PREROUTING", 1, &q);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &q);
	settle(b);
	assert_int_equal(b->count, 2);
	for (int i = 0; i < 2; i++) {
		expect(&b->got[i], "raw1 nat1 filter1");
		assert_int_equal(b->got[i].tuple_count, 1);
	}
}

/* Equal packets to two ports, and the first one's end is told when the second one has come. */
static void an_end_goes_to_whom_its_addresses_name(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = p;

	q.tuple.dport = 81;
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &q);
	freed(b, "NO_SOCKET", 0, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	for (int i = 0; i < 2; i++)
		expect(&b->got[i],
		       b->got[i].tuples[0].dport == 80 ? "<pre_first> !NO_SOCKET" : "<pre_first>");
}

/* The table was replaced while it was under way; then the next one comes, with the same id. */
static void a_checkpoint_met_twice_is_one(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	for (int i = 0; i < 2; i++) {
		checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
		checkpoint(b, CHECKPOINT_PRE_CT, 1, &p);
		checkpoint(b, CHECKPOINT_PRE_CT, 1, &p);
		checkpoint(b, CHECKPOINT_FWD_FIRST, 1, &p);
		checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
		checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
	}
	settle(b);
	assert_int_equal(b->count, 2);
	for (int i = 0; i < 2; i++)
		expect(&b->got[i], "<pre_first> <pre_ct> <fwd_first> <post_last>");
}

/* Both tables armed it; what was told to the other socket meanwhile is the same packet's, too. */
static void a_packet_that_is_armed_twice_is_one(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = p;

	q.tuple.src.b[3] = 3;
	for (int i = 0; i < 2; i++) {
		checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
		checkpoint_again(b, CHECKPOINT_PRE_FIRST, 1, &p, true);
		legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
		checkpoint_again(b, CHECKPOINT_POST_LAST, 1, &p, true);
		checkpoint_again(b, CHECKPOINT_POST_LAST, 1, &p, true);
	}
	/* One that died untold, and others that were traced before, but are not it. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &p);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &p);
	checkpoint_again(b, CHECKPOINT_PRE_FIRST, 2, &q, true);
	settle(b);
	assert_int_equal(b->count, 5);
	for (int i = 0; i < 2; i++)
		expect(&b->got[i], "<pre_first> filter1 <post_last>");
	for (int i = 2; i < 5; i++)
		expect(&b->got[i], "<pre_first>");
}

/* Equal packets of two senders on two CPUs: the kernel uses the id of one's for the other's in the end. */
static void an_id_that_is_used_again_mixes_no_packets(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = p;

	q.tuple.src.b[3] = 3;
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &q);
	checkpoint(b, CHECKPOINT_POST_LAST, 2, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 2, &q);
	settle(b);
	assert_int_equal(b->count, 2);
	for (int i = 0; i < 2; i++) {
		expect(&b->got[i], "<pre_first> <post_last>");
		assert_int_equal(b->got[i].tuple_count, 1);
	}
}

static void a_trace_id_goes_with_its_last_headers(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);
	struct packet q = packet("10.0.0.3", "10.0.0.2", 8);

	checkpoint(b, CHECKPOINT_PRE_FIRST, 5, &p);
	native(b, "first", 3, 5, &p);
	native(b, "first", 4, 5, NULL);
	/* The kernel uses the id again for another packet. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 5, &q);
	native(b, "second", 9, 5, NULL);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "<pre_first> first#3 first#4");
	expect(&b->got[1], "<pre_first> second#9");
	assert_int_equal(assembler_losses(b->a).orphans, 0);
}

static void native_steps_stay_behind_their_neighbours(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	checkpoint(b, CHECKPOINT_PRE_FIRST, 5, &p);
	checkpoint(b, CHECKPOINT_FWD_FIRST, 5, &p);
	native(b, "forward", 3, 5, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 5, &p);
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "<pre_first> raw1 <fwd_first> forward#3 <post_last>");
}

/* The policy of nft's own chain at the place of legacy filter/FORWARD. */
static void nft_forward(struct bench *b, enum step_verdict verdict, uint32_t id,
			const struct packet *p)
{
	struct trace_event e = { .trace_id = id, .has_packet = true, .packet = *p };

	e.step.hook = HOOK_FORWARD;
	e.step.backend = BACKEND_NATIVE;
	e.step.family = FAMILY_INET;
	e.step.label = LABEL_POLICY;
	e.step.table = "t";
	e.step.chain = "forward";
	e.step.verdict = (uint8_t)verdict;
	e.priority = legacy_priority("filter", HOOK_FORWARD);
	e.priority_known = true;
	add(b, &e);
}

static void what_ended_the_packet_is_last_among_equals(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = packet("10.0.0.1", "10.0.0.2", 8),
		      r = packet("10.0.0.1", "10.0.0.2", 9);

	/* nft's let it pass, and nothing followed: the legacy chain had it last. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	nft_forward(b, STEP_VERDICT_ACCEPT, 1, &p);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
	legacy(b, HOOK_FORWARD, "filter", "user", 2, &p);
	/* nft's dropped it. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &q);
	nft_forward(b, STEP_VERDICT_DROP, 2, &q);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &q);
	/* Neither ended it. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 3, &r);
	nft_forward(b, STEP_VERDICT_ACCEPT, 3, &r);
	checkpoint(b, CHECKPOINT_POST_LAST, 3, &r);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &r);
	settle(b);
	assert_int_equal(b->count, 3);
	expect(&b->got[0], "<pre_first> forward#0 filter1 filter2");
	expect(&b->got[1], "<pre_first> filter1 forward#0");
	expect(&b->got[2], "<pre_first> filter1 forward#0 <post_last>");
}

static void events_without_a_packet_are_counted_orphans(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);
	struct assembler_losses lost;

	native(b, "chain", 1, 77, NULL);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 5, &p);
	native(b, "chain", 1, 6, NULL);
	settle(b);
	native(b, "chain", 1, 5, NULL); /* its journey has ended */
	lost = assembler_losses(b->a);
	assert_int_equal(lost.orphans, 3);
	assert_true(lost.since.v > 0 && lost.since.v < b->now.v);
	assert_int_equal(assembler_losses(b->a).orphans, 0);
	assert_int_equal(b->count, 1);
}

static void more_steps_than_we_keep_are_cut_and_say_so(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	for (uint32_t i = 1; i <= STEPS_MAX + 20; i++)
		legacy(b, HOOK_INPUT, "filter", "INPUT", i, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	assert_int_equal(b->got[0].step_count, STEPS_MAX);
	assert_true(b->got[0].cut);
}

static void more_tuples_than_we_keep_are_cut_and_say_so(void **state)
{
	struct bench *b = bench_of(state);

	for (uint32_t i = 1; i <= TUPLES_MAX + 3; i++) {
		struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

		p.tuple.dport = (uint16_t)(1000 + i);
		legacy(b, HOOK_INPUT, "filter", "INPUT", i, &p);
	}
	settle(b);
	assert_int_equal(b->count, 1);
	assert_int_equal(b->got[0].tuple_count, TUPLES_MAX);
	assert_true(b->got[0].cut);
}

static void too_many_open_finish_the_oldest_early(void **state)
{
	struct bench *b = bench_of(state);

	for (uint64_t i = 0; i < 20; i++) {
		struct packet p = packet("10.0.0.1", "10.0.0.2", 100 + i);

		legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
		if (i > 0) { /* the first stays the busiest */
			struct packet first = packet("10.0.0.1", "10.0.0.2", 100);

			legacy(b, HOOK_INPUT, "filter", "INPUT", 1 + (uint32_t)i, &first);
		}
	}
	assert_int_equal(b->count, 4);
	assert_int_equal(b->got[0].fp, 101);
	assert_int_equal(assembler_losses(b->a).early, 4);
	assembler_flush(b->a);
	assert_int_equal(b->count, 20);
	assert_int_equal(assembler_losses(b->a).early, 0);
}

static void the_steps_of_all_open_journeys_are_bounded(void **state)
{
	struct bench *b = bench_of(state);
	int steps = 0;

	for (uint64_t i = 0; i < 8; i++) {
		struct packet p = packet("10.0.0.1", "10.0.0.2", 100 + i);

		for (uint32_t n = 1; n <= 100; n++)
			legacy(b, HOOK_INPUT, "filter", "INPUT", n, &p);
	}
	assert_true(b->count >= 5); /* 16 journeys, 16 steps each on average */
	assembler_flush(b->a);
	assert_int_equal(b->count, 8);
	for (int i = 0; i < 8; i++)
		steps += b->got[i].step_count;
	assert_int_equal(steps, 800); /* ended early, not lost */
}

static void packets_without_fingerprint_are_told_by_their_header(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 0);
	struct packet q = p;

	p.ip_id = 1;
	q.ip_id = 2;
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &q);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	assert_int_equal(b->got[0].fp, 0);
	assert_int_equal(b->got[0].step_count + b->got[1].step_count, 3);
}

static void log_lines_join_without_moving_the_place(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);
	struct trace_event log = { .has_packet = true, .packet = p };

	log.step.hook = HOOK_PREROUTING; /* conntrack's complaints name no hook */
	log.step.label = LABEL_LOG;
	log.step.table = log.step.chain = "";
	log.step.prefix = "nf_ct_proto_6: invalid ";
	legacy(b, HOOK_OUTPUT, "filter", "OUTPUT", 1, &p);
	add(b, &log);
	legacy(b, HOOK_POSTROUTING, "mangle", "POSTROUTING", 1, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "filter1 log mangle1");
	assert_string_equal(b->got[0].steps[1].prefix, "nf_ct_proto_6: invalid ");
}

static void interfaces_come_from_the_hooks_that_have_them(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);
	struct trace_event in = { .has_packet = true,
				  .packet = p,
				  .in_if = "lan",
				  .ether = { .src = { 2, 0, 0, 0, 0, 9 } } };
	struct trace_event out = {
		.has_packet = true, .packet = p, .in_if = "other", .out_if = "wan", .mark = 66
	};

	in.step.hook = HOOK_PREROUTING;
	in.step.table = out.step.table = "raw";
	in.step.chain = out.step.chain = "x";
	out.step.hook = HOOK_POSTROUTING;
	add(b, &in);
	add(b, &out);
	settle(b);
	assert_int_equal(b->count, 1);
	assert_string_equal(b->got[0].in_if, "lan");
	assert_string_equal(b->got[0].out_if, "wan");
	assert_int_equal(b->got[0].ether.src[5], 9);
	assert_int_equal(b->got[0].mark, 66);
}

static void more_names_than_we_keep_end_journeys_but_lose_none(void **state)
{
	struct bench *b = bench_of(state);
	uint32_t steps = 0;

	for (uint32_t i = 0; i <= 30000; i++) {
		struct packet p = packet("10.0.0.1", "10.0.0.2", 1 + i);
		char chain[CHAIN_NAME_MAX + 1];

		if (i == 30000)
			assembler_flush(b->a);
		for (int k = 0; k < b->count; k++) {
			steps += b->got[k].step_count;
			free(b->got[k].steps);
		}
		b->count = 0;
		if (i == 30000)
			break;
		snprintf(chain, sizeof(chain), "a-chain-with-quite-a-long-name-%u", i);
		legacy(b, HOOK_INPUT, "filter", chain, 1, &p);
	}
	assert_int_equal(steps, 30000);
	assert_int_equal(assembler_losses(b->a).orphans, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_sockets_out_of_order_make_one_journey),
		TEST(nat_shows_as_tuples_in_order),
		TEST(loopback_is_two_journeys),
		TEST(loopback_without_legacy_output_still_splits),
		TEST(two_passages_through_lo_are_four_journeys),
		TEST(a_retransmission_is_a_journey_of_its_own),
		TEST(the_same_packet_a_second_later_is_another_journey),
		TEST(a_user_chain_may_be_entered_twice),
		TEST(equal_packets_at_once_keep_their_ids),
		TEST(equal_packets_at_once_keep_their_addresses),
		TEST(an_end_goes_to_whom_its_addresses_name),
		TEST(a_checkpoint_met_twice_is_one),
		TEST(a_packet_that_is_armed_twice_is_one),
		TEST(an_id_that_is_used_again_mixes_no_packets),
		TEST(a_trace_id_goes_with_its_last_headers),
		TEST(native_steps_stay_behind_their_neighbours),
		TEST(what_ended_the_packet_is_last_among_equals),
		TEST(events_without_a_packet_are_counted_orphans),
		TEST(more_steps_than_we_keep_are_cut_and_say_so),
		TEST(more_tuples_than_we_keep_are_cut_and_say_so),
		TEST(too_many_open_finish_the_oldest_early),
		TEST(the_steps_of_all_open_journeys_are_bounded),
		TEST(packets_without_fingerprint_are_told_by_their_header),
		TEST(log_lines_join_without_moving_the_place),
		TEST(interfaces_come_from_the_hooks_that_have_them),
		TEST(more_names_than_we_keep_end_journeys_but_lose_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
