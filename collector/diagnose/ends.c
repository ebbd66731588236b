#include "collector/diagnose/ends.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const int64_t ANSWER_NS = 2LL * NS_PER_S;

const char *inquiry_say(const struct inquiry *q, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_strndup(q->arena, text, strlen(text));
}

const struct step *hop_last_step(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label != LABEL_LOG && j->steps[i].label != LABEL_KERNEL)
			return &j->steps[i];
	}
	return NULL;
}

const char *hop_host_id(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	return fh ? fh->id : "?";
}

/* The last hook in which a rule logged the packet; HOOK_NONE: none did. Where it was, not where it ended. */
enum hook hop_logged_hook(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label == LABEL_LOG)
			return j->steps[i].hook;
	}
	return HOOK_NONE;
}

/* What the kernel said when it freed the packet there; NULL nothing. */
const struct step *hop_freed_step(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label == LABEL_KERNEL && j->steps[i].prefix)
			return &j->steps[i];
	}
	return NULL;
}

struct wall_ns hop_last_at(const struct hop *h)
{
	const struct step *s = hop_last_step(h);

	return s ? hop_step_at(h, s) : h->sj->at;
}

bool hop_settled(const struct inquiry *q, const struct hop *h)
{
	return q->ask->now.v - hop_last_at(h).v > SETTLE_NS + h->sj->error;
}

/* An ICMP error that this very host made about this very packet. */
const struct journey *hop_icmp_error(const struct conversation *c, const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (size_t i = 0; i < c->answer_count; i++) {
		const struct hop *first = &c->answers[i]->hops[0];
		const struct journey *e = &first->sj->j;

		if (!e->is_icmp_error || first->sj->host != h->sj->host ||
		    hop_first_hook(first) != HOOK_OUTPUT)
			continue;
		if (first->sj->at.v < h->sj->at.v - ANSWER_NS ||
		    first->sj->at.v > hop_last_at(h).v + 2 * ANSWER_NS)
			continue;
		if (e->has_inner && j->ip_version == 4 &&
		    (e->inner_id != j->ip_id || e->inner_len != j->total_len))
			continue;
		if (e->has_inner && j->ip_version == 6 &&
		    (e->inner_proto != j->tuples[0].proto || e->inner_len != j->total_len))
			continue;
		return e;
	}
	return NULL;
}

bool says_no_port(const struct journey *e)
{
	return e->ip_version == 4 ? e->icmp_type == 3 && e->icmp_code == 3
				  : e->icmp_type == 1 && e->icmp_code == 4;
}

bool says_unreachable(const struct journey *e)
{
	if (e->ip_version == 4)
		return e->icmp_type == 3 && e->icmp_code <= 1;
	return e->icmp_type == 1 && (e->icmp_code == 0 || e->icmp_code == 3);
}

bool says_ttl_ended(const struct journey *e)
{
	return e->ip_version == 4 ? e->icmp_type == 11 && e->icmp_code == 0
				  : e->icmp_type == 3 && e->icmp_code == 0;
}

bool says_too_big(const struct journey *e)
{
	return e->ip_version == 4 ? e->icmp_type == 3 && e->icmp_code == 4 : e->icmp_type == 2;
}

void fate_is_unknown(struct fate *f, const char *reason)
{
	f->verdict = VERDICT_UNKNOWN;
	f->death = DEATH_NONE;
	f->reason = reason;
	f->observed = false;
}

void fate_is_discarded(struct fate *f, const char *reason, const char *cause, bool observed)
{
	f->verdict = VERDICT_DISCARDED;
	f->death = DEATH_KERNEL;
	f->reason = reason;
	f->cause = cause;
	f->observed = observed;
}

const char *hop_legacy_trouble(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	for (uint32_t i = 0; fh && fh->has_sources && i < fh->sources.count; i++) {
		const struct source_fact *s = &fh->sources.list[i];

		if (!strcmp(s->name, "trace-legacy") &&
		    (s->state == SOURCE_OFF || s->state == SOURCE_FAILED))
			return s->why ? s->why : "trace-legacy is off";
	}
	return NULL;
}

/* The table's chain that was entered but not left: what ended the packet stands somewhere in it. */
bool fate_inside_table(const struct fate *f, const struct step *s)
{
	enum step_verdict v;

	if (s->label == LABEL_CHECKPOINT)
		return false;
	v = resolved_verdict(&f->resolved, s);
	return v != STEP_VERDICT_ACCEPT && !(f->resolved.kind == RESOLVED_POLICY);
}
