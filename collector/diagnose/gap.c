#include "collector/diagnose/gap.h"

#include <netinet/in.h>
#include <string.h>

#include "collector/diagnose/ends.h"
#include "collector/diagnose/routed.h"

static const int64_t SELECT_NS = 50LL * NS_PER_MS;

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

static const char *place_of_gap(enum hook hook)
{
	switch (hook) {
	case HOOK_PREROUTING:
		return "AFTER_PREROUTING";
	case HOOK_INGRESS:
		return "AFTER_INGRESS";
	case HOOK_FORWARD:
		return "AFTER_FORWARD";
	case HOOK_OUTPUT:
		return "AFTER_OUTPUT";
	default:
		return "AFTER_POSTROUTING";
	}
}

/* 7, once nothing can be missing: what the facts say about the gap. */
static void name_discard(struct fate *f, const struct inquiry *q, const struct conversation *c,
			 enum hook hook)
{
	const struct hop *h = f->hop;
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);
	const struct journey *e = hop_icmp_error(c, h);
	bool routing = hook == HOOK_PREROUTING;
	struct routed routed = { 0 };

	if (routing)
		routed_find(&routed, q, h);
	if (e && says_ttl_ended(e))
		fate_is_discarded(f, "TTL_EXPIRED", "ttl-expired", true);
	else if (e && says_too_big(e))
		fate_is_discarded(f, "PKT_TOO_BIG", "mtu", true);
	else if (e && says_unreachable(e))
		fate_is_discarded(f, "NO_ROUTE", "no-route", true);
	else if (routed.fault == ROUTE_FAULT_FORWARDING)
		fate_is_discarded(f, "FORWARDING_DISABLED", "forwarding-disabled", false);
	else if (routing && fh && fh->has_facts && !fleet_owns(fh, &hop_tuple_out(h)->dst) &&
		 hop_ttl_in(h) == 1)
		fate_is_discarded(f, "TTL_EXPIRED", "ttl-expired", false);
	else if (routed.fault != ROUTE_FAULT_NONE)
		fate_is_discarded(f, "NO_ROUTE", "no-route", false);
	else
		fate_is_discarded(f, place_of_gap(hook), NULL, false);
}

static bool has_checkpoint(const struct journey *j)
{
	for (uint16_t i = 0; i < j->step_count; i++) {
		if (j->steps[i].label == LABEL_CHECKPOINT)
			return true;
	}
	return false;
}

/* What the journey itself lacks. */
static const char *not_whole(const struct inquiry *q, const struct hop *h, const struct step *s)
{
	const struct journey *j = &h->sj->j;
	const char *id = hop_host_id(q, h);

	if (!j->fp)
		return inquiry_say(
			q,
			"it bears nothing that tells it from others (a fragment, or a header that was not read) and cannot be followed beyond %s",
			id);
	if (j->cut)
		return inquiry_say(q, "it met more steps at %s than are kept", id);
	if (!has_checkpoint(j))
		return inquiry_say(q, "of its way through %s only steps in %s are known", id,
				   hook_name(s->hook));
	if (hop_logged_hook(h) > s->hook)
		return inquiry_say(q, "a rule in %s of %s logged it after its last trace event",
				   hook_name(hop_logged_hook(h)), id);
	return NULL;
}

/* It takes the server's answer behind all tables, and makes packets of its own for both sides. */
static bool may_be_proxied(const struct inquiry *q, const struct hop *h)
{
	const struct journey *j = &h->sj->j;

	return j->tuples[0].proto == IPPROTO_TCP &&
	       (j->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) &&
	       (fleet_says(q->fleet, h->sj->host, "-j SYNPROXY", h->sj->at) ||
		fleet_says(q->fleet, h->sj->host, "synproxy", h->sj->at));
}

/* What is missing around it, so that it may have gone on; NULL: nothing. */
static const char *may_hide(const struct fate *f, const struct inquiry *q, const struct step *s)
{
	const struct hop *h = f->hop;
	const char *id = hop_host_id(q, h), *trouble = hop_legacy_trouble(q, h),
		   *table = unseen_table(q, h, s->hook);
	struct wall_ns at = hop_step_at(h, s), end = { at.v + SELECT_NS };
	const struct stored_loss *loss = fleet_lost(q->fleet, h->sj->host, h->sj->at, at);
	const struct tuple *in = hop_tuple_in(h), *out = hop_tuple_out(h);
	uint32_t modulus = fleet_modulus(q->fleet, h->sj->host, in, h->sj->at);

	if (loss)
		return inquiry_say(q, "%s lost evidence at that time (%s)", id, loss->source);
	if (table && trouble)
		return inquiry_say(
			q, "it ended in %s of %s, whose legacy tables could not be traced: %s",
			hook_name(s->hook), id, trouble);
	if (s->label != LABEL_CHECKPOINT && f->resolved.kind == RESOLVED_UNKNOWN)
		return inquiry_say(
			q, "it ended at %s %s/%s number %u, but what stood there is not known (%s)",
			id, s->table, s->chain, s->number,
			f->resolved.reason ? f->resolved.reason : "no ruleset");
	if (fate_inside_table(f, s))
		return inquiry_say(
			q,
			"its last trace event at %s is %s/%s number %u, which does not end a packet",
			id, s->table, s->chain, s->number);
	if (table)
		return inquiry_say(q, "no step of %s/%s was seen at %s, though the table exists",
				   table, hook_name(s->hook), id);
	if (may_be_proxied(q, h))
		return inquiry_say(q, "a SYNPROXY rule of %s may have taken it", id);
	if (!fleet_armed(q->fleet, h->sj->host, in, true, modulus, h->sj->at, end) &&
	    !fleet_armed(q->fleet, h->sj->host, out, true, modulus, h->sj->at, end))
		return inquiry_say(q, "tracing at %s began or ended while it passed", id);
	return NULL;
}

void fate_in_gap(struct fate *f, const struct inquiry *q, const struct conversation *c,
		 const struct step *s)
{
	const struct hop *h = f->hop;
	const char *id = hop_host_id(q, h), *why;

	f->provisional = !hop_settled(q, h);
	if (f->provisional)
		why = inquiry_say(q, "it was at %s a moment ago; more may follow", id);
	else if (fleet_is_for_all(fleet_host(q->fleet, h->sj->host), &hop_tuple_out(h)->dst))
		why = inquiry_say(q, "it was for everybody on the link, and %s did not want it",
				  id); /* 3c */
	else
		why = not_whole(q, h, s);
	if (!why)
		why = may_hide(f, q, s);
	if (why)
		fate_is_unknown(f, why);
	else
		name_discard(f, q, c, s->hook);
}
