/* An agent is greeted, its batches are acknowledged once they are committed, and its contents are asked for. */
#include "tests/unit/collector_ingest/bench.h"

static void acks_come_after_commit(void **state)
{
	struct record r = checked();
	struct bench b;
	struct client c;
	struct msg m;

	(void)state;
	bench_open(&b);
	fake_hold(b.store, true);
	client_greet(&c, &b, "gw", 3, &m);
	assert_int_equal(m.welcome.seq, 0);
	client_batch(&c, 1, &r);
	client_batch(&c, 2, &r);
	while (client_recv_for(&c, &m, 200))
		assert_int_not_equal(m.kind, MSG_ACK);
	fake_hold(b.store, false);
	do
		assert_true(client_recv(&c, &m, MSG_ACK));
	while (m.ack < 2);
	assert_int_equal(m.ack, 2);
	assert_int_equal(fake_agent(b.store, "gw")->records, 2);
	client_close(&c);
	bench_close(&b);
}

static void a_full_store_stops_reading_and_loses_nothing(void **state)
{
	struct record r = checked();
	struct bench b;
	struct client c;
	struct msg m;
	uint64_t seq;

	(void)state;
	bench_open(&b);
	b.store->queue_max = 3;
	fake_hold(b.store, true);
	client_greet(&c, &b, "gw", 3, NULL);
	for (seq = 1; seq <= 60; seq++)
		client_batch(&c, seq, &r);
	bench_turns(&b, 200);
	assert_int_equal(fake_agent(b.store, "gw")->records, 3);
	assert_true(b.store->refused > 0);
	fake_hold(b.store, false);
	do
		assert_true(client_recv(&c, &m, MSG_ACK));
	while (m.ack < 60);
	assert_int_equal(fake_agent(b.store, "gw")->records, 60);
	client_close(&c);
	bench_close(&b);
}

static void a_reconnect_hears_what_is_stored(void **state)
{
	struct record r = checked();
	struct ingest_live live;
	struct bench b;
	struct client c, again;
	struct msg m;

	(void)state;
	bench_open(&b);
	client_greet(&c, &b, "gw", 3, NULL);
	assert_true(ingest_live(b.ingest, "gw", &live) && live.connected && !live.resumed &&
		    !live.rulesets_told);
	client_batch(&c, 1, &r);
	assert_true(client_recv(&c, &m, MSG_ACK));
	assert_true(ingest_live(b.ingest, "gw", &live) && live.rulesets_told);
	client_greet(&again, &b, "gw", 3, &m); /* the newer connection stands */
	assert_int_equal(m.welcome.epoch, 3);
	assert_int_equal(m.welcome.seq, 1);
	assert_true(client_ended(&c));
	assert_true(ingest_live(b.ingest, "gw", &live) && live.connected && live.resumed &&
		    live.rulesets_told);
	client_close(&c);
	client_close(&again);
	bench_turns(&b, 20);
	assert_true(ingest_live(b.ingest, "gw", &live) && !live.connected);
	client_greet(&c, &b, "gw", 4, &m); /* a new start: what it was told before does not count */
	assert_true(ingest_live(b.ingest, "gw", &live) && !live.resumed && !live.rulesets_told);
	client_close(&c);
	bench_close(&b);
}

static void expect_refusal(struct bench *b, struct msg *h, const char *why)
{
	struct client c;
	struct msg m;

	client_open(&c, b);
	client_send(&c, h);
	assert_true(client_recv(&c, &m, MSG_WELCOME));
	assert_true(m.welcome.refused);
	assert_non_null(strstr(m.welcome.why, why));
	assert_true(client_ended(&c));
	client_close(&c);
}

static void strangers_are_refused_with_a_reason(void **state)
{
	static const char *const ids[] = { "a b", "../x", "a/b/c", "\xff", "x\n", "h\x1b[0m" };
	struct msg_host host;
	struct bench b;
	struct client c;
	struct msg h;
	size_t i;

	(void)state;
	bench_open(&b);
	for (i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct msg m;

		h = hello(ids[i], 1, 1, &host);
		client_open(&c, &b);
		client_send(&c, &h);
		/* The decoder may refuse it before we do; taken it must never be. */
		if (client_recv(&c, &m, MSG_WELCOME))
			assert_true(m.welcome.refused);
		assert_true(client_ended(&c));
		client_close(&c);
	}
	assert_int_equal(b.store->agent_count, 0);
	h = hello("gw", 1, 1, &host);
	host.id = "sv";
	expect_refusal(&b, &h, "gw/NETNS");

	client_greet(&c, &b, "gw", 1, NULL);
	h = hello("gw", 1, 2, &host);
	expect_refusal(&b, &h, "another agent");
	fake_agent(b.store, "gw")->epoch = 5;
	h = hello("gw", 4, 1, &host);
	expect_refusal(&b, &h, "5 is stored");
	b.store->clone = true;
	h = hello("sv", 1, 2, &host);
	expect_refusal(&b, &h, "clone");
	client_close(&c);
	bench_close(&b);
}

static void send_content(struct client *c, const struct content_id *id, const char *text,
			 size_t len, bool broken)
{
	size_t at, n;

	for (at = 0; at < len; at += n) {
		struct msg m = { .kind = MSG_PART,
				 .part = { .id = *id, .offset = at, .total = len } };

		n = len - at < PART_MAX ? len - at : PART_MAX;
		m.part.data = (const uint8_t *)text + at;
		m.part.len = (uint32_t)n;
		if (broken && at + n == len) {
			m.part.data = (const uint8_t *)"x";
			m.part.len = 1;
		}
		client_send(c, &m);
	}
}

static void contents_are_asked_for_and_checked(void **state)
{
	size_t len = 300000;
	char *text = malloc(len);
	struct content_id ids[2];
	struct record r = { .kind = RECORD_RULESET };
	struct bench b;
	struct client c;
	struct msg m;

	(void)state;
	memset(text, 'r', len);
	ids[0] = content_id_of(text, len);
	ids[1] = content_id_of("b", 1);
	bench_open(&b);
	client_greet(&c, &b, "gw", 1, NULL);
	m = (struct msg){ .kind = MSG_HAVE, .have = { 2, ids } };
	client_send(&c, &m);
	assert_true(client_recv(&c, &m, MSG_NEED));
	assert_int_equal(m.need.count, 2);
	send_content(&c, &ids[0], text, len, false);
	send_content(&c, &ids[1], "b", 1, false);
	bench_turns(&b, 50);
	assert_int_equal(b.store->content_count, 2);
	assert_memory_equal(b.store->contents[0].text, text, len);

	/* A batch that names an unknown content has it asked for, too. */
	r.ruleset = (struct ruleset_fact){ .read_at = boot_now(),
					   .family = FAMILY_IPV4,
					   .table = "nat",
					   .content = content_id_of("c", 1) };
	client_batch(&c, 1, &r);
	assert_true(client_recv(&c, &m, MSG_NEED));
	assert_memory_equal(&m.need.ids[0], &r.ruleset.content, sizeof(ids[0]));
	/* What nobody asked for is not kept. */
	ids[0] = content_id_of("d", 1);
	send_content(&c, &ids[0], "d", 1, false);
	/* Bytes that are not what their name says end the session. */
	send_content(&c, &r.ruleset.content, "x", 1, false);
	assert_true(client_ended(&c));
	assert_int_equal(b.store->content_count, 2);
	client_close(&c);
	free(text);
	bench_close(&b);
}

struct seen {
	uint32_t hellos, gone, notes;
	struct ingest_note last;
};

static void on_hello(void *arg, const char *host)
{
	assert_string_equal(host, "gw");
	((struct seen *)arg)->hellos++;
}

static void on_gone(void *arg, const char *host)
{
	(void)host;
	((struct seen *)arg)->gone++;
}

static void on_note(void *arg, const struct ingest_note *n)
{
	struct seen *s = arg;

	s->notes++;
	s->last = *n;
}

static void observers_hear_after_the_commit(void **state)
{
	struct seen seen = { 0 };
	struct ingest_observer o = {
		.hello = on_hello, .gone = on_gone, .note = on_note, .arg = &seen
	};
	struct record r = { .kind = RECORD_LEASE };
	struct bench b;
	struct client c;
	struct msg m;

	(void)state;
	bench_open(&b);
	ingest_watch(b.ingest, &o);
	fake_hold(b.store, true);
	client_greet(&c, &b, "gw", 1, NULL);
	assert_int_equal(seen.hellos, 1);
	r.lease = (struct lease_fact){ .at = boot_now(),
				       .id = 0x4f21,
				       .state = LEASE_REFUSED,
				       .modulus = 2,
				       .refused = 5,
				       .why = "no" };
	client_batch(&c, 1, &r);
	bench_turns(&b, 100);
	assert_int_equal(seen.notes, 0);
	fake_hold(b.store, false);
	assert_true(client_recv(&c, &m, MSG_ACK));
	assert_int_equal(seen.notes, 1);
	assert_int_equal(seen.last.lease.id, 0x4f21);
	assert_int_equal(seen.last.lease.state, LEASE_REFUSED);
	assert_string_equal(seen.last.lease.why, "no");
	/* The agent runs on our clock: its time is ours, give or take the error. */
	assert_true(llabs(seen.last.at.v - wall_now().v) < NS_PER_S);

	m = (struct msg){ .kind = MSG_SNAPSHOT_NOW };
	assert_int_equal(ingest_send(b.ingest, "gw", &m), 0);
	assert_true(client_recv(&c, &m, MSG_SNAPSHOT_NOW));
	client_close(&c);
	bench_turns(&b, 50);
	assert_int_equal(seen.gone, 1);
	m = (struct msg){ .kind = MSG_SNAPSHOT_NOW };
	assert_int_equal(ingest_send(b.ingest, "gw", &m), -ENOTCONN);
	ingest_unwatch(b.ingest, &o);
	bench_close(&b);
}

static void pings_measure_the_clock(void **state)
{
	int64_t skew = 3600 * (int64_t)NS_PER_S;
	struct bench b;
	struct client c;
	struct msg m;
	int pongs = 0;

	(void)state;
	bench_open(&b);
	client_greet(&c, &b, "gw", 1, NULL);
	while (pongs < 2 && client_recv_for(&c, &m, PATIENCE_MS)) {
		struct msg pong = { .kind = MSG_PONG };

		if (m.kind != MSG_PING)
			continue;
		pong.pong.token = m.ping.token;
		pong.pong.boot.v = boot_now().v + skew;
		client_send(&c, &pong);
		pongs++;
	}
	bench_turns(&b, 20);
	assert_int_equal(pongs, 2);
	assert_true(b.store->offsets >= 2);
	assert_true(b.store->offset.error < 100 * (int64_t)NS_PER_MS);
	assert_true(llabs(b.store->offset.offset + skew + boot_minus_wall()) <=
		    b.store->offset.error + 5 * (int64_t)NS_PER_MS);
	client_close(&c);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acks_come_after_commit),
		cmocka_unit_test(a_full_store_stops_reading_and_loses_nothing),
		cmocka_unit_test(a_reconnect_hears_what_is_stored),
		cmocka_unit_test(strangers_are_refused_with_a_reason),
		cmocka_unit_test(contents_are_asked_for_and_checked),
		cmocka_unit_test(observers_hear_after_the_commit),
		cmocka_unit_test(pings_measure_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
