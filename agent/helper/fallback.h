/*
 * Leases on kernels whose nftables tables have no owner, only where the agent's configuration allows it: TRACE rules in the legacy table
 * raw. They end by themselves at the lease's end, by the wall clock, whoever died meanwhile.
 */
#pragma once

#include "agent/helper/netns.h"
#include "agent/helper/probe.h"
#include "common/clock.h"

enum fallback_mode { FALLBACK_OFF, FALLBACK_ALLOWED, FALLBACK_FORCED };

struct fallback {
	bool standing;     /* rules may be there */
	uint32_t count[2]; /* at the head of each chain: ipv4, ipv6 */
};

/* Puts up these leases in place of those that stand; none: removes all. Waits for the lock at most two seconds. 0 or -errno with why. */
int fallback_put(struct fallback *f, const struct netns *ns, uint64_t agent,
		 const struct probe_lease *leases, uint32_t count, struct why *why);
