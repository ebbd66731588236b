#include "collector/ingest/session.h"

#include <errno.h>
#include <string.h>
#include <utlist.h>

#include "collector/ingest/greet.h"
#include "collector/ingest/hello.h"
#include "collector/ingest/wants.h"
#include "common/frame.h"
#include "common/must.h"

enum {
	HELLO_MS = 10 * 1000, /* to say Hello */
	QUIET_MS = 30 * 1000, /* without a whole message */
	LINGER_MS = 2 * 1000, /* for the refused to read why */
	PING_MS = 10 * 1000,
	TICK_MS = 1000,
	WRITE_MAX = 4 << 20, /* bytes that wait for the agent to read them */
	IN_MAX = FRAME_HEAD + FRAME_MAX + READ_SLAB,
};

static const char *const state_names[] = {
#define X(id) #id,
	SESSION_STATES(X)
#undef X
};

static int64_t now_ms(const struct session *s)
{
	return (int64_t)uv_now(s->ingest->loop);
}

static const char *session_name(const struct session *s)
{
	return s->peer ? s->peer->id : "?";
}

static void session_state(struct session *s, enum session_state to, const char *why)
{
	struct ingest *g = s->ingest;

	if (s->state == SESSION_UNGREETED)
		g->ungreeted_count--;
	if (why)
		ingest_say(g, "agent %s at %s: %s -> %s: %s", session_name(s), s->from,
			   state_names[s->state], state_names[to], why);
	s->state = to;
}

static void on_closed(uv_handle_t *h)
{
	struct session *s = h->data;

	if (--s->handles > 0)
		return;
	buf_clear(&s->in);
	wants_clear(s);
	free(s);
}

void session_close(struct session *s, const char *why)
{
	struct ingest *g = s->ingest;
	struct peer *p = s->peer;

	if (s->state == SESSION_CLOSING)
		return;
	session_state(s, SESSION_CLOSING, why);
	if (s->stalled)
		g->stalled_count--;
	s->stalled = false;
	wants_clear(s);
	DL_DELETE(g->sessions, s);
	g->session_count--;
	uv_close((uv_handle_t *)&s->tcp, on_closed);
	uv_close((uv_handle_t *)&s->tick, on_closed);
	if (p && p->session == s) {
		p->session = NULL;
		peer_gone(p);
	}
	if (g->accept_waits)
		ingest_room(g);
}

struct sending {
	uv_write_t req;
	uint8_t *bytes; /* owned */
};

static void on_sent(uv_write_t *req, int status)
{
	struct sending *w = req->data;

	(void)status; /* a broken connection shows when it is read */
	free(w->bytes);
	free(w);
}

int session_send(struct session *s, const struct msg *m)
{
	struct ingest *g = s->ingest;
	struct sending *w = NULL;
	struct buf frame;
	uv_buf_t bytes;
	int r;

	if (s->state == SESSION_CLOSING)
		return -ENOTCONN;
	buf_init(&frame, FRAME_HEAD + FRAME_MAX);
	g->out.len = 0;
	r = msg_encode(&g->out, m);
	if (r < 0)
		goto out;
	r = frame_add(&frame, g->out.p, g->out.len);
	if (r < 0)
		goto out;
	if (uv_stream_get_write_queue_size((uv_stream_t *)&s->tcp) + frame.len > WRITE_MAX) {
		session_close(s, "it does not read what it is sent");
		r = -ENOBUFS;
		goto out;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		r = -ENOMEM;
		goto out;
	}
	w->req.data = w;
	w->bytes = frame.p;
	bytes = uv_buf_init((char *)frame.p, (unsigned int)frame.len);
	r = uv_write(&w->req, (uv_stream_t *)&s->tcp, &bytes, 1, on_sent);
	if (r < 0)
		goto out;
	return 0;
out:
	free(w);
	buf_clear(&frame);
	return r;
}

/* What an earlier connection brought may be committed only now: it is acknowledged when it is sent again. */
void session_ack(struct session *s, uint64_t seq)
{
	struct msg m = { .kind = MSG_ACK, .ack = seq < s->got ? seq : s->got };

	if (m.ack == 0 || m.ack < s->acked)
		return;
	s->acked = m.ack;
	session_send(s, &m);
}

static void session_ping(struct session *s)
{
	struct msg m = { .kind = MSG_PING };

	s->pinged_ms = now_ms(s);
	s->pings++;
	s->token = s->pings;
	m.ping.token = s->token;
	s->token_at = boot_now();
	session_send(s, &m);
}

/* The agent's clock was read between our sending and now: the middle is the best guess, half the way its error. */
static void session_pong(struct session *s, const struct msg_pong *pong)
{
	struct clock_offset o;
	int64_t trip;

	s->peer->lag_ms =
		pong->oldest_unacked_ms > INT32_MAX ? INT32_MAX : (int64_t)pong->oldest_unacked_ms;
	if (pong->token != s->token || s->token == 0)
		return;
	s->token = 0;
	trip = boot_now().v - s->token_at.v;
	o.error = trip / 2 > 0 ? trip / 2 : 1;
	o.offset = wall_now().v - trip / 2 - pong->boot.v;
	o.at = pong->boot;
	peer_offset(s->peer, &o);
	s->peer->clock_known = true;
	s->peer->clock_ns = pong->wall.v - (wall_now().v - trip / 2);
}

static int session_batch(struct session *s, const struct msg_batch *b)
{
	struct ingest *g = s->ingest;
	uint32_t i;
	int r;

	if (b->seq == 0 || b->count > BATCH_RECORDS_MAX)
		return -EPROTO;
	for (i = 0; i < b->count; i++)
		if (b->records[i].host >= s->peer->host_count)
			return -EPROTO;
	if (s->peer->note_count >= NOTES_MAX)
		return -EAGAIN;
	r = store_put(g->store, &s->peer->agent, b);
	if (r < 0)
		return r;
	if (b->seq > s->got)
		s->got = b->seq;
	g->counts.batches++;
	g->counts.records += b->count;
	r = peer_note_batch(s->peer, b);
	if (r < 0)
		return r;
	return wants_of_batch(s, b);
}

static int session_hosts(struct session *s, const struct msg_hosts *h)
{
	struct why why = { "" };

	if (hosts_check(s->peer->id, h->list, h->count, &why) < 0)
		return -EPROTO;
	return peer_hosts(s->peer, h);
}

/* 0, -EAGAIN when the message must be offered again later, else the session is over. */
static int session_message(struct session *s, const struct msg *m)
{
	if (m->kind == MSG_NONE) {
		s->ingest->counts.unknown_messages++;
		return 0;
	}
	if (s->state == SESSION_UNGREETED) {
		if (m->kind != MSG_HELLO)
			return -EPROTO;
		return session_greet(s, &m->hello);
	}
	if (s->state != SESSION_WELCOMED)
		return 0;
	switch (m->kind) {
	case MSG_RECORDS:
		return session_batch(s, &m->batch);
	case MSG_HOSTS:
		return session_hosts(s, &m->hosts);
	case MSG_HAVE:
		return wants_of_have(s, &m->have);
	case MSG_PART:
		return wants_part(s, &m->part);
	case MSG_PONG:
		session_pong(s, &m->pong);
		return 0;
	default:
		return -EPROTO; /* a collector's message */
	}
}

static int session_frame(struct session *s, const struct frame *f)
{
	struct ingest *g = s->ingest;
	struct msg m;
	int r;

	g->body.len = 0;
	arena_reset(&g->arena);
	r = frame_body(f, &g->body);
	if (r < 0)
		return r;
	r = msg_decode(&m, g->body.p, g->body.len, &g->arena);
	if (r < 0)
		return r;
	return session_message(s, &m);
}

/* Handles the whole frames at p; returns how many bytes they took, or -errno. */
static ssize_t session_frames(struct session *s, const uint8_t *p, size_t len)
{
	size_t used = 0;
	struct frame f;
	int r;

	while (s->state != SESSION_CLOSING && !s->stalled) {
		int n = frame_next(&f, p + used, len - used);

		if (n == 0)
			break;
		r = n < 0 ? n : session_frame(s, &f);
		if (r == -EAGAIN) {
			s->stalled = true;
			s->ingest->stalled_count++;
			uv_read_stop((uv_stream_t *)&s->tcp);
			ingest_room(s->ingest);
			break;
		}
		if (r < 0)
			return r;
		s->heard_ms = now_ms(s);
		if (s->peer)
			s->peer->heard_ms = s->heard_ms;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static void session_fail(struct session *s, int r)
{
	if (r == -EPROTO)
		s->ingest->counts.protocol_errors++;
	session_close(s, r == -EPROTO ? "it does not speak our protocol" : strerror(-r));
}

/* Takes new bytes: frames straight from where they were read, what is left over into s->in. */
static void session_bytes(struct session *s, const uint8_t *p, size_t len)
{
	ssize_t used;
	int r;

	if (s->in.len > 0 || s->stalled) {
		r = buf_add(&s->in, p, len);
		if (r < 0) {
			session_fail(s, r == -E2BIG ? -EPROTO : r);
			return;
		}
		used = session_frames(s, s->in.p, s->in.len);
		if (used > 0)
			buf_shift(&s->in, (size_t)used);
		if (s->in.len == 0)
			buf_clear(&s->in);
	} else {
		used = session_frames(s, p, len);
		if (used >= 0 && (size_t)used < len) {
			r = buf_add(&s->in, p + used, len - (size_t)used);
			if (r < 0)
				used = r == -E2BIG ? -EPROTO : r;
		}
	}
	if (used < 0)
		session_fail(s, (int)used);
	else if (s->state == SESSION_UNGREETED && s->in.len > UNGREETED_IN_MAX)
		session_fail(s, -EPROTO);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct session *s = h->data;

	(void)hint;
	*buf = uv_buf_init((char *)s->ingest->slab, READ_SLAB);
}

static void on_read(uv_stream_t *st, ssize_t n, const uv_buf_t *buf)
{
	struct session *s = st->data;

	if (n < 0)
		session_close(s, s->state == SESSION_REFUSED ? NULL
				 : n == UV_EOF               ? "it closed the connection"
							     : uv_strerror((int)n));
	else if (n > 0)
		session_bytes(s, (const uint8_t *)buf->base, (size_t)n);
}

void session_room(struct session *s)
{
	ssize_t used;

	wants_again(s);
	if (!s->stalled || s->state == SESSION_CLOSING)
		return;
	s->stalled = false;
	s->ingest->stalled_count--;
	used = session_frames(s, s->in.p, s->in.len);
	if (used > 0)
		buf_shift(&s->in, (size_t)used);
	if (used < 0) {
		session_fail(s, (int)used);
		return;
	}
	if (s->stalled || s->state == SESSION_CLOSING)
		return;
	if (s->in.len == 0)
		buf_clear(&s->in);
	s->heard_ms = now_ms(s);
	uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
}

static void on_tick(uv_timer_t *t)
{
	struct session *s = t->data;
	int64_t now = now_ms(s);

	if (s->state == SESSION_UNGREETED && now - s->opened_ms >= HELLO_MS) {
		session_close(s, "no Hello within 10 s");
	} else if (s->state == SESSION_REFUSED && now - s->heard_ms >= LINGER_MS) {
		session_close(s, NULL);
	} else if (!s->stalled && now - s->heard_ms >= QUIET_MS) {
		session_close(s, "nothing heard for 30 s");
	} else if (s->state == SESSION_WELCOMED) {
		if (s->pings < 2 || now - s->pinged_ms >= PING_MS)
			session_ping(s);
		wants_again(s);
	}
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)req;
	(void)status; /* it closes, or the tick closes for it */
}

void session_greeted(struct session *s, bool welcome, const char *why)
{
	session_state(s, welcome ? SESSION_WELCOMED : SESSION_REFUSED, why);
	if (welcome)
		session_ping(s);
	else /* after what is written: it can read why */
		uv_shutdown(&s->shutdown, (uv_stream_t *)&s->tcp, on_shutdown);
	if (s->ingest->accept_waits)
		ingest_room(s->ingest);
}

/* Where the connection comes from, for people. */
static void session_from(struct session *s)
{
	struct sockaddr_storage ss = { 0 };
	int len = sizeof(ss);
	char host[ADDR_TEXT_MAX] = "?";

	if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&ss, &len) == 0)
		uv_ip_name((struct sockaddr *)&ss, host, sizeof(host));
	snprintf(s->from, sizeof(s->from), "%s", host);
}

int session_accept(struct ingest *g)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->ingest = g;
	buf_init(&s->in, IN_MAX);
	s->tcp.data = s->tick.data = s;
	must(uv_tcp_init(g->loop, &s->tcp) == 0);
	must(uv_timer_init(g->loop, &s->tick) == 0);
	s->handles = 2;
	s->opened_ms = s->heard_ms = now_ms(s);
	s->state = SESSION_UNGREETED;
	DL_APPEND(g->sessions, s);
	g->session_count++;
	g->ungreeted_count++;
	g->counts.connections++;

	r = uv_accept((uv_stream_t *)&g->tcp, (uv_stream_t *)&s->tcp);
	if (r == 0)
		r = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
	if (r == 0)
		r = uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	if (r < 0) {
		session_close(s, NULL);
		return r;
	}
	uv_tcp_nodelay(&s->tcp, 1);
	session_from(s);
	return 0;
}
