/*
 * Sources open by asking the helper and are told once their answer is there. Whatever loses something makes a record of
 * it; what can be made good by reading anew (conntrack, facts) is read anew, but not more often than the
 * machine can bear.
 */
#include "agent/worker/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/source/host.h"
#include "agent/source/nflog.h"
#include "agent/worker/host_inner.h"
#include "agent/worker/host_lease.h"
#include "agent/worker/host_list.h"
#include "agent/worker/host_sets.h"
#include "agent/worker/host_tables.h"

enum {
	FACTS_PAUSE_MS = 200, /* changes come in bursts */
	FACTS_SHARE =
		100, /* of a core: a full routing table that changes all the time costs no more */
	FACTS_LATE_MS = 1000, /* facts that a change made wrong for so long are a loss */
	DUMP_PAUSE_S = 30,    /* between two dumps of conntrack */
	REOPEN_S = 60,
	STATS_S = 10,
	ASSEMBLER_MS = 50,
};

static const struct slot_info {
	const struct source_ops *ops;
	uint32_t op, what;
} slots[SLOT_COUNT] = {
	[SLOT_CONNTRACK] = { &source_conntrack, HELPER_OPEN, SOURCE_CONNTRACK },
	[SLOT_HOST] = { &source_host, HELPER_OPEN, SOURCE_HOST },
	[SLOT_DUMP] = { &source_conntrack, HELPER_DUMP, DUMP_CONNTRACK },
	[SLOT_LEGACY] = { &source_trace_legacy, HELPER_OPEN, SOURCE_TRACE_LEGACY },
	[SLOT_NFT] = { &source_trace_nft, HELPER_OPEN, SOURCE_TRACE_NFT },
	[SLOT_CHANGES_NFT] = { &source_changes_nft, HELPER_OPEN, SOURCE_CHANGES_NFT },
	[SLOT_STATS] = { &source_stats, HELPER_DUMP, DUMP_STATS },
	[SLOT_NFLOG] = { &source_nflog, HELPER_OPEN, SOURCE_NFLOG },
};

static struct boot_ns after_ms(struct boot_ns now, int64_t ms)
{
	return (struct boot_ns){ now.v + ms * NS_PER_MS };
}

static void sooner(struct boot_ns *due, struct boot_ns at)
{
	if (at.v && (due->v == 0 || at.v < due->v))
		*due = at;
}

const char *host_slot_name(enum slot slot)
{
	return slots[slot].ops->name;
}

void host_emit(struct host *h, struct record *r)
{
	r->host = h->index;
	/* What is refused the spool counts itself. */
	(void)spool_add(h->env->spool, r);
}

/* What the sources tell. */

/* A trace of nftables names its chain only; where that stands, the texts say. */
static void place_nft(const struct host *h, struct trace_event *e)
{
	const struct basechain *c =
		basechains_find(&h->rules.chains, e->step.family, e->step.table, e->step.chain);

	if (!c)
		return;
	e->step.hook = c->hook;
	e->priority = c->priority;
	e->priority_known = true;
}

static void on_trace(void *arg, struct trace_event *e)
{
	struct host *h = arg;
	char prefix[FORGED_TEXT_MAX];

	if (forged_like(&h->rules.forged, &e->step))
		forged_to_log(e, prefix);
	else if (e->step.backend == BACKEND_NATIVE && !e->step.checkpoint)
		place_nft(h, e);
	else if (h->env->fallback && !ours_correct(&h->ours, e))
		return;
	assembler_add(h->assembler, e);
	if (!h->assembler_due.v)
		h->assembler_due = after_ms(e->received, ASSEMBLER_MS);
}

struct changes *host_changes(struct host *h)
{
	if (!h->changes)
		h->changes = calloc(1, sizeof(*h->changes));
	return h->changes;
}

void host_changed(struct host *h, const struct table_change *c)
{
	if (host_changes(h))
		changes_note(h->changes, c);
	host_look(h);
}

void host_look(struct host *h)
{
	/* A read that is under way may have begun before. */
	h->rules.again = h->rules.asked;
	h->rules.due.v = 0;
}

void host_drop(struct host *h, struct trace_event *e)
{
	on_trace(h, e);
}

static void on_conn(void *arg, const struct conn *c)
{
	struct record r = { .kind = RECORD_CONN, .conn = *c };
	struct host *h = arg;

	if (c->event != CONN_DUMP)
		calm_event(&h->calm);
	host_emit(h, &r);
}

/* The first one after another is made at once: what was missed so soon is missed as much. */
static void want_dump(struct host *h, struct boot_ns now)
{
	struct boot_ns at = now;

	if (h->dump_again.v && h->dump_again.v + (int64_t)DUMP_PAUSE_S * NS_PER_S > now.v)
		at.v = h->dump_again.v + (int64_t)DUMP_PAUSE_S * NS_PER_S;
	sooner(&h->dump_due, at);
}

/* Dumps the facts at that time, or as soon as the last dump is paid for. */
static void want_facts(struct host *h, struct boot_ns at)
{
	sooner(&h->facts_due, at.v < h->facts_from.v ? h->facts_from : at);
}

static void on_loss(void *arg, const struct loss *l)
{
	struct host *h = arg;
	struct record r = { .kind = RECORD_LOSS, .loss = *l };

	host_emit(h, &r);
	if (strcmp(l->source, source_conntrack.name) == 0)
		want_dump(h, l->until);
	if (strcmp(l->source, source_host.name) == 0)
		want_facts(h, after_ms(l->until, FACTS_PAUSE_MS));
	if (host_changes(h))
		changes_lost(h->changes, l);
}

void host_lost(struct host *h, const struct loss *l)
{
	on_loss(h, l);
}

static void on_facts_changed(void *arg)
{
	struct host *h = arg;
	struct boot_ns now = boot_now();

	sooner(&h->facts_changed, now);
	want_facts(h, after_ms(now, FACTS_PAUSE_MS));
}

static uint64_t hash_bytes(uint64_t hash, const void *p, size_t len)
{
	for (const uint8_t *b = p; len > 0; len--)
		hash = (hash ^ *b++) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t facts_hash(const struct facts *f)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	hash = hash_bytes(hash, &f->forward4, sizeof(f->forward4));
	hash = hash_bytes(hash, &f->forward6, sizeof(f->forward6));
	hash = hash_bytes(hash, f->links, f->link_count * sizeof(*f->links));
	hash = hash_bytes(hash, f->addrs, f->addr_count * sizeof(*f->addrs));
	hash = hash_bytes(hash, f->routes, f->route_count * sizeof(*f->routes));
	hash = hash_bytes(hash, &f->rp_filter, sizeof(f->rp_filter));
	return hash_bytes(hash, f->rules, f->rule_count * sizeof(*f->rules));
}

/* A change waited for this dump: what the facts said meanwhile was not so. */
static void tell_stale(struct host *h, struct boot_ns now)
{
	struct record r = { .kind = RECORD_LOSS,
			    .loss = { .from = h->facts_stale, .until = now, .source = "host" } };

	if (h->facts_stale.v && now.v - h->facts_stale.v > FACTS_LATE_MS * NS_PER_MS)
		host_emit(h, &r);
	h->facts_stale.v = 0;
}

static void on_facts(void *arg, const struct facts *f)
{
	struct host *h = arg;
	struct record r = { .kind = RECORD_FACTS, .facts = *f };
	uint64_t hash = facts_hash(f);

	tell_stale(h, f->at);
	ifnames_clear(&h->names);
	for (uint32_t i = 0; i < f->link_count; i++)
		ifnames_set(&h->names, f->links[i].ifindex, f->links[i].name);
	if (hash == h->facts_hash)
		return;
	h->facts_hash = hash;
	host_emit(h, &r);
}

static void on_link(void *arg, int32_t ifindex, const char *name)
{
	struct host *h = arg;

	ifnames_set(&h->names, ifindex, name);
}

static void on_done(void *arg, int error)
{
	struct host *h = arg;
	struct loss l = { .from = h->dump_last, .until = boot_now(), .source = "conntrack" };

	/* Its socket is being read: host_readable() closes it. */
	h->dump_done = true;
	if (error < 0) {
		on_loss(h, &l);
		return;
	}
	/* Its entries have been told: what is told next may say so. */
	h->whole_from = h->dump_last;
	sooner(&h->stats_due, l.until);
}

/*
 * Tables of leases are no change of the admin's. The kernel tells pids as the first pid namespace has them, so that in a container
 * only the name tells our helper.
 */
static bool is_ours(const struct host *h, const struct table_change *c)
{
	return c->pid == h->env->helper_pid || strcmp(c->program, "lasthop-helper") == 0;
}

static void on_changed(void *arg, const struct table_change *c)
{
	struct host *h = arg;

	if (!is_ours(h, c))
		host_changed(h, c);
	else if (host_changes(h))
		changes_heard(h->changes, c->generation);
}

static void on_stats(void *arg, const struct conntrack_stats *s)
{
	struct host *h = arg;
	struct record r = { .kind = RECORD_STATS, .stats = *s };

	h->stats_done = true;
	h->stats.at = s->at;
	if (memcmp(&h->stats, s, sizeof(*s)) == 0 && !h->whole_from.v)
		return;
	h->stats = *s;
	r.stats.whole_from = h->whole_from;
	h->whole_from.v = 0;
	host_emit(h, &r);
}

static struct sink sink_of(struct host *h)
{
	return (struct sink){
		.arg = h,
		.trace = on_trace,
		.conn = on_conn,
		.loss = on_loss,
		.facts_changed = on_facts_changed,
		.facts = on_facts,
		.link = on_link,
		.done = on_done,
		.changed = on_changed,
		.stats = on_stats,
	};
}

/* Opening and closing. */

/* What came while the events were not followed is lost; the table is read anew in any case. */
static void tell_missed(struct host *h, struct boot_ns now, bool all)
{
	struct record r = { .kind = RECORD_LOSS };

	if (calm_missed(&h->calm, now, all, &r.loss))
		host_emit(h, &r);
}

static enum slot slot_of(const struct helper_request *q)
{
	for (int i = 0; i < SLOT_COUNT; i++) {
		if (slots[i].op == q->op && slots[i].what == q->what)
			return (enum slot)i;
	}
	return SLOT_COUNT;
}

static void on_opened(void *arg, const struct helper_request *q, const struct helper_answer *a,
		      int fd)
{
	struct host *h = arg;
	enum slot slot = slot_of(q);
	struct boot_ns now = boot_now();

	h->sources_changed |= slot != SLOT_DUMP && slot != SLOT_STATS;
	if (slot == SLOT_CONNTRACK) {
		h->unloaded = a->error == -ENOENT;
		tell_missed(h, now, true);
		calm_return(&h->calm, now);
	}
	if (a->error || fd < 0) {
		h->opening[slot] = OPENING_FAILED;
		snprintf(h->whys[slot], sizeof(h->whys[slot]), "%s", a->why);
		if (slot == SLOT_CONNTRACK || slot == SLOT_HOST)
			h->conntrack_due = after_ms(now, REOPEN_S * 1000);
	} else {
		h->opening[slot] = OPENING_DONE;
		h->whys[slot][0] = '\0';
		source_init(&h->sources[slot], slots[slot].ops, fd, &h->names);
		h->env->watch(h->env->arg, h, &h->sources[slot]);
	}
	if (slot == SLOT_NFLOG)
		logs_opened(&h->logs, h->env, a, h->opening[slot] == OPENING_DONE, now);
	if (slot == SLOT_HOST)
		want_facts(h, now);
	if (slot == SLOT_CONNTRACK && h->opening[slot] == OPENING_DONE)
		want_dump(h, now);
	if (slot == SLOT_DUMP) {
		if (h->dump_last.v)
			h->dump_again = now;
		h->dump_last = now;
		if (h->opening[slot] == OPENING_FAILED || h->calm.resting)
			want_dump(h, now);
	}
	if (slot == SLOT_LEGACY || slot == SLOT_NFT)
		leases_advance(h);
}

void host_open(struct host *h, enum slot slot)
{
	struct helper_request q = { .op = slots[slot].op,
				    .netns = h->index,
				    .what = slots[slot].what };

	if (h->opening[slot] == OPENING_ASKED || h->opening[slot] == OPENING_DONE)
		return;
	if (slot == SLOT_CONNTRACK && calm_waits(&h->calm, boot_now()))
		return;
	if (slot == SLOT_NFLOG) {
		q.group_count = h->env->log_group_count;
		memcpy(q.groups, h->env->log_groups, q.group_count * sizeof(*q.groups));
	}
	h->opening[slot] =
		link_ask(h->env->link, &q, -1, on_opened, h) < 0 ? OPENING_FAILED : OPENING_ASKED;
}

void host_close(struct host *h, enum slot slot)
{
	struct source *s = &h->sources[slot];

	if (s->fd >= 0) {
		h->env->unwatch(h->env->arg, s);
		source_clear(s);
	}
	if (h->opening[slot] != OPENING_NO && slot != SLOT_DUMP && slot != SLOT_STATS)
		h->sources_changed = true;
	h->opening[slot] = OPENING_NO;
}

/* Too many connections come to follow each: the source is closed until it has calmed down. */
static void rest(struct host *h, struct boot_ns now)
{
	host_close(h, SLOT_CONNTRACK);
	h->opening[SLOT_CONNTRACK] = OPENING_FAILED;
	snprintf(
		h->whys[SLOT_CONNTRACK], sizeof(h->whys[SLOT_CONNTRACK]),
		"more than %u connections a second began and ended (conntrack_rate): the table is read every %d s instead",
		h->env->conntrack_rate, DUMP_PAUSE_S);
	want_dump(h, now);
}

/* Reads on, and puts down what a dump of facts costs. */
static int drain(struct host *h, struct source *s, int max, const struct sink *sink)
{
	bool facts = s == &h->sources[SLOT_HOST] && host_dumping(s);
	int64_t begun = facts ? thread_cpu_ns() : 0;
	int r = source_drain(s, max, sink);

	if (facts) {
		h->facts_cost += thread_cpu_ns() - begun;
		h->facts_from.v = h->facts_asked.v + FACTS_SHARE * h->facts_cost;
	}
	return r;
}

/* The next dump of facts begins; what changes from now on it may not tell. */
static void ask_facts(struct host *h, struct boot_ns now)
{
	int64_t begun = thread_cpu_ns();
	int r;

	h->facts_asked = now;
	sooner(&h->facts_stale, h->facts_changed);
	h->facts_changed.v = 0;
	r = host_dump(&h->sources[SLOT_HOST]);
	h->facts_cost = thread_cpu_ns() - begun;
	if (r < 0)
		h->facts_due = after_ms(now, REOPEN_S * 1000);
}

int host_readable(struct host *h, struct source *s, int max)
{
	struct sink sink = sink_of(h);
	struct loss l = { .from = s->last, .source = s->ops->name };
	enum slot slot = (enum slot)(s - h->sources);
	int r;

	r = drain(h, s, max, &sink);
	if (slot == SLOT_STATS && (h->stats_done || r < 0)) {
		h->stats_done = false;
		host_close(h, SLOT_STATS); /* what one read does not tell the next one will */
		return 0;
	}
	if (h->dump_done && slot == SLOT_DUMP) {
		h->dump_done = false;
		host_close(h, SLOT_DUMP);
		return 0;
	}
	if (r >= 0 && slot == SLOT_CONNTRACK && calm_enough(&h->calm, boot_now())) {
		rest(h, h->calm.told);
		return 0;
	}
	if (r >= 0)
		return r;
	/* The socket is of no use any more: what comes now is lost until it is opened again. */
	host_close(h, slot);
	h->opening[slot] = OPENING_FAILED;
	snprintf(h->whys[slot], sizeof(h->whys[slot]), "reading it failed: %s", strerror(-r));
	l.until = boot_now();
	on_loss(h, &l);
	if (slot == SLOT_NFLOG)
		h->logs.due = after_ms(l.until, LOGS_AGAIN_S * 1000);
	else
		h->conntrack_due = after_ms(l.until, REOPEN_S * 1000);
	return 0;
}

struct boot_ns host_read_until(struct host *h, struct boot_ns now)
{
	static const enum slot evidence[] = { SLOT_CONNTRACK, SLOT_LEGACY, SLOT_NFT, SLOT_NFLOG };
	struct boot_ns until = now;

	for (size_t i = 0; i < sizeof(evidence) / sizeof(evidence[0]); i++)
		sooner(&until, source_read_until(&h->sources[evidence[i]], now));
	return until;
}

static void tell_sources(struct host *h, struct boot_ns now)
{
	struct source_fact list[HOST_SOURCES_MAX];
	struct record r = { .kind = RECORD_SOURCES, .sources = { now, 0, list } };
	char line[SAID_TEXT_MAX];
	uint32_t said;

	if (!sources_list(h, list, &r.sources.count, &said))
		return;
	h->sources_changed = false;
	host_emit(h, &r);
	for (uint32_t i = 0; i < said; i++)
		if (said_line(&h->said, &list[i], line))
			h->env->say(h->env->arg, h, line);
}

/* Time. */

static void on_journey(void *arg, const struct journey *j)
{
	struct host *h = arg;
	struct record r = { .kind = RECORD_JOURNEY, .journey = *j };

	h->rules.check_wanted = true;
	host_emit(h, &r);
}

static void tick_assembler(struct host *h, struct boot_ns now)
{
	struct assembler_losses lost;
	struct record r = { .kind = RECORD_LOSS };

	if (!h->assembler_due.v || h->assembler_due.v > now.v)
		return;
	h->assembler_due.v =
		assembler_tick(h->assembler, now) ? now.v + ASSEMBLER_MS * NS_PER_MS : 0;
	lost = assembler_losses(h->assembler);
	if (lost.orphans + lost.early == 0)
		return;
	r.loss = (struct loss){ .from = lost.since,
				.until = now,
				.source = "journey",
				.count_known = true,
				.count = lost.orphans + lost.early };
	host_emit(h, &r);
}

/* What was logged beyond the rate that is told one by one. */
static void tell_excess(struct host *h, struct boot_ns now)
{
	struct record r = { .kind = RECORD_LOSS };

	if (nflog_excess(&h->sources[SLOT_NFLOG], now, &r.loss))
		host_emit(h, &r);
}

/* Events of raw that came while our rules there changed. */
static void tell_left_out(struct host *h, struct boot_ns now)
{
	struct record r = { .kind = RECORD_LOSS };

	if (ours_lost(&h->ours, now, &r.loss))
		host_emit(h, &r);
}

static bool is_due(struct boot_ns *at, struct boot_ns now)
{
	if (!at->v || at->v > now.v)
		return false;
	at->v = 0;
	return true;
}

static bool may_dump(const struct host *h)
{
	return (h->opening[SLOT_CONNTRACK] == OPENING_DONE || h->calm.resting) &&
	       (h->opening[SLOT_DUMP] == OPENING_NO || h->opening[SLOT_DUMP] == OPENING_FAILED);
}

/* Where connections are not tracked there is nothing to ask. */
static bool may_ask_stats(const struct host *h)
{
	return (h->opening[SLOT_CONNTRACK] == OPENING_DONE || h->calm.resting) &&
	       h->opening[SLOT_STATS] != OPENING_ASKED;
}

/* A read that has not ended by now never will. */
static void ask_stats(struct host *h, struct boot_ns now)
{
	if (!may_ask_stats(h) || h->stats_due.v > now.v)
		return;
	h->stats_due = after_ms(now, STATS_S * 1000);
	host_close(h, SLOT_STATS);
	host_open(h, SLOT_STATS);
}

struct boot_ns host_tick(struct host *h, struct boot_ns now)
{
	struct boot_ns due = { 0 };

	if (h->opening[SLOT_HOST] == OPENING_DONE && is_due(&h->facts_due, now))
		ask_facts(h, now);
	if (may_dump(h) && is_due(&h->dump_due, now))
		host_open(h, SLOT_DUMP);
	if (is_due(&h->conntrack_due, now)) {
		host_open(h, SLOT_CONNTRACK);
		host_open(h, SLOT_HOST);
	}
	ask_stats(h, now);
	if (is_due(&h->logs.due, now))
		host_open(h, SLOT_NFLOG);
	tell_excess(h, now);
	tell_missed(h, now, false);
	if (h->calm.resting && !calm_waits(&h->calm, now))
		host_open(h, SLOT_CONNTRACK);
	sets_ask(h, now); /* first, so that a check of the tables stands for both */
	tables_tell(h, now);
	tables_ask(h, now);
	tick_assembler(h, now);
	sooner(&due, leases_tick(h, now));
	tell_left_out(h, now);
	if (h->sources_changed)
		tell_sources(h, now);

	if (h->opening[SLOT_HOST] == OPENING_DONE)
		sooner(&due, h->facts_due);
	if (may_dump(h))
		sooner(&due, h->dump_due);
	if (may_ask_stats(h))
		sooner(&due, h->stats_due.v ? h->stats_due : now);
	sooner(&due, h->conntrack_due);
	sooner(&due, h->logs.due);
	sooner(&due, nflog_due(&h->sources[SLOT_NFLOG]));
	sooner(&due, calm_due(&h->calm, now));
	sooner(&due, h->assembler_due);
	sooner(&due, tables_due(h, now));
	sooner(&due, sets_due(h, now));
	return due;
}

int host_init(struct host *h, uint32_t index, const char *id, const struct host_env *env)
{
	int r;

	*h = (struct host){ .index = index, .env = env };
	snprintf(h->id, sizeof(h->id), "%s", id);
	for (int i = 0; i < SLOT_COUNT; i++)
		h->sources[i].fd = -1;
	rules_init(&h->rules, DUMP_RULESET, TABLES_CPU_SHARE);
	calm_init(&h->calm, env->conntrack_rate);
	counting_init(&h->counting, env->counters_seconds);
	r = assembler_new(&h->assembler, env->open_max, on_journey, h);
	if (r < 0)
		return r;
	host_open(h, SLOT_CONNTRACK);
	host_open(h, SLOT_HOST);
	if (env->log_group_count)
		host_open(h, SLOT_NFLOG);
	return 0;
}

int host_content(const struct host *h, const struct content_id *id, const struct ruleset **in)
{
	int at = rules_find(&h->rules, id, in);

	return at < 0 && h->sets ? rules_find(h->sets, id, in) : at;
}

void host_snapshot(struct host *h)
{
	rules_ask(&h->rules);
	sets_snapshot(h);
	counting_now(&h->counting, false);
	want_facts(h, boot_now());
}

void host_resend(struct host *h)
{
	struct boot_ns now = boot_now();

	tables_resend(h);
	sets_resend(h);
	host_snapshot(h);
	counting_now(&h->counting, true);
	h->facts_hash = 0;
	h->stats = (struct conntrack_stats){ 0 };
	h->sources_changed = true;
	want_dump(h, now);
}

void host_clear(struct host *h)
{
	for (int i = 0; i < SLOT_COUNT; i++)
		host_close(h, (enum slot)i);
	assembler_free(h->assembler);
	h->assembler = NULL;
	rules_clear(&h->rules);
	sets_clear(h);
	free(h->changes);
	h->changes = NULL;
	free(h->held);
	h->held = NULL;
	counting_clear(&h->counting);
	ifnames_clear(&h->names);
}

void host_end(struct host *h, const char *why)
{
	struct boot_ns now = boot_now();
	struct source_fact list[HOST_SOURCES_MAX];
	struct record sources = { .kind = RECORD_SOURCES, .sources = { now, 0, list } };
	struct record ended = { .kind = RECORD_ENDED, .ended = { now } };
	uint32_t said;

	leases_lost(h, why);
	tables_release(h);
	assembler_flush(h->assembler);
	tables_ended(h);
	(void)sources_list(h, list, &sources.sources.count, &said);
	for (uint32_t i = 0; i < sources.sources.count; i++) {
		list[i].state = SOURCE_OFF;
		list[i].why = why;
	}
	host_emit(h, &sources);
	host_emit(h, &ended);
	host_clear(h);
	link_forget(h->env->link, h->index);
	h->gone = true;
	h->env->flush(h->env->arg);
}
