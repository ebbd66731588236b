/*
 * lasthop-collector: agents' records go to the store, questions come by HTTP. This file starts, stops and drains the
 * one loop in which everything but the store's writer and the questions themselves runs.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "collector/api/api.h"
#include "collector/options.h"
#include "common/must.h"

struct collector {
	uv_loop_t loop;
	uv_signal_t sigterm, sigint;
	bool stopping;
	struct store *store;
	struct ingest *ingest;
	struct asks *asks;
	struct leases *leases;
	struct api *api;
	pthread_mutex_t lock; /* the writer's thread says what troubles it */
	struct why trouble;
	char trouble_now[WHY_MAX + 1]; /* the loop's copy */
};

static void say(void *arg, const char *line)
{
	const unsigned char *p = (const unsigned char *)line;
	char text[1024];
	size_t i;

	(void)arg;
	for (i = 0; i + 1 < sizeof(text) && p[i]; i++)
		text[i] =
			p[i] < ' ' || p[i] == 0x7f ? '?' : (char)p[i]; /* agents' words are in it */
	text[i] = '\0';
	fprintf(stderr, "lasthop-collector: %s\n", text);
}

static void on_trouble(void *arg, const char *why)
{
	struct collector *c = arg;

	pthread_mutex_lock(&c->lock);
	c->trouble.text[0] = '\0';
	if (why)
		strncat(c->trouble.text, why, WHY_MAX);
	pthread_mutex_unlock(&c->lock);
	fprintf(stderr, "lasthop-collector: the store %s%s\n",
		why ? "does not keep up its promise, nothing is acknowledged: " : "is well again",
		why ? why : "");
}

static const char *trouble(void *arg)
{
	struct collector *c = arg;

	pthread_mutex_lock(&c->lock);
	memcpy(c->trouble_now, c->trouble.text, sizeof(c->trouble_now));
	pthread_mutex_unlock(&c->lock);
	return c->trouble_now[0] ? c->trouble_now : NULL;
}

static void on_committed(void *arg, uint64_t agent, uint64_t epoch, uint64_t seq)
{
	struct collector *c = arg;

	ingest_committed(c->ingest, agent, epoch, seq);
}

/* Closes everything that listens; what is under way finishes, and the loop ends by itself. */
static void collector_stop(struct collector *c)
{
	if (c->stopping)
		return;
	c->stopping = true;
	if (c->leases)
		leases_close(c->leases);
	if (c->api)
		api_stop(c->api);
	if (c->ingest)
		ingest_stop(c->ingest);
	uv_close((uv_handle_t *)&c->sigterm, NULL);
	uv_close((uv_handle_t *)&c->sigint, NULL);
}

static void on_signal(uv_signal_t *s, int number)
{
	(void)number;
	collector_stop(s->data);
}

static int collector_start(struct collector *c, const struct options *o, struct why *why)
{
	struct ingest_log log = { .line = say };
	struct store_options so = {
		.dir = o->store,
		.segment_rows = o->segment_rows,
		.segment_ns = o->segment_ns,
		.keep_bytes = o->keep_bytes,
		.keep_ns = o->keep_ns,
		.committed = on_committed,
		.trouble = on_trouble,
		.arg = c,
	};
	struct api_options ao = { .loop = &c->loop,
				  .address = o->http.address,
				  .port = o->http.port,
				  .trouble = trouble,
				  .arg = c };
	struct sockaddr_storage listen;
	uint16_t port, http;
	int r;

	r = ingest_new(&c->ingest, &c->loop, &log);
	if (r == 0)
		r = store_open(&c->store, &so, why);
	if (r == 0)
		r = asks_new(&c->asks, &c->loop, c->store);
	if (r == 0)
		r = leases_open(&c->leases, &c->loop, c->store, c->ingest, c->asks);
	if (r < 0)
		return r;
	endpoint_sockaddr(&o->listen, &listen);
	ao.ingest = c->ingest;
	ao.asks = c->asks;
	ao.leases = c->leases;
	r = api_open(&c->api, &ao, &http, why);
	if (r == 0)
		r = ingest_listen(c->ingest, c->store, (struct sockaddr *)&listen, &port, why);
	if (r == 0)
		fprintf(stderr,
			strchr(o->listen.address, ':') ? "listening on [%s]:%u, "
						       : "listening on %s:%u, ",
			o->listen.address, port);
	if (r == 0)
		fprintf(stderr,
			strchr(o->http.address, ':') ? "http on [%s]:%u\n" : "http on %s:%u\n",
			o->http.address, http);
	return r;
}

/* One descriptor for each agent, as far as we may. */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char **argv)
{
	struct collector c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct why why = { "" };
	struct options o;
	int r;

	r = options_read(&o, argc, argv, &why);
	if (r != 0) {
		if (r < 0)
			fprintf(stderr, "lasthop-collector: %s\n", why.text);
		return r < 0 ? 2 : 0;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_limit();
	must(uv_loop_init(&c.loop) == 0);
	must(uv_signal_init(&c.loop, &c.sigterm) == 0 && uv_signal_init(&c.loop, &c.sigint) == 0);
	c.sigterm.data = c.sigint.data = &c;
	must(uv_signal_start(&c.sigterm, on_signal, SIGTERM) == 0);
	must(uv_signal_start(&c.sigint, on_signal, SIGINT) == 0);

	r = collector_start(&c, &o, &why);
	if (r < 0) {
		fprintf(stderr, "lasthop-collector: %s\n", why.text[0] ? why.text : strerror(-r));
		collector_stop(&c);
	}
	uv_run(&c.loop, UV_RUN_DEFAULT);

	api_free(c.api);
	uv_run(&c.loop, UV_RUN_DEFAULT); /* libwebsockets closes its last handles only now */
	leases_free(c.leases);
	asks_free(c.asks);
	store_close(c.store);  /* commits what is queued */
	ingest_free(c.ingest); /* the last commit could still call it */
	must(uv_loop_close(&c.loop) == 0);
	return r < 0 ? 1 : 0;
}
