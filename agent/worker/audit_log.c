/*
 * On a machine that audits much, most records are of other things: a filter in the kernel keeps all but four types away. Should
 * the rest be too many, another one keeps everything away for a while.
 */
#include "agent/worker/audit_log.h"

#include <stdio.h>
#include <string.h>

enum { RECORDS_RATE = 20000, DRAIN_MAX = 256, CPU_SHARE = 125, LOOK_NS = 100000 };

#define TURN_ON "`auditctl -e 1`, auditd, or audit=1 on the kernel's command line turns it on"

static void changed_state(struct audit_log *l)
{
	for (struct host *h = NULL; (h = hosts_next(l->hosts, h));)
		h->sources_changed = true;
}

static void lose(struct audit_log *l, const struct loss *loss)
{
	for (struct host *h = NULL; (h = hosts_next(l->hosts, h));)
		host_lost(h, loss);
	audit_lost(&l->audit, loss->until);
}

static void on_loss(void *arg, const struct loss *loss)
{
	lose(arg, loss);
}

static void on_record(void *arg, const struct audit_record *r, struct boot_ns now)
{
	struct audit_log *l = arg;
	const enum audit_state was = l->audit.state;

	if (audit_take(&l->audit, r, now))
		l->look = true;
	if (l->audit.state != was)
		changed_state(l);
}

static void rest(struct audit_log *l)
{
	if (audit_listen(l->source.fd, false) < 0)
		return;
	l->audit.listening = false;
	changed_state(l);
}

bool audit_log_read(struct audit_log *l, bool alone)
{
	const struct sink sink = { .arg = l, .audit = on_record, .loss = on_loss };
	int n;

	if (l->opening != OPENING_DONE)
		return false;
	l->audit.alone = alone;
	n = source_drain(&l->source, DRAIN_MAX, &sink);
	if (n < 0) {
		/* The loop still polls its descriptor, which stays open; nothing of it is believed any more. */
		l->opening = OPENING_FAILED;
		l->audit.listening = false;
		snprintf(l->why, sizeof(l->why), "reading it failed: %s", strerror(-n));
		changed_state(l);
		return false;
	}
	for (int i = 0; i < n; i++)
		calm_event(&l->calm);
	if (calm_enough(&l->calm, boot_now()))
		rest(l);
	return n > 0;
}

/* All hosts: the log does not say whose table it was. */
static void look(struct audit_log *l, struct boot_ns now)
{
	int64_t cost = 0;

	for (struct host *h = NULL; (h = hosts_next(l->hosts, h));) {
		host_look(h);
		cost += h->rules.cpu_ns > LOOK_NS ? h->rules.cpu_ns : LOOK_NS;
	}
	l->look = false;
	l->look_at.v = now.v + cost * CPU_SHARE;
}

static void tick_rest(struct audit_log *l, struct boot_ns now)
{
	const bool over = l->calm.resting && !calm_waits(&l->calm, now);
	struct loss loss;

	if (calm_missed(&l->calm, now, over, &loss)) {
		loss.source = source_audit.name;
		lose(l, &loss);
	}
	if (!over)
		return;
	calm_return(&l->calm, now);
	if (l->opening == OPENING_DONE && audit_listen(l->source.fd, true) == 0)
		audit_opened(&l->audit, l->audit.state, now);
	changed_state(l);
}

static void sooner(struct boot_ns *due, struct boot_ns at)
{
	if (at.v && (!due->v || at.v < due->v))
		*due = at;
}

struct boot_ns audit_log_tick(struct audit_log *l, struct boot_ns now)
{
	struct boot_ns due = { 0 };

	tick_rest(l, now);
	if (audit_tick(&l->audit, now))
		changed_state(l);
	if (l->look && l->look_at.v <= now.v)
		look(l, now);
	if (l->look)
		sooner(&due, l->look_at);
	sooner(&due, audit_due(&l->audit));
	sooner(&due, calm_due(&l->calm, now));
	return due;
}

static void on_opened(void *arg, const struct helper_request *q, const struct helper_answer *a,
		      int fd)
{
	static const enum audit_state states[] = { [AUDITING_UNKNOWN] = AUDIT_UNKNOWN,
						   [AUDITING_ON] = AUDIT_ON,
						   [AUDITING_OFF] = AUDIT_OFF };
	struct audit_log *l = arg;

	(void)q;
	changed_state(l);
	if (a->error || fd < 0) {
		l->opening = OPENING_FAILED;
		snprintf(l->why, sizeof(l->why), "%s", a->why);
		return;
	}
	l->opening = OPENING_DONE;
	source_init(&l->source, &source_audit, fd, NULL);
	(void)audit_listen(fd, true); /* else the others are only looked at and left */
	audit_opened(&l->audit, a->value <= AUDITING_OFF ? states[a->value] : AUDIT_UNKNOWN,
		     boot_now());
	l->watch(l->arg, fd);
}

void audit_log_open(struct audit_log *l, struct hosts *hosts, struct link *link,
		    void (*watch)(void *arg, int fd), void *arg)
{
	const struct helper_request q = { .op = HELPER_OPEN, .what = SOURCE_AUDIT };

	*l = (struct audit_log){ .hosts = hosts,
				 .link = link,
				 .watch = watch,
				 .arg = arg,
				 .source.fd = -1,
				 .opening = OPENING_ASKED };
	calm_init(&l->calm, RECORDS_RATE);
	if (link_ask(link, &q, -1, on_opened, l) == 0)
		return;
	l->opening = OPENING_FAILED;
	snprintf(l->why, sizeof(l->why), "the helper could not be asked");
}

bool audit_log_fact(const struct audit_log *l, struct source_fact *f)
{
	*f = (struct source_fact){ .name = source_audit.name, .state = SOURCE_OFF };
	if (l->opening == OPENING_FAILED) {
		f->state = SOURCE_FAILED;
		f->why = l->why;
	} else if (l->calm.resting) {
		f->why =
			"the log has more than 20000 records a second of other things: it rests for a while";
	} else if (l->audit.hidden) {
		f->why =
			"a change had no record while auditing was on: some rule (`auditctl -l`, exclude) keeps NETFILTER_CFG back";
	} else if (l->audit.state == AUDIT_OFF) {
		f->why = "auditing is not on: " TURN_ON;
	} else if (l->audit.state == AUDIT_SILENT) {
		f->why =
			"a change had no record: this is not the initial network namespace, or auditing is not on: " TURN_ON;
	} else if (l->audit.state == AUDIT_UNKNOWN) {
		f->state = SOURCE_READY;
		f->why = "no record has come yet; should auditing not be on: " TURN_ON;
	} else {
		f->state = SOURCE_ON;
	}
	return l->opening == OPENING_DONE || l->opening == OPENING_FAILED;
}

void audit_log_clear(struct audit_log *l)
{
	source_clear(&l->source);
}
