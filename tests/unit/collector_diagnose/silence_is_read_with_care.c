/*
 * A server that says nothing: its kernel threw the SYN away, if an answer would have been seen, and came again or had no way. Whatever
 * could have hidden an answer leaves it delivered.
 */
#include "fake.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

enum { SYN = 2, ACK = 16 };

static struct facts_rule main_table = { .family = 4,
					.action = FR_ACT_TO_TBL,
					.priority = 32766,
					.table = RT_TABLE_MAIN,
					.suppress = -1 };
static uint64_t sv;

static struct tuple web(void)
{
	return tcp("10.0.1.2", 40000, "10.0.3.2", 443);
}

static struct journey *arrives(int64_t at, uint64_t fp, struct tuple t, uint8_t flags)
{
	struct journey *j = journey(sv, at, fp, t, flags, 1);

	memcpy(j->in_if, "eth0", 5);
	j->out_if[0] = '\0';
	checkpoint(j, CHECKPOINT_PRE_FIRST, 63);
	checkpoint(j, CHECKPOINT_IN_LAST, 63);
	return j;
}

/* A server that traces both ways all the time, and has a default route; two SYNs a second apart. */
static void server(void)
{
	struct facts *f;

	fresh(NULL);
	sv = host("sv", "10.0.3.2/24");
	armed(sv, 0, 0);
	f = &fake.facts[sv - 1];
	f->rules = &main_table;
	f->rule_count = 1;
	f->rules4 = true;
	route(sv, "0.0.0.0/0", "10.0.3.1");
	fake.routes[sv - 1][0].table = RT_TABLE_MAIN;
	fake.routes[sv - 1][0].type = RTN_UNICAST;
	arrives(1000, 7, web(), SYN);
	arrives(2000, 8, web(), SYN);
}

static const char *verdict(void)
{
	ask("tcp 10.0.1.2 10.0.3.2:443");
	return text("verdict");
}

static void fate_4a_a_syn_that_comes_again_was_not_taken(void **state)
{
	(void)state;
	server();
	assert_string_equal(verdict(), "discarded");
	assert_string_equal(text("died_at.host"), "sv");
	assert_string_equal(text("died_at.kind"), "kernel");
	assert_string_equal(text("died_at.reason"), "NO_ANSWER");
	assert_string_equal(text("causes.0.id"), "queue-overflow");
	assert_string_equal(text("confidence"), "inferred");
	assert_int_equal(number("packets"), 2);
	assert_true(json_is_false(at("provisional")));
}

/* The client goes on trying while somebody asks: what it sent last may yet be answered. */
static void fate_4a_the_last_try_leaves_it_open(void **state)
{
	(void)state;
	server();
	arrives(FAKE_NOW - 300, 9, web(), SYN);
	assert_string_equal(verdict(), "discarded");
	assert_int_equal(number("packets"), 3);
	assert_true(json_is_true(at("provisional")));
}

static void fate_4a_what_could_hide_an_answer_leaves_it_delivered(void **state)
{
	struct tuple t = web(), back = tuple_reverse(&t);
	struct journey *j;

	(void)state;
	server();
	fake.journey_count = 1; /* one may have been answered a moment later */
	assert_string_equal(verdict(), "delivered");
	server();
	lost(sv, "trace-nft", 1000, 1100);
	assert_string_equal(verdict(), "delivered");
	server();
	fake.armings[0].until.v = ms(2100); /* the lease ended */
	assert_string_equal(verdict(), "delivered");
	server();
	fake.hosts[0].checked.v = ms(1500); /* nobody has heard of it since */
	assert_string_equal(verdict(), "delivered");
	server();
	fake.journeys[1].at.v = fake.journeys[1].j.at.v = ms(1020); /* sent twice by the network */
	fake.steps[1][0].at.v = fake.steps[1][1].at.v = ms(1020);
	assert_string_equal(verdict(), "delivered");
	server();
	j = journey(sv, 2001, 9, back, SYN | ACK, 5);
	j->tcp_ack = 2;
	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	assert_string_not_equal(verdict(), "discarded");
	server();
	arrives(2010, 9, web(), ACK); /* the client had an answer, by whatever way */
	assert_string_equal(verdict(), "delivered");
	server();
	fake.facts[0].addr_count = 0; /* a proxy took it, as TPROXY gives it to one */
	assert_string_equal(verdict(), "delivered");
}

static void fate_4a_no_route_leads_back(void **state)
{
	struct tuple udp = web();

	(void)state;
	server();
	fake.journey_count = 1;
	fake.facts[0].route_count = 0;
	assert_string_equal(verdict(), "discarded");
	assert_string_equal(text("died_at.reason"), "NO_ROUTE_BACK");
	assert_string_equal(text("causes.0.id"), "return-path");
	assert_string_equal(text("causes.0.summary"),
			    "sv has no route back to 10.0.1.2: no answer can leave it");
	/* A program got the datagram; it is its answer that has no way. */
	server();
	fake.journey_count = 0;
	fake.facts[0].route_count = 0;
	udp.proto = 17;
	arrives(1000, 7, udp, 0);
	ask("udp 10.0.1.2 10.0.3.2:443");
	assert_string_equal(text("verdict"), "delivered");
	assert_string_equal(text("causes.0.id"), "return-path");
	/* An agent that tells no rules of routing, and routes that are not of that time, say nothing. */
	server();
	fake.journey_count = 1;
	fake.facts[0].route_count = 0;
	fake.facts[0].rules4 = false;
	assert_string_equal(verdict(), "delivered");
	assert_int_equal(json_array_size(at("causes")), 0);
	server();
	fake.journey_count = 1;
	fake.facts[0].route_count = 0;
	fake.facts_told[0] = 5000;
	assert_string_equal(verdict(), "delivered");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, fresh)
		T(fate_4a_a_syn_that_comes_again_was_not_taken),
		T(fate_4a_the_last_try_leaves_it_open),
		T(fate_4a_what_could_hide_an_answer_leaves_it_delivered),
		T(fate_4a_no_route_leads_back),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
