#include "agent/helper/probe_batch.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <stdio.h>

#include <libnftnl/common.h>

void probe_name(char name[static PROBE_NAME_MAX], char letter, uint64_t id)
{
	snprintf(name, PROBE_NAME_MAX, "%c_%" PRIx64, letter, id);
}

struct nlmsghdr *probe_message(struct probe_batch *b, void *room, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(room, type, NFPROTO_INET, flags, ++b->seq);
}

void probe_add(struct probe_batch *b, const struct nlmsghdr *nlh)
{
	int r = buf_add(&b->buf, nlh, nlh->nlmsg_len);

	if (r < 0 && b->error == 0)
		b->error = r;
}

void probe_failed(struct probe_batch *b)
{
	if (b->error == 0)
		b->error = -ENOMEM;
}
