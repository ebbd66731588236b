/*
 * nftables' own notice of each transaction: which process it was, by pid and name, but not which tables it changed.
 */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "agent/source/drops.h"
#include "agent/source/netlink.h"

static void take(const struct nlmsghdr *nlh, struct boot_ns now, const struct sink *out)
{
	struct table_change c = { .at = now, .uid = AUTHOR_NOBODY, .loginuid = AUTHOR_NOBODY };
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == NFTA_GEN_PROC_PID)
			c.pid = attr_be32(a);
		else if (mnl_attr_get_type(a) == NFTA_GEN_ID)
			c.generation = attr_be32(a);
		else if (mnl_attr_get_type(a) == NFTA_GEN_PROC_NAME &&
			 mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			snprintf(c.program, sizeof(c.program), "%s", mnl_attr_get_str(a));
	}
	if (c.pid && out->changed)
		out->changed(out->arg, &c);
}

static int changes_nft_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			      const struct sink *out)
{
	const struct nlmsghdr *nlh;

	(void)s;
	while ((nlh = netlink_next(&p, &len))) {
		if (nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN) &&
		    mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct nfgenmsg))
			take(nlh, now, out);
	}
	return len > 0 ? -EBADMSG : 0;
}

const struct source_ops source_changes_nft = {
	.name = "changes-nft",
	.decode = changes_nft_decode,
};
