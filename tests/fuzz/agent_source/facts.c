/*
 * Whatever claims to be rtnetlink's word of a host: it becomes facts within their bounds, or nothing.
 */
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/source/facts_draft.h"
#include "agent/source/netlink.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct facts_draft *d, const struct nlmsghdr *nlh)
{
	char name[IFNAME_MAX + 1];
	int32_t ifindex;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
		draft_link(d, nlh);
		must(!draft_link_name(&ifindex, name, nlh) || strlen(name) <= IFNAME_MAX);
		break;
	case RTM_NEWADDR:
		draft_addr(d, nlh);
		break;
	case RTM_NEWROUTE:
		draft_route(d, nlh);
		break;
	case RTM_NEWRULE:
		draft_rule(d, nlh);
		break;
	case RTM_NEWNETCONF:
		draft_conf(d, nlh);
		break;
	}
}

static bool fits(const struct prefix *p)
{
	return p->len <= (p->addr.family == 4 ? 32 : p->addr.family == 6 ? 128 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of just this size, aligned as a receive buffer is. */
	uint8_t *copy = malloc(size ? size : 1);
	const uint8_t *p = copy;
	struct facts_draft d = { 0 };
	const struct nlmsghdr *nlh;

	must(copy);
	if (size)
		memcpy(copy, data, size);
	while ((nlh = netlink_next(&p, &size)))
		take(&d, nlh);
	for (uint32_t i = 0; i < d.facts.route_count; i++)
		must(fits(&d.facts.routes[i].dst) && fits(&d.facts.routes[i].src));
	for (uint32_t i = 0; i < d.facts.rule_count; i++)
		must(fits(&d.facts.rules[i].from) && fits(&d.facts.rules[i].to) &&
		     d.facts.rules[i].suppress >= -1);
	draft_clear(&d);
	free(copy);
	return 0;
}
