/*
 * Only what exists is read: the list of legacy tables, the chains of nftables, IPVS where it is loaded.
 */
#include "agent/helper/nat.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/helper/sockets.h"

enum { LINE_MAX_LEN = 256, ASK_MAX = 256, ANSWER_MAX = 64 << 10, IPVS_HEAD = 3 };

static bool legacy_has(const char *names)
{
	FILE *f = fopen(names, "re");
	char line[LINE_MAX_LEN];
	bool found = false;

	if (!f)
		return errno != ENOENT;
	while (!found && fgets(line, sizeof(line), f))
		found = strcmp(line, "nat\n") == 0;
	fclose(f);
	return found;
}

/* Behind its head stands a line for each service. */
static bool ipvs_has(void)
{
	FILE *f = fopen("/proc/thread-self/net/ip_vs", "re");
	char line[LINE_MAX_LEN];
	int lines = 0;

	if (!f)
		return false;
	while (lines <= IPVS_HEAD && fgets(line, sizeof(line), f))
		lines++;
	fclose(f);
	return lines > IPVS_HEAD;
}

static int type_check(const struct nlattr *a, void *arg)
{
	bool *found = arg;

	if (mnl_attr_get_type(a) == NFTA_CHAIN_TYPE &&
	    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 &&
	    strcmp(mnl_attr_get_str(a), "nat") == 0)
		*found = true;
	return MNL_CB_OK;
}

static int chain_check(const struct nlmsghdr *nlh, void *found)
{
	if (nlh->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN))
		mnl_attr_parse(nlh, sizeof(struct nfgenmsg), type_check, found);
	return MNL_CB_OK;
}

static int chains_ask(int fd)
{
	char room[ASK_MAX] __attribute__((aligned(8)));
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(room);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = NFPROTO_UNSPEC;
	nfg->version = NFNETLINK_V0;
	return sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0
		       ? -errno
		       : 0;
}

static bool nft_has(void)
{
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	int fd = netlink_open(NETLINK_NETFILTER), r;
	bool found = false;
	ssize_t n;

	if (fd < 0)
		return true;
	r = chains_ask(fd);
	while (r == 0) {
		n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (n <= 0) {
			r = -EIO;
			break;
		}
		/* STOP: the list is read; ERROR: it cannot be had, or has changed meanwhile. */
		r = mnl_cb_run(answer, (size_t)n, 1, 0, chain_check, &found);
		if (r == MNL_CB_STOP)
			break;
		r = r < 0 && errno != EOPNOTSUPP ? -errno : 0;
	}
	close(fd);
	return found || r < 0;
}

bool nat_is_used(void)
{
	return legacy_has("/proc/thread-self/net/ip_tables_names") ||
	       legacy_has("/proc/thread-self/net/ip6_tables_names") || nft_has() || ipvs_has();
}
