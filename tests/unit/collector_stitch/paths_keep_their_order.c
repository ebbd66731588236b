/*
 * What bridges, fragments and clocks make of a path: the hosts in order, each once, whatever their clocks say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/loop.h"
#include "collector/stitch/path.h"

enum { FP = 0x1234, STEPS = 4, JOURNEYS = 8, MS = 1000000 };

static struct arena arena;
static struct stored_journey list[JOURNEYS];
static struct step steps[JOURNEYS][STEPS];
static size_t count;

static struct tuple udp(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = 17 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	return t;
}

/* A journey on a host; hooks ends with HOOK_NONE. Through: it left by, or got through, its last hook. */
static struct stored_journey *seen(uint64_t host, int64_t ms, uint8_t ttl, const enum hook *hooks,
				   bool through, struct tuple t)
{
	struct stored_journey *sj = &list[count];
	struct step *s = steps[count];

	memset(sj, 0, sizeof(*sj));
	memset(s, 0, sizeof(steps[0]));
	sj->host = host;
	sj->row = ++count;
	sj->at.v = (INT64_C(1000) + ms) * MS;
	sj->j.fp = FP;
	sj->j.ip_version = 4;
	sj->j.ip_id = 77;
	sj->j.tuples[0] = t;
	sj->j.tuple_count = 1;
	sj->j.steps = s;
	for (; hooks[sj->j.step_count]; sj->j.step_count++) {
		s[sj->j.step_count].hook = (uint8_t)hooks[sj->j.step_count];
		s[sj->j.step_count].ttl = ttl;
		s[sj->j.step_count].label = LABEL_CHECKPOINT;
	}
	if (through && s[sj->j.step_count - 1].hook == HOOK_POSTROUTING)
		s[sj->j.step_count - 1].checkpoint = CHECKPOINT_POST_LAST;
	else if (through)
		s[sj->j.step_count - 1].checkpoint = CHECKPOINT_IN_LAST;
	return sj;
}

static const enum hook sends[] = { HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_NONE };
static const enum hook passes[] = { HOOK_PREROUTING, HOOK_POSTROUTING, HOOK_NONE };
static const enum hook gets[] = { HOOK_PREROUTING, HOOK_INPUT, HOOK_NONE };
static const enum hook comes[] = { HOOK_PREROUTING, HOOK_NONE };
static const enum hook goes[] = { HOOK_FORWARD, HOOK_POSTROUTING, HOOK_NONE };

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

/* The only path goes over these hosts (0 ends the list). */
static const struct path *leads(const uint64_t *hosts)
{
	static struct paths paths;
	size_t n = 0;

	assert_int_equal(paths_join(&paths, list, count, &(struct around){ 0 }, &arena), 0);
	assert_int_equal(paths.count, 1);
	for (; hosts[n]; n++) {
		assert_true(n < paths.list[0].hop_count);
		assert_int_equal(paths.list[0].hops[n].sj->host, hosts[n]);
	}
	assert_int_equal(paths.list[0].hop_count, n);
	return &paths.list[0];
}

static void path_6_a_bridge_stands_before_the_receiver_whatever_the_time(void **state)
{
	struct tuple t = udp("10.0.0.1", 5, "10.0.0.2", 53);

	(void)state;
	seen(3, 0, 64, gets, true, t);
	seen(2, 400, 64, passes, true, t);
	seen(1, 900, 64, sends, true, t);
	leads((uint64_t[]){ 1, 2, 3, 0 });
}

static void path_6_who_lowered_it_unseen_stands_before_the_next(void **state)
{
	struct tuple t = udp("10.0.0.1", 5, "10.9.0.2", 53);

	(void)state;
	seen(3, 0, 63, gets, true, t);
	seen(2, 100, 63, goes, true, t);
	seen(1, 200, 64, sends, true, t);
	leads((uint64_t[]){ 1, 2, 3, 0 });
}

/* A one-armed router behind a bridge: the bridge sees it with the TTL that it came with, and again with the next one. */
static void path_6_a_bridge_stands_before_the_router_that_lowers_it(void **state)
{
	struct tuple t = udp("10.1.0.2", 5, "10.2.0.2", 53);
	const struct path *p;
	struct loop loop;

	(void)state;
	seen(3, 0, 64, passes, true, t)->j.steps[1].ttl = 63; /* its clock is fast */
	seen(1, 1, 64, sends, true, t);
	seen(2, 2, 64, passes, true, t);
	seen(2, 3, 63, passes, true, t);
	seen(4, 4, 63, gets, true, t);
	for (size_t i = 0; i < count; i++) {
		snprintf(list[i].j.in_if, sizeof(list[i].j.in_if), "br0");
		snprintf(list[i].j.out_if, sizeof(list[i].j.out_if), "br0");
	}
	p = leads((uint64_t[]){ 1, 2, 3, 2, 4, 0 });
	assert_false(loop_of_path(&loop, &(struct fleet){ 0 }, p));
	/* ... also where the router ended it. */
	list[0].j.steps[1].hook = HOOK_FORWARD;
	list[0].j.steps[1].checkpoint = CHECKPOINT_FWD_FIRST;
	count = 3;
	leads((uint64_t[]){ 1, 2, 3, 0 });
}

static void path_1_fragments_are_hops_of_their_packet(void **state)
{
	struct tuple t = udp("10.0.0.1", 5, "10.9.0.2", 53),
		     later = udp("10.0.0.1", 0, "10.9.0.2", 0);

	(void)state;
	seen(1, 0, 64, sends, true, t);
	seen(2, 1, 64, passes, true, t)->j.fp = 0;
	seen(2, 1, 64, passes, true, later)->j.fp = 0;
	seen(3, 2, 63, gets, true, t);
	seen(3, 2, 63, comes, false, later)->j.fp = 0;
	leads((uint64_t[]){ 1, 2, 3, 0 });
}

static void path_1_the_fragment_that_got_least_far_stands_for_all(void **state)
{
	struct tuple t = udp("10.0.0.1", 5, "10.9.0.2", 53),
		     later = udp("10.0.0.1", 0, "10.9.0.2", 0);
	const struct path *p;

	(void)state;
	seen(1, 0, 64, sends, true, t);
	seen(2, 1, 64, passes, true, t)->j.fp = 0;
	seen(2, 1, 64, comes, false, later)->j.fp = 0;
	p = leads((uint64_t[]){ 1, 2, 0 });
	assert_false(hop_reached(&p->hops[1], CHECKPOINT_POST_LAST));
}

static void path_1_fragments_of_another_packet_stand_alone(void **state)
{
	struct tuple t = udp("10.0.0.1", 5, "10.9.0.2", 53);
	struct stored_journey *other;
	struct paths paths;

	(void)state;
	seen(1, 0, 64, sends, true, t);
	other = seen(2, 1, 64, passes, true, t);
	other->j.fp = 0;
	other->j.ip_id = 78;
	assert_int_equal(paths_join(&paths, list, count, &(struct around){ 0 }, &arena), 0);
	assert_int_equal(paths.count, 2);
}

static void path_6_halves_of_one_passage_are_one_hop(void **state)
{
	struct tuple t = udp("10.0.0.2", 53, "10.0.0.1", 5),
		     back = udp("10.0.0.2", 53, "10.9.0.9", 5);
	struct stored_journey *first;
	const struct path *p;

	(void)state;
	seen(1, 0, 64, sends, true, t);
	first = seen(2, 1, 64, comes, false, t);
	first->j.tuples[1] = back;
	first->j.tuple_count = 2;
	seen(2, 2, 64, passes, true, back);
	seen(3, 3, 63, gets, true, back);
	p = leads((uint64_t[]){ 1, 2, 3, 0 });
	assert_int_equal(p->hops[1].sj->j.step_count, 3);
	assert_int_equal(p->hops[1].sj->j.tuple_count, 2);
	assert_true(hop_reached(&p->hops[1], CHECKPOINT_POST_LAST));
}

/* A gateway that hides how many hosts are behind it gives every packet a TTL of its own. */
static void path_6_a_rule_that_raises_the_ttl_turns_nothing_round(void **state)
{
	struct tuple t = udp("10.0.0.1", 5, "203.0.113.9", 53),
		     after = udp("192.0.2.1", 5, "203.0.113.9", 53);
	struct stored_journey *gw;
	const struct path *p;

	(void)state;
	seen(4, 0, 126, gets, true, after);
	seen(3, 1, 127, passes, true, after);
	gw = seen(2, 2, 64, passes, true, t);
	gw->j.tuples[1] = after;
	gw->j.tuple_count = 2;
	gw->j.steps[1].tuple = 1;
	gw->j.steps[1].ttl = 127;
	seen(1, 3, 64, sends, true, t);
	p = leads((uint64_t[]){ 1, 2, 3, 4, 0 });
	assert_int_equal(p->hops[2].surety, LINK_SURETY_SURE);
	/* ... also for one that dies behind it. */
	list[0].j.steps[1].label = LABEL_KERNEL;
	list[0].j.steps[1].prefix = "NETFILTER_DROP";
	leads((uint64_t[]){ 1, 2, 3, 4, 0 });
}

/* All that was told behind the translation was told of the second half. */
static void path_6_halves_are_one_hop_where_only_one_tells_of_a_translation(void **state)
{
	struct tuple t = udp("10.0.0.2", 53, "10.0.0.1", 5),
		     back = udp("10.0.0.2", 53, "10.9.0.9", 5);

	(void)state;
	seen(1, 0, 64, sends, true, t);
	seen(2, 1, 64, comes, false, t);
	seen(2, 2, 64, passes, true, back);
	seen(3, 3, 63, gets, true, back);
	leads((uint64_t[]){ 1, 2, 3, 0 });
}

/* Nothing was translated; the first half met FORWARD, the second one left. Another packet would have met both. */
static void path_6_halves_with_equal_addresses_are_one_hop(void **state)
{
	static const enum hook half[] = { HOOK_PREROUTING, HOOK_FORWARD, HOOK_NONE };
	struct tuple t = udp("10.0.0.2", 53, "10.0.0.1", 5);
	const struct path *p;

	(void)state;
	seen(1, 0, 64, sends, true, t);
	seen(2, 1, 64, half, false, t);
	seen(2, 2, 64, passes, true, t);
	seen(3, 3, 63, gets, true, t);
	p = leads((uint64_t[]){ 1, 2, 3, 0 });
	assert_int_equal(p->hops[1].sj->j.step_count, 4);
	assert_true(hop_reached(&p->hops[1], CHECKPOINT_POST_LAST));
}

/* The first half met the rules of the way, the second one our checkpoints, and nothing of PREROUTING but its beginning. */
static void path_6_halves_of_what_a_bridge_handed_up_are_one_hop(void **state)
{
	static const enum hook half[] = { HOOK_PREROUTING, HOOK_PREROUTING, HOOK_INPUT, HOOK_NONE };
	struct tuple t = udp("172.17.0.2", 5, "172.17.0.1", 53);
	struct stored_journey *first, *second;
	const struct path *p;

	(void)state;
	seen(1, 0, 64, sends, true, t);
	first = seen(2, 1, 64, half, false, t);
	first->j.steps[0].checkpoint = CHECKPOINT_PRE_FIRST;
	first->j.steps[1].label = LABEL_POLICY;
	first->j.steps[2].label = LABEL_RULE;
	second = seen(2, 2, 64, gets, false, t);
	second->j.steps[0].checkpoint = CHECKPOINT_PRE_FIRST;
	second->j.steps[1].checkpoint = CHECKPOINT_IN_FIRST;
	second->j.steps[2] = (struct step){ .label = LABEL_KERNEL, .prefix = "NETFILTER_DROP" };
	second->j.step_count = 3;
	p = leads((uint64_t[]){ 1, 2, 0 });
	assert_int_equal(p->hops[1].sj->j.step_count, 6);
	assert_int_equal(p->hops[1].sj->j.steps[3].checkpoint, CHECKPOINT_IN_FIRST);
	assert_int_equal(p->hops[1].sj->j.steps[4].label, LABEL_RULE);
	assert_int_equal(p->hops[1].sj->j.steps[5].label, LABEL_KERNEL);
}

/* A second packet with equal contents meets all of PREROUTING itself. */
static void path_6_what_met_all_of_prerouting_is_no_half(void **state)
{
	static const enum hook whole[] = { HOOK_PREROUTING, HOOK_PREROUTING, HOOK_INPUT,
					   HOOK_NONE };
	struct tuple t = udp("172.17.0.2", 5, "172.17.0.1", 53);
	struct paths paths;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct stored_journey *sj = seen(2, i, 64, whole, i > 0, t);

		sj->j.steps[0].checkpoint = CHECKPOINT_PRE_FIRST;
		sj->j.steps[1].label = LABEL_POLICY;
		if (i == 0)
			sj->j.steps[2].label = LABEL_RULE;
	}
	assert_int_equal(paths_join(&paths, list, count, &(struct around){ 0 }, &arena), 0);
	assert_int_equal(paths.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
		T(path_6_a_bridge_stands_before_the_receiver_whatever_the_time),
		T(path_6_who_lowered_it_unseen_stands_before_the_next),
		T(path_6_a_bridge_stands_before_the_router_that_lowers_it),
		T(path_1_fragments_are_hops_of_their_packet),
		T(path_1_the_fragment_that_got_least_far_stands_for_all),
		T(path_1_fragments_of_another_packet_stand_alone),
		T(path_6_halves_of_one_passage_are_one_hop),
		T(path_6_a_rule_that_raises_the_ttl_turns_nothing_round),
		T(path_6_halves_are_one_hop_where_only_one_tells_of_a_translation),
		T(path_6_halves_with_equal_addresses_are_one_hop),
		T(path_6_halves_of_what_a_bridge_handed_up_are_one_hop),
		T(path_6_what_met_all_of_prerouting_is_no_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
