#include "collector/diagnose/freed.h"

#include <netinet/in.h>
#include <string.h>

#include "collector/diagnose/ends.h"
#include "collector/diagnose/routed.h"
#include "common/reasons.h"

/* Where connection tracking takes a packet in, and may drop it. */
enum { TRACKING_HOOKS = 1 << HOOK_PREROUTING | 1 << HOOK_OUTPUT };
/* Where it confirms what has passed, and may drop it. */
enum { CONFIRMING_HOOKS = 1 << HOOK_INPUT | 1 << HOOK_POSTROUTING };
/* Only rules drop there. */
enum { DEVICE_HOOKS = 1 << HOOK_INGRESS | 1 << HOOK_EGRESS };
enum { CLASHES_MAX = 16 };

/* May no router forward what comes from there (net/ipv6/ip6_output.c, ip6_forward())? */
static bool stays_on_link(const struct addr *src)
{
	static const struct addr none = { .family = 6 };

	return addr_is_loopback(src) || addr_is_multicast(src) || addr_is_link_local(src) ||
	       addr_equal(src, &none);
}

/*
 * A reason that stands for several things: what the packet says. Kernels give IP_INADDRERRORS only where the interface does not
 * forward; of IPv6 for a sender that must not be forwarded, too.
 */
static const char *cause_of(const struct fate *f, const struct reason *r)
{
	const struct journey *j = &f->hop->sj->j;

	if (!strcmp(r->name, "IP_INHDR") && f->freed->ttl <= 1)
		return "ttl-expired";
	if (strcmp(r->name, "IP_INADDRERRORS") != 0)
		return r->cause;
	if (j->ip_version == 6 && stays_on_link(&j->tuples[0].src))
		return NULL;
	return "forwarding-disabled";
}

/*
 * Was every rule that it met told? Then none that drops was among them: connection tracking did it, or a match within the chain
 * where the trace ends (hotdrop).
 */
static bool traced_whole(const struct inquiry *q, const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	return hop_last_step(h) && j->fp && !j->cut && !hop_legacy_trouble(q, h) &&
	       !fleet_lost(q->fleet, h->sj->host, h->sj->at, hop_last_at(h));
}

/* The connection of that host that has the addresses which the packet was to leave with; NULL: none is known. */
static const struct stored_conn *clash(const struct inquiry *q, const struct hop *h)
{
	/* Its entry may be told a little after the kernel's word of the drop. */
	const int64_t slack = 2LL * NS_PER_S, late = NS_PER_S / 2;
	const struct tuple *in = hop_tuple_in(h), *out = hop_tuple_out(h);
	struct wall_ns at = h->sj->at;
	struct flow flow = flow_of_tuple(out);
	struct stored_conn *list;
	size_t n = 0;

	if (tuple_equal(in, out) ||
	    reader_conns(q->fleet->reader, &flow, (struct wall_ns){ at.v - slack },
			 (struct wall_ns){ at.v + late }, CLASHES_MAX, q->arena, &list, &n) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct tuple after = tuple_reverse(&list[i].c.reply);

		if (list[i].host == h->sj->host && tuple_equal(&after, out) &&
		    !tuple_equal(&list[i].c.orig, in))
			return &list[i];
	}
	return NULL;
}

/* Its last step was behind connection tracking, which comes after raw. */
static bool tracking_passed(const struct step *s)
{
	return s && s->label != LABEL_CHECKPOINT && s->backend == BACKEND_LEGACY &&
	       (1 << s->hook & TRACKING_HOOKS) && strcmp(s->table, "raw") != 0;
}

/* The only target that drops by itself: where no socket takes what it hands over. */
static bool is_tproxy(const struct fate *f)
{
	return f->step && f->resolved.kind == RESOLVED_RULE &&
	       !strcmp(f->resolved.rule.target, "TPROXY");
}

/* 3a */
static void dropped_by_some_rule(struct fate *f, const struct inquiry *q, const struct step *s)
{
	bool traced = traced_whole(q, f->hop);

	f->verdict = VERDICT_DROPPED;
	f->death = DEATH_KERNEL;
	f->observed = false;
	if (traced && is_tproxy(f)) {
		f->death = DEATH_RULE;
		f->observed = f->resolved.sure;
		f->cause = "not-listening";
		return;
	}
	if (traced && (fate_inside_table(f, s) || tracking_passed(s)))
		return;
	if (!traced && suspects_find(&f->suspects, q, f->hop, f->freed) < 0)
		return;
	if (!traced && (!f->suspects.complete || f->suspects.count > 1))
		return;
	if (f->suspects.count == 0) {
		uint32_t hooks = f->freed->number & ~(uint32_t)DEVICE_HOOKS;

		if (hooks & TRACKING_HOOKS && !(hooks & ~(uint32_t)TRACKING_HOOKS))
			fate_is_discarded(f, f->reason, "conntrack-full", false);
		else if (hooks & CONFIRMING_HOOKS && !(hooks & ~(uint32_t)CONFIRMING_HOOKS) &&
			 (f->clash = clash(q, f->hop)))
			fate_is_discarded(f, f->reason, "nat-exhausted", false);
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
	return j->tuples[0].proto == IPPROTO_TCP && !journey_is_syn(j);
}

/* 3: true when the kernel's own word decides. */
bool fate_by_kernel(struct fate *f, const struct inquiry *q, const struct step *s)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;
	bool through = hop_reached(f->hop, CHECKPOINT_IN_LAST) ||
		       hop_reached(f->hop, CHECKPOINT_POST_LAST);

	if (!r || r->class > REASON_REFUSED)
		return false;
	if (r->class == REASON_REFUSED && nobody_misses(f))
		return false;
	/* 3c: routers see what was sent to everybody on the link, and send it nowhere. */
	if (r->class == REASON_DISCARDED &&
	    fleet_is_for_all(fleet_host(q->fleet, f->hop->sj->host), &hop_tuple_out(f->hop)->dst))
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
		fate_is_discarded(f, r->name, f->clash ? "nat-exhausted" : NULL, true);
	} else {
		fate_is_discarded(f, r->name, cause_of(f, r), true);
	}
	return true;
}

/* 6a: kernels do not say that a rule of routing or a route swallowed it; those do. */
bool fate_by_route(struct fate *f, const struct inquiry *q)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;
	struct routed routed;

	if (!r || r->class != REASON_UNTOLD)
		return false;
	routed_find(&routed, q, f->hop);
	if (routed.fault != ROUTE_FAULT_RULE && routed.fault != ROUTE_FAULT_ROUTE)
		return false;
	fate_is_discarded(f, r->name, "no-route", false);
	return true;
}

/* Where the kernel may have freed it within a hook, once it was routed. */
static uint32_t hooks_behind_routing(const struct inquiry *q, const struct hop *h)
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);

	if (!h->sj->j.in_if[0])
		return 1 << HOOK_OUTPUT | 1 << HOOK_POSTROUTING;
	if (h->sj->j.out_if[0])
		return 1 << HOOK_POSTROUTING;
	return fh && fleet_owns(fh, &hop_tuple_out(h)->dst) ? 1 << HOOK_INPUT : 1 << HOOK_FORWARD;
}

/* 6b. Before a packet is routed much else frees it without a word: there the rule must have counted it. */
bool fate_by_queue(struct fate *f, const struct inquiry *q)
{
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;
	const struct hop *h = f->hop;
	struct suspects found;
	bool sure;

	if (!r || r->class != REASON_UNTOLD ||
	    suspects_queues(&found, q, h, f->freed, hooks_behind_routing(q, h)) < 0)
		return false;
	sure = found.count > 0;
	if (!sure && suspects_queues(&found, q, h, f->freed, 1 << HOOK_PREROUTING) < 0)
		return false;
	for (size_t i = 0; i < found.count; i++)
		sure |= found.list[i].counted;
	if (!sure)
		return false;
	f->suspects = found;
	fate_is_discarded(f, r->name, "nfqueue-no-listener", false);
	return true;
}
