/*
 * The numbered list stands in the header. Everything that could hide evidence turns an accusation into unknown.
 */
#include "collector/diagnose/fate.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "collector/diagnose/foreign.h"
#include "collector/stitch/fragments.h"
#include "common/names.h"
#include "common/reasons.h"

enum { TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
/* Where connection tracking takes a packet in, and may drop it. */
enum { TRACKING_HOOKS = 1 << HOOK_PREROUTING | 1 << HOOK_OUTPUT };
/* Where it confirms what has passed, and may drop it. */
enum { CONFIRMING_HOOKS = 1 << HOOK_INPUT | 1 << HOOK_POSTROUTING };
/* Only rules drop there. */
enum { DEVICE_HOOKS = 1 << HOOK_INGRESS | 1 << HOOK_EGRESS };
enum { CLASHES_MAX = 16 };

static const int64_t ANSWER_NS = 2LL * NS_PER_S;
static const int64_t SELECT_NS = 50LL * NS_PER_MS;

NAMES(verdict_name, enum verdict, VERDICTS)
NAMES(death_name, enum death, DEATHS)

static const char *say(const struct inquiry *q, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static const char *say(const struct inquiry *q, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return arena_strndup(q->arena, text, strlen(text));
}

static const struct step *last_step(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label != LABEL_LOG && j->steps[i].label != LABEL_KERNEL)
			return &j->steps[i];
	}
	return NULL;
}

static const char *host_id(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	return fh ? fh->id : "?";
}

/* The last hook in which a rule logged the packet; HOOK_NONE: none did. Where it was, not where it ended. */
static enum hook logged_hook(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label == LABEL_LOG)
			return j->steps[i].hook;
	}
	return HOOK_NONE;
}

/* What the kernel said when it freed the packet there; NULL nothing. */
static const struct step *freed_step(const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (uint16_t i = j->step_count; i-- > 0;) {
		if (j->steps[i].label == LABEL_KERNEL && j->steps[i].prefix)
			return &j->steps[i];
	}
	return NULL;
}

static struct wall_ns hop_last(const struct hop *h)
{
	const struct step *s = last_step(h);

	return s ? hop_step_at(h, s) : h->sj->at;
}

static bool settled(const struct inquiry *q, const struct hop *h)
{
	return q->ask->now.v - hop_last(h).v > SETTLE_NS + h->sj->error;
}

/* An ICMP error that this very host made about this very packet. */
static const struct journey *icmp_error_of(const struct conversation *c, const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	for (size_t i = 0; i < c->answer_count; i++) {
		const struct hop *first = &c->answers[i]->hops[0];
		const struct journey *e = &first->sj->j;

		if (!e->is_icmp_error || first->sj->host != h->sj->host ||
		    hop_first_hook(first) != HOOK_OUTPUT)
			continue;
		if (first->sj->at.v < h->sj->at.v - ANSWER_NS ||
		    first->sj->at.v > hop_last(h).v + 2 * ANSWER_NS)
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

static bool is_port_unreachable(const struct journey *e)
{
	return e->ip_version == 4 ? e->icmp_type == 3 && e->icmp_code == 3
				  : e->icmp_type == 1 && e->icmp_code == 4;
}

static bool is_unreachable(const struct journey *e)
{
	if (e->ip_version == 4)
		return e->icmp_type == 3 && e->icmp_code <= 1;
	return e->icmp_type == 1 && (e->icmp_code == 0 || e->icmp_code == 3);
}

static bool is_time_exceeded(const struct journey *e)
{
	return e->ip_version == 4 ? e->icmp_type == 11 && e->icmp_code == 0
				  : e->icmp_type == 3 && e->icmp_code == 0;
}

static bool is_too_big(const struct journey *e)
{
	return e->ip_version == 4 ? e->icmp_type == 3 && e->icmp_code == 4 : e->icmp_type == 2;
}

static void unknown(struct fate *f, const char *reason)
{
	f->verdict = VERDICT_UNKNOWN;
	f->death = DEATH_NONE;
	f->reason = reason;
	f->observed = false;
}

static void discarded(struct fate *f, const char *reason, const char *cause, bool observed)
{
	f->verdict = VERDICT_DISCARDED;
	f->death = DEATH_KERNEL;
	f->reason = reason;
	f->cause = cause;
	f->observed = observed;
}

/*
 * 1a: nobody had bound the queue, it was full, or the program that reads it dropped the packet: the kernel frees it in the same
 * words each time.
 */
static bool ended_in_queue(struct fate *f)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;

	if (!r || (r->class != REASON_UNTOLD && r->class != REASON_DROPPED))
		return false;
	discarded(f, r->name, "nfqueue-no-listener", false);
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
		unknown(f,
			say(q, "it was handed to %s at %s %s/%s: what happened then is not watched",
			    v == STEP_VERDICT_QUEUE ? "a userspace queue"
						    : "another part of the kernel",
			    host_id(q, f->hop), s->table, s->chain));
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
	const struct journey *e = icmp_error_of(c, f->hop);

	f->verdict = VERDICT_DELIVERED;
	f->observed = true;
	if (e && is_port_unreachable(e) && j->tuples[0].proto != IPPROTO_TCP) {
		f->verdict = VERDICT_REFUSED;
	} else if (j->tuples[0].proto == IPPROTO_TCP &&
		   (j->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
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

static const char *legacy_trouble(const struct inquiry *q, const struct hop *h)
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
static bool inside_table(const struct fate *f, const struct step *s)
{
	enum step_verdict v;

	if (s->label == LABEL_CHECKPOINT)
		return false;
	v = resolved_verdict(&f->resolved, s);
	return v != STEP_VERDICT_ACCEPT && !(f->resolved.kind == RESOLVED_POLICY);
}

/* A reason that stands for several things: what the packet and the host's facts say. */
static const char *cause_of(const struct inquiry *q, const struct fate *f, const struct reason *r)
{
	const struct fleet_host *fh = fleet_host(q->fleet, f->hop->sj->host);
	const struct journey *j = &f->hop->sj->j;
	bool known = fh && fh->has_facts && fh->facts.forward_known;

	if (!strcmp(r->name, "IP_INHDR") && f->freed->ttl <= 1)
		return "ttl-expired";
	if (!strcmp(r->name, "IP_INADDRERRORS") || !strcmp(r->name, "IP_INNOROUTES"))
		return known && !(j->ip_version == 6 ? fh->facts.forward6 : fh->facts.forward4)
			       ? "forwarding-disabled"
			       : "no-route";
	return r->cause;
}

/*
 * Was every rule that it met told? Then none that drops was among them: connection tracking did it, or a match within the chain
 * where the trace ends (hotdrop).
 */
static bool traced_whole(const struct inquiry *q, const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	return last_step(h) && j->fp && !j->cut && !legacy_trouble(q, h) &&
	       !fleet_lost(q->fleet, h->sj->host, h->sj->at, hop_last(h));
}

/* The connection of that host that has the addresses which the packet was to leave with; NULL: none is known. */
static const struct stored_conn *clash(const struct inquiry *q, const struct hop *h)
{
	const int64_t slack = 2LL * NS_PER_S;
	const struct tuple *in = hop_tuple_in(h), *out = hop_tuple_out(h);
	struct wall_ns at = h->sj->at;
	struct flow flow = flow_of_tuple(out);
	struct stored_conn *list;
	size_t n = 0;

	if (tuple_equal(in, out) ||
	    reader_conns(q->fleet->reader, &flow, (struct wall_ns){ at.v - slack }, at, CLASHES_MAX,
			 q->arena, &list, &n) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct tuple after = tuple_reverse(&list[i].c.reply);

		if (list[i].host == h->sj->host && tuple_equal(&after, out) &&
		    !tuple_equal(&list[i].c.orig, in))
			return &list[i];
	}
	return NULL;
}

/* 3a */
static void dropped_by_some_rule(struct fate *f, const struct inquiry *q, const struct step *s)
{
	bool traced = traced_whole(q, f->hop);

	f->verdict = VERDICT_DROPPED;
	f->death = DEATH_KERNEL;
	f->observed = false;
	if (traced && inside_table(f, s))
		return;
	if (!traced && suspects_find(&f->suspects, q, f->hop, f->freed) < 0)
		return;
	if (!traced && (!f->suspects.complete || f->suspects.count > 1))
		return;
	if (f->suspects.count == 0) {
		uint32_t hooks = f->freed->number & ~(uint32_t)DEVICE_HOOKS;

		if (hooks & TRACKING_HOOKS && !(hooks & ~(uint32_t)TRACKING_HOOKS))
			discarded(f, f->reason, "conntrack-full", false);
		else if (hooks & CONFIRMING_HOOKS && !(hooks & ~(uint32_t)CONFIRMING_HOOKS) &&
			 (f->clash = clash(q, f->hop)))
			discarded(f, f->reason, "nat-exhausted", false);
		return;
	}
	f->culprit = &f->suspects.list[0];
	f->death = f->culprit->number ? DEATH_RULE : DEATH_POLICY;
	if (f->culprit->number && !strcmp(f->culprit->rule.target, "REJECT")) {
		f->verdict = VERDICT_REJECTED;
		f->reject_with = arena_strndup(q->arena, f->culprit->rule.reject_with,
					       strlen(f->culprit->rule.reject_with));
	}
}

/*
 * 3b: what no socket was there for, and nobody misses: ICMP, which the kernel has taken by then; what comes after a connection
 * has been closed; a reply to somebody who has gone.
 */
static bool nobody_misses(const struct fate *f)
{
	const struct journey *j = &f->hop->sj->j;

	if (proto_is_icmp(j->tuples[0].proto) || f->path->direction == DIRECTION_REPLY)
		return true;
	return j->tuples[0].proto == IPPROTO_TCP && (j->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

/* 3: true when the kernel's own word decides. */
static bool freed(struct fate *f, const struct inquiry *q, const struct step *s)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;
	bool through = hop_reached(f->hop, CHECKPOINT_IN_LAST) ||
		       hop_reached(f->hop, CHECKPOINT_POST_LAST);

	if (!r || r->class > REASON_REFUSED)
		return false;
	if (r->class == REASON_REFUSED && nobody_misses(f))
		return false;
	/* 3c: routers see what was sent to everybody on the link, and send it nowhere. */
	if (r->class == REASON_DISCARDED && addr_is_multicast(&hop_tuple_out(f->hop)->dst))
		return false;
	f->reason = r->name;
	f->observed = true;
	if (r->class == REASON_REFUSED) {
		f->verdict = VERDICT_REFUSED;
		f->death = DEATH_SOCKET;
		f->cause = r->cause;
	} else if (r->class == REASON_DROPPED && !through) {
		dropped_by_some_rule(f, q, s);
	} else if (r->class == REASON_DROPPED) {
		f->clash = clash(q, f->hop);
		discarded(f, r->name, f->clash ? "nat-exhausted" : NULL, true);
	} else {
		discarded(f, r->name, cause_of(q, f, r), true);
	}
	return true;
}

/* Did the host see such a packet come from nowhere? One whose time of receipt is far too late, after the agent hung. */
static bool seen_late(const struct conversation *c, const struct path *p, uint64_t host)
{
	for (size_t i = 0; i < c->original_count + c->reply_count; i++) {
		const struct path *other =
			i < c->original_count ? c->original[i] : c->reply[i - c->original_count];

		if (other != p && other->hops[0].sj->host == host &&
		    path_packet(other)->fp == path_packet(p)->fp &&
		    hop_first_hook(&other->hops[0]) == HOOK_PREROUTING)
			return true;
	}
	return false;
}

static bool is_answering(const struct inquiry *q, const struct fleet_host *h)
{
	for (size_t i = 0; i < q->ask->live_count; i++) {
		if (!strcmp(q->ask->live[i].id, h->id))
			return q->ask->live[i].answering;
	}
	return false;
}

/* 5d: why it says nothing that the next host told nothing of it; NULL: it says that it did not get there. */
static const char *hidden(const struct inquiry *q, const struct fate *f,
			  const struct conversation *c, const struct fleet_host *next)
{
	const struct hop *h = f->hop;
	const struct journey *j = &h->sj->j;
	const struct tuple *out = hop_tuple_out(h);
	const char *from = host_id(q, h);
	struct wall_ns at = hop_last(h);
	/* The other host's clock is known about as well as this one's. */
	int64_t margin = SELECT_NS + 2 * h->sj->error;
	struct wall_ns begin = { at.v - margin }, end = { at.v + margin };
	const struct stored_loss *loss = fleet_lost(q->fleet, next->host, begin, end);
	uint32_t modulus = fleet_modulus(q->fleet, h->sj->host, out, at);

	if (!fleet_armed(q->fleet, next->host, out, journey_is_control(j), modulus, begin, end))
		return say(q,
			   "it left %s for %s, which was not tracing such packets at that moment",
			   from, next->id);
	if (seen_late(c, f->path, next->host))
		return say(q, "it left %s for %s, which told of such a packet at another time",
			   from, next->id);
	if (loss)
		return say(q, "it left %s for %s, which lost evidence then (%s)", from, next->id,
			   loss->source);
	if (!is_answering(q, next))
		return say(q, "it left %s for %s, whose agent is silent", from, next->id);
	if (next->checked.v < at.v + SETTLE_NS) {
		need_read(q, next->host);
		return say(q, "it left %s for %s, whose agent has not been heard of since", from,
			   next->id);
	}
	return NULL;
}

/* Of several next hops the one that the conversation's other packets went to; NULL: none, or more than one. */
static const struct fleet_host *usual_next(const struct inquiry *q, const struct conversation *c,
					   const struct hop *from, const struct fleet_next *n)
{
	const struct fleet_host *found = NULL;

	for (size_t i = 0; i < c->original_count + c->reply_count; i++) {
		const struct path *p =
			i < c->original_count ? c->original[i] : c->reply[i - c->original_count];

		for (size_t k = 0; k + 1 < p->hop_count; k++) {
			const struct fleet_host *to;

			if (p->hops[k].sj->host != from->sj->host ||
			    !tuple_equal(hop_tuple_out(&p->hops[k]), hop_tuple_out(from)))
				continue;
			to = fleet_host(q->fleet, p->hops[k + 1].sj->host);
			for (size_t m = 0; m < n->count && m < FLEET_NEXT_MAX; m++) {
				if (to != n->hosts[m] || to == found)
					continue;
				if (found)
					return NULL;
				found = to;
			}
		}
	}
	return found;
}

/* 5 */
static void left_for(struct fate *f, const struct inquiry *q, const struct conversation *c)
{
	const struct hop *h = f->hop;
	const struct journey *j = &h->sj->j;
	const struct fleet_host *from = fleet_host(q->fleet, h->sj->host), *to;
	const struct tuple *out = hop_tuple_out(h);
	const struct journey *e = icmp_error_of(c, h);
	struct fleet_next next;
	const char *why = NULL;
	uint32_t mtu;

	f->observed = true;
	if (e && is_unreachable(e)) { /* 5a */
		discarded(f, "NEIGH_FAILED", "neighbor-unreachable", true);
		return;
	}
	if (e && is_too_big(e)) {
		discarded(f, "PKT_TOO_BIG", "mtu", true);
		return;
	}
	f->verdict = VERDICT_LEFT;
	if (!from)
		return;
	if (fleet_owns(from, &out->dst)) {
		unknown(f, say(q, "it went to %s itself by %s and was not seen to come in again",
			       from->id, j->out_if));
		return;
	}
	fleet_next(&next, q->fleet, from, j->out_if, &out->dst);
	if (next.count == 0) /* 5b */
		return;
	to = next.count == 1 && !next.stranger ? next.hosts[0] : usual_next(q, c, h, &next);
	f->provisional = !settled(q, h); /* 5d */
	mtu = fleet_mtu(from, j->out_if);
	if (f->provisional)
		why = say(q, "it left %s a moment ago; %s may still report it", from->id,
			  (to ? to : next.hosts[0])->id);
	else if (!to && (next.stranger || next.count > FLEET_NEXT_MAX))
		why = say(q, "it left %s for %s or a host nobody watches: its routes allow both",
			  from->id, next.hosts[0]->id);
	else if (!j->fp)
		why = say(q, "it left %s in fragments, and nobody saw it whole behind it",
			  from->id);
	else if (mtu && j->total_len > mtu)
		why = say(q, "it left %s in pieces, its length is above the MTU of %s", from->id,
			  j->out_if);
	else if (to)
		why = hidden(q, f, c, to);
	for (size_t i = 0; !to && !f->provisional && i < next.count && i < FLEET_NEXT_MAX; i++) {
		const char *also = hidden(q, f, c, next.hosts[i]); /* each asks for what it needs */

		why = why ? why : also;
	}
	if (why) {
		unknown(f, why);
		return;
	}
	f->verdict = VERDICT_LOST; /* 5c */
	f->death = DEATH_LINK;
	f->reason = "LOST_ON_LINK";
	f->cause = "lost-between-hosts";
	f->observed = false;
	f->next = to ? to->id : NULL;
	for (size_t i = 0; !to && i < next.count; i++)
		f->next =
			f->next ? say(q, "%s, %s", f->next, next.hosts[i]->id) : next.hosts[i]->id;
	f->next_sure = to != NULL;
}

/* 5, 5e: one that was seen further on has another end. */
static void left(struct fate *f, const struct inquiry *q, const struct conversation *c)
{
	const struct journey *e;
	struct addr maker;

	left_for(f, q, c);
	if (f->verdict == VERDICT_DISCARDED)
		return;
	e = foreign_error(c, f->hop, hop_last(f->hop), &maker);
	if (e)
		(void)foreign_fate(f, q, e, &maker);
}

/* Does the hook have a legacy table that this packet must have met, and no step of it was seen? nat sees only new connections. */
static const char *unseen_table(const struct inquiry *q, const struct hop *h, enum hook hook)
{
	static const char *const names[] = { "raw", "mangle", "filter", "security" };
	const struct journey *j = &h->sj->j;
	uint8_t family = j->ip_version == 6 ? FAMILY_IPV6 : FAMILY_IPV4;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct table_at at = fleet_table_at(q->fleet, h->sj->host, BACKEND_LEGACY, family,
						    names[i], h->sj->at);
		bool seen = false;

		if (!at.tables[0] || !table_chain(&at.tables[0]->parsed, hook_name(hook)))
			continue;
		for (uint16_t k = 0; k < j->step_count && !seen; k++)
			seen = j->steps[k].backend == BACKEND_LEGACY && j->steps[k].hook == hook &&
			       j->steps[k].label != LABEL_CHECKPOINT &&
			       j->steps[k].label != LABEL_LOG &&
			       !strcmp(j->steps[k].table, names[i]);
		if (!seen)
			return names[i];
	}
	return NULL;
}

static bool has_route(const struct facts *facts, const struct addr *dst)
{
	for (uint32_t i = 0; i < facts->route_count; i++) {
		if (facts->routes[i].dst.addr.family == dst->family &&
		    prefix_has(&facts->routes[i].dst, dst))
			return true;
	}
	return false;
}

/* The route that the host's facts have for it, of whatever table; NULL none. */
static const struct facts_route *best_route(const struct facts *facts, const struct addr *dst)
{
	const struct facts_route *best = NULL;

	for (uint32_t i = 0; i < facts->route_count; i++) {
		const struct facts_route *r = &facts->routes[i];

		if (r->dst.addr.family == dst->family && prefix_has(&r->dst, dst) &&
		    (!best || r->dst.len > best->dst.len))
			best = r;
	}
	return best;
}

/* 6a: kernels do not say that a route swallowed it; the route does. */
static bool sunk_by_route(struct fate *f, const struct inquiry *q)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;
	const struct fleet_host *fh = fleet_host(q->fleet, f->hop->sj->host);
	const struct facts_route *route = NULL;

	if (r && r->class == REASON_UNTOLD && fh && fh->has_facts)
		route = best_route(&fh->facts, &hop_tuple_out(f->hop)->dst);
	if (!route || (route->type != RTN_BLACKHOLE && route->type != RTN_UNREACHABLE &&
		       route->type != RTN_PROHIBIT))
		return false;
	discarded(f, r->name, "no-route", false);
	return true;
}

/* 7, once nothing can be missing: what the facts say about the gap. */
static void name_discard(struct fate *f, const struct inquiry *q, const struct conversation *c,
			 enum hook hook)
{
	const struct hop *h = f->hop;
	const struct journey *j = &h->sj->j;
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);
	const struct tuple *out = hop_tuple_out(h);
	const struct journey *e = icmp_error_of(c, h);
	bool routing = hook == HOOK_PREROUTING;

	if (e && is_time_exceeded(e))
		discarded(f, "TTL_EXPIRED", "ttl-expired", true);
	else if (e && is_too_big(e))
		discarded(f, "PKT_TOO_BIG", "mtu", true);
	else if (e && is_unreachable(e))
		discarded(f, "NO_ROUTE", "no-route", true);
	else if (routing && fh && fh->has_facts && fh->facts.forward_known &&
		 !fleet_owns(fh, &out->dst) && !addr_is_multicast(&out->dst) &&
		 !(j->ip_version == 6 ? fh->facts.forward6 : fh->facts.forward4))
		discarded(f, "FORWARDING_DISABLED", "forwarding-disabled", false);
	else if (routing && fh && fh->has_facts && !fleet_owns(fh, &out->dst) && hop_ttl_in(h) == 1)
		discarded(f, "TTL_EXPIRED", "ttl-expired", false);
	else if (routing && fh && fh->has_facts && !has_route(&fh->facts, &out->dst))
		discarded(f, "NO_ROUTE", "no-route", false);
	else
		discarded(f,
			  routing                ? "AFTER_PREROUTING"
			  : hook == HOOK_INGRESS ? "AFTER_INGRESS"
			  : hook == HOOK_FORWARD ? "AFTER_FORWARD"
			  : hook == HOOK_OUTPUT  ? "AFTER_OUTPUT"
						 : "AFTER_POSTROUTING",
			  NULL, false);
}

/* 7 */
static void vanished(struct fate *f, const struct inquiry *q, const struct conversation *c,
		     const struct step *s)
{
	const struct hop *h = f->hop;
	const struct tuple *out = hop_tuple_out(h);
	const char *id = host_id(q, h), *table, *trouble;
	struct wall_ns at = hop_step_at(h, s), end = { at.v + SELECT_NS };
	const struct stored_loss *loss = fleet_lost(q->fleet, h->sj->host, h->sj->at, at);
	uint32_t modulus = fleet_modulus(q->fleet, h->sj->host, hop_tuple_in(h), h->sj->at);

	f->provisional = !settled(q, h);
	trouble = legacy_trouble(q, h);
	table = unseen_table(q, h, s->hook);
	if (f->provisional)
		unknown(f, say(q, "it was at %s a moment ago; more may follow", id));
	else if (!h->sj->j.fp)
		unknown(f,
			say(q,
			    "it bears nothing that tells it from others (a fragment, or a protocol without a known header) "
			    "and cannot be followed beyond %s",
			    id));
	else if (h->sj->j.cut)
		unknown(f, say(q, "it met more steps at %s than are kept", id));
	else if (logged_hook(h) > s->hook)
		unknown(f, say(q, "a rule in %s of %s logged it after its last trace event",
			       hook_name(logged_hook(h)), id));
	else if (loss)
		unknown(f, say(q, "%s lost evidence at that time (%s)", id, loss->source));
	else if (table && trouble)
		unknown(f,
			say(q, "it ended in %s of %s, whose legacy tables could not be traced: %s",
			    hook_name(s->hook), id, trouble));
	else if (s->label != LABEL_CHECKPOINT && f->resolved.kind == RESOLVED_UNKNOWN)
		unknown(f,
			say(q,
			    "it ended at %s %s/%s number %u, but what stood there is not known (%s)",
			    id, s->table, s->chain, s->number,
			    f->resolved.reason ? f->resolved.reason : "no ruleset"));
	else if (inside_table(f, s))
		unknown(f,
			say(q,
			    "its last trace event at %s is %s/%s number %u, which does not end a packet",
			    id, s->table, s->chain, s->number));
	else if (table)
		unknown(f, say(q, "no step of %s/%s was seen at %s, though the table exists", table,
			       hook_name(s->hook), id));
	else if (!fleet_armed(q->fleet, h->sj->host, hop_tuple_in(h), true, modulus, h->sj->at,
			      end) &&
		 !fleet_armed(q->fleet, h->sj->host, out, true, modulus, h->sj->at, end))
		unknown(f, say(q, "tracing at %s began or ended while it passed", id));
	else
		name_discard(f, q, c, s->hook);
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

/* 0: the hop that decides: where a copy arrived, or a fragment ended, else the last one. */
static const struct hop *deciding_hop(const struct path *p)
{
	const struct hop *last = &p->hops[p->hop_count - 1];

	if (broken_hop(p))
		return broken_hop(p);
	for (size_t i = p->hop_count; freed_step(last) && i-- > 0;) {
		const struct hop *h = &p->hops[i];

		if (hop_reached(h, CHECKPOINT_IN_LAST) && !freed_step(h))
			return h;
	}
	return last;
}

void fate_of(struct fate *out, const struct inquiry *q, const struct conversation *c,
	     const struct path *p)
{
	const struct step *s;

	memset(out, 0, sizeof(*out));
	out->path = p;
	out->hop = deciding_hop(p);
	out->freed = freed_step(out->hop);
	s = last_step(out->hop);
	if (s && ended_by_rule(out, q, s)) /* 1, 2 */
		return;
	if (freed(out, q, s)) /* 3 */
		return;
	if (hop_reached(out->hop, CHECKPOINT_IN_LAST)) /* 4 */
		arrived(out, c);
	else if (hop_reached(out->hop, CHECKPOINT_POST_LAST)) /* 5 */
		left(out, q, c);
	else if (sunk_by_route(out, q)) /* 6a */
		return;
	else if (!s && !out->freed && logged_hook(out->hop)) /* 6 */
		unknown(out,
			say(q, "a rule in %s of %s logged it; nothing else was seen of it there",
			    hook_name(logged_hook(out->hop)), host_id(q, out->hop)));
	else if (!s)
		unknown(out, out->freed ? say(q, "the kernel of %s freed it: %s",
					      host_id(q, out->hop), out->freed->prefix)
					: "no step of it was seen");
	else /* 7 */
		vanished(out, q, c, s);
}
