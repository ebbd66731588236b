/*
 * Suspects: the rules and policies that may have dropped a packet of which the kernel only says NETFILTER_DROP, and in which
 * hooks that may have been.
 */
#pragma once

#include "collector/diagnose/resolve.h"

enum { SUSPECTS_MAX = 64 };

struct suspect {
	const struct stored_table *table;
	const char *chain;
	uint32_t number;  /* 0: the chain's policy */
	const char *text; /* as in struct resolved */
	struct rule rule; /* number > 0 */
	bool counts;      /* it has a counter */
	bool counted;     /* its counter was read around that moment ... */
	uint64_t packets; /* ... and grew by so many */
};

struct suspects {
	struct suspect *list; /* in the order in which packets meet them; in the arena */
	size_t count;
	bool complete; /* nothing else can have dropped it: every table was read and is understood */
};

/* Who was suspected last, before counters were asked: packets of one flow meet the same rules. Zeroed at first. */
struct suspects_memo {
	uint64_t host; /* 0: nobody */
	uint32_t hooks;
	struct tuple tuple;
	char in_if[IFNAME_MAX + 1], out_if[IFNAME_MAX + 1];
	struct wall_ns at;
	bool sets; /* they were asked, which tell of one moment only */
	struct suspects found;
};

/*
 * For the packet as the step (LABEL_KERNEL) saw it:
 *  1. base chains of the hooks that the step names, in tables of the packet's family that stood then; of native tables also
 *     those of its device (netdev), and all of bridges
 *  2. from there on each rule whose addresses, protocol, ports, interfaces and ipsets may match, and the chains that it jumps to
 *  3. of those the ones that drop: DROP, REJECT, a policy DROP, an element of a verdict map; what else may (other targets, a
 *     named map), and tables that nobody understands, leave the list incomplete
 *  4. where counters were read before and after, those that have one that did not move are innocent
 * Tables must have been read after that moment: else the list is incomplete, and q->need asks for it. It asks, too, when
 * counters could narrow it down.
 * 0 or -ENOMEM.
 */
int suspects_find(struct suspects *out, const struct inquiry *q, const struct hop *h,
		  const struct step *s);
/*
 * The same for rules that hand a packet to a queue, and do not let it pass when nobody reads that one, in these hooks (1 << enum
 * hook).
 */
int suspects_queues(struct suspects *out, const struct inquiry *q, const struct hop *h,
		    const struct step *s, uint32_t hooks);
