/*
 * Forwarding loops: hosts that send a packet to one another until its TTL ends.
 */
#pragma once

#include "collector/stitch/path.h"

enum { LOOP_HOSTS_MAX = 16 };

struct loop {
	const struct fleet_host *hosts[LOOP_HOSTS_MAX]; /* one round, from where it was entered */
	size_t count;
	size_t first;   /* PATH: the hop with which the first round begins */
	size_t rounds;  /* PATH: whole ones that were seen; else 0 */
	bool by_routes; /* nobody saw it go round; the routes say that it must */
};

/*
 * Did the packet go round? It did when it passed a router again by the same interfaces, with the same addresses: a packet
 * that a firewall or a hairpin sends back passes otherwise the second time, and a bridge may see it on both ways.
 */
bool loop_of_path(struct loop *l, const struct fleet *f, const struct path *p);
/* Would it go round, by the best routes of the hosts' main tables, from this host on? */
bool loop_of_routes(struct loop *l, const struct fleet *f, const struct fleet_host *from,
		    const struct addr *dst);
