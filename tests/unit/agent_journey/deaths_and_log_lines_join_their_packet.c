/*
 * The assembler: whose death the kernel told, and whose line a rule logged.
 */
#include "tests/unit/agent_journey/bench.h"

enum { IN = 1 << HOOK_INPUT, FWD = 1 << HOOK_FORWARD };

static void what_the_kernel_frees_ends_its_journey(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
	freed(b, "NETFILTER_DROP", FWD, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "<pre_first> filter1 !NETFILTER_DROP");
}

static void an_untraced_death_is_a_journey(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	freed(b, "NO_SOCKET", 0, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "!NO_SOCKET");
	assert_int_equal(b->got[0].at.v, b->got[0].steps[0].at.v);
	assert_int_equal(b->got[0].tuple_count, 1);
}

/* Its ring may be read before the sockets. */
static void a_death_may_be_told_first(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);
	struct boot_ns began = b->now;

	later(b, 1);
	freed(b, "NETFILTER_DROP", IN, &p);
	b->now = began;
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "raw1 filter1 !NETFILTER_DROP");
}

static void a_second_death_is_another_packet(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	freed(b, "NETFILTER_DROP", IN, &p);
	freed(b, "NETFILTER_DROP", IN, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "!NETFILTER_DROP");
	expect(&b->got[1], "!NETFILTER_DROP");
}

/* Equal packets 100 ms apart, both open: each death belongs to the one that it is next to. */
static void a_death_goes_to_the_packet_of_its_time(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	later(b, 100);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	freed(b, "NETFILTER_DROP", IN, &p); /* the first one's was not told */
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "filter1");
	expect(&b->got[1], "filter1 !NETFILTER_DROP");
}

/* Equal packets of two senders; one was handed to a socket, the other one is told by its end first, or by nothing else. */
static void a_death_is_of_the_packet_that_bore_its_addresses(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = p;

	q.tuple.sport = 2000;
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_IN_LAST, 1, &p);
	freed(b, "NETFILTER_DROP", IN, &q);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "<pre_first> <in_last>");
	expect(&b->got[1], "!NETFILTER_DROP");
}

static void a_death_that_is_told_first_waits_for_its_own_packet(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = p;

	q.tuple.src.b[3] = 3;
	freed(b, "NETFILTER_DROP", FWD, &q);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &q);
	settle(b);
	assert_int_equal(b->count, 2);
	for (int i = 0; i < 2; i++)
		expect(&b->got[i], b->got[i].tuples[0].src.b[3] == 3 ? "<pre_first> !NETFILTER_DROP"
								     : "<pre_first>");
}

/* A translation of where it goes, of which only its end tells. */
static void a_death_may_bear_another_destination(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = p;

	q.tuple.dst.b[3] = 9;
	q.tuple.dport = 8080;
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	freed(b, "NETFILTER_DROP", FWD, &q);
	settle(b);
	assert_int_equal(b->count, 1);
	expect(&b->got[0], "<pre_first> !NETFILTER_DROP");
	assert_int_equal(b->got[0].tuple_count, 2);
}

/* A rule of FORWARD dropped p, and the kernel says how it came. */
static void freed_as_it_came(struct bench *b, const struct packet *p, const struct packet *came)
{
	struct trace_event e = { .has_packet = true, .packet = *p, .has_came = true };

	e.came = came->tuple;
	e.step.label = LABEL_KERNEL;
	e.step.prefix = "NETFILTER_DROP";
	e.step.number = FWD;
	e.step.table = e.step.chain = "";
	e.step.at = e.received = b->now;
	assembler_add(b->a, &e);
}

/* One socket sends the same to two, and the other one's packet is still to be told when it dies. */
static void what_was_not_translated_died_as_it_came(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7), q = packet("10.0.0.1", "10.0.0.9", 7);

	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p);
	freed_as_it_came(b, &q, &q);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &q);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "<pre_first>");
	expect(&b->got[1], "<pre_first> !NETFILTER_DROP");
	assert_int_equal(b->got[1].tuple_count, 1);
}

static void nothing_follows_a_death(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	freed(b, "NETFILTER_DROP", IN, &p); /* nobody traced it */
	later(b, 100);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p); /* an equal one, which is */
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "!NETFILTER_DROP");
	expect(&b->got[1], "filter1");
}

/* A place that lies behind where the packet was seen: another packet's. */
static void a_death_does_not_go_back(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
	freed(b, "NETFILTER_DROP", 1 << HOOK_PREROUTING, &p);
	settle(b);
	assert_int_equal(b->count, 2);
	expect(&b->got[0], "filter1");
	expect(&b->got[1], "!NETFILTER_DROP");
}

static void a_late_death_is_not_of_a_younger_packet(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);
	struct boot_ns died = b->now;

	later(b, 150);
	legacy(b, HOOK_INPUT, "filter", "INPUT", 1, &p);
	b->now = died;
	freed_late(b, "NETFILTER_DROP", IN, &p, 151000);
	later(b, 151);
	settle(b);
	assert_int_equal(b->count, 2);
}

/* What this host made of a packet before it died is all that others cannot know. */
static void an_untraced_death_tells_how_its_packet_came(void **state)
{
	struct bench *b = bench_of(state);
	struct packet came = packet("10.0.0.1", "203.0.113.1", 7),
		      p = packet("10.0.0.1", "10.0.0.2", 7);

	freed_as_it_came(b, &p, &came);
	settle(b);
	assert_int_equal(b->count, 1);
	assert_int_equal(b->got[0].tuple_count, 2);
	assert_true(tuple_equal(&b->got[0].tuples[0], &came.tuple));
	assert_true(tuple_equal(&b->got[0].tuples[1], &p.tuple));

	/* Where its way was traced, that tells more. */
	checkpoint(b, CHECKPOINT_PRE_FIRST, 2, &came);
	freed_as_it_came(b, &p, &came);
	settle(b);
	assert_int_equal(b->count, 2);
	assert_int_equal(b->got[1].tuple_count, 2);
	assert_int_equal(b->got[1].steps[1].tuple, 1);
}

/* A loop brings the same packet by again and again; the death of the last passage may be told before that passage is. */
static void a_death_in_a_loop_is_of_the_passage_with_its_ttl(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p[3] = { packet("10.0.0.1", "10.0.0.2", 7), packet("10.0.0.1", "10.0.0.2", 7),
			       packet("10.0.0.1", "10.0.0.2", 7) };

	for (int i = 0; i < 3; i++)
		p[i].ttl = (uint8_t)(5 - 2 * i);
	for (int i = 0; i < 2; i++) {
		struct packet out = p[i];

		checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p[i]);
		out.ttl--;
		checkpoint(b, CHECKPOINT_POST_LAST, 1, &out);
	}
	freed(b, "IP_INHDR", 0, &p[2]);
	checkpoint(b, CHECKPOINT_PRE_FIRST, 1, &p[2]);
	settle(b);
	assert_int_equal(b->count, 3);
	for (int i = 0; i < 3; i++) {
		const struct journey *j = &b->got[i];
		bool dead = j->steps[0].ttl == 1;

		assert_int_equal(j->step_count, 2);
		assert_int_equal(j->steps[1].label, dead ? LABEL_KERNEL : LABEL_CHECKPOINT);
	}
}

static void logged(struct bench *b, enum hook hook, const char *prefix, const struct packet *p)
{
	struct trace_event e = { .has_packet = true, .packet = *p, .logged = true };

	e.step.hook = (uint8_t)hook;
	e.step.family = FAMILY_IPV4;
	e.step.label = LABEL_LOG;
	e.step.number = 7;
	e.step.table = e.step.chain = "";
	e.step.prefix = prefix;
	add(b, &e);
}

/* Groups tell in batches: what was logged last may come first. */
static void what_groups_log_stands_in_its_hook(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	logged(b, HOOK_FORWARD, "f", &p);
	legacy(b, HOOK_PREROUTING, "raw", "PREROUTING", 1, &p);
	logged(b, HOOK_PREROUTING, "p", &p);
	legacy(b, HOOK_FORWARD, "filter", "FORWARD", 1, &p);
	checkpoint(b, CHECKPOINT_POST_LAST, 1, &p);
	settle(b);
	assert_int_equal(b->count, 1);
	assert_int_equal(b->got[0].step_count, 5);
	assert_string_equal(b->got[0].steps[1].prefix, "p");
	assert_string_equal(b->got[0].steps[3].prefix, "f");
	assert_int_equal(b->got[0].steps[4].label, LABEL_CHECKPOINT);
}

static void a_line_that_was_logged_already_is_of_another_packet(void **state)
{
	struct bench *b = bench_of(state);
	struct packet p = packet("10.0.0.1", "10.0.0.2", 7);

	logged(b, HOOK_INPUT, "a", &p);
	logged(b, HOOK_INPUT, "b", &p);
	logged(b, HOOK_INPUT, "a", &p);
	logged(b, HOOK_OUTPUT, "c", &p);
	settle(b);
	assert_int_equal(b->count, 3);
	assert_int_equal(b->got[0].step_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_kernel_frees_ends_its_journey),
		TEST(an_untraced_death_is_a_journey),
		TEST(a_death_may_be_told_first),
		TEST(a_second_death_is_another_packet),
		TEST(a_death_goes_to_the_packet_of_its_time),
		TEST(a_death_is_of_the_packet_that_bore_its_addresses),
		TEST(a_death_that_is_told_first_waits_for_its_own_packet),
		TEST(a_death_may_bear_another_destination),
		TEST(what_was_not_translated_died_as_it_came),
		TEST(nothing_follows_a_death),
		TEST(a_death_does_not_go_back),
		TEST(a_late_death_is_not_of_a_younger_packet),
		TEST(an_untraced_death_tells_how_its_packet_came),
		TEST(a_death_in_a_loop_is_of_the_passage_with_its_ttl),
		TEST(what_groups_log_stands_in_its_hook),
		TEST(a_line_that_was_logged_already_is_of_another_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
