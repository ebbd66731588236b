/*
 * conntrack's statistics: one message of the table, then one of each CPU, which are added up until the dump's end.
 */
#include "agent/source/source.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>

#include "agent/source/netlink.h"

enum { TABLE_ATTR_MAX = CTA_STATS_GLOBAL_MAX_ENTRIES, CPU_ATTR_MAX = CTA_STATS_CLASH_RESOLVE };

static int take_table(struct conntrack_stats *s, const struct nlmsghdr *nlh)
{
	const struct nlattr *at[TABLE_ATTR_MAX + 1] = { NULL };

	if (!attrs_take(at, TABLE_ATTR_MAX, nlh, sizeof(struct nfgenmsg)))
		return -EBADMSG;
	s->count = attr_be32(at[CTA_STATS_GLOBAL_ENTRIES]);
	s->max = attr_be32(at[CTA_STATS_GLOBAL_MAX_ENTRIES]);
	return 0;
}

static int add_cpu(struct conntrack_stats *s, const struct nlmsghdr *nlh)
{
	const struct nlattr *at[CPU_ATTR_MAX + 1] = { NULL };

	if (!attrs_take(at, CPU_ATTR_MAX, nlh, sizeof(struct nfgenmsg)))
		return -EBADMSG;
	s->insert_failed += attr_be32(at[CTA_STATS_INSERT_FAILED]);
	s->drop += attr_be32(at[CTA_STATS_DROP]);
	s->early_drop += attr_be32(at[CTA_STATS_EARLY_DROP]);
	s->invalid += attr_be32(at[CTA_STATS_INVALID]);
	s->error += attr_be32(at[CTA_STATS_ERROR]);
	s->search_restart += attr_be32(at[CTA_STATS_SEARCH_RESTART]);
	s->clash_resolve += attr_be32(at[CTA_STATS_CLASH_RESOLVE]);
	return 0;
}

static int message(struct conntrack_stats *s, const struct nlmsghdr *nlh, struct boot_ns now,
		   const struct sink *out)
{
	switch (nlh->nlmsg_type) {
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS:
		return take_table(s, nlh);
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS_CPU:
		return add_cpu(s, nlh);
	case NLMSG_ERROR:
		return -EPROTO; /* the kernel does not tell: nothing that is known in part */
	case NLMSG_DONE:
		s->at = now;
		if (out->stats)
			out->stats(out->arg, s);
		*s = (struct conntrack_stats){ 0 };
		return 0;
	default:
		return 0;
	}
}

static int stats_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			const struct sink *out)
{
	const struct nlmsghdr *nlh;
	int r = 0;

	if (!s->state)
		s->state = calloc(1, sizeof(struct conntrack_stats));
	if (!s->state)
		return -ENOMEM;
	while (r == 0 && (nlh = netlink_next(&p, &len)))
		r = message(s->state, nlh, now, out);
	return r < 0 ? r : len > 0 ? -EBADMSG : 0;
}

static void stats_clear(struct source *s)
{
	free(s->state);
	s->state = NULL;
}

const struct source_ops source_stats = {
	.name = "conntrack-stats",
	.decode = stats_decode,
	.clear = stats_clear,
};
