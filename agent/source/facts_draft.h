/*
 * Facts while they are being told: each message of a dump adds to them. A message that is not understood adds nothing.
 */
#pragma once

#include "common/record.h"

struct nlmsghdr;

enum { FACTS_LINKS_MAX = 1024, FACTS_ADDRS_MAX = 2048, FACTS_ROUTES_MAX = 3072 };

struct facts_draft {
	uint32_t link_cap, addr_cap, route_cap, rule_cap;
	struct facts facts; /* arrays owned */
};

void draft_link(struct facts_draft *d, const struct nlmsghdr *nlh);
void draft_addr(struct facts_draft *d, const struct nlmsghdr *nlh);
void draft_route(struct facts_draft *d, const struct nlmsghdr *nlh);
void draft_rule(struct facts_draft *d, const struct nlmsghdr *nlh);
/* Of one interface, or of all; the links must have been told. */
void draft_conf(struct facts_draft *d, const struct nlmsghdr *nlh);
/* Frees what it holds; the draft may be used again. */
void draft_clear(struct facts_draft *d);

/* The interface that a link message is about, with its name. False: it is about something else. */
bool draft_link_name(int32_t *ifindex, char name[static IFNAME_MAX + 1],
		     const struct nlmsghdr *nlh);
