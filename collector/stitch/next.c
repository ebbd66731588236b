/*
 * The interface that it left by was seen; facts that lead elsewhere were changed since, or lack what decided (a VRF, IPsec, a
 * queue's program). Then nothing is concluded from rules.
 */
#include "collector/stitch/next.h"

#include <string.h>

#include "collector/stitch/routing.h"

/* Would the kernel take a before b, were both of one table? */
static bool route_goes_before(const struct facts_route *a, const struct facts_route *b)
{
	return a->dst.len != b->dst.len ? a->dst.len > b->dst.len : a->metric < b->metric;
}

/* A route to dst by ifindex that no other one of its table goes before. */
static bool route_is_best(const struct facts *facts, const struct facts_route *rt, int32_t ifindex,
			  const struct addr *dst)
{
	if (rt->ifindex != ifindex || rt->dst.addr.family != dst->family ||
	    !prefix_has(&rt->dst, dst))
		return false;
	for (uint32_t i = 0; i < facts->route_count; i++) {
		const struct facts_route *other = &facts->routes[i];

		if (other->table == rt->table && other->ifindex == ifindex &&
		    other->dst.addr.family == dst->family && prefix_has(&other->dst, dst) &&
		    route_goes_before(other, rt))
			return false;
	}
	return true;
}

static void next_add(struct fleet_next *n, const struct fleet *f, const struct fleet_host *from,
		     const struct addr *addr)
{
	bool watched = false;

	if (!n->known)
		n->addr = *addr;
	n->known = true;
	for (size_t i = 0; i < f->host_count; i++) {
		const struct fleet_host *h = &f->hosts[i];
		bool told = false;

		if (h == from || h->retired || !fleet_owns(h, addr))
			continue;
		watched = true;
		for (size_t k = 0; k < n->count && k < FLEET_NEXT_MAX && !told; k++)
			told = n->hosts[k] == h;
		if (told)
			continue;
		if (n->count < FLEET_NEXT_MAX)
			n->hosts[n->count] = h;
		n->count++;
	}
	n->stranger |= !watched;
}

/* True: those that rules and routes of these facts lead to by this interface. */
static bool add_routed(struct fleet_next *n, const struct fleet *f, const struct fleet_host *from,
		       const struct facts *facts, const struct hop *h, int32_t ifindex)
{
	const struct routing_ask ask = routing_ask_of(&h->sj->j);
	struct routings r;
	bool any = false;

	routings_find(&r, facts, &ask);
	if (!r.known)
		return false;
	for (size_t i = 0; i < r.count; i++) {
		const struct facts_route *rt = r.list[i].route;

		if (!rt || rt->ifindex != ifindex || route_swallows(rt))
			continue;
		next_add(n, f, from, rt->gateway.family ? &rt->gateway : &ask.t.dst);
		any = true;
	}
	return any;
}

void fleet_next(struct fleet_next *n, const struct fleet *f, const struct fleet_host *from,
		const struct hop *h)
{
	const struct addr *dst = &hop_tuple_out(h)->dst;
	const struct facts *facts = &from->facts, *then, *after;
	const struct facts_link *link = fleet_link(from, h->sj->j.out_if);

	memset(n, 0, sizeof(*n));
	if (!link)
		return;
	then = fleet_facts_at(f, from, h->sj->at, &after);
	if (then && add_routed(n, f, from, then, h, link->ifindex) &&
	    (!after || add_routed(n, f, from, after, h, link->ifindex)))
		return;
	for (uint32_t i = 0; i < facts->route_count; i++) {
		const struct facts_route *rt = &facts->routes[i];

		if (route_is_best(facts, rt, link->ifindex, dst))
			next_add(n, f, from, rt->gateway.family ? &rt->gateway : dst);
	}
}
