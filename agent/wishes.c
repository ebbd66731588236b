#include "agent/wishes.h"

#include <stdio.h>
#include <string.h>

#include "common/content.h"

/* The hosts' wishes. */

static void env_watch(void *arg, struct host *h, struct source *s)
{
	struct agent *a = arg;

	watches_add(&a->watches, h, s);
}

static void env_unwatch(void *arg, struct source *s)
{
	struct agent *a = arg;

	watches_remove(&a->watches, s);
}

static void env_have(void *arg, const struct content_id *ids, uint32_t count)
{
	struct agent *a = arg;

	uplink_have(a->uplink, ids, count);
}

static void env_flush(void *arg)
{
	struct agent *a = arg;

	a->flush = true;
	agent_settle_soon(a);
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

void wishes_of_hosts(struct host_env *env, struct agent *a)
{
	env->arg = a;
	env->watch = env_watch;
	env->unwatch = env_unwatch;
	env->have = env_have;
	env->flush = env_flush;
	env->note = env_note;
	env->noted = env_noted;
	env->say = env_say;
	env->sources = env_sources;
}

void wishes_hosts_changed(void *arg)
{
	struct agent *a = arg;

	if (a->uplink)
		uplink_hosts(a->uplink);
	agent_settle_soon(a);
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
	agent_settle_soon(a);
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

	fputs("lasthop-agent: the collector has lost evidence that it had acknowledged\n", stderr);
	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		r.host = h->index;
		r.loss = (struct loss){ .from = a->started,
					.until = boot_now(),
					.source = "uplink" };
		(void)spool_add(a->spool, &r);
		host_resend(h);
	}
	agent_settle_soon(a);
}

static struct boot_ns up_read_until(void *arg, struct boot_ns now)
{
	struct agent *a = arg;
	struct boot_ns until = now, of;

	for (struct host *h = NULL; (h = hosts_next(&a->hosts, h));) {
		of = host_read_until(h, now);
		if (of.v < until.v)
			until = of;
	}
	return until;
}

static void up_changed(void *arg, bool streaming, const char *why)
{
	struct agent *a = arg;

	if (!streaming) {
		fprintf(stderr, "lasthop-agent: no session with %s: %s\n", a->options.collector,
			why);
		agent_settle_soon(a);
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
	agent_settle_soon(a);
}

const struct uplink_ops wishes_of_uplink = {
	.hello = up_hello,
	.message = up_message,
	.content = up_content,
	.content_end = up_content_end,
	.forgotten = up_forgotten,
	.read_until = up_read_until,
	.changed = up_changed,
};
