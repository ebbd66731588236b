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

static void on_readable(uv_poll_t *p, int status, int events);

static void on_ring(uv_poll_t *p, int status, int events);

static void on_nap_over(uv_timer_t *t)
{
	struct watches *ws = t->data;

	for (int i = 0; i < EVENTS_COUNT; i++) {
		if (ws->rings[i].napping)
			uv_poll_start(&ws->rings[i].poll, UV_READABLE, on_ring);
		ws->rings[i].napping = false;
	}
	for (struct watch *w = ws->list; w; w = w->next) {
		if (!w->napping)
			continue;
		w->napping = false;
		uv_poll_start(&w->poll, UV_READABLE, on_readable);
	}
}

static void nap(struct watches *ws)
{
	if (!uv_is_active((uv_handle_t *)&ws->nap))
		uv_timer_start(&ws->nap, on_nap_over, NAP_MS, 0);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
	struct watch *w = (struct watch *)p;
	struct watches *ws = w->watches;
	int max, n;

	(void)events;
	if (!w->source)
		return;
	max = w->source == &w->host->sources[SLOT_DUMP] ? DUMP_DRAIN_MAX : DRAIN_MAX;
	n = host_readable(w->host, w->source, max);
	/* A bad descriptor would be readable for ever: its read has said so and closed it. */
	if (w->source && (n < max || status < 0)) {
		uv_poll_stop(&w->poll);
		w->napping = true;
		nap(ws);
	}
	ws->settle(ws->arg);
}

static void on_ring(uv_poll_t *p, int status, int events)
{
	struct ring_watch *w = (struct ring_watch *)p;

	(void)status;
	(void)events;
	events_read(w->events, w->source);
	uv_poll_stop(&w->poll);
	w->napping = true;
	nap(w->watches);
	w->watches->settle(w->watches->arg);
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
