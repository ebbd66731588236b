/*
 * lasthop-agent, the worker: reads what the helper's sockets say, and ships it. The way of the data: a source's
 * descriptor becomes readable (watches.c), host_readable() decodes it and puts records into the spool, settle()
 * closes batches that are due, and the uplink sends them.
 *
 * This file starts, drives and stops the loop; what hosts and session ask of it is in wishes.c, everything else in worker/.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/wishes.h"
#include "agent/worker/privilege.h"
#include "common/must.h"

enum { EXIT_USAGE = 2, EXIT_PRIVILEGE = 77 };

enum {
	UNREACHABLE_S = 30, /* without the collector leases end */
	GOODBYE_MS = 1000,
	TRIM_S = 10,
	BEHIND_MS = 250, /* that the collector hears of at once */
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

	/* The uplink and the watches close their own. */
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
	watches_close(&a->watches);
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

static void on_read(void *arg)
{
	settle(arg);
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

void agent_settle_soon(struct agent *a)
{
	if (!a->over)
		uv_timer_start(&a->tick, on_tick, 0, 0);
}

/* Descriptors. */

static void watch_ring(void *arg, enum events_source source, int fd)
{
	struct agent *a = arg;

	watches_ring(&a->watches, a->events, source, fd);
}

static void on_changed(void *arg, struct host *h, const struct table_change *c)
{
	(void)arg;
	host_changed(h, c);
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
		(uv_handle_t *)&a->helper,  (uv_handle_t *)&a->tick,   (uv_handle_t *)&a->goodbye,
		(uv_handle_t *)&a->sigterm, (uv_handle_t *)&a->sigint,
	};

	must(uv_loop_init(&a->loop) == 0);
	must(uv_poll_init(&a->loop, &a->helper, link_fd(a->link)) == 0);
	must(uv_timer_init(&a->loop, &a->tick) == 0);
	watches_init(&a->watches, &a->loop, on_read, a);
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
	};
	wishes_of_hosts(&a->env, a);
	r = hosts_open(&a->hosts, &a->options, &a->env, wishes_hosts_changed, a, why);
	if (r == 0)
		r = events_open(&a->events, &a->hosts, a->link,
				&(struct events_env){ .arg = a,
						      .drops_rate = a->options.drops_rate,
						      .watch = watch_ring,
						      .changed = on_changed });
	if (r == 0) {
		a->env.audit = events_audit(a->events);
		r = uplink_open(&a->uplink, &a->loop, (struct sockaddr *)&addr, a->spool,
				&wishes_of_uplink, a);
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
