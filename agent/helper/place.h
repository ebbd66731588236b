/*
 * A place: an index that the worker names a host by, and what the helper has for that host. It
 * stays where it is while hosts come and go; between two of them nothing is open.
 */
#pragma once

#include "agent/helper/dumper.h"
#include "agent/helper/follow.h"
#include "agent/helper/lease.h"
#include "agent/helper/netns.h"

struct place {
	struct holding held;
	struct netns ns;
	struct leases leases;
	struct dumper dumper;
	int quit; /* owned: an eventfd that ends what the dumper does; -1 none */
};

void place_init(struct place *p);
/*
 * Begins a host in the namespace, which the place owns from now on, also when this fails. done: the
 * eventfd of dumps that end. 0 or -errno with why.
 */
int place_begin(struct place *p, const struct netns *ns, const struct lease_config *config,
		uint32_t index, struct guard *guard, int done, struct why *why);
/*
 * Ends it: leases first, then everything by which we hold the namespace. Returns how many dumps
 * will have no answer, by their tags.
 */
uint32_t place_end(struct place *p, uint32_t tags[static DUMPS_WAITING_MAX + 1]);
