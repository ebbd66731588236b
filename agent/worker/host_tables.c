/*
 * A host's tables are asked for: their texts when they changed, their counters from time to time. Whoever changed a table gets
 * the credit on its record's way to the spool.
 */
#include "agent/worker/host_tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/worker/audit.h"
#include "agent/worker/host_inner.h"
#include "agent/worker/host_lease.h"
#include "agent/worker/host_sets.h"

/*
 * That the tables stood at a time tells the collector, too, that what happened here until then has been told: it is held back until
 * the sources are read that far. One that comes meanwhile waits behind it.
 */
static void hold(struct host *h, struct boot_ns at)
{
	if (h->checked.v)
		h->checked_next = at;
	else
		h->checked = at;
	tables_tell(h, boot_now());
}

void tables_tell(struct host *h, struct boot_ns now)
{
	struct record r = { .kind = RECORD_RULESET_CHECKED };

	if (!h->checked.v || host_read_until(h, now).v < h->checked.v)
		return;
	r.checked.at = h->checked;
	h->checked = h->checked_next;
	h->checked_next.v = 0;
	host_emit(h, &r);
	h->env->flush(h->env->arg);
}

/* Changes that one read has shown. The next read is not made before they are told. */
struct held {
	struct boot_ns until; /* 0: none is held */
	uint32_t shown, showing, count;
	struct {
		struct ruleset_fact fact;
		char table[TABLE_NAME_MAX + 1];
	} list[RULESET_TABLES_MAX];
};

static void emit_credited(struct host *h, const struct ruleset_fact *f, uint32_t shown,
			  uint32_t showing)
{
	struct record r = { .kind = RECORD_RULESET, .ruleset = *f };

	if (host_changes(h))
		changes_credit(h->changes, h->env->audit, h->index, &r.ruleset, shown, showing);
	host_emit(h, &r);
}

/* False: it is to be told at once. */
static bool await(struct host *h, const struct ruleset_fact *f)
{
	if (!h->held)
		h->held = calloc(1, sizeof(*h->held));
	if (!h->held || h->held->count == RULESET_TABLES_MAX)
		return false;
	h->held->shown = h->rules.shown;
	h->held->showing = h->rules.showing;
	h->held->until.v = boot_now().v + (int64_t)AUDIT_WAIT_MS * NS_PER_MS;
	h->held->list[h->held->count].fact = *f;
	snprintf(h->held->list[h->held->count].table, sizeof(h->held->list[0].table), "%s",
		 f->table);
	h->held->count++;
	return true;
}

static void emit_borrowed(void *arg, const struct record *r)
{
	struct record copy = *r;
	struct host *h = arg;
	bool changed = r->kind == RECORD_RULESET && r->ruleset.before.v;

	if (r->kind == RECORD_RULESET_CHECKED) {
		hold(h, r->checked.at);
		return;
	}
	if (changed && h->env->audit && r->ruleset.backend == BACKEND_LEGACY)
		audit_show(h->env->audit, h->index, &r->ruleset);
	if (changed && audit_awaited(h->env->audit, r->ruleset.backend) && await(h, &r->ruleset))
		return;
	if (r->kind == RECORD_RULESET)
		emit_credited(h, &r->ruleset, h->rules.shown, h->rules.showing);
	else
		host_emit(h, &copy);
}

static bool awaits(const struct host *h)
{
	return h->held && h->held->count;
}

void tables_release(struct host *h)
{
	if (!awaits(h))
		return;
	for (uint32_t i = 0; i < h->held->count; i++) {
		h->held->list[i].fact.table = h->held->list[i].table;
		emit_credited(h, &h->held->list[i].fact, h->held->shown, h->held->showing);
	}
	h->held->count = 0;
	h->env->flush(h->env->arg);
}

static void on_rules(void *arg, const struct helper_request *q, const struct helper_answer *a,
		     int fd)
{
	struct host *h = arg;
	bool was_failed = h->rules.why[0] != '\0', was_known = h->rules.known;
	bool noted = h->rules.note[0] != '\0';

	(void)q;
	if (rules_take(&h->rules, a, fd, h->index, emit_borrowed, h)) {
		if (fd >= 0)
			h->env->have(h->env->arg, h->rules.ids, h->rules.newest.count);
		h->env->flush(h->env->arg);
	}
	if (was_failed != (h->rules.why[0] != '\0') || !was_known ||
	    noted != (h->rules.note[0] != '\0'))
		h->sources_changed = true;
	if (fd >= 0)
		counting_soon(&h->counting, boot_now());
	/* One that was named may be named no more, and another one instead. */
	if (fd >= 0 && (h->rules.names_sets || h->sets))
		sets_begin(h);
	/* Joining its group where nf_tables is not loaded would load it. */
	if (h->rules.generation)
		host_open(h, SLOT_CHANGES_NFT);
	/* A rule may have brought connection tracking with it. */
	if (fd >= 0 && h->opening[SLOT_CONNTRACK] == OPENING_FAILED)
		host_open(h, SLOT_CONNTRACK);
	leases_advance(h);
}

static void on_counters(void *arg, const struct helper_request *q, const struct helper_answer *a,
			int fd)
{
	struct host *h = arg;
	bool was_failed = h->counting.why[0] != '\0', told = h->counting.tell;
	bool stands;

	(void)q;
	h->rules.asked = false;
	told |= h->rules.check_wanted;
	stands = rules_check(&h->rules, a, h->index, emit_borrowed, h);
	counting_take(&h->counting, a, fd, stands ? &h->rules : NULL, h->index, emit_borrowed, h);
	if (was_failed != (h->counting.why[0] != '\0'))
		h->sources_changed = true;
	if (told)
		h->env->flush(h->env->arg);
	leases_advance(h);
}

/* When to look at the tables next: a read of the counters tells whether rules have changed, too, so both wait for each other. */
static struct boot_ns next_read(const struct host *h)
{
	const struct boot_ns rules = rules_due(&h->rules), counters = h->counting.due;

	if (!h->rules.known || h->rules.stale || h->counting.seconds == 0 ||
	    rules.v <= counters.v + h->rules.every / 2)
		return rules;
	return counters;
}

void tables_ask(struct host *h, struct boot_ns now)
{
	struct helper_request q = rules_request(&h->rules, h->index);
	link_answer *done = on_rules;

	if (awaits(h) && h->held->until.v <= now.v)
		tables_release(h);
	if (h->rules.asked || awaits(h) || next_read(h).v > now.v)
		return;
	if (h->rules.known && !h->rules.stale &&
	    counting_due(&h->counting, now, h->rules.every / 2)) {
		q = counting_request(&h->rules, h->index);
		done = on_counters;
	}
	h->rules.asked = link_ask(h->env->link, &q, -1, done, h) == 0;
}

struct boot_ns tables_due(const struct host *h, struct boot_ns now)
{
	if (awaits(h))
		return h->held->until;
	if (h->rules.asked)
		return (struct boot_ns){ 0 };
	return next_read(h).v ? next_read(h) : now;
}

void tables_ended(struct host *h)
{
	struct record r = { .kind = RECORD_RULESET_CHECKED, .checked.at = h->rules.last };

	if (h->rules.known)
		host_emit(h, &r);
}

void tables_resend(struct host *h)
{
	tables_release(h);
	rules_resend(&h->rules, h->index, emit_borrowed, h);
}
