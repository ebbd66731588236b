/*
 * A command is proposed only where routes are known that take the packet once it is carried out; what rules of the firewall then
 * do is another question, and said so.
 */
#include "collector/diagnose/cause_routing.h"

#include <linux/fib_rules.h>
#include <stdio.h>
#include <string.h>

#include "collector/diagnose/cause_piece.h"
#include "collector/diagnose/routed.h"
#include "collector/diagnose/value.h"

#define THEN_RULES "routing takes it then; what the rules of its firewall say is not looked at here"

struct case_of {
	json_t *causes;
	const struct fate *f;
	const char *host, *in_if;
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];
};

static void tell_way(json_t *evidence, const char *before, const struct routed *r,
		     const struct routing *w)
{
	char rule[ROUTING_TEXT_MAX], route[ROUTING_TEXT_MAX];

	if (w->rule)
		routing_rule_print(w->rule, rule);
	if (w->route)
		route_print(r->facts, w->route, route);
	if (w->rule && w->route)
		cause_evidence(evidence, "%s%s (by rule %s)", before, route, rule);
	else if (w->rule || w->route)
		cause_evidence(evidence, "%s%s", before, w->rule ? rule : route);
}

static void tell_ways(json_t *evidence, const struct routed *r)
{
	for (size_t i = 0; i < r->ways.count; i++)
		tell_way(evidence, r->ways.count > 1 ? "it may be " : "", r, &r->ways.list[i]);
}

/* --- forwarding -------------------------------------------------------------------------------------------- */

static json_t *forwarding(const struct case_of *c, const struct inquiry *q)
{
	bool six = c->f->hop->sj->j.ip_version == 6, one;
	char name[64] = "net.ipv4.ip_forward";
	struct routed r;
	json_t *evidence;

	routed_find(&r, q, c->f->hop);
	if (routed_forwards(&r, six ? 6 : 4) != FORWARDS_NOT) {
		evidence =
			cause_add(c->causes, c->f->cause, "%s does not forward what comes in by %s",
				  c->host, c->in_if[0] ? c->in_if : "that interface");
		cause_evidence(evidence, "look: sysctl -ar 'conf\\..*\\.forwarding' on %s",
			       c->host);
		return evidence;
	}
	one = !six && r.link && r.link->conf4 && r.facts->forward4;
	if (one)
		snprintf(name, sizeof(name), "net.ipv4.conf.%s.forwarding", c->in_if);
	else if (six)
		snprintf(name, sizeof(name), "net.ipv6.conf.all.forwarding");
	if (one)
		evidence = cause_add(c->causes, c->f->cause,
				     "%s does not forward what comes in by %s (%s is 0)", c->host,
				     c->in_if, name);
	else
		evidence =
			cause_add(c->causes, c->f->cause, "%s does not forward packets (%s is 0)",
				  c->host, six ? name : "ip_forward");
	if (!routed_leads_on(&r))
		return evidence;
	tell_ways(evidence, &r);
	cause_fix(c->causes, "sysctl -w %s=1", name);
	cause_evidence(evidence, THEN_RULES);
	return evidence;
}

/* --- the reverse path filter ------------------------------------------------------------------------------- */

/* All ways back lead by interfaces, none of them the one that it came by. */
static bool leads_elsewhere(const struct routed *r)
{
	for (size_t i = 0; i < r->ways.count; i++) {
		if (r->ways.list[i].route->ifindex == r->link->ifindex)
			return false;
	}
	return true;
}

static bool leads_nowhere(const struct routed *r)
{
	for (size_t i = 0; i < r->ways.count; i++) {
		if (r->ways.list[i].route || r->ways.list[i].rule)
			return false;
	}
	return r->ways.known && r->ways.count > 0;
}

static json_t *filter_generic(const struct case_of *c)
{
	const char *in = c->in_if[0] ? c->in_if : "that interface";
	json_t *evidence = cause_add(
		c->causes, c->f->cause,
		"the reverse path filter of %s: its route to the source does not lead through %s",
		c->host, in);

	cause_evidence(
		evidence,
		"look: ip route get %s on %s. If the way back rightly differs, sysctl net.ipv4.conf.%s.rp_filter=2 takes it (the greater of it and conf.all counts)",
		c->src, c->host, c->in_if[0] ? c->in_if : "INTERFACE");
	return evidence;
}

static json_t *filter(const struct case_of *c, const struct inquiry *q)
{
	struct routed r;
	json_t *evidence;
	uint8_t mode;

	routed_back(&r, q, c->f->hop);
	if (!r.facts || !r.link || !r.link->conf4)
		return filter_generic(c);
	mode = r.link->rp_filter > r.facts->rp_filter ? r.link->rp_filter : r.facts->rp_filter;
	if (leads_nowhere(&r) && mode)
		evidence = cause_add(
			c->causes, c->f->cause,
			"the reverse path filter of %s: it has no route to %s, where the packet says that it comes from",
			c->host, c->src);
	else if (routed_leads_on(&r) && leads_elsewhere(&r) && mode == 1)
		evidence = cause_add(
			c->causes, c->f->cause,
			"the reverse path filter of %s is strict on %s, and its route to %s leads by %s",
			c->host, c->in_if, c->src,
			r.ways.count == 1 ? route_device(r.facts, r.ways.list[0].route)
					  : "other interfaces");
	else
		return filter_generic(c);
	cause_evidence(
		evidence,
		"net.ipv4.conf.all.rp_filter is %u and net.ipv4.conf.%s.rp_filter is %u; the greater counts (1 strict, 2 loose)",
		r.facts->rp_filter, c->in_if, r.link->rp_filter);
	if (leads_nowhere(&r)) {
		cause_evidence(evidence, "look: is a route to %s by %s missing on %s?", c->src,
			       c->in_if, c->host);
		return evidence;
	}
	tell_ways(evidence, &r);
	cause_fix(c->causes, "sysctl -w net.ipv4.conf.%s.rp_filter=2", c->in_if);
	cause_evidence(evidence, "with 2 any route to the source will do; " THEN_RULES);
	return evidence;
}

/* --- no route ---------------------------------------------------------------------------------------------- */

static json_t *culprit(const struct case_of *c, const char *kind, uint32_t number, const char *text)
{
	return json_pack("{s:s,s:s,s:o,s:o}", "host", c->host, "kind", kind, "rule",
			 number ? json_integer(number) : json_null(), "rule_text", json_text(text));
}

static const char *end_of(const struct facts_rule *r)
{
	return r->action == FR_ACT_BLACKHOLE  ? "is a blackhole for it"
	       : r->action == FR_ACT_PROHIBIT ? "prohibits it"
					      : "says that it cannot be reached";
}

static void tell_tables(json_t *evidence, const struct routed *r)
{
	char rule[ROUTING_TEXT_MAX];

	for (size_t i = 0; r->ways.known && i < r->ways.asked_count; i++) {
		routing_rule_print(r->ways.asked[i], rule);
		cause_evidence(evidence, "no route that leads on by rule %s", rule);
	}
	if (r->ways.asked_count == ROUTING_RULES_MAX)
		cause_evidence(evidence, "more rules may be for it");
}

static json_t *no_route(const struct case_of *c, const struct inquiry *q)
{
	char text[ROUTING_TEXT_MAX];
	struct routed r;
	json_t *evidence;

	routed_find(&r, q, c->f->hop);
	if (r.fault == ROUTE_FAULT_RULE && r.ways.count == 1) {
		routing_rule_print(r.by.rule, text);
		evidence = cause_add(c->causes, c->f->cause, "rule %u of %s's policy routing %s",
				     r.by.rule->priority, c->host, end_of(r.by.rule));
		cause_evidence(evidence, "%s", text);
		cause_culprit(c->causes, culprit(c, "routing-rule", r.by.rule->priority, text));
		return evidence;
	}
	if (r.fault == ROUTE_FAULT_ROUTE && r.ways.known && r.ways.count == 1) {
		route_print(r.facts, r.by.route, text);
		evidence = cause_add(c->causes, c->f->cause, "a route of %s swallows it: %s",
				     c->host, text);
		tell_way(evidence, "", &r, &r.by);
		cause_culprit(c->causes, culprit(c, "route", 0, text));
		return evidence;
	}
	if (r.fault == ROUTE_FAULT_RULE || r.fault == ROUTE_FAULT_ROUTE) {
		evidence =
			cause_add(c->causes, c->f->cause,
				  "routing of %s swallows it: blackhole, unreachable or prohibit",
				  c->host);
		tell_ways(evidence, &r);
		return evidence;
	}
	evidence = cause_add(c->causes, c->f->cause, "%s has no route to its destination", c->host);
	if (r.fault == ROUTE_FAULT_NO_ROUTE) {
		tell_ways(evidence, &r);
		tell_tables(evidence, &r);
	}
	cause_evidence(evidence, "look: ip route get %s on %s", c->dst, c->host);
	return evidence;
}

void cause_of_no_way_back(json_t *evidence, const struct inquiry *q, const struct hop *h)
{
	struct routed r;

	routed_answer(&r, q, h);
	tell_ways(evidence, &r);
	tell_tables(evidence, &r);
}

json_t *cause_of_routing(json_t *causes, const struct inquiry *q, const struct fate *f,
			 const char *host)
{
	const struct tuple *out = hop_tuple_out(f->hop);
	struct case_of c = { .causes = causes, .f = f, .host = host, .in_if = f->hop->sj->j.in_if };

	addr_print(&out->src, c.src);
	addr_print(&out->dst, c.dst);
	if (!strcmp(f->cause, "forwarding-disabled"))
		return forwarding(&c, q);
	if (!strcmp(f->cause, "rp-filter"))
		return filter(&c, q);
	if (!strcmp(f->cause, "no-route"))
		return no_route(&c, q);
	return NULL;
}
