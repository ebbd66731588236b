#include "collector/stitch/loop.h"

#include <linux/rtnetlink.h>
#include <string.h>

/* A bridge beside a one-armed router sees each packet twice: on its way there, and back. */
static bool is_bridged(const struct hop *h)
{
	return hop_ttl_in(h) && hop_ttl_in(h) == hop_ttl_out(h);
}

static bool same_passage(const struct hop *a, const struct hop *b)
{
	const struct journey *x = &a->sj->j, *y = &b->sj->j;

	return a->sj->host == b->sj->host && !is_bridged(a) && x->in_if[0] && x->out_if[0] &&
	       !strcmp(x->in_if, y->in_if) && !strcmp(x->out_if, y->out_if) &&
	       tuple_equal(hop_tuple_in(a), hop_tuple_in(b)) &&
	       tuple_equal(hop_tuple_out(a), hop_tuple_out(b));
}

bool loop_of_path(struct loop *l, const struct fleet *f, const struct path *p)
{
	size_t begin = 0, end = 0;

	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < p->hop_count && !end; i++) {
		for (size_t k = i + 1; k < p->hop_count && !end; k++) {
			if (same_passage(&p->hops[i], &p->hops[k])) {
				begin = i;
				end = k;
			}
		}
	}
	if (!end)
		return false;
	l->first = begin;
	for (size_t i = begin; i < end && l->count < LOOP_HOSTS_MAX; i++) {
		const struct fleet_host *h = fleet_host(f, p->hops[i].sj->host);

		if (h)
			l->hosts[l->count++] = h;
	}
	for (size_t i = end; i < p->hop_count; i++)
		l->rounds += same_passage(&p->hops[begin], &p->hops[i]);
	return l->count > 0;
}

static const struct facts_route *main_route(const struct facts *facts, const struct addr *dst)
{
	const struct facts_route *best = NULL;

	for (uint32_t i = 0; i < facts->route_count; i++) {
		const struct facts_route *rt = &facts->routes[i];

		if (rt->table != RT_TABLE_MAIN || rt->dst.addr.family != dst->family ||
		    !prefix_has(&rt->dst, dst))
			continue;
		if (!best || rt->dst.len > best->dst.len ||
		    (rt->dst.len == best->dst.len && rt->metric < best->metric))
			best = rt;
	}
	return best && best->type == RTN_UNICAST ? best : NULL;
}

/* The only host that it sends a packet to dst to; NULL: none, several, or itself. */
static const struct fleet_host *next_by_route(const struct fleet *f, const struct fleet_host *from,
					      const struct addr *dst)
{
	const struct facts_route *rt = from->has_facts ? main_route(&from->facts, dst) : NULL;
	const struct fleet_host *next = NULL;

	if (!rt || fleet_owns(from, dst))
		return NULL;
	for (size_t i = 0; i < f->host_count; i++) {
		const struct fleet_host *h = &f->hosts[i];

		if (h == from || h->retired ||
		    !fleet_owns(h, rt->gateway.family ? &rt->gateway : dst))
			continue;
		if (next)
			return NULL;
		next = h;
	}
	return next;
}

bool loop_of_routes(struct loop *l, const struct fleet *f, const struct fleet_host *from,
		    const struct addr *dst)
{
	const struct fleet_host *at = from;

	memset(l, 0, sizeof(*l));
	l->by_routes = true;
	while (at && l->count < LOOP_HOSTS_MAX) {
		l->hosts[l->count++] = at;
		at = next_by_route(f, at, dst);
		if (at == from)
			return true;
	}
	return false;
}
