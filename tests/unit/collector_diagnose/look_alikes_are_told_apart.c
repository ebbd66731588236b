/*
 * One tuple, several flows: private addresses behind two interfaces, a port used again, what a host sends to itself. What is
 * known of one of them is not said of another.
 */
#include "fake.h"

enum { SYN = 2, ACK = 16 };

static const char *const drops_80 =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A FORWARD -p tcp -m tcp --dport 80 -j DROP\n-A INPUT -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n";

static struct tuple web(void)
{
	return tcp("10.0.1.2", 40000, "10.0.3.2", 80);
}

static void sends(uint64_t h, int64_t at, uint64_t fp, struct tuple t, uint32_t seq)
{
	struct journey *j = journey(h, at, fp, t, SYN, seq);

	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
}

static struct journey *comes(uint64_t h, int64_t at, uint64_t fp, struct tuple t, uint32_t seq,
			     const char *in_if)
{
	struct journey *j = journey(h, at, fp, t, SYN, seq);

	snprintf(j->in_if, sizeof(j->in_if), "%s", in_if);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	return j;
}

static void dies_in_forward(struct journey *j)
{
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
}

static void tracked(uint64_t h, int64_t at, struct tuple in, struct tuple out, uint16_t zone)
{
	fake.conns[fake.conn_count++] = (struct stored_conn){
		.host = h,
		.c = { .orig = in, .reply = tuple_reverse(&out), .zone = zone },
		.from = { ms(at) }
	};
}

/* Two clients with one address and port behind two interfaces of gw: a passes, b does not. */
static void ruling_3a_an_entry_of_another_flow_heals_nothing(void **state)
{
	struct tuple t = web(), out = tcp("10.0.3.11", 40000, "10.0.3.2", 80);
	uint64_t a = host("a", "10.0.1.2/24"), b = host("b", "10.0.1.2/24"),
		 gw = host("gw", "10.0.3.1/24");
	struct journey *j;

	(void)state;
	table(gw, "filter", drops_80, 0, 500, 90000, 0);
	sends(b, 1000, 8, t, 2000);
	dies_in_forward(comes(gw, 1001, 8, t, 2000, "ib"));
	sends(a, 2500, 7, t, 1000);
	j = comes(gw, 2501, 7, t, 1000, "ia");
	becomes(j, out);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	tracked(gw, 2502, t, out, 0);
	ask("tcp 10.0.1.2 10.0.3.2:80");
	assert_int_equal(number("matched"), 2);
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("hops.0.host"), "b");
}

/* Nobody traced the other flow, which is in a zone of its own. */
static void ruling_3a_an_entry_of_a_zone_heals_nothing(void **state)
{
	struct tuple t = web(), out = tcp("10.0.3.11", 40000, "10.0.3.2", 80);
	uint64_t gw = host("gw", "10.0.3.1/24");

	(void)state;
	table(gw, "filter", drops_80, 0, 500, 90000, 0);
	dies_in_forward(comes(gw, 1000, 8, t, 2000, "ib"));
	tracked(gw, 3000, t, out, 0);
	ask("tcp 10.0.1.2 10.0.3.2:80");
	assert_string_equal(text("verdict"), "unknown");
	fake.conns[0].c.zone = 1;
	ask("tcp 10.0.1.2 10.0.3.2:80");
	assert_string_equal(text("verdict"), "dropped");
}

/* The entry that OUTPUT's half made is told when the other half has died. */
static void ruling_3a_what_a_host_sends_to_itself_has_its_own_entry(void **state)
{
	struct tuple t = tcp("10.0.3.2", 40000, "10.0.3.2", 80);
	uint64_t sv = host("sv", "10.0.3.2/24");
	struct journey *j;

	(void)state;
	table(sv, "filter", drops_80, 0, 500, 90000, 0);
	tracked(sv, 3000, t, t, 0);
	j = comes(sv, 1001, 7, t, 1, "lo");
	checkpoint(j, CHECKPOINT_IN_FIRST, 64);
	rule(j, HOOK_INPUT, "filter", "INPUT", 1, 64);
	ask("tcp 10.0.3.2 10.0.3.2:80");
	assert_string_equal(text("verdict"), "dropped");
	sends(sv, 1000, 7, t, 1);
	ask("tcp 10.0.3.2 10.0.3.2:80");
	assert_string_equal(text("verdict"), "dropped");
	assert_int_equal(json_array_size(at("hops")), 2);
}

/* Its own entry tells nothing either: on no host does another SYN come that soon. */
static void ruling_3a_an_entry_of_its_own_moment_heals_nothing(void **state)
{
	struct tuple t = web();
	uint64_t gw = host("gw", "10.0.3.1/24");

	(void)state;
	table(gw, "filter", drops_80, 0, 500, 90000, 0);
	dies_in_forward(comes(gw, 1000, 8, t, 2000, "ib"));
	tracked(gw, 1040, t, t, 0);
	ask("tcp 10.0.1.2 10.0.3.2:80");
	assert_string_equal(text("verdict"), "dropped");
}

/* b died on its way at the same time: a's reply is a's, by whom it reaches or by what gw made of a's addresses. */
static void flows_5_a_reply_belongs_to_whom_it_reaches(void **state)
{
	struct tuple t = web(), out_a = tcp("10.0.3.11", 40000, "10.0.3.2", 80),
		     out_b = tcp("10.0.3.12", 40000, "10.0.3.2", 80), back = tuple_reverse(&t),
		     from = tuple_reverse(&out_a);
	uint64_t a = host("a", "10.0.1.2/24"), b = host("b", "10.0.1.2/24"),
		 gw = host("gw", "10.0.3.1/24");
	struct journey *j;

	(void)state;
	table(gw, "filter", drops_80, 0, 500, 90000, 0);
	sends(a, 1000, 7, t, 1000);
	j = comes(gw, 1001, 7, t, 1000, "ia");
	becomes(j, out_a);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	sends(b, 1002, 8, t, 2000);
	dies_in_forward(comes(gw, 1003, 8, t, 2000, "ib"));
	tracked(gw, 1002, t, out_a, 1);
	tracked(gw, 900, t, out_b, 2);

	j = journey(gw, 1010, 9, from, SYN | ACK, 5);
	j->tcp_ack = 1001;
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	becomes(j, back);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	j = journey(a, 1011, 9, back, SYN | ACK, 5);
	j->tcp_ack = 1001;
	checkpoint(j, CHECKPOINT_PRE_FIRST, 63);
	checkpoint(j, CHECKPOINT_IN_LAST, 63);
	ask("tcp 10.0.1.2 10.0.3.2:80");
	assert_int_equal(number("matched"), 2);
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("hops.0.host"), "b");
	assert_true(json_is_false(at("reply_seen")));
	assert_string_equal(text("others.0.verdict"), "delivered");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, fresh)
		T(ruling_3a_an_entry_of_another_flow_heals_nothing),
		T(ruling_3a_an_entry_of_a_zone_heals_nothing),
		T(ruling_3a_what_a_host_sends_to_itself_has_its_own_entry),
		T(ruling_3a_an_entry_of_its_own_moment_heals_nothing),
		T(flows_5_a_reply_belongs_to_whom_it_reaches),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
