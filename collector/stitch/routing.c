/*
 * A rule is followed as the kernel does (fib_rules_lookup), with three answers to what it asks. `here` says which rules the packet
 * may come to; a rule that may not be for it, or whose table has no route for it, passes it on to the next one.
 */
#include "collector/stitch/routing.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

enum answer { NO, MAYBE, YES };

static enum answer both(enum answer a, enum answer b)
{
	return a < b ? a : b;
}

static const struct facts_link *link_of(const struct facts *f, const char *name)
{
	for (uint32_t i = 0; i < f->link_count; i++) {
		if (!strcmp(f->links[i].name, name))
			return &f->links[i];
	}
	return NULL;
}

static enum answer in_prefix(const struct prefix *p, const struct addr *a)
{
	return !p->addr.family || prefix_has(p, a) ? YES : NO;
}

/* The packet came by `iif`; a bridge's port, or a VRF's, may count as its master. */
static enum answer came_by(const struct facts *f, const struct routing_ask *ask, const char *wanted)
{
	const struct facts_link *l, *master;

	if (!wanted[0])
		return YES;
	if (!ask->iif)
		return MAYBE;
	if (!ask->iif[0])
		return !strcmp(wanted, "lo") ? YES : NO;
	if (!strcmp(ask->iif, wanted))
		return YES;
	l = link_of(f, ask->iif);
	master = link_of(f, wanted);
	return !l || (master && l->master == master->ifindex) ? MAYBE : NO;
}

static enum answer has_port(const struct routing_ask *ask, const uint16_t range[static 2],
			    uint16_t port)
{
	if (!range[1])
		return YES;
	if (!ask->ports_known)
		return MAYBE;
	return port >= range[0] && port <= range[1] ? YES : NO;
}

static enum answer has_mark(const struct routing_ask *ask, const struct facts_rule *r)
{
	if (!r->mask)
		return YES;
	if (!ask->mark_known)
		return MAYBE;
	return ((ask->mark ^ r->mark) & r->mask) == 0 ? YES : NO;
}

/* Only what is in a VRF, or may be, is for such a rule. */
static enum answer in_vrf(const struct facts *f, const struct routing_ask *ask)
{
	const struct facts_link *l = ask->iif && ask->iif[0] ? link_of(f, ask->iif) : NULL;

	for (uint32_t i = 0; i < f->link_count; i++) {
		const struct facts_link *port = &f->links[i];

		if (port->master && (!l || port == l || port->master == l->ifindex))
			return MAYBE;
	}
	return NO;
}

static enum answer is_for(const struct facts *f, const struct facts_rule *r,
			  const struct routing_ask *ask)
{
	enum answer a = r->other ? MAYBE : YES;

	a = both(a, in_prefix(&r->from, &ask->t.src));
	a = both(a, in_prefix(&r->to, &ask->t.dst));
	a = both(a, came_by(f, ask, r->iif));
	/* Only a socket that is bound to an interface asks for one. */
	if (r->oif[0])
		a = both(a, ask->iif && ask->iif[0] ? NO : MAYBE);
	if (r->tos)
		a = both(a, MAYBE);
	if (r->proto)
		a = both(a, r->proto == ask->t.proto ? YES : NO);
	a = both(a, has_port(ask, r->sport, ask->t.sport));
	a = both(a, has_port(ask, r->dport, ask->t.dport));
	a = both(a, has_mark(ask, r));
	if (r->l3mdev)
		a = both(a, in_vrf(f, ask));
	if (r->invert && a != MAYBE)
		return a == YES ? NO : YES;
	return a;
}

static void add(struct routings *out, const struct facts_rule *rule,
		const struct facts_route *route)
{
	for (size_t i = 0; i < out->count; i++) {
		if (out->list[i].route == route && (route || out->list[i].rule == rule))
			return;
	}
	if (out->count == ROUTINGS_MAX) {
		out->more = true;
		out->known = false;
		return;
	}
	out->list[out->count++] = (struct routing){ rule, route };
}

static enum answer route_is_for(const struct facts_route *r, uint32_t table,
				const struct routing_ask *ask)
{
	if (r->table != table || r->dst.addr.family != ask->t.dst.family ||
	    !prefix_has(&r->dst, &ask->t.dst) || in_prefix(&r->src, &ask->t.src) == NO)
		return NO;
	return r->tos ? MAYBE : YES;
}

/* Would the kernel take a before b? */
static bool goes_before(const struct facts_route *a, const struct facts_route *b)
{
	if (a->dst.len != b->dst.len)
		return a->dst.len > b->dst.len;
	if (a->src.len != b->src.len)
		return a->src.len > b->src.len;
	if (a->tos != b->tos)
		return a->tos > b->tos;
	return a->metric < b->metric;
}

/*
 * What the rule's table has for it. NO: a route that is surely for it; YES: none, so that the next rule is asked; MAYBE: either.
 */
static enum answer look_up(struct routings *out, const struct facts *f,
			   const struct facts_rule *rule, uint32_t table,
			   const struct routing_ask *ask)
{
	const struct facts_route *best = NULL;
	enum answer next = YES;

	for (uint32_t i = 0; i < f->route_count; i++) {
		const struct facts_route *r = &f->routes[i];

		if (route_is_for(r, table, ask) == YES && (!best || goes_before(r, best)))
			best = r;
	}
	for (uint32_t i = 0; i < f->route_count; i++) {
		const struct facts_route *r = &f->routes[i];

		if (route_is_for(r, table, ask) == NO || (best && goes_before(best, r)))
			continue;
		if (r->type == RTN_THROW ||
		    (rule && rule->suppress >= r->dst.len && !route_swallows(r)))
			continue;
		add(out, rule, r);
		if (!best || goes_before(r, best))
			next = both(next, MAYBE);
		else
			next = NO;
	}
	return next;
}

/* Which table the packet asks is not known: any may be meant. */
static void look_everywhere(struct routings *out, const struct facts *f,
			    const struct routing_ask *ask)
{
	out->known = false;
	for (uint32_t i = 0; i < f->route_count; i++) {
		bool seen = false;

		for (uint32_t k = 0; k < i && !seen; k++)
			seen = f->routes[k].table == f->routes[i].table;
		if (!seen)
			(void)look_up(out, f, NULL, f->routes[i].table, ask);
	}
}

static uint32_t rule_at(const struct facts *f, uint32_t from, uint8_t family, uint32_t priority)
{
	uint32_t i = from + 1;

	while (i < f->rule_count &&
	       (f->rules[i].family != family || f->rules[i].priority < priority))
		i++;
	return i < f->rule_count && f->rules[i].priority == priority ? i : from + 1;
}

/* Follows one rule for a packet that may come to it. Can the packet go on to the next one, and (*jump) where else? */
static bool follow(struct routings *out, const struct facts *f, uint32_t at,
		   const struct routing_ask *ask, uint32_t *jump)
{
	const struct facts_rule *r = &f->rules[at];
	enum answer for_it = is_for(f, r, ask), next = YES;

	*jump = at + 1;
	if (for_it == NO)
		return true;
	switch (r->action) {
	case FR_ACT_TO_TBL:
		if (out->asked_count < ROUTING_RULES_MAX)
			out->asked[out->asked_count++] = r;
		if (r->l3mdev)
			look_everywhere(out, f, ask);
		else
			next = look_up(out, f, r, r->table, ask);
		return for_it == MAYBE || next != NO;
	case FR_ACT_GOTO:
		*jump = rule_at(f, at, r->family, r->target);
		return for_it == MAYBE || *jump == at + 1;
	case FR_ACT_BLACKHOLE:
	case FR_ACT_UNREACHABLE:
	case FR_ACT_PROHIBIT:
		add(out, r, NULL);
		return for_it == MAYBE;
	case FR_ACT_NOP:
		return true;
	default:
		out->known = false;
		return true;
	}
}

void routings_find(struct routings *out, const struct facts *f, const struct routing_ask *ask)
{
	bool here[FACTS_RULES_MAX + 1] = { true };
	uint32_t jump;

	memset(out, 0, sizeof(*out));
	if (ask->t.dst.family == 6 ? !f->rules6 : !f->rules4) {
		look_everywhere(out, f, ask);
		return;
	}
	out->known = !f->cut;
	for (uint32_t i = 0; i < f->rule_count && i < FACTS_RULES_MAX; i++) {
		if (!here[i])
			continue;
		if (f->rules[i].family != ask->t.dst.family) {
			here[i + 1] = true;
			continue;
		}
		if (follow(out, f, i, ask, &jump))
			here[i + 1] = true;
		here[jump] |= jump > i + 1;
	}
	if (here[f->rule_count])
		add(out, NULL, NULL);
}

struct routing_ask routing_ask_of(const struct journey *j)
{
	const struct tuple *in = &j->tuples[0], *out = &j->tuples[j->tuple_count - 1];
	struct routing_ask ask = { .t = *in, .mark = j->mark };
	enum hook first = HOOK_NONE, last = HOOK_NONE;
	bool freed = false;

	ask.t.dst = out->dst;
	ask.t.dport = out->dport;
	ask.ports_known = j->fp != 0 && proto_has_ports(in->proto);
	for (uint16_t i = 0; i < j->step_count; i++) {
		const struct step *s = &j->steps[i];

		freed |= s->label == LABEL_KERNEL;
		if (s->label == LABEL_KERNEL || s->hook == HOOK_NONE)
			continue;
		first = first ? first : (enum hook)s->hook;
		last = (enum hook)s->hook;
	}
	ask.iif = first == HOOK_OUTPUT ? "" : j->in_if[0] ? j->in_if : NULL;
	/* Every event bears the mark if there is one. That of a packet which died unrouted is the one that it was routed by. */
	if (freed)
		ask.mark_known = last <= HOOK_PREROUTING && !j->out_if[0];
	else
		ask.mark_known = last >= HOOK_FORWARD && j->mark == 0;
	return ask;
}

struct routing_ask routing_ask_back(const struct journey *j)
{
	struct routing_ask ask = routing_ask_of(j);

	/* Whether the mark counts is a setting (src_valid_mark), and which interface, the kernel's matter. */
	ask.t = tuple_reverse(&ask.t);
	ask.iif = NULL;
	ask.mark_known = false;
	return ask;
}

bool route_swallows(const struct facts_route *r)
{
	return r->type == RTN_BLACKHOLE || r->type == RTN_UNREACHABLE || r->type == RTN_PROHIBIT;
}

const char *route_device(const struct facts *f, const struct facts_route *r)
{
	const struct facts_link *link = r->ifindex ? facts_link_of(f, r->ifindex) : NULL;

	return link ? link->name : "";
}
