#include "agent/watches.h"

#include <stdlib.h>

#include "common/must.h"

enum {
	DRAIN_MAX = 256,    /* datagrams of one source before the others have their turn */
	DUMP_DRAIN_MAX = 4, /* 32 KiB each: some milliseconds */
	NAP_MS = 1,         /* after a short read: no wakeup for each packet */
};

/* One polled descriptor of a source. */
struct watch {
	uv_poll_t poll;
	struct watch *next;
	struct watches *watches;
	struct host *host;
	struct source *source; /* borrowed; NULL: closing */
	bool napping;
};

static void on_nap_over(uv_timer_t *t);

static void nap(struct watches *ws)
{
	if (!uv_is_active((uv_handle_t *)&ws->nap))
		uv_timer_start(&ws->nap, on_nap_over, NAP_MS, 0);
}

/* Whether it is to be read again after a nap; else the loop polls it. */
static void sleep_on(struct watches *ws, uv_poll_t *p, bool *napping, bool sleeps, uv_poll_cb wake)
{
	if (sleeps)
		nap(ws);
	if (sleeps && !*napping)
		uv_poll_stop(p);
	else if (!sleeps && *napping)
		uv_poll_start(p, UV_READABLE, wake);
	*napping = sleeps;
}

static int drain_max(const struct watch *w)
{
	return w->source == &w->host->sources[SLOT_DUMP] ? DUMP_DRAIN_MAX : DRAIN_MAX;
}

static void on_readable(uv_poll_t *p, int status, int events)
{
	struct watch *w = (struct watch *)p;
	struct watches *ws = w->watches;
	int max, n;

	(void)events;
	if (!w->source)
		return;
	max = drain_max(w);
	n = host_readable(w->host, w->source, max);
	/* A bad descriptor would be readable for ever: its read has said so and closed it. */
	if (w->source)
		sleep_on(ws, p, &w->napping, n < max || status < 0, on_readable);
	ws->settle(ws->arg);
}

static void on_ring(uv_poll_t *p, int status, int events)
{
	struct ring_watch *w = (struct ring_watch *)p;

	(void)status;
	(void)events;
	events_read(w->events, w->source);
	sleep_on(w->watches, p, &w->napping, true, on_ring);
	w->watches->settle(w->watches->arg);
}

/*
 * While something comes each millisecond it is read at once, which costs fewer system calls than to have the loop poll it in
 * between. What has nothing to say, or more than it may say at once, goes back to the loop.
 */
static bool read_napping(struct watches *ws)
{
	bool any = false;

	for (int i = 0; i < EVENTS_COUNT; i++) {
		struct ring_watch *w = &ws->rings[i];
		bool more = w->napping && events_read(w->events, w->source);

		any |= more;
		if (w->napping)
			sleep_on(ws, &w->poll, &w->napping, more, on_ring);
	}
	/* Reading may close sources: a watch then leaves the list, but its memory stays for this turn of the loop. */
	for (struct watch *w = ws->list; w; w = w->next) {
		int max, n;

		if (!w->napping)
			continue;
		max = drain_max(w);
		n = host_readable(w->host, w->source, max);
		any |= n > 0;
		if (w->source)
			sleep_on(ws, &w->poll, &w->napping, n > 0 && n < max, on_readable);
	}
	return any;
}

static void on_nap_over(uv_timer_t *t)
{
	struct watches *ws = t->data;

	if (read_napping(ws))
		ws->settle(ws->arg);
}

static void on_watch_closed(uv_handle_t *h)
{
	free(h);
}

void watches_init(struct watches *ws, uv_loop_t *loop, void (*settle)(void *arg), void *arg)
{
	ws->loop = loop;
	ws->settle = settle;
	ws->arg = arg;
	must(uv_timer_init(loop, &ws->nap) == 0);
	ws->nap.data = ws;
}

void watches_add(struct watches *ws, struct host *h, struct source *s)
{
	struct watch *w = calloc(1, sizeof(*w));

	must(w);
	w->watches = ws;
	w->host = h;
	w->source = s;
	must(uv_poll_init(ws->loop, &w->poll, s->fd) == 0);
	w->next = ws->list;
	ws->list = w;
	uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

void watches_remove(struct watches *ws, struct source *s)
{
	struct watch **at, *w;

	for (at = &ws->list; *at && (*at)->source != s; at = &(*at)->next)
		;
	w = *at;
	if (!w)
		return;
	*at = w->next;
	w->source = NULL;
	w->napping = false;
	uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

void watches_ring(struct watches *ws, struct events *e, enum events_source source, int fd)
{
	struct ring_watch *w = &ws->rings[source];

	w->watches = ws;
	w->events = e;
	w->source = source;
	must(uv_poll_init(ws->loop, &w->poll, fd) == 0);
	uv_poll_start(&w->poll, UV_READABLE, on_ring);
	events_read(e, source); /* what came before */
}

void watches_close(struct watches *ws)
{
	uv_close((uv_handle_t *)&ws->nap, NULL);
	for (int i = 0; i < EVENTS_COUNT; i++) {
		ws->rings[i].napping = false;
		if (ws->rings[i].events)
			uv_close((uv_handle_t *)&ws->rings[i].poll, NULL);
	}
}
