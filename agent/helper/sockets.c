/*
 * Group 0 is the one that the kernel's TRACE writes to, and it has one owner per namespace. It is
 * taken by the socket that goes to the worker, so it is free again as soon as the worker closes it.
 */
#include "agent/helper/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NFLOG_OWNERS "/proc/thread-self/net/netfilter/nfnetlink_log"
#define CONNTRACK_COUNT "/proc/sys/net/netfilter/nf_conntrack_count"

enum { COPY_RANGE = 128, ASK_MAX = 512 };

/* Of log groups: a packet is told after 10 ms at the latest, while its trace is still open. */
enum { LOG_BATCH = 16, LOG_BATCH_BYTES = 4096, LOG_WAIT_CS = 1 };

int netlink_open(int protocol)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	int fd, r;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int netlink_send(int fd, const struct nlmsghdr *nlh)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* Sends one request that wants an ack and reads until that ack. 0 or -errno. */
static int netlink_ask(int fd, const struct nlmsghdr *nlh)
{
	uint8_t answer[4096];
	const struct nlmsghdr *h;
	ssize_t n;
	int len, r;

	r = netlink_send(fd, nlh);
	if (r < 0)
		return r;
	for (;;) {
		/* The kernel has answered before send returned. */
		n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (n < 0)
			return -errno;
		len = (int)n;
		for (h = (struct nlmsghdr *)answer; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_seq == nlh->nlmsg_seq)
				return mnl_nlmsg_get_payload_len(h) < sizeof(*e) ? -EBADMSG
										 : e->error;
		}
	}
}

int netlink_buffers(int fd, int receive, int send)
{
	/* Root of a user namespace only may not force: it gets what the system's maximum allows. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive, sizeof(receive)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive)) < 0)
		return -errno;
	if (send == 0)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send, sizeof(send)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof(send)) < 0)
		return -errno;
	return 0;
}

static int join(int fd, int group)
{
	return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0
		       ? -errno
		       : 0;
}

/* Who holds the group here; -ENOENT: nobody. Portids usually are the owner's pid. */
static int group_owner(uint16_t wanted, uint32_t *portid, char comm[static 32])
{
	char path[64];
	unsigned int group;
	FILE *f = fopen(NFLOG_OWNERS, "re");
	int r = -ENOENT;

	if (!f)
		return -errno;
	while (r < 0 && fscanf(f, "%u %u %*[^\n]", &group, portid) == 2)
		if (group == wanted)
			r = 0;
	fclose(f);
	if (r < 0)
		return r;

	comm[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%u/comm", *portid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(comm, 32, f))
			comm[strcspn(comm, "\n")] = '\0';
		fclose(f);
	}
	return 0;
}

bool group0_taken(void)
{
	char comm[32];
	uint32_t portid;

	return group_owner(0, &portid, comm) == 0;
}

static int group0_refused(int error, struct why *why)
{
	char comm[32];
	uint32_t portid;

	if (group_owner(0, &portid, comm) < 0)
		return why_set(why, error, "cannot take netfilter log group 0: %s",
			       strerror(-error));
	if (comm[0])
		return why_set(why, -EBUSY, "group 0 is owned by portid %u (%s)", portid, comm);
	return why_set(why, -EBUSY, "group 0 is owned by portid %u", portid);
}

static struct nlmsghdr *nflog_config(void *buf, uint32_t seq, uint16_t group)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	nlh->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = seq;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	g->res_id = htons(group);
	return nlh;
}

static int trace_legacy_open(struct why *why)
{
	char buf[ASK_MAX] __attribute__((aligned(8))) = { 0 };
	struct nfulnl_msg_config_cmd cmd = { .command = NFULNL_CFG_CMD_BIND };
	struct nfulnl_msg_config_mode mode = {
		.copy_range = htonl(COPY_RANGE),
		.copy_mode = NFULNL_COPY_PACKET,
	};
	struct nlmsghdr *nlh;
	int fd, r;

	fd = netlink_open(NETLINK_NETFILTER);
	if (fd < 0)
		return why_set(why, fd, "cannot open a netfilter socket: %s", strerror(-fd));

	nlh = nflog_config(buf, 1, 0);
	mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(cmd), &cmd);
	r = netlink_ask(fd, nlh);
	if (r < 0) {
		r = group0_refused(r, why);
		goto out;
	}

	nlh = nflog_config(buf, 2, 0);
	mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	r = netlink_ask(fd, nlh);
	if (r < 0) {
		why_set(why, 0, "cannot configure netfilter log group 0: %s", strerror(-r));
		goto out;
	}
	return fd;
out:
	close(fd);
	return r;
}

/* 0, or -errno when the group is not ours. */
static int log_group_bind(int fd, uint16_t group)
{
	char buf[ASK_MAX] __attribute__((aligned(8))) = { 0 };
	struct nfulnl_msg_config_cmd cmd = { .command = NFULNL_CFG_CMD_BIND };
	struct nfulnl_msg_config_mode mode = {
		.copy_range = htonl(COPY_RANGE),
		.copy_mode = NFULNL_COPY_PACKET,
	};
	struct nlmsghdr *nlh = nflog_config(buf, 1, group);
	int r;

	mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(cmd), &cmd);
	r = netlink_ask(fd, nlh);
	if (r < 0)
		return r;
	nlh = nflog_config(buf, 2, group);
	mnl_attr_put(nlh, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u16(nlh, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	mnl_attr_put_u32(nlh, NFULA_CFG_QTHRESH, htonl(LOG_BATCH));
	mnl_attr_put_u32(nlh, NFULA_CFG_NLBUFSIZ, htonl(LOG_BATCH_BYTES));
	mnl_attr_put_u32(nlh, NFULA_CFG_TIMEOUT, htonl(LOG_WAIT_CS));
	r = netlink_ask(fd, nlh);
	if (r < 0) {
		nlh = nflog_config(buf, 3, group);
		cmd.command = NFULNL_CFG_CMD_UNBIND;
		mnl_attr_put(nlh, NFULA_CFG_CMD, sizeof(cmd), &cmd);
		(void)netlink_ask(fd, nlh); /* else it goes with the socket */
	}
	return r;
}

/* Adds to the text why the group is not ours. */
static void log_group_refused(uint16_t group, int error, struct why *why)
{
	size_t len = strlen(why->text);
	char comm[32], *to = why->text + len;
	const char *join = len ? "; " : "";
	uint32_t portid;

	len = sizeof(why->text) - len;
	if (group_owner(group, &portid, comm) < 0)
		snprintf(to, len, "%sgroup %u cannot be bound: %s", join, group, strerror(-error));
	else if (comm[0])
		snprintf(to, len, "%sgroup %u is bound by another program (pid %u, %s)", join,
			 group, portid, comm);
	else
		snprintf(to, len, "%sgroup %u is bound by another program (portid %u)", join, group,
			 portid);
}

static int joined_open(int protocol, const int *groups, size_t count, struct why *why)
{
	size_t i;
	int fd, r;

	fd = netlink_open(protocol);
	if (fd < 0)
		return why_set(why, fd, "cannot open a netlink socket: %s", strerror(-fd));
	for (i = 0; i < count; i++) {
		r = join(fd, groups[i]);
		if (r < 0) {
			close(fd);
			return why_set(why, r, "cannot join netlink group %d: %s", groups[i],
				       strerror(-r));
		}
	}
	return fd;
}

/* Asking for connection tracking where there is none would load it. */
static int conntrack_missing(struct why *why)
{
	if (access(CONNTRACK_COUNT, F_OK) == 0)
		return 0;
	return why_set(why, -ENOENT, "connection tracking is not loaded");
}

static int conntrack_open(struct why *why)
{
	static const int groups[] = { NFNLGRP_CONNTRACK_NEW, NFNLGRP_CONNTRACK_DESTROY };
	int r = conntrack_missing(why);

	return r < 0 ? r : joined_open(NETLINK_NETFILTER, groups, 2, why);
}

static int host_open(struct why *why)
{
	static const int groups[] = {
		RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR,  RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,   RTNLGRP_IPV4_RULE,
		RTNLGRP_IPV6_RULE,  RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF
	};

	return joined_open(NETLINK_ROUTE, groups, sizeof(groups) / sizeof(groups[0]), why);
}

static int trace_nft_open(struct why *why)
{
	static const int groups[] = { NFNLGRP_NFTRACE };

	return joined_open(NETLINK_NETFILTER, groups, 1, why);
}

/*
 * Who committed, once for each transaction. The group tells every rule as well, fifty thousand of a restore: a filter on the
 * message's type keeps all of that from us.
 */
static int changes_nft_open(struct why *why)
{
	static const int groups[] = { NFNLGRP_NFTABLES };
	struct sock_filter only_newgen[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			 htons(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { sizeof(only_newgen) / sizeof(only_newgen[0]), only_newgen };
	int fd = netlink_open(NETLINK_NETFILTER), r;

	if (fd < 0)
		return why_set(why, fd, "cannot open a netlink socket: %s", strerror(-fd));
	r = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ? -errno : 0;
	if (r == 0)
		r = join(fd, groups[0]);
	if (r < 0) {
		close(fd);
		return why_set(why, r, "nftables does not tell its changes: %s", strerror(-r));
	}
	return fd;
}

/* The last touches, after everything that could change the buffer. */
static int ready(int fd, struct why *why)
{
	int r = 0;

	if (fd < 0)
		return fd;
	r = netlink_buffers(fd, RCVBUF_SOURCE, 0);
	if (r == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return why_set(why, r, "cannot prepare the socket: %s", strerror(-r));
	}
	return fd;
}

int source_open(enum helper_source source, struct why *why)
{
	switch (source) {
	case SOURCE_TRACE_LEGACY:
		return ready(trace_legacy_open(why), why);
	case SOURCE_TRACE_NFT:
		return ready(trace_nft_open(why), why);
	case SOURCE_CONNTRACK:
		return ready(conntrack_open(why), why);
	case SOURCE_HOST:
		return ready(host_open(why), why);
	case SOURCE_CHANGES_NFT:
		return ready(changes_nft_open(why), why);
	case SOURCE_DROPS:
	case SOURCE_DROPS_LOST:
	case SOURCE_CHANGES:
	case SOURCE_CHANGES_LOST: /* bpf.h opens these */
	case SOURCE_NFLOG:        /* nflog_open() */
	case SOURCE_AUDIT:        /* audit.h */
	case HELPER_SOURCE_COUNT:
		break;
	}
	return -EINVAL;
}

int nflog_open(const struct helper_request *q, uint32_t *bound, struct why *why)
{
	int fd = netlink_open(NETLINK_NETFILTER), r, error = 0;

	if (fd < 0)
		return why_set(why, fd, "cannot open a netfilter socket: %s", strerror(-fd));
	*bound = 0;
	why->text[0] = '\0';
	for (uint32_t i = 0; i < q->group_count; i++) {
		r = log_group_bind(fd, q->groups[i]);
		if (r == 0) {
			*bound |= 1u << i;
			continue;
		}
		error = r;
		log_group_refused(q->groups[i], r, why);
	}
	if (*bound == 0) {
		close(fd);
		return error == -EPERM ? -EBUSY : error;
	}
	return ready(fd, why);
}

static int conntrack_ask(int fd, uint16_t type, uint16_t flags)
{
	char buf[ASK_MAX] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = 1;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	return netlink_send(fd, nlh);
}

/* Asks `first` of the whole, unless it is the dump itself, and then for the dump. */
static int conntrack_asked(uint16_t first, uint16_t dump, const char *what, struct why *why)
{
	int fd, r;

	r = conntrack_missing(why);
	if (r < 0)
		return r;
	fd = joined_open(NETLINK_NETFILTER, NULL, 0, why);
	fd = ready(fd, why);
	if (fd < 0)
		return fd;
	r = first == dump ? 0 : conntrack_ask(fd, first, 0);
	if (r == 0)
		r = conntrack_ask(fd, dump, NLM_F_DUMP);
	if (r < 0) {
		close(fd);
		return why_set(why, r, "cannot ask for %s: %s", what, strerror(-r));
	}
	return fd;
}

int conntrack_dump_open(struct why *why)
{
	return conntrack_asked(IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_GET, "the conntrack table", why);
}

int stats_dump_open(struct why *why)
{
	return conntrack_asked(IPCTNL_MSG_CT_GET_STATS, IPCTNL_MSG_CT_GET_STATS_CPU,
			       "conntrack's statistics", why);
}

int socket_rcvbuf(int fd, uint32_t wanted, uint32_t *got)
{
	int domain, value, r;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	if (domain != AF_NETLINK)
		return -EINVAL;
	r = netlink_buffers(fd, wanted > RCVBUF_MAX ? RCVBUF_MAX : (int)wanted, 0);
	if (r < 0)
		return r;
	len = sizeof(value);
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len) < 0)
		return -errno;
	*got = (uint32_t)value;
	return 0;
}
