/*
 * One table of a host's NAT as a plan walks it: only what translates, leads to another chain or ends one, read once.
 * Chains are entered as packets enter them, from the hooks and by jumps that the pattern could take, so that one
 * service of ten thousand does not lead to the servers of all.
 */
#pragma once

#include "common/pattern.h"
#include "common/table.h"

enum nat_kind {
	NAT_JUMP,
	NAT_END, /* ACCEPT, RETURN and the like: nothing behind it is met */
	NAT_DNAT,
	NAT_SNAT,
	NAT_MASQUERADE,
	NAT_REDIRECT,
	NAT_NETMAP,
};

/* As in struct rule; other: more conditions than these. */
struct nat_rule {
	struct rule_prefix src, dst;
	uint8_t kind, proto;
	bool proto_negate, other;
	uint16_t sports[16][2], dports[16][2];
	uint8_t sport_count, dport_count;
	bool sport_negate, dport_negate;
	char in_if[IFNAME_MAX + 2], out_if[IFNAME_MAX + 2];
	bool in_negate, out_negate;
	struct addr to_from, to_until;
	uint16_t to_port_from, to_port_until;
	struct prefix to_net;
	uint32_t jump; /* index of the chain */
};

struct nat_chain {
	uint32_t first, count; /* rules */
	uint32_t seen;         /* the last walk that came here */
	uint8_t hook;          /* HOOK_NONE for user chains */
};

struct nat {
	uint32_t chain_count, rule_count;
	struct nat_chain *chains; /* owned, as the rest */
	struct nat_rule *rules;
	uint32_t *todo; /* room for each chain once */
	uint32_t walks;
};

/*
 * Reads at most max rules; *left tells that there were more, or one that nobody can read. 0 or -ENOMEM; a NULL table
 * is an empty one.
 */
int nat_read(struct nat *n, const struct table *t, uint32_t max, bool *left);
void nat_clear(struct nat *n);

typedef void nat_each(void *arg, const struct nat_rule *r, enum hook hook);
/* Each translation that packets of p could meet, with the hook where they would. */
void nat_walk(struct nat *n, const struct pattern *p, nat_each *each, void *arg);
