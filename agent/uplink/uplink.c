/*
 * Idle -> connecting -> greeting (Hello is sent, Welcome awaited) -> streaming -> closing -> idle, and so on with a
 * jittered pause, until uplink_close(). Being connected means nothing before Welcome; nothing is forgotten
 * before its ack. What is written is copied, since an ack or a full spool may free a batch while libuv
 * still holds it.
 */
#include "agent/uplink/uplink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/frame.h"
#include "common/must.h"

enum {
	READ_CHUNK = 4096,
	IN_MAX = FRAME_HEAD + FRAME_MAX + READ_CHUNK,
	QUEUE_MAX = 256 << 10, /* bytes in libuv's queue before we wait for the socket */
	GREET_MS = 10000,
	DEAD_MS = 30000, /* the collector pings every 10 s */
	PAUSE_MIN_MS = 200,
	PAUSE_MAX_MS = 10000,
	PAUSE_REFUSED_MS = 60000,
	NEED_MAX = 1024, /* contents asked for and not yet sent */
};

struct uplink {
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_connect_t connect;
	uv_loop_t *loop;
	struct sockaddr_storage addr;
	struct spool *spool; /* borrowed */
	const struct uplink_ops *ops;
	void *arg;
	enum uplink_state state;
	bool ending, tcp_open, timer_open, refused;
	bool hosts_due;         /* they are others than our last Hello or Hosts told */
	bool was_up, told_down; /* for changed(): say it once */
	unsigned int failures;
	struct boot_ns heard;
	uint32_t backends;    /* that the collector knows */
	uint64_t epoch;       /* as our Hello said */
	uint64_t sent, acked; /* batches */
	struct buf in;
	struct buf need; /* content ids, the first is being sent */
	uint64_t need_offset;
	struct why why; /* why the session ends */
};

struct write {
	uv_write_t req;
	struct uplink *u;
	uint8_t data[];
};

static void pump(struct uplink *u);
static void on_pause_over(uv_timer_t *t);

static void maybe_free(struct uplink *u)
{
	if (u->tcp_open || u->timer_open)
		return;
	buf_clear(&u->in);
	buf_clear(&u->need);
	free(u);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct uplink *u = h->data;

	u->timer_open = false;
	maybe_free(u);
}

/* Full jitter: the fleet must not come back in step after the collector was away. */
static uint64_t pause_ms(const struct uplink *u)
{
	uint64_t cap = u->refused ? PAUSE_REFUSED_MS : PAUSE_MAX_MS;
	uint64_t most = (uint64_t)PAUSE_MIN_MS << (u->failures < 10 ? u->failures : 10);
	uint32_t dice = 0;

	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != sizeof(dice))
		dice = (uint32_t)boot_now().v;
	return PAUSE_MIN_MS + dice % (most < cap ? most : cap);
}

static void on_tcp_closed(uv_handle_t *h)
{
	struct uplink *u = h->data;

	u->tcp_open = false;
	if (u->ending) {
		maybe_free(u);
		return;
	}
	u->state = UPLINK_IDLE;
	uv_timer_start(&u->timer, on_pause_over, pause_ms(u), 0);
	u->failures++;
}

static void session_end(struct uplink *u, const char *why)
{
	if (u->state == UPLINK_CLOSING || u->state == UPLINK_ENDED || u->state == UPLINK_IDLE)
		return;
	u->state = UPLINK_CLOSING;
	uv_timer_stop(&u->timer);
	uv_close((uv_handle_t *)&u->tcp, on_tcp_closed);
	u->in.len = 0;
	u->need.len = 0;
	u->need_offset = 0;
	if (u->was_up || !u->told_down)
		u->ops->changed(u->arg, false, why);
	u->was_up = false;
	u->told_down = true;
}

static void on_written(uv_write_t *req, int status)
{
	struct write *w = (struct write *)req;
	struct uplink *u = w->u;

	free(w);
	if (status < 0 && status != UV_ECANCELED)
		session_end(u, uv_strerror(status));
	else if (status == 0)
		pump(u);
}

static int write_bytes(struct uplink *u, const uint8_t *p, size_t len)
{
	struct write *w = malloc(sizeof(*w) + len);
	uv_buf_t b;
	int r;

	if (!w)
		return -ENOMEM;
	memcpy(w->data, p, len);
	w->u = u;
	b = uv_buf_init((char *)w->data, (unsigned int)len);
	r = uv_write(&w->req, (uv_stream_t *)&u->tcp, &b, 1, on_written);
	if (r < 0)
		free(w);
	return r;
}

static int send_msg(struct uplink *u, const struct msg *m)
{
	struct buf body, frame;
	int r;

	buf_init(&body, FRAME_INFLATED_MAX);
	buf_init(&frame, 2 * FRAME_INFLATED_MAX);
	r = msg_encode(&body, m);
	if (r == 0)
		r = frame_add(&frame, body.p, body.len);
	if (r == 0)
		r = write_bytes(u, frame.p, frame.len);
	buf_clear(&body);
	buf_clear(&frame);
	return r;
}

/* 1: sent one; 0: there is none, or enough of them await their ack. */
static int send_batch(struct uplink *u)
{
	struct spool_batch b;
	int r;

	if (u->sent >= u->acked + UNACKED_MAX || !spool_next(u->spool, u->sent + 1, &b))
		return 0;
	r = write_bytes(u, b.frame, b.len);
	if (r < 0)
		return r;
	u->sent = b.seq;
	return 1;
}

/* 1: sent a piece of the first content that is needed; 0: none is. */
static int send_part(struct uplink *u)
{
	struct msg m = { .kind = MSG_PART };
	struct content_id id;
	int r = 1;

	if (u->need.len == 0)
		return 0;
	memcpy(&id, u->need.p, sizeof(id));
	if (u->ops->content(u->arg, &id, u->need_offset, &m.part)) {
		must(m.part.len > 0 && m.part.len <= PART_MAX);
		r = send_msg(u, &m);
		u->need_offset += m.part.len;
		u->ops->content_end(u->arg);
		if (r < 0)
			return r;
		r = 1;
		if (u->need_offset < m.part.total)
			return r;
	}
	buf_shift(&u->need, sizeof(id));
	u->need_offset = 0;
	return r;
}

static int send_hosts(struct uplink *u)
{
	struct msg m = { .kind = MSG_HOSTS };
	struct msg_hello hello;

	u->ops->hello(u->arg, &hello);
	m.hosts = (struct msg_hosts){ hello.host_count, hello.hosts };
	u->hosts_due = false;
	return send_msg(u, &m);
}

static void pump(struct uplink *u)
{
	int batch = 1, part = 1, r;

	if (u->state == UPLINK_STREAMING && u->hosts_due) {
		r = send_hosts(u);
		if (r < 0) {
			session_end(u, uv_strerror(r));
			return;
		}
	}

	while (u->state == UPLINK_STREAMING && batch + part > 0 &&
	       uv_stream_get_write_queue_size((uv_stream_t *)&u->tcp) < QUEUE_MAX) {
		batch = send_batch(u);
		part = batch < 0 ? batch : send_part(u);
		if (part < 0) {
			session_end(u, uv_strerror(part));
			return;
		}
	}
}

static int take_welcome(struct uplink *u, const struct msg_welcome *w)
{
	uint64_t stored = w->epoch == u->epoch ? w->seq : 0;

	if (w->refused) {
		u->refused = true;
		why_set(&u->why, 0, "the collector refused this agent: %s", w->why ? w->why : "");
		return -EACCES;
	}
	if (stored > spool_last(u->spool)) {
		why_set(&u->why, 0, "the collector claims batches that were never sent");
		return -EPROTO;
	}
	u->refused = false;
	u->failures = 0;
	u->backends = w->backends ? w->backends : BACKEND_IPSET;
	if (stored < u->acked)
		u->ops->forgotten(u->arg);
	u->acked = u->sent = stored;
	spool_acked(u->spool, stored);
	u->state = UPLINK_STREAMING;
	u->was_up = true;
	u->told_down = false;
	u->ops->changed(u->arg, true, "");
	return 0;
}

static int take_ack(struct uplink *u, uint64_t seq)
{
	if (seq > u->sent) {
		why_set(&u->why, 0, "the collector acknowledged what was never sent");
		return -EPROTO;
	}
	if (seq > u->acked) {
		u->acked = seq;
		spool_acked(u->spool, seq);
	}
	return 0;
}

static void take_need(struct uplink *u, const struct msg_ids *ids)
{
	size_t first = u->need_offset > 0; /* what is half sent need not be asked for again */

	for (uint32_t i = 0; i < ids->count; i++) {
		bool there = false;

		for (size_t k = first; k < u->need.len / sizeof(struct content_id); k++)
			there |= memcmp(u->need.p + k * sizeof(struct content_id), &ids->ids[i],
					sizeof(struct content_id)) == 0;
		/* Beyond the maximum they are asked for again after the next Hello. */
		if (!there)
			(void)buf_add(&u->need, &ids->ids[i], sizeof(ids->ids[i]));
	}
}

uint64_t uplink_behind(const struct uplink *u, struct boot_ns now)
{
	struct boot_ns until = u->ops->read_until(u->arg, now), oldest = spool_oldest(u->spool);

	if (oldest.v && oldest.v < until.v)
		until = oldest;
	return (uint64_t)(now.v - until.v) / NS_PER_MS;
}

/* Token 0: not an answer. */
static int send_pong(struct uplink *u, uint64_t token)
{
	struct msg m = { .kind = MSG_PONG, .pong = { .token = token } };

	m.pong.boot = boot_now();
	m.pong.wall = wall_now();
	m.pong.oldest_unacked_ms = uplink_behind(u, m.pong.boot);
	return send_msg(u, &m);
}

static int take(struct uplink *u, const struct msg *m)
{
	if (u->state == UPLINK_GREETING) {
		if (m->kind == MSG_WELCOME)
			return take_welcome(u, &m->welcome);
		/* A ping may overtake it; the answer carries the clocks as well now as later. */
		return m->kind == MSG_PING ? send_pong(u, m->ping.token) : 0;
	}
	switch (m->kind) {
	case MSG_ACK:
		return take_ack(u, m->ack);
	case MSG_PING:
		return send_pong(u, m->ping.token);
	case MSG_NEED:
		take_need(u, &m->need);
		return 0;
	case MSG_LEASE_START:
	case MSG_LEASE_STOP:
	case MSG_SNAPSHOT_NOW:
		u->ops->message(u->arg, m);
		return 0;
	default:
		return 0;
	}
}

static int take_frame(struct uplink *u, const struct frame *f)
{
	struct arena arena;
	struct buf body;
	struct msg m;
	int r;

	buf_init(&body, FRAME_INFLATED_MAX);
	arena_init(&arena, MSG_HEAP_MAX);
	r = frame_body(f, &body);
	if (r == 0)
		r = msg_decode(&m, body.p, body.len, &arena);
	if (r == 0)
		r = take(u, &m);
	arena_free(&arena);
	buf_clear(&body);
	return r;
}

static void on_dead(uv_timer_t *t)
{
	struct uplink *u = t->data;

	session_end(u, u->state == UPLINK_STREAMING ? "the collector has been silent for 30 s"
						    : "the collector does not answer");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	struct uplink *u = h->data;
	uint8_t *p = buf_extend(&u->in, READ_CHUNK);

	(void)suggested;
	if (p)
		u->in.len -= READ_CHUNK;
	*buf = uv_buf_init((char *)p, p ? READ_CHUNK : 0);
}

static void on_read(uv_stream_t *st, ssize_t n, const uv_buf_t *buf)
{
	struct uplink *u = st->data;
	size_t taken = 0;
	struct frame f;
	int r = 0;

	(void)buf; /* it is the free end of u->in */
	if (n < 0) {
		session_end(u,
			    n == UV_EOF ? "the collector closed the session" : uv_strerror((int)n));
		return;
	}
	if (n == 0)
		return;
	u->in.len += (size_t)n;
	u->heard = boot_now();
	u->why = (struct why){ 0 };
	while ((u->state == UPLINK_GREETING || u->state == UPLINK_STREAMING) &&
	       (r = frame_next(&f, u->in.p + taken, u->in.len - taken)) > 0) {
		taken += (size_t)r;
		r = take_frame(u, &f);
		if (r < 0)
			break;
	}
	if (r < 0) {
		session_end(u,
			    u->why.text[0] ? u->why.text : "the collector speaks another protocol");
		return;
	}
	if (u->state != UPLINK_STREAMING && u->state != UPLINK_GREETING)
		return;
	buf_shift(&u->in, taken);
	uv_timer_start(&u->timer, on_dead, u->state == UPLINK_STREAMING ? DEAD_MS : GREET_MS, 0);
	pump(u);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct uplink *u = req->data;
	struct msg m = { .kind = MSG_HELLO };
	int r;

	if (u->state != UPLINK_CONNECTING)
		return;
	if (status < 0) {
		session_end(u, uv_strerror(status));
		return;
	}
	uv_tcp_nodelay(&u->tcp, 1);
	r = uv_read_start((uv_stream_t *)&u->tcp, on_alloc, on_read);
	if (r == 0) {
		u->ops->hello(u->arg, &m.hello);
		m.hello.boot = boot_now();
		m.hello.wall = wall_now();
		u->epoch = m.hello.epoch;
		u->hosts_due = false;
		u->state = UPLINK_GREETING;
		r = send_msg(u, &m);
	}
	if (r < 0)
		session_end(u, uv_strerror(r));
}

static void connect_now(struct uplink *u)
{
	int r = uv_tcp_init(u->loop, &u->tcp);

	must(r == 0);
	u->tcp.data = u;
	u->tcp_open = true;
	u->connect.data = u;
	u->state = UPLINK_CONNECTING;
	uv_timer_start(&u->timer, on_dead, GREET_MS, 0);
	r = uv_tcp_connect(&u->connect, &u->tcp, (struct sockaddr *)&u->addr, on_connected);
	if (r < 0)
		session_end(u, uv_strerror(r));
}

static void on_pause_over(uv_timer_t *t)
{
	connect_now(t->data);
}

int uplink_open(struct uplink **out, uv_loop_t *loop, const struct sockaddr *addr,
		struct spool *spool, const struct uplink_ops *ops, void *arg)
{
	struct uplink *u = calloc(1, sizeof(*u));
	size_t len = addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						: sizeof(struct sockaddr_in6);

	if (!u)
		return -ENOMEM;
	u->loop = loop;
	u->spool = spool;
	u->ops = ops;
	u->arg = arg;
	memcpy(&u->addr, addr, len);
	buf_init(&u->in, IN_MAX);
	buf_init(&u->need, NEED_MAX * sizeof(struct content_id));
	must(uv_timer_init(loop, &u->timer) == 0);
	u->timer.data = u;
	u->timer_open = true;
	connect_now(u);
	*out = u;
	return 0;
}

void uplink_hosts(struct uplink *u)
{
	u->hosts_due = true;
}

void uplink_kick(struct uplink *u)
{
	pump(u);
}

void uplink_tell_behind(struct uplink *u)
{
	if (u->state == UPLINK_STREAMING && send_pong(u, 0) < 0)
		session_end(u, "how far behind it is could not be sent");
}

void uplink_have(struct uplink *u, const struct content_id *ids, uint32_t count)
{
	struct msg m = { .kind = MSG_HAVE, .have = { .count = count } };

	if (u->state != UPLINK_STREAMING || count == 0)
		return;
	m.have.ids = (struct content_id *)(uintptr_t)ids;
	if (send_msg(u, &m) < 0)
		session_end(u, "the offer of rulesets could not be sent");
}

uint64_t uplink_acked(const struct uplink *u)
{
	return u->acked;
}

uint32_t uplink_backends(const struct uplink *u)
{
	return u->backends;
}

bool uplink_streaming(const struct uplink *u)
{
	return u->state == UPLINK_STREAMING;
}

struct boot_ns uplink_heard(const struct uplink *u)
{
	return u->heard;
}

bool uplink_drained(const struct uplink *u)
{
	return u->acked == spool_last(u->spool);
}

void uplink_close(struct uplink *u)
{
	if (u->ending)
		return;
	u->ending = true;
	if (u->tcp_open && !uv_is_closing((uv_handle_t *)&u->tcp))
		uv_close((uv_handle_t *)&u->tcp, on_tcp_closed);
	uv_timer_stop(&u->timer);
	uv_close((uv_handle_t *)&u->timer, on_timer_closed);
	u->state = UPLINK_ENDED;
}
