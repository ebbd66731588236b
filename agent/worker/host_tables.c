/*
 * A host's tables are asked for: their texts when they changed, their counters from time to time. Whoever changed a table gets
 * the credit on its record's way to the spool.
 */
#include "agent/worker/host_tables.h"

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

static void emit_borrowed(void *arg, const struct record *r)
{
	struct record copy = *r;
	struct host *h = arg;

	if (r->kind == RECORD_RULESET_CHECKED) {
		hold(h, r->checked.at);
		return;
	}
	if (r->kind == RECORD_RULESET && h->changes)
		changes_credit(h->changes, &copy.ruleset, h->rules.shown, h->rules.showing);
	host_emit(h, &copy);
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
	const struct boot_ns rules = h->rules.due, counters = h->counting.due;

	if (!h->rules.known || h->counting.seconds == 0 ||
	    rules.v <= counters.v + h->rules.every / 2)
		return rules;
	return counters;
}

void tables_ask(struct host *h, struct boot_ns now)
{
	struct helper_request q = rules_request(&h->rules, h->index);
	link_answer *done = on_rules;

	if (h->rules.asked || next_read(h).v > now.v)
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
	if (h->rules.asked)
		return (struct boot_ns){ 0 };
	return next_read(h).v ? next_read(h) : now;
}

void tables_resend(struct host *h)
{
	rules_resend(&h->rules, h->index, emit_borrowed, h);
}
