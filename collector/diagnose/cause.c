/*
 * Only what was seen: the rule that ended it, the policy, the answer, the gap. Explanations that need the rules
 * to be evaluated (a later rule would have accepted it) build on these.
 */
#include "collector/diagnose/cause.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "collector/diagnose/answer.h"
#include "collector/diagnose/carrier.h"
#include "collector/diagnose/cause_piece.h"
#include "collector/diagnose/cause_routing.h"
#include "collector/diagnose/culprit.h"
#include "collector/diagnose/narrow.h"
#include "collector/diagnose/origin.h"
#include "collector/diagnose/reset.h"
#include "collector/diagnose/sets.h"
#include "collector/diagnose/unanswered.h"
#include "common/reasons.h"

/* What of the packet a set was asked for: "10.0.1.2", "10.0.1.2,tcp:443". */
static void put_asked(char *to, size_t size, const struct rule_set *use, const struct ipset *set,
		      const struct tuple *t)
{
	uint8_t parts = set ? set->part_count : 1;
	char addr[ADDR_TEXT_MAX], number[4];
	size_t n = 0;

	to[0] = '\0';
	for (uint8_t i = 0; i < parts && i < use->count && n < size; i++) {
		bool source = use->sources & 1u << i;
		enum set_part part = set ? set->parts[i] : SET_IP;

		addr_print(source ? &t->src : &t->dst, addr);
		if (part == SET_PORT)
			n += (size_t)snprintf(to + n, size - n, "%s%s:%u", i ? "," : "",
					      proto_name(t->proto, number),
					      source ? t->sport : t->dport);
		else if (part == SET_IP || part == SET_NET || part == SET_LIST)
			n += (size_t)snprintf(to + n, size - n, "%s%s", i ? "," : "", addr);
	}
}

/* Which entry, since when, and where that stands. */
static void add_entry(json_t *evidence, const struct inquiry *q, const struct set_word *w)
{
	const struct stored_table *t = w->member ? w->member : w->table;
	const struct set_entry *e = w->found.entry;
	struct origin_of_rule o;
	char line[SENTENCE_MAX / 2];
	json_t *since;

	snprintf(line, sizeof(line), "%.*s", (int)(e->len < 300 ? e->len : 300), e->text);
	if (w->found.list)
		cause_evidence(evidence, "it is in its member %s", t->table);
	origin_find(&o, q, t, IPSET_CHAIN, e->number, line);
	since = json_wall(o.since);
	if (o.since.v && o.before.v)
		cause_evidence(evidence, "%s (in the set since %s)", line,
			       json_string_value(since));
	else
		cause_evidence(evidence, "%s (it was there when the set was first read)", line);
	json_decref(since);
}

/* The rule matched: so did each of its sets, whatever is known of their members. */
static void set_cause(json_t *causes, const struct inquiry *q, const struct set_place *p,
		      const struct rule_set *use, bool traced)
{
	char asked[ENDPOINT_TEXT_MAX * 2 + 16];
	const char *is = use->negate ? "is not" : "is";
	struct set_word w;
	json_t *evidence;

	set_ask(&w, p, use);
	put_asked(asked, sizeof(asked), use, w.set, p->tuple);
	if (w.answer == SET_NO) {
		evidence = cause_add(
			causes, "set-membership",
			"the rule asks whether %s %s in the ipset %s, which the members that were captured deny",
			asked, is, use->name);
		cause_evidence(evidence, "they came and went between two readings, or are others");
		return;
	}
	evidence =
		cause_add(causes, "set-membership", "%s %s in the ipset %s", asked, is, use->name);
	if (w.answer == SET_UNKNOWN)
		cause_evidence(evidence, "%s; its members then are not known: %s",
			       traced ? "the rule matched, so that was so"
				      : "no other rule can have done it, so that was so",
			       w.why);
	else if (w.found.entry && !use->negate)
		add_entry(evidence, q, &w);
	else
		cause_evidence(evidence, "it had %u entries then, and none of them has it",
			       w.set->count);
}

static void set_causes(json_t *causes, const struct inquiry *q, const struct fate *f)
{
	const struct rule *rule = f->culprit ? &f->culprit->rule : &f->resolved.rule;
	const struct journey *j = &f->hop->sj->j;
	const struct step *s = f->step ? f->step : f->freed;
	struct set_place p = { .q = q, .hop = f->hop };

	if (f->death != DEATH_RULE || !s || (!f->culprit && f->resolved.kind != RESOLVED_RULE))
		return;
	p.tuple = &j->tuples[s->tuple < j->tuple_count ? s->tuple : 0];
	p.hook = s->label == LABEL_KERNEL ? HOOK_NONE : (enum hook)s->hook;
	p.at = hop_step_at(f->hop, s);
	p.kernel_time = s->kernel_time;
	for (uint8_t i = 0; i < rule->set_count; i++)
		if (!rule->sets[i].target)
			set_cause(causes, q, &p, &rule->sets[i], !f->culprit);
}

/* Bridges and devices have tables of the names that IP's have. */
static void put_table(char *to, size_t size, uint8_t family, const char *table)
{
	bool named = family == FAMILY_BRIDGE || family == FAMILY_NETDEV || family == FAMILY_ARP;

	snprintf(to, size, "%s%s%s", named ? family_name(family) : "", named ? " " : "", table);
}

static void rule_causes(json_t *causes, const struct inquiry *q, const struct ruling *r,
			const char *host)
{
	const struct fate *f = r->decisive;
	const struct suspect *by = f->culprit;
	char table[SENTENCE_MAX / 4];
	const char *chain = by ? by->chain : f->step->chain;
	uint32_t number = by ? by->number : f->resolved.number;
	const char *text = by ? by->text : f->resolved.text ? f->resolved.text : "";
	json_t *evidence;

	put_table(table, sizeof(table), by ? by->table->family : f->step->family,
		  by ? by->table->table : f->step->table);
	if (f->verdict == VERDICT_REJECTED)
		evidence = cause_add(causes, "reject", "%s %s/%s rule %u rejects it (%s)", host,
				     table, chain, number, f->reject_with);
	else if (f->cause && !strcmp(f->cause, "not-listening"))
		evidence = cause_add(
			causes, f->cause,
			"%s %s/%s rule %u hands it to a program here, and none listens on that port",
			host, table, chain, number);
	else if (f->death == DEATH_POLICY)
		evidence = cause_add(causes, "default-policy",
				     "no rule of %s %s/%s accepts it, and its policy is DROP", host,
				     table, chain);
	else if (number)
		evidence = cause_add(causes, "explicit-drop", "%s %s/%s rule %u drops it", host,
				     table, chain, number);
	else
		evidence = cause_add(causes, "explicit-drop", "a rule of %s %s/%s drops it", host,
				     table, chain);
	if (text[0])
		cause_evidence(evidence, "%s", text);
	if (f->resolved.reason)
		cause_evidence(evidence, "the rule's number is not certain: %s",
			       f->resolved.reason);
	if (by)
		cause_evidence(
			evidence,
			"the kernel of %s says that a rule dropped %zu packet%s; no other one there can have done it",
			host, r->packets, r->packets == 1 ? "" : "s");
	else
		cause_evidence(evidence, "it is the last step that was seen of %zu packet%s",
			       r->packets, r->packets == 1 ? "" : "s");
	set_causes(causes, q, f);
}

static json_t *queue_cause(json_t *causes, const struct fate *f, const char *host)
{
	const struct suspect *one = f->suspects.count ? &f->suspects.list[0] : NULL;
	json_t *evidence = cause_add(
		causes, "nfqueue-no-listener",
		"%s freed it at the queue of %s/%s number %u%s: no program reads that queue, or the one that does refused it",
		host, one ? one->table->table : f->step->table, one ? one->chain : f->step->chain,
		one ? one->number : f->resolved.number,
		f->suspects.count > 1 ? ", or of another rule" : "");

	for (size_t i = 0; i < f->suspects.count; i++)
		cause_evidence(evidence, "it may be %s/%s: %s", f->suspects.list[i].table->table,
			       f->suspects.list[i].chain, f->suspects.list[i].text);
	if (!one && f->resolved.text)
		cause_evidence(evidence, "%s", f->resolved.text);
	cause_evidence(evidence,
		       "/proc/net/netfilter/nfnetlink_queue of %s lists the queues that are read",
		       host);
	return evidence;
}

/* The kernel says that some rule did it; more than one can have. */
static void suspect_causes(json_t *causes, const struct fate *f, const char *host)
{
	const struct step *last = f->step;
	json_t *evidence;

	/* It was traced, and no rule that drops was met. */
	if (last && last->label != LABEL_CHECKPOINT && !f->suspects.list &&
	    f->resolved.kind == RESOLVED_UNKNOWN) {
		evidence = cause_add(
			causes, "explicit-drop",
			"a rule or policy of %s dropped it: number %u of %s/%s was the last that it met",
			host, last->number, last->table, last->chain);
		cause_evidence(evidence, "what stands there is not known (%s)",
			       f->resolved.reason ? f->resolved.reason : "no-ruleset");
		return;
	}
	if (last && last->label != LABEL_CHECKPOINT && !f->suspects.list) {
		evidence = cause_add(causes, "explicit-drop",
				     "something within %s %s/%s dropped it, no target of a rule",
				     host, last->table, last->chain);
		cause_evidence(
			evidence,
			"the kernel of %s says that a rule dropped it; the trace ends after number %u of %s",
			host, last->number, last->chain);
		return;
	}
	evidence = cause_add(causes, "explicit-drop", "a rule or policy of %s dropped it", host);
	for (size_t i = 0; i < f->suspects.count; i++) {
		const struct suspect *s = &f->suspects.list[i];

		cause_evidence(evidence, "it may be %s/%s: %s", s->table->table, s->chain, s->text);
	}
	if (!f->suspects.complete)
		cause_evidence(
			evidence,
			"there are rules whose effect on it is not known: trace it to be sure");
	else if (f->suspects.count > 1)
		cause_evidence(evidence, "their counters do not tell which: trace it to be sure");
}

/* What to look at, where no fix can be checked. */
static void add_hint(json_t *evidence, const struct fate *f, const char *host)
{
	const struct tuple *out = hop_tuple_out(f->hop);
	const char *id = f->cause;

	if (!strcmp(id, "neighbor-unreachable"))
		cause_evidence(evidence, "look: ip neighbour on %s", host);
	else if (!strcmp(id, "not-listening") && proto_has_ports(out->proto))
		cause_evidence(evidence, "look: ss -ln%c 'sport = :%u' on %s",
			       out->proto == IPPROTO_TCP ? 't' : 'u', out->dport, host);
	else if (!strcmp(id, "conntrack-full"))
		cause_evidence(evidence,
			       "look: net.netfilter.nf_conntrack_count and nf_conntrack_max on %s",
			       host);
}

/* Names who stands elsewhere in the cause that was added last. */
static void name_culprit(json_t *causes, const struct inquiry *q, const struct ruling *ruling,
			 const struct fate *f)
{
	json_t *cause = json_array_get(causes, json_array_size(causes) - 1);
	const struct fate *by = NULL;
	const char *what = "";
	json_t *died;

	if (!strcmp(f->cause, "ttl-expired")) {
		by = culprit_of_ttl(q, f);
		what = "a rule gave it the TTL that ended";
	} else if (!strcmp(f->cause, "mtu")) {
		by = culprit_of_mtu(q, ruling->conv, f);
		what = "the ICMP error that tells its sender of the MTU was dropped";
	} else if (!strcmp(f->cause, "neighbor-unreachable")) {
		by = culprit_of_neighbour(q, f);
		what = "neighbour discovery was dropped";
	}
	if (!by)
		return;
	died = json_died_at(q, by);
	cause_evidence(json_object_get(cause, "evidence"), "%s: %s %s/%s: %s", what,
		       json_string_value(json_object_get(died, "host")),
		       json_string_value(json_object_get(died, "table")) ?: "?",
		       json_string_value(json_object_get(died, "chain")) ?: "?",
		       json_string_value(json_object_get(died, "rule_text")) ?: "?");
	json_object_set_new(died, "carrier", json_null());
	json_object_set_new(cause, "culprit", died);
}

bool ruling_loops(struct loop *l, const struct inquiry *q, const struct ruling *r)
{
	const struct fate *f = r->decisive;

	if (!f)
		return false;
	if (loop_of_path(l, q->fleet, f->path))
		return true;
	return f->cause && !strcmp(f->cause, "ttl-expired") &&
	       fleet_host(q->fleet, f->hop->sj->host) &&
	       loop_of_routes(l, q->fleet, fleet_host(q->fleet, f->hop->sj->host),
			      &hop_tuple_out(f->hop)->dst);
}

/* Its TTL ended because hosts sent it to one another. */
static json_t *loop_cause(json_t *causes, const struct loop *l, const struct fate *f,
			  const char *host)
{
	char names[SENTENCE_MAX / 2] = "", dst[ADDR_TEXT_MAX];
	json_t *evidence;
	size_t n = 0;

	addr_print(&hop_tuple_out(f->hop)->dst, dst);
	for (size_t i = 0; i < l->count && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
				      i == 0              ? ""
				      : i + 1 == l->count ? " and "
							  : ", ",
				      l->hosts[i]->id);
	if (l->by_routes)
		evidence = cause_add(
			causes, "ttl-expired",
			"its TTL ended at %s: the routes of %s send it round, a forwarding loop",
			host, names);
	else
		evidence = cause_add(
			causes, "ttl-expired",
			"a forwarding loop: it went round by %s %zu times until its TTL ended at %s",
			names, l->rounds, host);
	for (size_t i = 0; i < l->count; i++)
		cause_evidence(evidence, "%s sends what is for %s to %s", l->hosts[i]->id, dst,
			       l->hosts[(i + 1) % l->count]->id);
	return evidence;
}

/* Its new addresses belong to another connection: no port was left for it. */
static json_t *exhausted_cause(json_t *causes, const struct fate *f, const char *host)
{
	const struct tuple *out = hop_tuple_out(f->hop), *other = &f->clash->c.orig;
	char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	json_t *evidence;

	endpoint_print(&out->src, out->sport, out->proto, from);
	endpoint_print(&out->dst, out->dport, out->proto, to);
	evidence = cause_add(
		causes, "nat-exhausted",
		"no port was left for it: %s translated it to %s, which another connection to %s has",
		host, from, to);
	endpoint_print(&other->src, other->sport, other->proto, from);
	endpoint_print(&other->dst, other->dport, other->proto, to);
	cause_evidence(evidence, "the connection that has it is %s to %s", from, to);
	return evidence;
}

/* It left for a tunnel whose packet died further on: that is where to look. */
static json_t *carrier_cause(json_t *causes, const struct inquiry *q, const struct fate *f,
			     const struct fate *carrier, const char *host)
{
	const struct tuple *t = hop_tuple_in(carrier->hop);
	const struct fleet_host *fh = fleet_host(q->fleet, carrier->hop->sj->host);
	char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX], number[4];
	json_t *evidence, *culprit = json_died_at(q, carrier);

	endpoint_print(&t->src, t->sport, t->proto, from);
	endpoint_print(&t->dst, t->dport, t->proto, to);
	evidence = cause_add(
		causes, f->cause,
		"it left %s for %s by a tunnel; the packet (%s) that seems to have carried it was %s at %s",
		host, f->next, proto_name(t->proto, number), verdict_name(carrier->verdict),
		fh ? fh->id : "?");
	json_object_set_new(culprit, "carrier", json_flow(t));
	json_object_set_new(json_array_get(causes, json_array_size(causes) - 1), "culprit",
			    culprit);
	cause_evidence(
		evidence,
		"a packet from %s to %s, longer by a tunnel's headers, ended there at that time",
		from, to);
	return evidence;
}

/* A listening TCP says nothing where it has no room; a port without a listener would have said so. */
static json_t *unanswered_cause(json_t *causes, const struct fate *f, const char *host)
{
	uint16_t port = hop_tuple_out(f->hop)->dport;
	json_t *evidence = cause_add(
		causes, f->cause,
		"the queue of the socket that listens on port %u of %s seems to be full: it answers no SYN, and does not refuse either",
		port, host);

	cause_evidence(
		evidence,
		"the SYN came more than once, and no answer left the OUTPUT of %s, which was traced",
		host);
	cause_evidence(
		evidence,
		"look: ss -ltn 'sport = :%u' on %s: Recv-Q above Send-Q; nstat -az TcpExtListenOverflows",
		port, host);
	cause_evidence(evidence, "else its kernel lacks memory, or a security module refused it");
	return evidence;
}

static json_t *no_way_back_cause(json_t *causes, const struct inquiry *q, const struct fate *f,
				 const char *host)
{
	char src[ADDR_TEXT_MAX];
	json_t *evidence;

	addr_print(&hop_tuple_out(f->hop)->src, src);
	evidence = cause_add(causes, "return-path",
			     "%s has no route back to %s: no answer can leave it", host, src);
	cause_of_no_way_back(evidence, q, f->hop);
	cause_evidence(evidence, "look: ip route get %s on %s", src, host);
	return evidence;
}

static void kernel_causes(json_t *causes, const struct inquiry *q, const struct ruling *ruling,
			  const char *host)
{
	const struct fate *f = ruling->decisive;
	const char *id = f->cause;
	const struct reason *r = f->freed ? reason_find(f->freed->prefix) : NULL;
	bool sunk = id && !strcmp(id, "no-route") && r && r->class == REASON_UNTOLD && f->reason &&
		    !strcmp(f->reason, r->name);
	json_t *evidence;
	const struct fate *carrier;
	struct loop loop;

	if (f->verdict == VERDICT_DROPPED) {
		suspect_causes(causes, f, host);
		return;
	}
	if (!id)
		return;
	if (f->verdict == VERDICT_LOST)
		narrow_cause(causes, q, ruling);
	if ((evidence = cause_of_routing(causes, q, f, host)))
		;
	else if (!strcmp(id, "not-listening"))
		evidence = cause_add(causes, id,
				     proto_has_ports(hop_tuple_out(f->hop)->proto)
					     ? "nobody listens on that port of %s"
					     : "nobody takes that protocol at %s",
				     host);
	else if (!strcmp(id, "lost-between-hosts") && (carrier = carrier_fate(q, f)))
		evidence = carrier_cause(causes, q, f, carrier, host);
	else if (!strcmp(id, "lost-between-hosts"))
		evidence = cause_add(
			causes, id,
			"it left %s and did not reach %s%s: the wire, a route, or a firewall nobody watches",
			host, f->next_sure ? "" : "any of ", f->next);
	else if (!strcmp(id, "ttl-expired") && ruling_loops(&loop, q, ruling))
		evidence = loop_cause(causes, &loop, f, host);
	else if (!strcmp(id, "ttl-expired"))
		evidence = cause_add(causes, id, "its TTL ended at %s", host);
	else if (!strcmp(id, "neighbor-unreachable"))
		evidence = cause_add(causes, id,
				     "%s got no answer from the next hop's link address", host);
	else if (!strcmp(id, "mtu"))
		evidence =
			cause_add(causes, id, "it is larger than the next link of %s takes", host);
	else if (!strcmp(id, "nfqueue-no-listener"))
		evidence = queue_cause(causes, f, host);
	else if (!strcmp(id, "conntrack-full"))
		evidence = cause_add(
			causes, id,
			"no rule of %s can have dropped it: its connection tracking had no place for it",
			host);
	else if (!strcmp(id, "nat-exhausted"))
		evidence = exhausted_cause(causes, f, host);
	else if (!strcmp(id, "queue-overflow") && !strcmp(f->reason, NO_ANSWER))
		evidence = unanswered_cause(causes, f, host);
	else if (!strcmp(id, "queue-overflow"))
		evidence = cause_add(causes, id, "a queue or buffer of %s was full: %s", host,
				     r ? r->text : "which is not known");
	else if (!strcmp(id, "return-path"))
		evidence = no_way_back_cause(causes, q, f, host);
	else
		return;
	if (sunk)
		cause_evidence(
			evidence,
			"the kernel of %s freed it and gave no reason; its routing ends such packets so",
			host);
	else if (r)
		cause_evidence(evidence, "the kernel of %s says so: %s (%s)", host, r->name,
			       r->text);
	else if (f->verdict == VERDICT_REFUSED)
		cause_evidence(
			evidence,
			"it passed INPUT of %s, whose own OUTPUT answered with a reset or port unreachable",
			host);
	else if (!strcmp(id, "return-path") || !strcmp(f->reason, NO_ANSWER))
		return;
	else if (f->verdict == VERDICT_LOST)
		cause_evidence(evidence,
			       "%s traced such packets then, lost no evidence, and saw nothing",
			       f->next);
	else
		cause_evidence(
			evidence,
			f->observed
				? "an ICMP error of %s says so"
				: "every step seen at %s accepted it, and its routes and settings say so",
			host);
	add_hint(evidence, f, host);
	name_culprit(causes, q, ruling, f);
}

/* Who answered: an address, and its host where one has it, who told nothing of the packet. */
static void put_maker(char *to, size_t size, const struct inquiry *q, const char *address)
{
	struct addr a;

	snprintf(to, size, "%s", address);
	for (size_t i = 0; addr_parse(&a, address) && i < q->fleet->host_count; i++) {
		if (fleet_owns(&q->fleet->hosts[i], &a))
			snprintf(to, size, "%s (%s)", q->fleet->hosts[i].id, address);
	}
}

/* Somebody who told nothing of the packet answered with an ICMP error. */
static void foreign_causes(json_t *causes, const struct inquiry *q, const struct ruling *ruling,
			   const char *host)
{
	const struct fate *f = ruling->decisive;
	const struct journey *e = f->answer;
	uint8_t out = hop_ttl_out(f->hop);
	char kind[32], by[SENTENCE_MAX / 4];
	json_t *evidence;

	packet_text(e, kind);
	put_maker(by, sizeof(by), q, f->answered_by);
	if (f->verdict == VERDICT_REFUSED)
		evidence =
			cause_add(causes, f->cause,
				  "%s itself, behind %s, says that nobody listens there", by, host);
	else if (f->verdict == VERDICT_REJECTED)
		evidence = cause_add(causes, f->cause, "%s, behind %s, rejects it (%s)", by, host,
				     f->reject_with);
	else if (!strcmp(f->cause, "mtu") && e->icmp_seq && e->ip_version == 4)
		evidence = cause_add(causes, f->cause,
				     "it has %u bytes, and %s, behind %s, passes on %u at most",
				     e->inner_len, by, host, e->icmp_seq);
	else if (!strcmp(f->cause, "mtu"))
		evidence = cause_add(causes, f->cause,
				     "%s, behind %s, has a next link that it is too large for", by,
				     host);
	else if (!strcmp(f->cause, "ttl-expired"))
		evidence = cause_add(causes, f->cause, "its TTL ended at %s, behind %s", by, host);
	else
		evidence = cause_add(causes, f->cause, "%s, behind %s, cannot reach the next hop",
				     by, host);
	cause_evidence(evidence, "its ICMP error (%s) embeds this packet", kind);
	if (e->inner_ttl && out > e->inner_ttl)
		cause_evidence(evidence, "it had passed %u router%s behind %s by then",
			       out - e->inner_ttl, out - e->inner_ttl == 1 ? "" : "s", host);
	name_culprit(causes, q, ruling, f);
}

/* Did it arrive at whom it was for? */
static bool is_at_home(const struct fleet_host *h, const struct hop *hop)
{
	return h && hop_reached(hop, CHECKPOINT_IN_LAST) && fleet_owns(h, &hop_tuple_out(hop)->dst);
}

static void death_causes(json_t *causes, const struct inquiry *q, const struct ruling *r,
			 const char *host)
{
	const struct fate *f = r->decisive;
	json_t *evidence;

	if (f->answered_by)
		foreign_causes(causes, q, r, host);
	else if (f->death == DEATH_RULE || f->death == DEATH_POLICY)
		rule_causes(causes, q, r, host);
	else
		kernel_causes(causes, q, r, host);
	if (r->direction != DIRECTION_REPLY)
		return;
	evidence = cause_add(causes, "return-path",
			     "the request arrived; its answer died at %s on the way back", host);
	cause_evidence(evidence,
		       "packets of the request were delivered, packets of the reply were not");
}

json_t *causes_of(const struct inquiry *q, const struct ruling *r)
{
	const struct fate *f = r->decisive;
	json_t *causes = json_array();
	const struct fleet_host *fh;

	if (!causes || !f)
		return causes;
	fh = fleet_host(q->fleet, f->hop->sj->host);
	if (f->death != DEATH_NONE)
		death_causes(causes, q, r, fh ? fh->id : "?");
	else if (r->verdict == VERDICT_DELIVERED && !r->reply_seen && is_at_home(fh, f->hop) &&
		 has_no_way_back(q, f->hop))
		no_way_back_cause(causes, q, f, fh->id);
	reset_causes(causes, q, r);
	return causes;
}
