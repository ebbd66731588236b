/*
 * The numbered list stands in the header. Everything that could hide evidence turns an accusation into unknown.
 */
#include "collector/diagnose/fate.h"

#include <netinet/in.h>
#include <string.h>

#include "collector/diagnose/beyond.h"
#include "collector/diagnose/ends.h"
#include "collector/diagnose/freed.h"
#include "collector/diagnose/gap.h"
#include "collector/diagnose/unanswered.h"
#include "collector/stitch/fragments.h"
#include "common/names.h"
#include "common/reasons.h"

enum { COPIERS_MAX = 64 }; /* passages of one packet's equals that are looked at */

NAMES(verdict_name, enum verdict, VERDICTS)
NAMES(death_name, enum death, DEATHS)

/*
 * 1a: nobody had bound the queue, it was full, or the program that reads it dropped the packet: the kernel frees it in the same
 * words each time.
 */
static bool ended_in_queue(struct fate *f)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;

	if (!r || (r->class != REASON_UNTOLD && r->class != REASON_DROPPED))
		return false;
	fate_is_discarded(f, r->name, "nfqueue-no-listener", false);
	return true;
}

/* 1, 2: true when a rule, policy or taker ended it. */
static bool ended_by_rule(struct fate *f, const struct inquiry *q, const struct step *s)
{
	const struct resolved *r = &f->resolved;
	enum step_verdict v;

	if (s->label == LABEL_CHECKPOINT)
		return false;
	resolve_step(&f->resolved, q, f->hop, s);
	f->step = s;
	v = resolved_verdict(r, s);
	f->observed = r->sure;
	f->reason = r->reason;
	if (v == STEP_VERDICT_QUEUE && ended_in_queue(f))
		return true;
	if (v == STEP_VERDICT_QUEUE || v == STEP_VERDICT_STOLEN) {
		fate_is_unknown(
			f,
			inquiry_say(
				q,
				"it was handed to %s at %s %s/%s: what happened then is not watched",
				v == STEP_VERDICT_QUEUE ? "a userspace queue"
							: "another part of the kernel",
				hop_host_id(q, f->hop), s->table, s->chain));
		return true;
	}
	if (v == STEP_VERDICT_REJECT) {
		f->verdict = VERDICT_REJECTED;
		f->death = DEATH_RULE;
		f->reject_with = r->rule.reject_with[0]
					 ? arena_strndup(q->arena, r->rule.reject_with,
							 strlen(r->rule.reject_with))
				 : s->family == FAMILY_IPV6 ? "icmp6-port-unreachable"
							    : "icmp-port-unreachable";
		return true;
	}
	if (v == STEP_VERDICT_DROP || (r->kind == RESOLVED_UNKNOWN && r->may_drop)) {
		f->verdict = VERDICT_DROPPED;
		f->death = r->kind == RESOLVED_POLICY || s->label == LABEL_POLICY ? DEATH_POLICY
										  : DEATH_RULE;
		if (r->kind == RESOLVED_RULE)
			f->death = DEATH_RULE;
		if (!f->reason)
			f->reason = "NETFILTER_DROP";
		return true;
	}
	return false;
}

/* 4 */
static void arrived(struct fate *f, const struct conversation *c)
{
	const struct journey *j = &f->hop->sj->j;
	const struct journey *e = hop_icmp_error(c, f->hop);

	f->verdict = VERDICT_DELIVERED;
	f->observed = true;
	if (e && says_no_port(e) && j->tuples[0].proto != IPPROTO_TCP) {
		f->verdict = VERDICT_REFUSED;
	} else if (journey_is_syn(j)) {
		for (size_t i = 0; i < c->reply_count; i++) {
			const struct hop *first = &c->reply[i]->hops[0];
			const struct journey *r = &first->sj->j;

			if (first->sj->host == f->hop->sj->host &&
			    hop_first_hook(first) == HOOK_OUTPUT && (r->tcp_flags & TCP_RST) &&
			    r->tcp_ack == j->tcp_seq + 1)
				f->verdict = VERDICT_REFUSED;
		}
	}
	if (f->verdict == VERDICT_REFUSED) {
		f->death = DEATH_SOCKET;
		f->reason = "NO_SOCKET";
		f->cause = "not-listening";
	}
}

/* Nobody had the whole of a packet whose fragments came furthest: the first host that one of them did not leave. */
static const struct hop *broken_hop(const struct path *p)
{
	if (!journey_is_fragment(&p->hops[p->hop_count - 1].sj->j))
		return NULL;
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct hop *h = &p->hops[i];

		if (journey_is_fragment(&h->sj->j) && !hop_reached(h, CHECKPOINT_POST_LAST) &&
		    !hop_reached(h, CHECKPOINT_IN_LAST))
			return h;
	}
	return NULL;
}

/* The sender's own copy of what it sent to everybody on the link. */
static bool is_own_copy(const struct path *p, const struct hop *h)
{
	const struct hop *first = &p->hops[0];

	return h != first && h->sj->host == first->sj->host &&
	       hop_first_hook(first) == HOOK_OUTPUT && hop_first_hook(h) == HOOK_PREROUTING &&
	       hop_ttl_in(h) == journey_first_ttl(&first->sj->j);
}

/* 0: the last hop; of what went to everybody on the link, the last of another host. */
static const struct hop *last_hop(const struct path *p, bool for_all)
{
	size_t i = p->hop_count - 1;

	while (for_all && i > 0 && is_own_copy(p, &p->hops[i]))
		i--;
	if (i == 0) /* nobody but the sender */
		i = p->hop_count - 1;
	return &p->hops[i];
}

/* 0: the hop that decides: where a copy arrived, or a fragment ended, else the last one. */
static const struct hop *deciding_hop(const struct inquiry *q, const struct path *p)
{
	const struct hop *first = &p->hops[0], *last;
	bool for_all =
		fleet_is_for_all(fleet_host(q->fleet, first->sj->host), &hop_tuple_out(first)->dst);

	if (broken_hop(p))
		return broken_hop(p);
	last = last_hop(p, for_all);
	for (size_t i = p->hop_count; (for_all || hop_freed_step(last)) && i-- > 0;) {
		const struct hop *h = &p->hops[i];

		if (hop_reached(h, CHECKPOINT_IN_LAST) && !hop_freed_step(h) &&
		    !(for_all && is_own_copy(p, h)))
			return h;
	}
	return last;
}

/* The host that both got this packet and sent one with equal contents, of somebody else's address; 0: none. */
static uint64_t copier(const struct inquiry *q, const struct conversation *c, const struct path *p)
{
	struct path *const *list = p->direction == DIRECTION_REPLY ? c->reply : c->original;
	size_t n = p->direction == DIRECTION_REPLY ? c->reply_count : c->original_count;
	uint64_t sent[COPIERS_MAX], got[COPIERS_MAX];
	size_t sent_count = 0, got_count = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0;
		     path_packet(list[i])->fp == path_packet(p)->fp && k < list[i]->hop_count &&
		     got_count < COPIERS_MAX && sent_count < COPIERS_MAX;
		     k++) {
			const struct hop *h = &list[i]->hops[k];
			const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

			if (hop_first_hook(h) == HOOK_PREROUTING)
				got[got_count++] = h->sj->host;
			else if (hop_first_hook(h) == HOOK_OUTPUT && fh && fh->has_facts &&
				 !fleet_owns(fh, &hop_tuple_in(h)->src))
				sent[sent_count++] = h->sj->host;
		}
	}
	for (size_t i = 0; i < sent_count; i++) {
		for (size_t k = 0; k < got_count; k++) {
			if (sent[i] == got[k])
				return sent[i];
		}
	}
	return 0;
}

/* 0a: it ended where only its copy may have been. */
static void doubt_copies(struct fate *f, const struct inquiry *q, const struct conversation *c)
{
	const struct fleet_host *here = fleet_host(q->fleet, f->hop->sj->host), *by;
	uint64_t host;

	if (f->death == DEATH_NONE || !path_packet(f->path)->fp || !here ||
	    fleet_owns(here, &hop_tuple_out(f->hop)->dst))
		return;
	host = copier(q, c, f->path);
	by = host && (host != here->host || f->death == DEATH_LINK) ? fleet_host(q->fleet, host)
								    : NULL;
	if (by)
		fate_is_unknown(
			f,
			inquiry_say(
				q,
				"%s sends copies of it elsewhere, too: whether it or one of them ended at %s is not known",
				by->id, here->id));
}

/* 0b: it ended with other addresses than were asked for, where another packet may be the one that went on so. */
static void doubt_links(struct fate *f, const struct inquiry *q)
{
	const struct path *p = f->path;
	struct tuple back = tuple_reverse(hop_tuple_in(f->hop));

	if (f->death == DEATH_NONE || !q->ask->flow ||
	    flow_has(q->ask->flow, hop_tuple_in(f->hop)) || flow_has(q->ask->flow, &back))
		return;
	for (size_t i = 1; i < p->hop_count && &p->hops[i - 1] != f->hop; i++) {
		const struct hop *before = &p->hops[i - 1], *h = &p->hops[i];

		if (h->surety != LINK_SURETY_AMBIGUOUS ||
		    tuple_equal(hop_tuple_out(before), hop_tuple_in(h)))
			continue;
		fate_is_unknown(
			f,
			inquiry_say(
				q,
				"several packets with equal contents may be the one that left %s: whether it is the one that ended at %s is not known",
				hop_host_id(q, before), hop_host_id(q, f->hop)));
		return;
	}
}

static void decide(struct fate *out, const struct inquiry *q, const struct conversation *c)
{
	const struct step *s;

	out->freed = hop_freed_step(out->hop);
	s = hop_last_step(out->hop);
	if (s && ended_by_rule(out, q, s)) /* 1, 2 */
		return;
	if (fate_by_kernel(out, q, s)) /* 3 */
		return;
	if (hop_reached(out->hop, CHECKPOINT_IN_LAST)) { /* 4 */
		if (!fate_unanswered(out, q, c))         /* 4a */
			arrived(out, c);
		return;
	}
	if (hop_reached(out->hop, CHECKPOINT_POST_LAST)) { /* 5 */
		fate_beyond(out, q, c);
		return;
	}
	if (fate_by_route(out, q) || (!s && fate_by_queue(out, q))) /* 6a, 6b */
		return;
	if (!s && !out->freed && hop_logged_hook(out->hop)) /* 6 */
		fate_is_unknown(
			out,
			inquiry_say(
				q,
				"a rule in %s of %s logged it; nothing else was seen of it there",
				hook_name(hop_logged_hook(out->hop)), hop_host_id(q, out->hop)));
	else if (!s)
		fate_is_unknown(out, out->freed ? inquiry_say(q, "the kernel of %s freed it: %s",
							      hop_host_id(q, out->hop),
							      out->freed->prefix)
						: "no step of it was seen");
	else /* 7 */
		fate_in_gap(out, q, c, s);
}

void fate_of(struct fate *out, const struct inquiry *q, const struct conversation *c,
	     const struct path *p)
{
	memset(out, 0, sizeof(*out));
	out->path = p;
	out->hop = deciding_hop(q, p);
	decide(out, q, c);
	doubt_copies(out, q, c);
	doubt_links(out, q);
}
