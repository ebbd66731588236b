#include "collector/ingest/ingest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "collector/ingest/session.h"
#include "common/must.h"

enum {
	BACKLOG = 1024, /* a whole fleet that reconnects at once */
	AGAIN_MS = 20,  /* between looks for room */
	LINES_PER_S = 10,
};

static int64_t now_ms(const struct ingest *g)
{
	return (int64_t)uv_now(g->loop);
}

void ingest_say(struct ingest *g, const char *fmt, ...)
{
	int64_t now = now_ms(g), more = (now - g->log_at_ms) * LINES_PER_S / 1000;
	char line[1024];
	int used = 0;
	va_list ap;

	if (more > 0) {
		g->log_tokens =
			g->log_tokens + more < LINES_PER_S ? g->log_tokens + more : LINES_PER_S;
		g->log_at_ms = now;
	}
	if (g->log_tokens == 0) {
		g->log_omitted++;
		return;
	}
	g->log_tokens--;
	if (g->log_omitted > 0)
		used = snprintf(line, sizeof(line), "(%llu lines omitted) ",
				(unsigned long long)g->log_omitted);
	g->log_omitted = 0;
	va_start(ap, fmt);
	vsnprintf(line + used, sizeof(line) - (size_t)used, fmt, ap);
	va_end(ap);
	g->log.line(g->log.arg, line);
}

static void on_closed(uv_handle_t *h)
{
	struct ingest *g = h->data;

	g->handles--;
}

/* --- commits ------------------------------------------------------------------------------------------- */

int ingest_expect_commits(struct ingest *g, uint64_t agent)
{
	struct commit *c;
	int r = 0;

	pthread_mutex_lock(&g->lock);
	HASH_FIND(hh, g->commits, &agent, sizeof(agent), c);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (c) {
			c->agent = agent;
			HASH_ADD(hh, g->commits, agent, sizeof(c->agent), c);
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&g->lock);
	return r;
}

void ingest_committed(void *ingest, uint64_t agent, uint64_t epoch, uint64_t seq)
{
	struct ingest *g = ingest;
	struct commit *c;
	bool wake = false;

	pthread_mutex_lock(&g->lock);
	HASH_FIND(hh, g->commits, &agent, sizeof(agent), c);
	if (c) {
		if (c->epoch != epoch || c->seq < seq || !c->queued)
			c->seq = seq;
		c->epoch = epoch;
		if (!c->queued) {
			c->queued = true;
			c->next = g->committed;
			g->committed = c;
		}
		wake = !g->deaf;
	}
	if (wake) /* under the lock: the handle cannot close meanwhile */
		uv_async_send(&g->wake);
	pthread_mutex_unlock(&g->lock);
}

/* Takes one commit out of the queue. False: it is empty. */
static bool commit_next(struct ingest *g, struct commit *out)
{
	struct commit *c;

	pthread_mutex_lock(&g->lock);
	c = g->committed;
	if (c) {
		g->committed = c->next;
		c->queued = false;
		*out = *c;
	}
	pthread_mutex_unlock(&g->lock);
	return c != NULL;
}

static void on_wake(uv_async_t *a)
{
	struct ingest *g = a->data;
	struct commit c;

	while (commit_next(g, &c)) {
		struct peer *p = peer_find(g, c.agent);

		if (!p || p->epoch != c.epoch)
			continue;
		if (p->session)
			session_ack(p->session, c.seq);
		peer_committed(p, c.epoch, c.seq);
	}
	if (g->stalled_count > 0)
		ingest_room(g);
}

/* --- room ----------------------------------------------------------------------------------------------- */

/* The connection that has waited longest for its own Hello, if that is long enough to give its place to others. */
static struct session *ungreeted_oldest(const struct ingest *g)
{
	struct session *s;

	DL_FOREACH(g->sessions, s)
		if (s->state == SESSION_UNGREETED)
			return now_ms(g) - s->opened_ms >= UNGREETED_PATIENCE_MS ? s : NULL;
	return NULL;
}

/* Accepts the one connection that the loop holds out, or leaves it until there is room. */
static void accept_one(struct ingest *g)
{
	struct session *oldest;

	g->accept_waits = false;
	if (g->ungreeted_count >= UNGREETED_MAX) {
		oldest = ungreeted_oldest(g);
		if (oldest)
			session_close(oldest, "it made room for others: no Hello yet");
	}
	if (g->ungreeted_count >= UNGREETED_MAX || g->session_count >= SESSIONS_MAX) {
		g->accept_waits = true;
		ingest_room(g);
		return;
	}
	if (session_accept(g) < 0)
		ingest_say(g, "a connection could not be accepted");
}

static void on_connection(uv_stream_t *st, int status)
{
	struct ingest *g = st->data;

	if (status < 0)
		ingest_say(g, "accept: %s", uv_strerror(status));
	else if (!g->stopping)
		accept_one(g);
}

static void on_again(uv_timer_t *t)
{
	struct ingest *g = t->data;
	struct session *s, *tmp;

	if (g->stopping)
		return;
	if (g->accept_waits)
		accept_one(g);
	if (g->stalled_count > 0 && store_room(g->store))
		DL_FOREACH_SAFE(g->sessions, s, tmp)
			session_room(s);
	if (g->stalled_count > 0)
		ingest_room(g);
}

void ingest_room(struct ingest *g)
{
	if (!g->stopping && !uv_is_active((uv_handle_t *)&g->again))
		uv_timer_start(&g->again, on_again, AGAIN_MS, 0);
}

/* --- life ----------------------------------------------------------------------------------------------- */

int ingest_new(struct ingest **out, uv_loop_t *loop, const struct ingest_log *log)
{
	struct ingest *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->slab = malloc(READ_SLAB);
	if (!g->slab) {
		free(g);
		return -ENOMEM;
	}
	g->loop = loop;
	g->log = *log;
	g->log_tokens = LINES_PER_S;
	buf_init(&g->body, FRAME_INFLATED_MAX);
	buf_init(&g->out, FRAME_MAX);
	arena_init(&g->arena, MSG_HEAP_MAX);
	pthread_mutex_init(&g->lock, NULL);
	g->tcp.data = g->wake.data = g->again.data = g;
	must(uv_tcp_init(loop, &g->tcp) == 0);
	must(uv_timer_init(loop, &g->again) == 0);
	must(uv_async_init(loop, &g->wake, on_wake) == 0);
	g->handles = 3;
	*out = g;
	return 0;
}

int ingest_listen(struct ingest *g, struct store *s, const struct sockaddr *a, uint16_t *port,
		  struct why *why)
{
	struct sockaddr_storage ss = { 0 };
	int len = sizeof(ss);
	int r;

	g->store = s;
	r = uv_tcp_bind(&g->tcp, a, 0);
	if (r == 0)
		r = uv_listen((uv_stream_t *)&g->tcp, BACKLOG, on_connection);
	if (r == 0)
		r = uv_tcp_getsockname(&g->tcp, (struct sockaddr *)&ss, &len);
	if (r < 0)
		return why_set(why, r, "cannot listen for agents: %s", uv_strerror(r));
	*port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
					       : ((struct sockaddr_in *)&ss)->sin_port);
	return 0;
}

void ingest_stop(struct ingest *g)
{
	struct session *s, *tmp;

	if (g->stopping)
		return;
	g->stopping = true;
	DL_FOREACH_SAFE(g->sessions, s, tmp)
		session_close(s, NULL);
	pthread_mutex_lock(&g->lock);
	g->deaf = true;
	pthread_mutex_unlock(&g->lock);
	uv_close((uv_handle_t *)&g->tcp, on_closed);
	uv_close((uv_handle_t *)&g->again, on_closed);
	uv_close((uv_handle_t *)&g->wake, on_closed);
}

void ingest_free(struct ingest *g)
{
	struct peer *p, *ptmp;
	struct commit *c, *ctmp;

	if (!g)
		return;
	must(g->handles == 0 && !g->sessions);
	HASH_ITER(hh, g->peers, p, ptmp)
		peer_free(p);
	HASH_ITER(hh, g->commits, c, ctmp) {
		HASH_DELETE(hh, g->commits, c);
		free(c);
	}
	pthread_mutex_destroy(&g->lock);
	buf_clear(&g->body);
	buf_clear(&g->out);
	arena_free(&g->arena);
	free(g->slab);
	free(g);
}

/* --- what others ask ------------------------------------------------------------------------------------ */

static void live_fill(const struct ingest *g, const struct live_host *h, struct ingest_live *out)
{
	const struct peer *p = h->peer;

	*out = (struct ingest_live){
		.host = h->host,
		.id = h->id,
		.agent = p->id,
		.connected = p->session != NULL && !h->gone,
		.gone = h->gone,
		.resumed = p->resumed,
		.allow_trace = p->allow_trace,
		.sources_told = h->sources_told,
		.rulesets_told = h->rulesets_told,
		.quiet_ms = now_ms(g) - p->heard_ms,
		.lag_ms = p->lag_ms,
		.clock_known = p->clock_known,
		.clock_ms = p->clock_ns / NS_PER_MS,
	};
}

bool ingest_live(const struct ingest *g, const char *host, struct ingest_live *out)
{
	const struct live_host *h;

	HASH_FIND_STR(g->hosts, host, h);
	if (h)
		live_fill(g, h, out);
	return h != NULL;
}

void ingest_each(const struct ingest *g, void (*fn)(void *arg, const struct ingest_live *live),
		 void *arg)
{
	const struct live_host *h;
	struct ingest_live live;

	for (h = g->hosts; h; h = h->hh.next) {
		live_fill(g, h, &live);
		fn(arg, &live);
	}
}

int ingest_send(struct ingest *g, const char *host, struct msg *m)
{
	const struct live_host *h;
	struct peer *p;
	uint32_t i;

	HASH_FIND_STR(g->hosts, host, h);
	if (!h || !h->peer->session || h->gone)
		return -ENOTCONN;
	p = h->peer;
	for (i = 0; i < p->host_count; i++) {
		if (p->hosts[i] != h)
			continue;
		if (m->kind == MSG_LEASE_START)
			m->lease_start.host = i;
		else if (m->kind == MSG_LEASE_STOP)
			m->lease_stop.host = i;
	}
	return session_send(p->session, m);
}

void ingest_watch(struct ingest *g, struct ingest_observer *o)
{
	DL_APPEND(g->observers, o);
}

void ingest_unwatch(struct ingest *g, struct ingest_observer *o)
{
	DL_DELETE(g->observers, o);
}

const struct ingest_counts *ingest_counts(const struct ingest *g)
{
	return &g->counts;
}
