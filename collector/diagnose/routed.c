#include "collector/diagnose/routed.h"

#include <linux/rtnetlink.h>
#include <string.h>

static const struct facts_link *link_named(const struct facts *f, const char *name)
{
	for (uint32_t i = 0; name[0] && i < f->link_count; i++) {
		if (!strcmp(f->links[i].name, name))
			return &f->links[i];
	}
	return NULL;
}

enum forwards routed_forwards(const struct routed *r, uint8_t ip_version)
{
	const struct facts *f = r->facts;

	if (!f)
		return FORWARDS_MAYBE;
	if (ip_version == 4 && r->link && r->link->conf4)
		return r->link->forward4 ? FORWARDS : FORWARDS_NOT;
	if (ip_version == 6 && r->link && r->link->conf6 && r->link->force_forward6)
		return FORWARDS;
	/* Interfaces of IPv4 have settings of their own, which an old agent does not tell. */
	if (f->forward_known && !(ip_version == 6 ? f->forward6 : f->forward4))
		return FORWARDS_NOT;
	return f->forward_known && ip_version == 6 ? FORWARDS : FORWARDS_MAYBE;
}

static bool is_swallowed(const struct routing *w)
{
	return w->route ? route_swallows(w->route) : w->rule != NULL;
}

/* What all ways have in common. */
static enum route_fault fault_of(const struct routings *ways, struct routing *by)
{
	size_t swallowed = 0, none = 0;

	for (size_t i = ways->count; i-- > 0;) {
		const struct routing *w = &ways->list[i];

		none += !w->route && !w->rule;
		if (!is_swallowed(w))
			continue;
		swallowed++;
		*by = *w;
	}
	if (ways->known && none > 0 && none + swallowed == ways->count)
		return ROUTE_FAULT_NO_ROUTE;
	if (swallowed == 0 || swallowed < ways->count)
		return ROUTE_FAULT_NONE;
	return by->route ? ROUTE_FAULT_ROUTE : ROUTE_FAULT_RULE;
}

/* The longest of all tables' best routes: what can be said without rules. */
static enum route_fault guess(const struct facts *f, const struct routings *ways,
			      struct routing *by)
{
	const struct routing *best = NULL;

	for (size_t i = 0; i < ways->count; i++) {
		const struct routing *w = &ways->list[i];

		if (w->route && (!best || w->route->dst.len > best->route->dst.len))
			best = w;
	}
	if (!best)
		return f->cut || ways->more ? ROUTE_FAULT_NONE : ROUTE_FAULT_NO_ROUTE;
	if (!route_swallows(best->route))
		return ROUTE_FAULT_NONE;
	*by = *best;
	return ROUTE_FAULT_ROUTE;
}

static void find_for(struct routed *out, const struct facts *f, const struct hop *h,
		     const struct routing_ask *ask)
{
	const uint8_t version = ask->t.dst.family;
	bool made_here = ask->iif && !ask->iif[0];

	memset(out, 0, sizeof(*out));
	out->facts = f;
	out->link = made_here ? NULL : link_named(f, h->sj->j.in_if);
	routings_find(&out->ways, f, ask);
	for (uint32_t i = 0; i < f->addr_count; i++) {
		if (addr_equal(&f->addrs[i].addr.addr, &ask->t.dst))
			return;
	}
	if (!made_here && routed_forwards(out, version) == FORWARDS_NOT)
		out->fault = ROUTE_FAULT_FORWARDING;
	else if (version == 6 ? f->rules6 : f->rules4)
		out->fault = fault_of(&out->ways, &out->by);
	else
		out->fault = guess(f, &out->ways, &out->by);
}

static void find(struct routed *out, const struct facts *f, const struct hop *h)
{
	const struct routing_ask ask = routing_ask_of(&h->sj->j);

	find_for(out, f, h, &ask);
}

static void find_answer(struct routed *out, const struct facts *f, const struct hop *h)
{
	struct routing_ask ask = routing_ask_back(&h->sj->j);

	ask.iif = "";
	find_for(out, f, h, &ask);
}

static void find_back(struct routed *out, const struct facts *f, const struct hop *h)
{
	const struct routing_ask ask = routing_ask_back(&h->sj->j);

	memset(out, 0, sizeof(*out));
	out->facts = f;
	out->link = link_named(f, h->sj->j.in_if);
	routings_find(&out->ways, f, &ask);
}

static bool same_way(const struct routing *a, const struct routing *b)
{
	if (!a->rule != !b->rule || !a->route != !b->route)
		return false;
	return (!a->rule || !memcmp(a->rule, b->rule, sizeof(*a->rule))) &&
	       (!a->route || !memcmp(a->route, b->route, sizeof(*a->route)));
}

static bool same_link(const struct facts_link *a, const struct facts_link *b)
{
	return !a == !b &&
	       (!a || (a->conf4 == b->conf4 && a->conf6 == b->conf6 && a->forward4 == b->forward4 &&
		       a->force_forward6 == b->force_forward6 && a->rp_filter == b->rp_filter));
}

/* Do both facts say the same of the packet? */
static bool same(const struct routed *a, const struct routed *b)
{
	if (a->fault != b->fault || a->ways.known != b->ways.known ||
	    a->ways.count != b->ways.count || a->facts->rp_filter != b->facts->rp_filter ||
	    a->facts->forward4 != b->facts->forward4 || a->facts->forward6 != b->facts->forward6 ||
	    !same_link(a->link, b->link))
		return false;
	for (size_t i = 0; i < a->ways.count; i++) {
		if (!same_way(&a->ways.list[i], &b->ways.list[i]))
			return false;
	}
	return true;
}

static void find_then(struct routed *out, const struct inquiry *q, const struct hop *h,
		      void (*with)(struct routed *out, const struct facts *f, const struct hop *h))
{
	const struct fleet_host *fh = fleet_host(q->fleet, h->sj->host);
	const struct facts *f, *after = NULL;
	struct routed other;

	memset(out, 0, sizeof(*out));
	f = fh ? fleet_facts_at(q->fleet, fh, h->sj->at, &after) : NULL;
	if (!f)
		return;
	with(out, f, h);
	if (!after)
		return;
	with(&other, after, h);
	if (!same(out, &other))
		memset(out, 0, sizeof(*out));
}

void routed_find(struct routed *out, const struct inquiry *q, const struct hop *h)
{
	find_then(out, q, h, find);
}

void routed_answer(struct routed *out, const struct inquiry *q, const struct hop *h)
{
	find_then(out, q, h, find_answer);
}

void routed_back(struct routed *out, const struct inquiry *q, const struct hop *h)
{
	find_then(out, q, h, find_back);
}

bool routed_leads_on(const struct routed *r)
{
	for (size_t i = 0; i < r->ways.count; i++) {
		const struct facts_route *rt = r->ways.list[i].route;

		if (!rt || rt->type != RTN_UNICAST || !rt->ifindex)
			return false;
	}
	return r->facts && r->ways.known && r->ways.count > 0;
}
