/*
 * A collector's ingest with a store in memory, and agents that speak the protocol over real sockets, all in one thread: a
 * client that waits for an answer runs the loop meanwhile.
 */
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

#include "collector/ingest/ingest.h"
#include "common/content.h"
#include "common/frame.h"
#include "tests/unit/collector_ingest/fake_store.h"

enum { PATIENCE_MS = 15000 };

struct bench {
	uv_loop_t loop;
	struct store *store;
	struct ingest *ingest;
	struct sockaddr_in addr;
	char lines[16][512]; /* the last ones said */
	uint32_t line_count;
};

struct client {
	struct bench *b;
	int fd;
	bool closed; /* by the collector */
	struct buf in, body;
	struct arena arena;
};

static inline void bench_line(void *arg, const char *line)
{
	struct bench *b = arg;

	snprintf(b->lines[b->line_count++ % 16], sizeof(b->lines[0]), "%s", line);
}

static inline bool bench_said(const struct bench *b, const char *text)
{
	for (uint32_t i = 0; i < 16; i++)
		if (strstr(b->lines[i], text))
			return true;
	return false;
}

static inline void bench_open(struct bench *b)
{
	struct ingest_log log = { .line = bench_line, .arg = b };
	struct store_options o = { .committed = ingest_committed };
	struct why why = { "" };
	uint16_t port;

	memset(b, 0, sizeof(*b));
	assert_int_equal(uv_loop_init(&b->loop), 0);
	assert_int_equal(ingest_new(&b->ingest, &b->loop, &log), 0);
	o.arg = b->ingest;
	assert_int_equal(store_open(&b->store, &o, &why), 0);
	b->addr = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr = { htonl(INADDR_LOOPBACK) } };
	assert_int_equal(ingest_listen(b->ingest, b->store, (struct sockaddr *)&b->addr, &port,
				       &why),
			 0);
	b->addr.sin_port = htons(port);
}

static inline void bench_close(struct bench *b)
{
	ingest_stop(b->ingest);
	ingest_stop(b->ingest);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	store_close(b->store);
	ingest_free(b->ingest);
	assert_int_equal(uv_loop_close(&b->loop), 0);
}

static inline void bench_turn(struct bench *b)
{
	uv_run(&b->loop, UV_RUN_NOWAIT);
	usleep(500);
}

static inline void bench_turns(struct bench *b, int ms)
{
	int64_t end = boot_now().v + (int64_t)ms * NS_PER_MS;

	while (boot_now().v < end)
		bench_turn(b);
}

static inline void client_open(struct client *c, struct bench *b)
{
	memset(c, 0, sizeof(*c));
	c->b = b;
	buf_init(&c->in, 4 << 20);
	buf_init(&c->body, FRAME_INFLATED_MAX);
	arena_init(&c->arena, MSG_HEAP_MAX);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&b->addr, sizeof(b->addr)), 0);
}

static inline void client_close(struct client *c)
{
	close(c->fd);
	buf_clear(&c->in);
	buf_clear(&c->body);
	arena_free(&c->arena);
}

/* Sends all of it, or until the collector closes; in pieces of `piece` bytes (0: as it fits). */
static inline void client_bytes(struct client *c, const uint8_t *p, size_t len, size_t piece)
{
	size_t at = 0;

	while (at < len && !c->closed) {
		size_t want = piece && piece < len - at ? piece : len - at;
		ssize_t n = send(c->fd, p + at, want, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN)
			c->closed = true;
		uv_run(&c->b->loop, UV_RUN_NOWAIT);
	}
}

static inline void msg_frame(struct buf *frame, const struct msg *m)
{
	struct buf body;

	buf_init(&body, FRAME_INFLATED_MAX);
	buf_init(frame, 2 * FRAME_INFLATED_MAX);
	assert_int_equal(msg_encode(&body, m), 0);
	assert_int_equal(frame_add(frame, body.p, body.len), 0);
	buf_clear(&body);
}

static inline void client_send(struct client *c, const struct msg *m)
{
	struct buf frame;

	msg_frame(&frame, m);
	client_bytes(c, frame.p, frame.len, 0);
	buf_clear(&frame);
}

/* The next message, which lives until the next call; false: it closed, or nothing came in time. */
static inline bool client_recv_for(struct client *c, struct msg *m, int ms)
{
	int64_t end = boot_now().v + (int64_t)ms * NS_PER_MS;
	struct frame f;

	for (;;) {
		int n = frame_next(&f, c->in.p, c->in.len);
		uint8_t bytes[65536];
		ssize_t got;

		assert_true(n >= 0);
		if (n > 0) {
			buf_clear(&c->body);
			arena_reset(&c->arena);
			assert_int_equal(frame_body(&f, &c->body), 0);
			assert_int_equal(msg_decode(m, c->body.p, c->body.len, &c->arena), 0);
			buf_shift(&c->in, (size_t)n);
			return true;
		}
		if (c->closed || boot_now().v > end)
			return false;
		bench_turn(c->b);
		got = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (got > 0)
			assert_int_equal(buf_add(&c->in, bytes, (size_t)got), 0);
		else if (got == 0 || errno != EAGAIN)
			c->closed = true;
	}
}

/* Skips Pings, answering them. */
static inline bool client_recv(struct client *c, struct msg *m, enum msg_kind kind)
{
	while (client_recv_for(c, m, PATIENCE_MS)) {
		struct msg pong = { .kind = MSG_PONG };

		if (m->kind == kind)
			return true;
		if (m->kind != MSG_PING)
			continue;
		pong.pong.token = m->ping.token;
		pong.pong.boot = boot_now();
		pong.pong.wall = wall_now();
		client_send(c, &pong);
	}
	return false;
}

/* Waits for the collector to close the connection. */
static inline bool client_ended(struct client *c)
{
	struct msg m;

	while (client_recv_for(c, &m, PATIENCE_MS))
		;
	return c->closed;
}

static inline struct msg hello(const char *id, uint64_t epoch, uint8_t instance,
			       struct msg_host *host)
{
	struct msg m = { .kind = MSG_HELLO };

	*host = (struct msg_host){ .id = id, .netns = "" };
	m.hello.id = id;
	m.hello.version = "1";
	m.hello.epoch = epoch;
	memset(m.hello.instance, instance, sizeof(m.hello.instance));
	memset(m.hello.boot_id, 7, sizeof(m.hello.boot_id));
	m.hello.boot = boot_now();
	m.hello.wall = wall_now();
	m.hello.allow_trace = true;
	m.hello.host_count = 1;
	m.hello.hosts = host;
	return m;
}

/* Connects and is welcomed. */
static inline void client_greet(struct client *c, struct bench *b, const char *id, uint64_t epoch,
				struct msg *welcome)
{
	struct msg_host host;
	struct msg m = hello(id, epoch, 1, &host), got;

	client_open(c, b);
	client_send(c, &m);
	assert_true(client_recv(c, &got, MSG_WELCOME));
	assert_false(got.welcome.refused);
	if (welcome)
		*welcome = got;
}

/* A batch of one record. */
static inline void client_batch(struct client *c, uint64_t seq, const struct record *r)
{
	struct record copy = *r;
	struct msg m = { .kind = MSG_RECORDS,
			 .batch = { .seq = seq, .count = 1, .records = &copy } };

	client_send(c, &m);
}

static inline struct record checked(void)
{
	return (struct record){ .kind = RECORD_RULESET_CHECKED, .checked = { boot_now() } };
}
