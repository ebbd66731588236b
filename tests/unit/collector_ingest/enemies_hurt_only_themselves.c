/*
 * Wrong lengths, garbage, one byte at a time, connections that say nothing: each ends one session at most, while an
 * honest agent goes on.
 */
#include "tests/unit/collector_ingest/bench.h"

enum { GARBAGE = 2000, SILENT = 300 };

static void honest_goes_on(struct client *c, uint64_t *seq)
{
	struct record r = checked();
	struct msg m;

	client_batch(c, ++*seq, &r);
	do
		assert_true(client_recv(c, &m, MSG_ACK));
	while (m.ack < *seq);
}

static void wrong_lengths_end_one_session(void **state)
{
	static const uint32_t lengths[] = { 0, FRAME_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff };
	struct bench b;
	struct client honest, c;
	uint64_t seq = 0;
	size_t i;

	(void)state;
	bench_open(&b);
	client_greet(&honest, &b, "gw", 1, NULL);
	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		uint32_t head = htonl(lengths[i]);

		client_open(&c, &b);
		client_bytes(&c, (const uint8_t *)&head, sizeof(head), 0);
		assert_true(client_ended(&c));
		client_close(&c);
		honest_goes_on(&honest, &seq);
	}
	assert_int_equal(ingest_counts(b.ingest)->protocol_errors, i);
	client_close(&honest);
	bench_close(&b);
}

static void a_stranger_makes_us_hold_little(void **state)
{
	uint32_t head = htonl(FRAME_MAX);
	uint8_t zeros[32768] = { 0 };
	struct bench b;
	struct client c;

	(void)state;
	bench_open(&b);
	client_open(&c, &b);
	client_bytes(&c, (const uint8_t *)&head, sizeof(head), 0);
	client_bytes(&c, zeros, sizeof(zeros), 0);
	assert_true(client_ended(&c));
	client_close(&c);
	bench_close(&b);
}

static void one_byte_at_a_time_is_understood(void **state)
{
	struct record r = checked();
	struct msg records = { .kind = MSG_RECORDS,
			       .batch = { .seq = 1, .count = 1, .records = &r } };
	struct msg_host host;
	struct msg h = hello("slow", 1, 1, &host), m;
	struct buf frame;
	struct bench b;
	struct client c;

	(void)state;
	bench_open(&b);
	client_open(&c, &b);
	msg_frame(&frame, &h);
	client_bytes(&c, frame.p, frame.len, 1);
	buf_clear(&frame);
	assert_true(client_recv(&c, &m, MSG_WELCOME));
	msg_frame(&frame, &records);
	client_bytes(&c, frame.p, frame.len, 1);
	buf_clear(&frame);
	assert_true(client_recv(&c, &m, MSG_ACK));
	client_close(&c);
	bench_close(&b);
}

static void every_cut_of_a_session_is_survived(void **state)
{
	struct record r = checked();
	struct msg records = { .kind = MSG_RECORDS,
			       .batch = { .seq = 1, .count = 1, .records = &r } };
	struct msg_host host;
	struct msg h = hello("cut", 1, 1, &host), m;
	struct buf hello_frame, frame;
	struct bench b;
	struct client c;
	size_t k;

	(void)state;
	bench_open(&b);
	msg_frame(&hello_frame, &h);
	msg_frame(&frame, &records);
	assert_int_equal(buf_add(&hello_frame, frame.p, frame.len), 0);
	for (k = 0; k < hello_frame.len; k++) {
		client_open(&c, &b);
		client_bytes(&c, hello_frame.p, k, 0);
		bench_turn(&b);
		client_close(&c);
		bench_turn(&b);
	}
	client_open(&c, &b);
	client_bytes(&c, hello_frame.p, hello_frame.len, 0);
	assert_true(client_recv(&c, &m, MSG_ACK));
	assert_int_equal(fake_agent(b.store, "cut")->records, 1);
	client_close(&c);
	buf_clear(&hello_frame);
	buf_clear(&frame);
	bench_close(&b);
}

static void garbage_ends_one_session(void **state)
{
	struct bench b;
	struct client honest, c;
	struct msg_host host;
	struct msg h = hello("bad", 1, 1, &host), m;
	uint64_t seq = 0;
	unsigned int seed = 1;
	struct buf frame;
	int i, k;

	(void)state;
	bench_open(&b);
	client_greet(&honest, &b, "gw", 1, NULL);
	for (i = 0; i < GARBAGE; i++) {
		msg_frame(&frame, &h);
		client_open(&c, &b);
		if (i % 2) { /* greeted first, then noise with a good length */
			client_bytes(&c, frame.p, frame.len, 0);
			assert_true(client_recv(&c, &m, MSG_WELCOME));
		}
		for (k = FRAME_HEAD + i % 3; k < (int)frame.len; k++)
			frame.p[k] = (uint8_t)rand_r(&seed);
		client_bytes(&c, frame.p, frame.len, 0);
		bench_turn(&b);
		client_close(&c);
		buf_clear(&frame);
		if (i % 100 == 0)
			honest_goes_on(&honest, &seq);
	}
	honest_goes_on(&honest, &seq);
	assert_true(ingest_counts(b.ingest)->protocol_errors > GARBAGE / 4);
	client_close(&honest);
	bench_close(&b);
}

static void a_wrong_order_ends_one_session(void **state)
{
	struct record r = checked();
	struct content_id id = content_id_of("abc", 3);
	struct msg wrong[] = {
		{ .kind = MSG_RECORDS, .batch = { .seq = 0, .count = 1, .records = &r } },
		{ .kind = MSG_ACK, .ack = 5 },
		{ .kind = MSG_PING, .ping = { 1 } },
		{ .kind = MSG_PART,
		  .part = { .id = id,
			    .offset = 1,
			    .total = 3,
			    .data = (const uint8_t *)"b",
			    .len = 1 } },
	};
	struct bench b;
	struct client honest, c;
	uint64_t seq = 0;
	size_t i;

	(void)state;
	bench_open(&b);
	client_greet(&honest, &b, "gw", 1, NULL);
	client_open(&c, &b); /* records before any Hello */
	client_batch(&c, 1, &r);
	assert_true(client_ended(&c));
	client_close(&c);
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		client_greet(&c, &b, "bad", 1, NULL);
		client_send(&c, &wrong[i]);
		assert_true(client_ended(&c));
		client_close(&c);
	}
	client_greet(&c, &b, "bad", 1, NULL); /* a host that it does not have */
	r.host = 1;
	client_batch(&c, 1, &r);
	assert_true(client_ended(&c));
	client_close(&c);
	honest_goes_on(&honest, &seq);
	client_close(&honest);
	bench_close(&b);
}

static void silent_crowds_do_not_lock_others_out(void **state)
{
	struct client *crowd = calloc(SILENT, sizeof(*crowd));
	struct bench b;
	struct client honest;
	uint64_t seq = 0;
	int i;

	(void)state;
	bench_open(&b);
	for (i = 0; i < SILENT; i++) {
		client_open(&crowd[i], &b);
		if (i % 16 == 0)
			bench_turn(&b);
	}
	client_greet(&honest, &b, "gw", 1, NULL);
	honest_goes_on(&honest, &seq);
	for (i = 0; i < SILENT; i++)
		client_close(&crowd[i]);
	client_close(&honest);
	free(crowd);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_lengths_end_one_session),
		cmocka_unit_test(a_stranger_makes_us_hold_little),
		cmocka_unit_test(one_byte_at_a_time_is_understood),
		cmocka_unit_test(every_cut_of_a_session_is_survived),
		cmocka_unit_test(garbage_ends_one_session),
		cmocka_unit_test(a_wrong_order_ends_one_session),
		cmocka_unit_test(silent_crowds_do_not_lock_others_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
