#include "agent/helper/nfttalk.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "agent/helper/sockets.h"
#include "common/journey.h"

enum { ANSWER_MAX = 64 << 10, WAIT_S = 5 };

int nfttalk_open(struct nfttalk *t)
{
	const struct timeval patience = { .tv_sec = WAIT_S };

	*t = (struct nfttalk){ .sock = netlink_open(NETLINK_NETFILTER) };
	if (t->sock < 0)
		return t->sock;
	t->answer = malloc(ANSWER_MAX);
	if (t->answer &&
	    setsockopt(t->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0)
		return 0;
	nfttalk_close(t);
	return -ENOMEM;
}

struct nlmsghdr *nfttalk_message(struct nfttalk *t, char *room, uint16_t type, uint16_t flags,
				 uint8_t nfproto)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(room);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++t->seq;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = nfproto;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

int nfttalk_ask(struct nfttalk *t, const struct nlmsghdr *nlh, mnl_cb_t cb, void *arg)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	bool dump = nlh->nlmsg_flags & NLM_F_DUMP;
	ssize_t len;
	int r;

	if (sendto(t->sock, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	do {
		len = recv(t->sock, t->answer, ANSWER_MAX, 0);
		if (len < 0)
			return -errno;
		errno = ECANCELED; /* unless the kernel's answer is an error */
		r = mnl_cb_run(t->answer, (size_t)len, nlh->nlmsg_seq, 0, cb, arg);
		if (r < 0)
			return -errno;
	} while (dump && r > MNL_CB_STOP);
	return 0;
}

static int on_generation(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == NFTA_GEN_ID && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			*(uint32_t *)arg = be32toh(mnl_attr_get_u32(a));
	}
	return MNL_CB_OK;
}

int nfttalk_generation(struct nfttalk *t, uint32_t *out)
{
	char room[NFT_ASK_MAX] __attribute__((aligned(8)));

	*out = 0;
	return nfttalk_ask(t, nfttalk_message(t, room, NFT_MSG_GETGEN, 0, NFPROTO_UNSPEC),
			   on_generation, out);
}

void nfttalk_close(struct nfttalk *t)
{
	if (t->sock >= 0)
		close(t->sock);
	free(t->answer);
	*t = (struct nfttalk){ .sock = -1 };
}

uint32_t nft_family(uint8_t nfproto)
{
	static const uint8_t families[] = {
		[NFPROTO_INET] = FAMILY_INET,     [NFPROTO_IPV4] = FAMILY_IPV4,
		[NFPROTO_ARP] = FAMILY_ARP,       [NFPROTO_NETDEV] = FAMILY_NETDEV,
		[NFPROTO_BRIDGE] = FAMILY_BRIDGE, [NFPROTO_IPV6] = FAMILY_IPV6,
	};

	return nfproto < sizeof(families) ? families[nfproto] : FAMILY_NONE;
}
