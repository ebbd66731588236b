/*
 * WAITING for the trace sockets and the first ruleset -> ASKED of the helper -> ARMED -> STOPPING -> FREE. The trace
 * sockets are open exactly while there are leases. Without nft's trace there are no checkpoints, so no
 * lease; without group 0 the legacy tables stay dark, which the lease says.
 */
#include "agent/worker/host_lease.h"

#include <stdio.h>
#include <string.h>

#include "agent/worker/host_inner.h"

/* We stop a little before the helper would, so that its last counts still come. */
enum { TELL_S = 5, DRAIN_MAX = 65536, LEAD_MS = 100 };

#define OURS_WHY "by rules in table raw: what their limits leave out is not counted"
#define NO_TRACE "remote tracing is off on this host: start its agent with --allow-trace"

/* Asks for something that may change which rules of ours stand in raw. */
static int ask(struct host *h, const struct helper_request *q, link_answer *done)
{
	int r = link_ask(h->env->link, q, -1, done, h);

	if (r == 0 && h->env->fallback)
		ours_asked(&h->ours);
	return r;
}

static void answered(struct host *h, const struct helper_answer *a)
{
	if (h->env->fallback)
		ours_answered(&h->ours, a->value, boot_now());
}

static void lease_tell(struct host *h, const struct host_lease *l, enum lease_state state,
		       const char *why)
{
	struct record r = {
		.kind = RECORD_LEASE,
		.lease = { .at = boot_now(),
			   .id = l->want.id,
			   .state = (uint8_t)state,
			   .modulus = l->want.modulus,
			   .traced = l->traced,
			   .refused = l->refused,
			   .why = why && why[0] ? why : NULL },
	};

	/* Rules in raw select by limits of their own: nobody may say that a packet must have been seen. */
	if (state == LEASE_ARMED && !ours_stand(&h->ours)) {
		r.lease.pattern_count = l->want.pattern_count;
		r.lease.patterns = (struct pattern *)(uintptr_t)l->want.patterns;
	}
	host_emit(h, &r);
	h->env->flush(h->env->arg);
}

static void armed_tell(struct host *h, struct host_lease *l)
{
	char why[WHY_MAX + 1] = "";

	if (h->opening[SLOT_LEGACY] == OPENING_FAILED)
		snprintf(why, sizeof(why), "legacy tables are not seen: %.160s",
			 h->whys[SLOT_LEGACY]);
	if (ours_stand(&h->ours))
		snprintf(why + strlen(why), sizeof(why) - strlen(why), "%s" OURS_WHY,
			 why[0] ? "; " : "");
	l->told_at = boot_now();
	lease_tell(h, l, LEASE_ARMED, why);
}

static struct host_lease *lease_find(struct host *h, uint64_t id)
{
	for (int i = 0; i < LEASES_MAX; i++) {
		if (h->leases[i].state != HOST_LEASE_FREE && h->leases[i].want.id == id)
			return &h->leases[i];
	}
	return NULL;
}

static struct host_lease *lease_new(struct host *h)
{
	for (int i = 0; i < LEASES_MAX; i++) {
		if (h->leases[i].state == HOST_LEASE_FREE)
			return &h->leases[i];
	}
	return NULL;
}

bool host_leased(const struct host *h)
{
	for (int i = 0; i < LEASES_MAX; i++) {
		if (h->leases[i].state != HOST_LEASE_FREE)
			return true;
	}
	return false;
}

static void on_late_loss(void *arg, const struct loss *l)
{
	struct record r = { .kind = RECORD_LOSS, .loss = *l };

	host_emit(arg, &r);
}

/* The last lease has ended: what the kernel still holds for us is read, then the sockets close. */
static void tracing_end(struct host *h)
{
	const enum slot traces[] = { SLOT_LEGACY, SLOT_NFT };
	const struct sink last = { .arg = h, .loss = on_late_loss };

	for (int i = 0; i < 2; i++) {
		struct source *s = &h->sources[traces[i]];

		if (s->fd >= 0)
			host_readable(h, s, DRAIN_MAX);
		if (s->fd >= 0)
			source_finish(s, &last);
		host_close(h, traces[i]);
	}
	if (h->loggers == LOGGERS_NOTED)
		h->env->note(h->env->arg, h->inode, h->loggers_left);
	h->loggers = LOGGERS_LEFT;
	assembler_flush(h->assembler);
	h->assembler_due = boot_now(); /* its losses are still to be told */
}

static void lease_ended(struct host *h, struct host_lease *l, enum lease_state state,
			const char *why)
{
	struct host_lease gone = *l;

	l->state = HOST_LEASE_FREE;
	if (!host_leased(h))
		tracing_end(h);
	lease_tell(h, &gone, state, why);
}

/* New totals from the helper; what the ceiling refused is a loss, with its exact count. */
static void take_totals(struct host *h, struct host_lease *l, const struct helper_answer *a)
{
	struct boot_ns now = boot_now();
	struct record r = {
		.kind = RECORD_LOSS,
		.loss = { .from = l->state_at,
			  .until = now,
			  .source = "trace-limit",
			  .count_known = true,
			  .count = a->refused - l->refused },
	};

	if (a->refused > l->refused)
		host_emit(h, &r);
	if (a->refused >= l->refused && a->traced >= l->traced) {
		l->refused = a->refused;
		l->traced = a->traced;
	}
	l->state_at = now;
}

static void on_stopped(void *arg, const struct helper_request *q, const struct helper_answer *a,
		       int fd)
{
	struct host *h = arg;
	struct host_lease *l = lease_find(h, q->known);

	(void)fd;
	answered(h, a);
	if (!l || l->state != HOST_LEASE_STOPPING)
		return;
	if (!a->error)
		take_totals(h, l, a);
	if (l->again) {
		l->again = false;
		l->state = HOST_LEASE_WAITING;
		leases_advance(h);
		return;
	}
	lease_ended(h, l, LEASE_ENDED, l->why);
}

static void lease_stop(struct host *h, struct host_lease *l, const char *why)
{
	struct helper_request q = { .op = HELPER_STOP, .netns = h->index, .known = l->want.id };

	snprintf(l->why, sizeof(l->why), "%s", why);
	l->again = false;
	switch (l->state) {
	case HOST_LEASE_WAITING:
		lease_ended(h, l, LEASE_ENDED, why);
		break;
	case HOST_LEASE_ARMED:
		l->state = HOST_LEASE_STOPPING;
		if (ask(h, &q, on_stopped) < 0)
			lease_ended(h, l, LEASE_ENDED, why);
		break;
	default:
		break; /* the answer that is under way looks at l->why */
	}
}

static void on_leased(void *arg, const struct helper_request *q, const struct helper_answer *a,
		      int fd)
{
	struct host *h = arg;
	struct host_lease *l = lease_find(h, q->lease.id);

	(void)fd;
	answered(h, a);
	if (!l || l->state != HOST_LEASE_ASKED)
		return;
	if (a->error) {
		/* An older form of it may stand: nobody would renew that. */
		struct helper_request stop = { .op = HELPER_STOP,
					       .netns = h->index,
					       .known = l->want.id };

		(void)ask(h, &stop, on_stopped);
		lease_ended(h, l, LEASE_FAILED, a->why);
		return;
	}
	l->state = HOST_LEASE_ARMED;
	if (l->why[0] != '\0') {
		lease_stop(h, l, l->why);
		return;
	}
	if (!l->state_at.v)
		l->state_at = boot_now();
	armed_tell(h, l);
	if (l->again) {
		l->again = false;
		l->state = HOST_LEASE_WAITING;
		leases_advance(h);
	}
}

static uint32_t site_now(const struct host *h)
{
	return h->rules.site | (h->opening[SLOT_LEGACY] == OPENING_DONE ? 0 : LEASE_BLIND);
}

/* What stands there now may be what a former start left: then what that one found is what was before. */
static uint32_t loggers_before(uint32_t left, uint32_t now)
{
	for (int shift = 0; shift <= 8; shift += 8) {
		if (left && (now >> shift & 0xff) == NF_LOGGER_NFNETLINK)
			now = (now & ~(0xffU << shift)) | (left & 0xffU << shift);
	}
	return now;
}

/* Written down before the helper changes anything: it may be killed together with its guard. */
static void on_loggers(void *arg, const struct helper_request *q, const struct helper_answer *a,
		       int fd)
{
	struct host *h = arg;

	(void)q;
	(void)fd;
	if (!host_leased(h))
		return;
	h->loggers = LOGGERS_NOTED;
	if (!a->error && h->inode)
		h->env->note(h->env->arg, h->inode, loggers_before(h->loggers_left, a->value));
	leases_advance(h);
}

void leases_advance(struct host *h)
{
	struct helper_request q = { .op = HELPER_LEASE, .netns = h->index };
	bool waiting = false;

	for (int i = 0; i < LEASES_MAX; i++) {
		struct host_lease *l = &h->leases[i];

		/* What our table must have comes and goes with what the administrator's have. */
		if (l->state == HOST_LEASE_ARMED && h->rules.known && l->want.site != site_now(h))
			l->state = HOST_LEASE_WAITING;
		waiting |= l->state == HOST_LEASE_WAITING;
	}
	if (!waiting)
		return;
	if (h->opening[SLOT_NFT] == OPENING_NO)
		host_open(h, SLOT_NFT);
	if (h->opening[SLOT_LEGACY] == OPENING_NO)
		host_open(h, SLOT_LEGACY);
	if (h->opening[SLOT_NFT] == OPENING_ASKED || h->opening[SLOT_LEGACY] == OPENING_ASKED)
		return;
	if (!h->rules.known && h->rules.why[0] == '\0')
		return;

	if (h->loggers == LOGGERS_LEFT) {
		struct helper_request loggers = { .op = HELPER_LOGGERS, .netns = h->index };

		if (link_ask(h->env->link, &loggers, -1, on_loggers, h) == 0)
			h->loggers = LOGGERS_ASKED;
	}
	if (h->loggers == LOGGERS_ASKED)
		return;

	for (int i = 0; i < LEASES_MAX; i++) {
		struct host_lease *l = &h->leases[i];

		if (l->state != HOST_LEASE_WAITING)
			continue;
		if (h->opening[SLOT_NFT] != OPENING_DONE &&
		    !(h->env->fallback && h->opening[SLOT_LEGACY] == OPENING_DONE)) {
			char why[WHY_MAX + 1];

			snprintf(why, sizeof(why), "%s", h->whys[SLOT_NFT]);
			lease_ended(h, l, LEASE_FAILED, why);
			continue;
		}
		l->want.site = site_now(h);
		q.lease = l->want;
		l->state = HOST_LEASE_ASKED;
		if (ask(h, &q, on_leased) < 0)
			lease_ended(h, l, LEASE_FAILED, "the helper is overloaded");
	}
}

static void want_set(const struct host *h, struct helper_lease *want,
		     const struct msg_lease_start *m)
{
	uint64_t ms = m->remaining_ms;

	if (ms > (uint64_t)h->env->lease_seconds * 1000)
		ms = (uint64_t)h->env->lease_seconds * 1000;
	*want = (struct helper_lease){
		.id = m->id,
		.deadline = (uint64_t)boot_now().v + ms * NS_PER_MS,
		.rate = m->rate < h->env->lease_rate ? m->rate : h->env->lease_rate,
		.modulus = m->modulus,
		.site = site_now(h),
		.pattern_count = m->pattern_count,
	};
	memcpy(want->patterns, m->patterns, m->pattern_count * sizeof(*m->patterns));
}

void host_lease_start(struct host *h, const struct msg_lease_start *m)
{
	struct host_lease refused = { .want = { .id = m->id, .modulus = m->modulus } };
	struct host_lease *l = lease_find(h, m->id);

	if (!h->env->allow_trace) {
		lease_tell(h, &refused, LEASE_REFUSED, NO_TRACE);
		return;
	}
	if (m->pattern_count > PATTERNS_MAX || m->pattern_count == 0) {
		lease_tell(h, &refused, LEASE_REFUSED, "a lease needs 1 to 32 patterns");
		return;
	}
	if (!l) {
		l = lease_new(h);
		if (!l) {
			lease_tell(h, &refused, LEASE_REFUSED,
				   "as many leases as a host may have stand already");
			return;
		}
		*l = (struct host_lease){ .state = HOST_LEASE_WAITING };
	}
	want_set(h, &l->want, m);
	l->why[0] = '\0';
	if (l->state == HOST_LEASE_ARMED)
		l->state = HOST_LEASE_WAITING;
	else if (l->state != HOST_LEASE_WAITING)
		l->again = true;
	leases_advance(h);
}

void host_lease_stop(struct host *h, uint64_t id, const char *why)
{
	struct host_lease *l = lease_find(h, id);

	if (l)
		lease_stop(h, l, why);
}

void host_lease_stop_all(struct host *h, const char *why)
{
	for (int i = 0; i < LEASES_MAX; i++) {
		if (h->leases[i].state != HOST_LEASE_FREE)
			lease_stop(h, &h->leases[i], why);
	}
}

void leases_lost(struct host *h, const char *why)
{
	for (int i = 0; i < LEASES_MAX; i++) {
		if (h->leases[i].state != HOST_LEASE_FREE)
			lease_ended(h, &h->leases[i], LEASE_ENDED, why);
	}
}

static void on_state(void *arg, const struct helper_request *q, const struct helper_answer *a,
		     int fd)
{
	struct host *h = arg;
	struct host_lease *l = lease_find(h, q->known);

	(void)fd;
	if (h->env->fallback)
		ours_told(&h->ours, a->value, boot_now());
	if (!l)
		return;
	l->state_asked = false;
	if (l->state != HOST_LEASE_ARMED)
		return;
	if (a->error) {
		/* The helper does not have it any more: its deadline was earlier there, or its table has gone. */
		lease_stop(h, l, a->why);
		return;
	}
	take_totals(h, l, a);
	if (l->state_at.v - l->told_at.v >= (int64_t)TELL_S * NS_PER_S)
		armed_tell(h, l);
}

struct boot_ns leases_tick(struct host *h, struct boot_ns now)
{
	struct boot_ns due = { 0 };

	for (int i = 0; i < LEASES_MAX; i++) {
		struct host_lease *l = &h->leases[i];
		struct helper_request q = { .op = HELPER_LEASE_STATE,
					    .netns = h->index,
					    .known = l->want.id };
		int64_t deadline = (int64_t)l->want.deadline - (int64_t)LEAD_MS * NS_PER_MS;
		int64_t next = l->state_at.v + NS_PER_S;

		if (l->state != HOST_LEASE_ARMED)
			continue;
		if (deadline <= now.v) {
			lease_stop(h, l, "its time is over");
			continue;
		}
		if (!l->state_asked && next <= now.v) {
			l->state_asked = link_ask(h->env->link, &q, -1, on_state, h) == 0;
			next = now.v + NS_PER_S;
		}
		if (next <= now.v)
			next = now.v + NS_PER_S;
		if (next > deadline)
			next = deadline;
		if (due.v == 0 || next < due.v)
			due.v = next;
	}
	return due;
}
