/*
 * The probe table `inet lasthop` of one namespace: it makes the kernel trace the packets of the
 * leases. It has our netlink socket as its owner and lives no longer than that.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/journey.h"
#include "common/pattern.h"
#include "common/why.h"

struct probe_lease {
	uint64_t id;
	uint64_t remaining_ms; /* the kernel itself ends it then */
	uint32_t rate, modulus;
	uint32_t pattern_count;
	const struct pattern *patterns; /* borrowed */
};

/* Checkpoints that not every namespace needs, since all its packets pay for them. */
struct probe_site {
	bool origins; /* connections are tracked and translated: those after conntrack */
	bool forward; /* what is in FORWARD does not tell of each packet: the first there */
};

struct probe {
	int fd;              /* owned; -1: no table of ours is there */
	bool standing;       /* the table is there */
	atomic_uint commits; /* transactions of ours: nftables' generation counts them, too */
};

void probe_init(struct probe *p);
/* Makes the socket; runs inside the namespace. 0 or -errno with why. */
int probe_open(struct probe *p, struct why *why);
/*
 * Replaces the table, in one transaction, by one for these leases. 0, or -errno with why; then the
 * table that was there stands as before.
 */
int probe_put(struct probe *p, const struct probe_lease *leases, uint32_t count,
	      const struct probe_site *site, struct why *why);
/* Packets that the table now standing has traced and refused for a lease. 0 or -errno. */
int probe_counters(struct probe *p, uint64_t id, uint64_t *traced, uint64_t *refused);
/* Removes the table and closes the socket; nothing of it is left whatever fails. */
void probe_clear(struct probe *p);
