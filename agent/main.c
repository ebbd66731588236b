/*
 * lasthop-agent, the worker: reads what the helper's sockets say, and ships it. The way of the data: a source's
 * descriptor becomes readable (on_readable), host_readable() decodes it and puts records into the spool, settle()
 * closes batches that are due, and the uplink sends them.
 *
 * This file starts, drives and stops the loop; everything else of the worker is in worker/.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "agent/uplink/uplink.h"
#include "agent/worker/events.h"
#include "agent/worker/hosts.h"
#include "agent/worker/notes.h"
#include "agent/worker/options.h"
#include "agent/worker/privilege.h"
#include "agent/worker/state.h"
#include "common/content.h"
#include "common/must.h"

enum { EXIT_USAGE = 2, EXIT_PRIVILEGE = 77 };

enum {
	DRAIN_MAX = 256,    /* datagrams of one source before the others have their turn */
	DUMP_DRAIN_MAX = 4, /* 32 KiB each: some milliseconds */
	NAP_MS = 1,         /* after a short read: no wakeup for each packet */
	UNREACHABLE_S = 30, /* without the collector leases end */
	GOODBYE_MS = 1000,
	TRIM_S = 10,
	BEHIND_MS = 250, /* that the collector hears of at once */
};

struct agent;

/* One polled descriptor. */
struct watch {
	uv_poll_t poll;
	struct watch *next;
	struct agent *agent;
	struct host *host;
	struct source *source; /* borrowed; NULL: closing */
	bool napping;
};

/* One ring of BPF events. */
struct ring_watch {
	uv_poll_t poll;
	struct agent *agent;
	enum events_source source;
	bool napping;
};

struct agent {
	struct options options;
	struct state state;
	struct notes notes;
	struct link *link;
	struct spool *spool;
	struct uplink *uplink;
	struct host_env env;
	struct hosts hosts;
	struct events *events;
	struct ring_watch rings[EVENTS_COUNT];
	uint8_t boot_id[16];
	struct boot_ns started, trimmed, behind_at; /* behind_at: when that was last looked at */

	uv_loop_t loop;
	uv_poll_t helper;
	uv_timer_t tick, nap, goodbye;
	uv_signal_t sigterm, sigint;
	struct watch *watches;
	bool flush, behind, stopping, over;
	int status;

	const struct ruleset *mapped; /* between content() and content_end() */
	const char *text;
};

static void settle(struct agent *a);

static void say(const char *text)
{
	fprintf(stderr, "lasthop-agent: %s\n", text);
}

/* The end: once asked for, the loop runs only until all handles have closed. */

static void on_gone(uv_handle_t *h, void *arg)
{
	struct agent *a = arg;

	/* The uplink's and the watches' close themselves. */
	if (uv_is_closing(h) || h->data != a)
		return;
	uv_close(h, NULL);
}

static void end(struct agent *a, int status)
{
	if (a->over)
		return;
	a->over = true;
	a->status = status;
	if (a->uplink)
		uplink_close(a->uplink);
	hosts_clear(&a->hosts);
	uv_walk(&a->loop, on_gone, a);
}

static bool leased(struct agent *a)
{
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		if (host_leased(h))
			return true;
	}
	return false;
}

static void on_goodbye(uv_timer_t *t)
{
	end(t->data, 0);
}

static void on_signal(uv_signal_t *s, int number)
{
	struct agent *a = s->data;

	(void)number;
	if (a->stopping)
		return;
	a->stopping = true;
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));)
		host_lease_stop_all(h, "its agent was stopped");
	a->flush = true;
	uv_timer_start(&a->goodbye, on_goodbye, GOODBYE_MS, 0);
	settle(a);
}

/* Time. */

static void sooner(struct boot_ns *due, int64_t at)
{
	if (due->v == 0 || at < due->v)
		due->v = at;
}

static void on_tick(uv_timer_t *t)
{
	settle(t->data);
}

/* Without a collector nobody asks any more for what the leases cost. */
static void check_reach(struct agent *a, struct boot_ns now, struct boot_ns *due)
{
	struct boot_ns heard = uplink_heard(a->uplink);
	int64_t end_at = (heard.v ? heard.v : a->started.v) + (int64_t)UNREACHABLE_S * NS_PER_S;

	if (uplink_streaming(a->uplink) || !leased(a))
		return;
	if (end_at > now.v) {
		sooner(due, end_at);
		return;
	}
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));)
		host_lease_stop_all(h, "the collector was out of reach for 30 s");
}

/* Whoever asks meanwhile must know that the answer is not whole yet: pings are too rare to tell. */
static void tell_behind(struct agent *a, struct boot_ns now, struct boot_ns *due)
{
	bool was = a->behind;

	if (now.v < a->behind_at.v + (int64_t)BEHIND_MS * NS_PER_MS) {
		if (was)
			sooner(due, a->behind_at.v + (int64_t)BEHIND_MS * NS_PER_MS);
		return;
	}
	a->behind_at = now;
	a->behind = uplink_streaming(a->uplink) && uplink_behind(a->uplink, now) > BEHIND_MS;
	if (a->behind || was)
		uplink_tell_behind(a->uplink);
	if (a->behind)
		sooner(due, now.v + (int64_t)BEHIND_MS * NS_PER_MS);
}

static void trim(struct agent *a, struct boot_ns now)
{
	if (now.v - a->trimmed.v < (int64_t)TRIM_S * NS_PER_S || leased(a) ||
	    !uplink_drained(a->uplink))
		return;
	a->trimmed = now;
	malloc_trim(0);
}

/* After whatever happened: does what is due, ships what is ready, and sets the clock for the next time. */
static void settle(struct agent *a)
{
	struct record r = { .kind = RECORD_LOSS };
	struct boot_ns now, opened, due = { 0 }, at;

	if (a->over)
		return;
	now = boot_now();
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		at = host_tick(h, now);
		if (at.v)
			sooner(&due, at.v);
	}
	at = events_tick(a->events, now);
	if (at.v)
		sooner(&due, at.v);
	check_reach(a, now, &due);
	while (spool_take_loss(a->spool, &r.loss, &r.host)) {
		if (spool_add(a->spool, &r) < 0)
			break;
	}
	spool_tick(a->spool, now, a->flush);
	a->flush = false;
	uplink_kick(a->uplink);
	hosts_acked(&a->hosts, uplink_acked(a->uplink));
	if (spool_open_since(a->spool, &opened))
		sooner(&due, opened.v + (int64_t)BATCH_AGE_MS * NS_PER_MS);
	tell_behind(a, now, &due);
	trim(a, now);

	if (a->stopping && !leased(a) && !spool_open_since(a->spool, &opened) &&
	    (uplink_drained(a->uplink) || !uplink_streaming(a->uplink))) {
		end(a, 0);
		return;
	}
	if (due.v)
		uv_timer_start(&a->tick, on_tick,
			       due.v > now.v ? (uint64_t)(due.v - now.v) / NS_PER_MS + 1 : 0, 0);
}

/* Something will have to be done, but not inside the callback that we are in. */
static void settle_soon(struct agent *a)
{
	if (!a->over)
		uv_timer_start(&a->tick, on_tick, 0, 0);
}

/* Descriptors. */

static void on_readable(uv_poll_t *p, int status, int events);

static void on_ring(uv_poll_t *p, int status, int events);

static void on_nap_over(uv_timer_t *t)
{
	struct agent *a = t->data;

	for (int i = 0; i < EVENTS_COUNT; i++) {
		if (a->rings[i].napping && !a->over)
			uv_poll_start(&a->rings[i].poll, UV_READABLE, on_ring);
		a->rings[i].napping = false;
	}

	for (struct watch *w = a->watches; w; w = w->next) {
		if (!w->napping)
			continue;
		w->napping = false;
		uv_poll_start(&w->poll, UV_READABLE, on_readable);
	}
}

static void nap(struct agent *a)
{
	if (!uv_is_active((uv_handle_t *)&a->nap))
		uv_timer_start(&a->nap, on_nap_over, NAP_MS, 0);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
	struct watch *w = (struct watch *)p;
	struct agent *a = w->agent;
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
		nap(a);
	}
	settle(a);
}

static void on_ring(uv_poll_t *p, int status, int events)
{
	struct ring_watch *w = (struct ring_watch *)p;

	(void)status;
	(void)events;
	events_read(w->agent->events, w->source);
	uv_poll_stop(&w->poll);
	w->napping = true;
	nap(w->agent);
	settle(w->agent);
}

static void watch_ring(void *arg, enum events_source source, int fd)
{
	struct agent *a = arg;
	struct ring_watch *w = &a->rings[source];

	w->agent = a;
	w->source = source;
	must(uv_poll_init(&a->loop, &w->poll, fd) == 0);
	w->poll.data = a; /* end() closes it with the others */
	uv_poll_start(&w->poll, UV_READABLE, on_ring);
	events_read(a->events, source); /* what came before */
}

static void on_changed(void *arg, struct host *h, const struct table_change *c)
{
	(void)arg;
	host_changed(h, c);
}

static void on_watch_closed(uv_handle_t *h)
{
	free(h);
}

static void watch_source(void *arg, struct host *h, struct source *s)
{
	struct agent *a = arg;
	struct watch *w = calloc(1, sizeof(*w));

	must(w);
	w->agent = a;
	w->host = h;
	w->source = s;
	w->poll.data = w;
	must(uv_poll_init(&a->loop, &w->poll, s->fd) == 0);
	w->poll.data = w;
	w->next = a->watches;
	a->watches = w;
	uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

static void unwatch_source(void *arg, struct source *s)
{
	struct agent *a = arg;
	struct watch **at, *w;

	for (at = &a->watches; *at && (*at)->source != s; at = &(*at)->next)
		;
	w = *at;
	if (!w)
		return;
	*at = w->next;
	w->source = NULL;
	w->napping = false;
	uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static void on_helper(uv_poll_t *p, int status, int events)
{
	struct agent *a = p->data;
	int r;

	(void)status;
	(void)events;
	/* What came before an answer is told before it: a read of tables that shows a change finds who made it. */
	if (a->events) {
		events_read(a->events, EVENTS_CHANGES);
		events_read(a->events, EVENTS_AUDIT);
	}
	/* A broken pair shows as a bad status; reading it says what it is. */
	r = link_read(a->link);
	if (r < 0) {
		fprintf(stderr, "lasthop-agent: the helper has ended%s%s\n",
			r == -ECONNRESET ? "" : ": ", r == -ECONNRESET ? "" : strerror(-r));
		end(a, EXIT_FAILURE);
		return;
	}
	settle(a);
}

/* The hosts' wishes. */

static void env_have(void *arg, const struct content_id *ids, uint32_t count)
{
	struct agent *a = arg;

	uplink_have(a->uplink, ids, count);
}

static void env_flush(void *arg)
{
	struct agent *a = arg;

	a->flush = true;
	settle_soon(a);
}

static void env_note(void *arg, uint64_t inode, uint32_t loggers)
{
	struct agent *a = arg;
	int r = notes_set(&a->notes, inode, loggers);

	if (r < 0)
		fprintf(stderr, "lasthop-agent: cannot write to the state directory: %s\n",
			strerror(-r));
}

static uint32_t env_noted(void *arg, uint64_t inode)
{
	struct agent *a = arg;

	return notes_find(&a->notes, inode);
}

static bool env_sources(void *arg, struct source_fact *list, uint32_t *count)
{
	struct agent *a = arg;

	if (!events_sources(a->events, list + *count))
		return false;
	*count += EVENTS_COUNT;
	return true;
}

static void env_say(void *arg, const struct host *h, const char *text)
{
	(void)arg;
	fprintf(stderr, "lasthop-agent: %s: %s\n", h->id, text);
}

static void on_hosts_changed(void *arg)
{
	struct agent *a = arg;

	if (a->uplink)
		uplink_hosts(a->uplink);
	settle_soon(a);
}

/* The uplink's wishes. */

static void up_hello(void *arg, struct msg_hello *hello)
{
	struct agent *a = arg;

	*hello = (struct msg_hello){
		.id = a->options.id,
		.version = LASTHOP_VERSION,
		.epoch = a->state.epoch,
		.allow_trace = a->options.allow_trace,
		.host_count = a->hosts.count,
		.hosts = a->hosts.told,
	};
	memcpy(hello->instance, a->state.instance, sizeof(hello->instance));
	memcpy(hello->boot_id, a->boot_id, sizeof(hello->boot_id));
}

static void up_message(void *arg, const struct msg *m)
{
	struct agent *a = arg;
	struct host *h;

	if (a->stopping)
		return;
	switch (m->kind) {
	case MSG_LEASE_START:
		h = hosts_at(&a->hosts, m->lease_start.host);
		if (h)
			host_lease_start(h, &m->lease_start);
		break;
	case MSG_LEASE_STOP:
		h = hosts_at(&a->hosts, m->lease_stop.host);
		if (h)
			host_lease_stop(h, m->lease_stop.id, "stopped");
		break;
	case MSG_SNAPSHOT_NOW:
		for (h = NULL; (h = hosts_next(&a->hosts, h));)
			host_snapshot(h);
		break;
	default:
		return;
	}
	settle_soon(a);
}

static bool up_content(void *arg, const struct content_id *id, uint64_t offset,
		       struct msg_part *part)
{
	struct agent *a = arg;
	const struct ruleset_table *t;
	struct host *h = NULL;
	int at = -1;

	while (at < 0 && (h = hosts_next(&a->hosts, h)))
		at = host_content(h, id, &a->mapped);
	if (at < 0)
		return false;
	t = &a->mapped->tables[at];
	if (offset >= t->len)
		return false;
	a->text = ruleset_map(a->mapped);
	if (!a->text)
		return false;
	*part = (struct msg_part){ .id = *id, .offset = offset, .total = t->len };
	part->data = (const uint8_t *)a->text + t->offset + offset;
	part->len = t->len - offset < PART_MAX ? (uint32_t)(t->len - offset) : PART_MAX;
	return true;
}

static void up_content_end(void *arg)
{
	struct agent *a = arg;

	ruleset_unmap(a->mapped, a->text);
	a->text = NULL;
}

static void up_forgotten(void *arg)
{
	struct agent *a = arg;
	struct record r = { .kind = RECORD_LOSS };

	say("the collector has lost evidence that it had acknowledged");
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		r.host = h->index;
		r.loss = (struct loss){ .from = a->started,
					.until = boot_now(),
					.source = "uplink" };
		(void)spool_add(a->spool, &r);
		host_resend(h);
	}
	settle_soon(a);
}

static struct boot_ns up_read_until(void *arg, struct boot_ns now)
{
	struct agent *a = arg;
	struct boot_ns until = now, of;

	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		of = host_read_until(h, now);
		sooner(&until, of.v);
	}
	return until;
}

static void up_changed(void *arg, bool streaming, const char *why)
{
	struct agent *a = arg;

	if (!streaming) {
		fprintf(stderr, "lasthop-agent: no session with %s: %s\n", a->options.collector,
			why);
		settle_soon(a);
		return;
	}
	fprintf(stderr, "lasthop-agent: session with %s\n", a->options.collector);
	a->env.sets = uplink_backends(a->uplink) > BACKEND_IPSET;
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		struct rules *r = &h->rules;

		/* This runs inside the uplink's own call, before it sends anything else. */
		uplink_have(a->uplink, r->ids, r->newest.count);
		if (h->sets)
			uplink_have(a->uplink, h->sets->ids, h->sets->newest.count);
	}
	settle_soon(a);
}

static const struct uplink_ops uplink_ops = {
	.hello = up_hello,
	.message = up_message,
	.content = up_content,
	.content_end = up_content_end,
	.forgotten = up_forgotten,
	.read_until = up_read_until,
	.changed = up_changed,
};

/* Start. */

static bool boot_id_read(uint8_t id[static 16])
{
	char text[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	unsigned int byte;
	int n = 0;

	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	for (const char *p = text; *p && n < 16;) {
		if (*p == '-') {
			p++;
			continue;
		}
		if (sscanf(p, "%2x", &byte) != 1)
			return false;
		id[n++] = (uint8_t)byte;
		p += 2;
	}
	return n == 16;
}

/* HOST:PORT, numbers or localhost; plain TCP never leaves the machine. */
static int address_read(struct sockaddr_storage *out, const char *text, struct why *why)
{
	char host[64] = "";
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	struct addr addr;
	char *rest = NULL;
	unsigned long port = colon ? strtoul(colon + 1, &rest, 10) : 0;

	if (port == 0 || port > 65535 || *rest != '\0' || len == 0 || len >= sizeof(host))
		return why_set(why, -EINVAL, "--collector takes HOST:PORT, not %s", text);
	if (text[0] == '[' && text[len - 1] == ']')
		memcpy(host, text + 1, len - 2);
	else
		memcpy(host, text, len);
	if (strcmp(host, "localhost") == 0)
		snprintf(host, sizeof(host), "127.0.0.1");
	if (!addr_parse(&addr, host) || !addr_is_loopback(&addr))
		return why_set(why, -EINVAL,
			       "--insecure reaches a collector on loopback only, not %s", text);
	if (addr.family == 4)
		return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out);
	return uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out);
}

static void loop_open(struct agent *a)
{
	uv_handle_t *const own[] = {
		(uv_handle_t *)&a->helper,  (uv_handle_t *)&a->tick,    (uv_handle_t *)&a->nap,
		(uv_handle_t *)&a->goodbye, (uv_handle_t *)&a->sigterm, (uv_handle_t *)&a->sigint,
	};

	must(uv_loop_init(&a->loop) == 0);
	must(uv_poll_init(&a->loop, &a->helper, link_fd(a->link)) == 0);
	must(uv_timer_init(&a->loop, &a->tick) == 0);
	must(uv_timer_init(&a->loop, &a->nap) == 0);
	must(uv_timer_init(&a->loop, &a->goodbye) == 0);
	must(uv_signal_init(&a->loop, &a->sigterm) == 0);
	must(uv_signal_init(&a->loop, &a->sigint) == 0);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		own[i]->data = a;
	uv_poll_start(&a->helper, UV_READABLE, on_helper);
	uv_signal_start(&a->sigterm, on_signal, SIGTERM);
	uv_signal_start(&a->sigint, on_signal, SIGINT);
}

/* Everything that can fail, in the order in which its failure should be told. */
static int agent_open(struct agent *a, struct why *why)
{
	struct link_start start;
	struct sockaddr_storage addr = { 0 };
	int r;

	if (address_read(&addr, a->options.collector, why) < 0)
		return EXIT_USAGE;
	if (privilege_check(a->options.netns_count > 0 || a->options.netns_all, why) < 0)
		return EXIT_PRIVILEGE;
	if (state_open(&a->state, a->options.state, why) < 0)
		return EXIT_FAILURE;
	if (!boot_id_read(a->boot_id)) {
		why_set(why, 0, "the kernel does not tell its boot id");
		return EXIT_FAILURE;
	}
	if (notes_open(&a->notes, a->options.state, a->boot_id, why) < 0)
		return EXIT_FAILURE;
	start = (struct link_start){ .all = a->options.netns_all,
				     .netns = (const char *const *)a->options.netns,
				     .netns_count = a->options.netns_count,
				     .fallback = a->options.fallback,
				     .fallback_only = a->options.fallback_only };
	memcpy(&start.agent, a->state.instance, sizeof(start.agent));
	r = link_open(&a->link, &start, why);
	if (r < 0 || privilege_drop(why) < 0)
		return EXIT_FAILURE;
	if (spool_new(&a->spool, SPOOL_MAX) < 0) {
		why_set(why, 0, "out of memory");
		return EXIT_FAILURE;
	}
	loop_open(a);
	a->env = (struct host_env){
		.arg = a,
		.link = a->link,
		.helper_pid = (uint32_t)link_pid(a->link),
		.spool = a->spool,
		.allow_trace = a->options.allow_trace,
		.lease_seconds = a->options.lease_seconds,
		.counters_seconds = a->options.counters_seconds,
		.conntrack_rate = a->options.conntrack_rate,
		.log_groups = a->options.log_groups,
		.log_group_count = a->options.log_group_count,
		.fallback = a->options.fallback || a->options.fallback_only,
		.lease_rate = a->options.lease_rate,
		.watch = watch_source,
		.unwatch = unwatch_source,
		.have = env_have,
		.flush = env_flush,
		.note = env_note,
		.noted = env_noted,
		.say = env_say,
		.sources = env_sources,
	};
	r = hosts_open(&a->hosts, &a->options, &a->env, on_hosts_changed, a, why);
	if (r == 0)
		r = events_open(&a->events, &a->hosts, a->link,
				&(struct events_env){ .arg = a,
						      .drops_rate = a->options.drops_rate,
						      .watch = watch_ring,
						      .changed = on_changed });
	if (r == 0) {
		a->env.audit = events_audit(a->events);
		r = uplink_open(&a->uplink, &a->loop, (struct sockaddr *)&addr, a->spool,
				&uplink_ops, a);
	}
	if (r < 0) {
		end(a, EXIT_FAILURE);
		uv_run(&a->loop, UV_RUN_DEFAULT);
		return EXIT_FAILURE;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct agent a = { .state.fd = -1, .notes.fd = -1 };
	struct why why = { "" };
	int status;

	/* One small heap that gives back what it does not need. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	signal(SIGPIPE, SIG_IGN);
	if (options_read(&a.options, argc, argv, &why) < 0) {
		say(why.text);
		options_clear(&a.options);
		return EXIT_USAGE;
	}
	if (a.options.help || a.options.version) {
		if (a.options.help)
			options_usage(stdout);
		else
			printf("lasthop-agent %s\n", LASTHOP_VERSION);
		options_clear(&a.options);
		return 0;
	}

	a.started = boot_now();
	status = agent_open(&a, &why);
	if (status == 0) {
		settle(&a);
		uv_run(&a.loop, UV_RUN_DEFAULT);
		must(uv_loop_close(&a.loop) == 0);
		status = a.status;
	} else {
		say(why.text);
	}
	link_free(a.link, GOODBYE_MS);
	spool_free(a.spool);
	events_free(a.events);
	hosts_free(&a.hosts);
	notes_clear(&a.notes);
	state_clear(&a.state);
	options_clear(&a.options);
	return status;
}
