/*
 * The uplink against a collector that the test plays: order, resumption, acks, and what a wrong peer gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/uplink/uplink.h"
#include "common/frame.h"

enum { WAIT_MS = 8000, TEXT_LEN = 300000 };

struct bench {
	uv_loop_t loop;
	struct spool *spool;
	struct uplink *uplink;
	int forgotten, ups, downs, leases, ended_contents;
	int64_t unread_ms; /* what waits unread in the kernel */
	char why[256];
	char text[TEXT_LEN];

	int listener, peer; /* the collector's side; -1 none */
	struct buf in;
	struct arena arena;
	struct buf body;
};

/* The program's side. */

static void on_hello(void *arg, struct msg_hello *h)
{
	static struct msg_host host = { "a", "", false };

	(void)arg;
	*h = (struct msg_hello){
		.id = "a", .version = "1", .epoch = 9, .host_count = 1, .hosts = &host
	};
}

static void on_message(void *arg, const struct msg *m)
{
	struct bench *b = arg;

	b->leases += m->kind == MSG_LEASE_STOP;
}

static bool on_content(void *arg, const struct content_id *id, uint64_t offset,
		       struct msg_part *part)
{
	struct bench *b = arg;

	if (id->b[0] != 1)
		return false;
	*part = (struct msg_part){ .id = *id, .offset = offset, .total = TEXT_LEN };
	part->data = (uint8_t *)b->text + offset;
	part->len = TEXT_LEN - offset < PART_MAX ? (uint32_t)(TEXT_LEN - offset) : PART_MAX;
	return true;
}

static void on_content_end(void *arg)
{
	struct bench *b = arg;

	b->ended_contents++;
}

static void on_forgotten(void *arg)
{
	struct bench *b = arg;

	b->forgotten++;
}

static void on_changed(void *arg, bool streaming, const char *why)
{
	struct bench *b = arg;

	if (streaming)
		b->ups++;
	else
		b->downs++;
	snprintf(b->why, sizeof(b->why), "%s", why);
}

static struct boot_ns on_read_until(void *arg, struct boot_ns now)
{
	struct bench *b = arg;

	return (struct boot_ns){ now.v - b->unread_ms * NS_PER_MS };
}

static const struct uplink_ops ops = {
	.hello = on_hello,
	.message = on_message,
	.content = on_content,
	.content_end = on_content_end,
	.forgotten = on_forgotten,
	.read_until = on_read_until,
	.changed = on_changed,
};

/* The collector's side. */

static void step(struct bench *b)
{
	uint8_t chunk[65536];
	const int one = 1;
	ssize_t n;

	uv_run(&b->loop, UV_RUN_NOWAIT);
	if (b->peer < 0) {
		b->peer = accept4(b->listener, NULL, NULL, SOCK_NONBLOCK);
		if (b->peer >= 0)
			setsockopt(b->peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		b->in.len = 0;
	} else {
		n = recv(b->peer, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n > 0)
			assert_int_equal(buf_add(&b->in, chunk, (size_t)n), 0);
	}
	usleep(500);
}

/* The next message of the agent, of this kind; others fail the test. False when none came in time. */
static bool take(struct bench *b, enum msg_kind kind, struct msg *m, int wait_ms)
{
	struct frame f;
	int r;

	for (int i = 0; i < wait_ms * 2; i++) {
		r = b->peer < 0 ? 0 : frame_next(&f, b->in.p, b->in.len);
		assert_true(r >= 0);
		if (r > 0) {
			b->body.len = 0;
			arena_reset(&b->arena);
			assert_int_equal(frame_body(&f, &b->body), 0);
			assert_int_equal(msg_decode(m, b->body.p, b->body.len, &b->arena), 0);
			assert_int_equal(m->kind, kind);
			buf_shift(&b->in, (size_t)r);
			return true;
		}
		step(b);
	}
	return false;
}

static void send_bytes(struct bench *b, const void *p, size_t len)
{
	assert_int_equal(send(b->peer, p, len, MSG_NOSIGNAL), len);
}

static void send_msg(struct bench *b, const struct msg *m)
{
	struct buf body, frame;

	buf_init(&body, FRAME_INFLATED_MAX);
	buf_init(&frame, 2 * FRAME_INFLATED_MAX);
	assert_int_equal(msg_encode(&body, m), 0);
	assert_int_equal(frame_add(&frame, body.p, body.len), 0);
	send_bytes(b, frame.p, frame.len);
	buf_clear(&body);
	buf_clear(&frame);
}

static void welcome(struct bench *b, uint64_t epoch, uint64_t seq)
{
	struct msg m;

	assert_true(take(b, MSG_HELLO, &m, WAIT_MS));
	assert_int_equal(m.hello.epoch, 9);
	assert_true(m.hello.boot.v > 0 && m.hello.wall.v > 0);
	m = (struct msg){ .kind = MSG_WELCOME, .welcome = { .epoch = epoch, .seq = seq } };
	send_msg(b, &m);
}

static void ack(struct bench *b, uint64_t seq)
{
	struct msg m = { .kind = MSG_ACK, .ack = seq };

	send_msg(b, &m);
}

static void hang_up(struct bench *b)
{
	close(b->peer);
	b->peer = -1;
}

static void steps(struct bench *b, int n)
{
	while (n-- > 0)
		step(b);
}

static void expect_batches(struct bench *b, uint64_t from, uint64_t to)
{
	struct msg m;

	for (uint64_t seq = from; seq <= to; seq++) {
		assert_true(take(b, MSG_RECORDS, &m, WAIT_MS));
		assert_int_equal(m.batch.seq, seq);
	}
}

static void fill(struct bench *b, int batches)
{
	struct record r = { .kind = RECORD_RULESET_CHECKED };

	while (batches-- > 0) {
		assert_int_equal(spool_add(b->spool, &r), 0);
		assert_true(spool_tick(b->spool, boot_now(), true));
	}
	uplink_kick(b->uplink);
}

static int setup(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct bench *b = calloc(1, sizeof(*b));
	socklen_t len = sizeof(addr);

	*state = b;
	b->peer = -1;
	for (int i = 0; i < TEXT_LEN; i++)
		b->text[i] = (char)(i * 7 + i / 1000);
	buf_init(&b->in, 64 << 20);
	buf_init(&b->body, FRAME_INFLATED_MAX);
	arena_init(&b->arena, MSG_HEAP_MAX);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(b->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(b->listener, 4) < 0 ||
	    getsockname(b->listener, (struct sockaddr *)&addr, &len) < 0)
		return -1;
	uv_loop_init(&b->loop);
	if (spool_new(&b->spool, 1 << 20) < 0)
		return -1;
	return uplink_open(&b->uplink, &b->loop, (struct sockaddr *)&addr, b->spool, &ops, b);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	uplink_close(b->uplink);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	/* Everything has been closed, nothing leaks a handle. */
	assert_int_equal(uv_loop_close(&b->loop), 0);
	spool_free(b->spool);
	if (b->peer >= 0)
		close(b->peer);
	close(b->listener);
	buf_clear(&b->in);
	buf_clear(&b->body);
	arena_free(&b->arena);
	free(b);
	return 0;
}

static void batches_go_in_order_and_acks_free_them(void **state)
{
	struct bench *b = *state;

	fill(b, 5);
	assert_false(uplink_streaming(b->uplink));
	welcome(b, 0, 0);
	expect_batches(b, 1, 5);
	assert_true(uplink_streaming(b->uplink));
	/* A collector that does not say so is one of before ipsets. */
	assert_int_equal(uplink_backends(b->uplink), BACKEND_IPSET);
	assert_false(uplink_drained(b->uplink));
	ack(b, 3);
	steps(b, 40);
	assert_int_equal(spool_first(b->spool), 4);
	ack(b, 5);
	steps(b, 40);
	assert_true(uplink_drained(b->uplink));
	assert_int_equal(spool_bytes(b->spool), 0);
	assert_int_equal(b->ups, 1);
}

static void a_broken_session_resumes_after_what_is_stored(void **state)
{
	struct bench *b = *state;

	welcome(b, 0, 0);
	fill(b, 6);
	expect_batches(b, 1, 6);
	hang_up(b);
	welcome(b, 9, 4);
	expect_batches(b, 5, 6);
	assert_int_equal(b->ups, 2);
	assert_int_equal(b->downs, 1);
	assert_int_equal(b->forgotten, 0);
	assert_int_equal(spool_first(b->spool), 5);
}

static void what_the_collector_forgot_is_told(void **state)
{
	struct bench *b = *state;

	welcome(b, 0, 0);
	fill(b, 6);
	expect_batches(b, 1, 6);
	ack(b, 4);
	steps(b, 40);
	hang_up(b);
	welcome(b, 9, 2);
	expect_batches(b, 5, 6); /* 3 and 4 are gone */
	assert_int_equal(b->forgotten, 1);
}

static void no_more_are_in_flight_than_agreed(void **state)
{
	struct bench *b = *state;
	struct msg m;

	welcome(b, 0, 0);
	fill(b, UNACKED_MAX + 10);
	expect_batches(b, 1, UNACKED_MAX);
	assert_false(take(b, MSG_RECORDS, &m, 200));
	ack(b, 10);
	expect_batches(b, UNACKED_MAX + 1, UNACKED_MAX + 10);
}

static void a_ping_is_answered_with_both_clocks(void **state)
{
	struct bench *b = *state;
	struct msg m = { .kind = MSG_PING, .ping = { 77 } };

	welcome(b, 0, 0);
	steps(b, 40);
	send_msg(b, &m);
	assert_true(take(b, MSG_PONG, &m, WAIT_MS));
	assert_int_equal(m.pong.token, 77);
	assert_true(m.pong.boot.v > 0 && m.pong.wall.v > 0);
	assert_true(uplink_heard(b->uplink).v > 0);
}

static void what_waits_in_the_kernel_is_told(void **state)
{
	struct bench *b = *state;
	struct msg m = { .kind = MSG_PING, .ping = { 77 } };

	welcome(b, 0, 0);
	steps(b, 40);
	b->unread_ms = 1500;
	send_msg(b, &m);
	assert_true(take(b, MSG_PONG, &m, WAIT_MS));
	assert_int_equal(m.pong.oldest_unacked_ms, 1500);
	b->unread_ms = 900;
	uplink_tell_behind(b->uplink);
	assert_true(take(b, MSG_PONG, &m, WAIT_MS));
	assert_int_equal(m.pong.token, 0);
	assert_int_equal(m.pong.oldest_unacked_ms, 900);
	b->unread_ms = 0;
	assert_int_equal(uplink_behind(b->uplink, boot_now()), 0);
}

static void contents_go_in_pieces(void **state)
{
	struct bench *b = *state;
	struct content_id ids[2] = { { { 2 } }, { { 1 } } }; /* the first is not there */
	struct msg m = { .kind = MSG_NEED, .need = { 2, ids } };
	uint64_t got = 0;

	welcome(b, 0, 0);
	steps(b, 40);
	send_msg(b, &m);
	while (got < TEXT_LEN) {
		assert_true(take(b, MSG_PART, &m, WAIT_MS));
		assert_int_equal(m.part.offset, got);
		assert_int_equal(m.part.total, TEXT_LEN);
		assert_in_range(m.part.len, 1, PART_MAX);
		assert_memory_equal(m.part.data, b->text + got, m.part.len);
		got += m.part.len;
	}
	assert_int_equal(got, TEXT_LEN);
	assert_int_equal(b->ended_contents, 3);
	assert_false(take(b, MSG_PART, &m, 100));
}

static void messages_reach_the_program(void **state)
{
	struct bench *b = *state;
	struct msg m = { .kind = MSG_LEASE_STOP };

	welcome(b, 0, 0);
	steps(b, 40);
	send_msg(b, &m);
	steps(b, 40);
	assert_int_equal(b->leases, 1);
}

static void a_wrong_peer_ends_the_session_and_nothing_else(void **state)
{
	static const char *const wrong[] = { "\xff\xff\xff\xff", "HTTP/1.1 200 OK\r\n\r\n",
					     "\0\0\0\2\0\xff", "\0\0\0\5\1zzzz" };
	struct bench *b = *state;

	for (int i = 0; i < 4; i++) {
		welcome(b, 9, 0);
		steps(b, 40);
		assert_int_equal(b->ups, i + 1);
		send_bytes(b, wrong[i], i == 0 ? 4 : i == 1 ? 19 : i == 2 ? 6 : 9);
		for (int k = 0; k < 2000 && b->downs <= i; k++)
			step(b);
		assert_int_equal(b->downs, i + 1);
		assert_true(b->why[0] != '\0');
		hang_up(b);
	}
	fill(b, 2);
	welcome(b, 9, 0);
	expect_batches(b, 1, 2);
}

static void an_ack_for_what_was_never_sent_ends_the_session(void **state)
{
	struct bench *b = *state;

	welcome(b, 0, 0);
	fill(b, 1);
	expect_batches(b, 1, 1);
	ack(b, 1000);
	for (int k = 0; k < 2000 && b->downs == 0; k++)
		step(b);
	assert_int_equal(b->downs, 1);
	assert_int_equal(spool_first(b->spool), 1);
}

static void frames_may_come_byte_by_byte(void **state)
{
	struct bench *b = *state;
	struct msg m = { .kind = MSG_WELCOME, .welcome = { .epoch = 0 } };
	struct buf body, frame;

	assert_true(take(b, MSG_HELLO, &m, WAIT_MS));
	m = (struct msg){ .kind = MSG_WELCOME };
	buf_init(&body, 4096);
	buf_init(&frame, 4096);
	assert_int_equal(msg_encode(&body, &m), 0);
	assert_int_equal(frame_add(&frame, body.p, body.len), 0);
	for (size_t i = 0; i < frame.len; i++) {
		assert_false(uplink_streaming(b->uplink));
		send_bytes(b, frame.p + i, 1);
		steps(b, 3);
	}
	steps(b, 10);
	assert_true(uplink_streaming(b->uplink));
	buf_clear(&body);
	buf_clear(&frame);
}

static void a_refusal_is_told_with_its_reason(void **state)
{
	struct bench *b = *state;
	struct msg m;

	assert_true(take(b, MSG_HELLO, &m, WAIT_MS));
	m = (struct msg){ .kind = MSG_WELCOME,
			  .welcome = { .refused = true, .why = "another agent has this id" } };
	send_msg(b, &m);
	for (int k = 0; k < 2000 && b->downs == 0; k++)
		step(b);
	assert_non_null(strstr(b->why, "another agent has this id"));
	assert_int_equal(b->ups, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(batches_go_in_order_and_acks_free_them),
		TEST(a_broken_session_resumes_after_what_is_stored),
		TEST(what_the_collector_forgot_is_told),
		TEST(no_more_are_in_flight_than_agreed),
		TEST(a_ping_is_answered_with_both_clocks),
		TEST(what_waits_in_the_kernel_is_told),
		TEST(contents_go_in_pieces),
		TEST(messages_reach_the_program),
		TEST(a_wrong_peer_ends_the_session_and_nothing_else),
		TEST(an_ack_for_what_was_never_sent_ends_the_session),
		TEST(frames_may_come_byte_by_byte),
		TEST(a_refusal_is_told_with_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
