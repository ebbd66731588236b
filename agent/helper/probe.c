/*
 * All leases of a namespace stand in one table, which every change replaces as a whole: one
 * transaction, after which the kernel has either the new table or still the old one.
 */
#include "agent/helper/probe.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/helper/probe_rules.h"
#include "agent/helper/sockets.h"

enum { BATCH_MAX = 8 << 20, ANSWER_MAX = 8 << 10, ANSWERS_BUFFER = 1 << 20 };

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2
#endif

void probe_init(struct probe *p)
{
	p->fd = -1;
	p->standing = false;
}

int probe_open(struct probe *p, struct why *why)
{
	int r;

	p->fd = netlink_open(NETLINK_NETFILTER);
	if (p->fd < 0)
		return why_set(why, p->fd, "cannot open an nftables socket: %s", strerror(-p->fd));
	/* A transaction is one datagram. */
	r = netlink_buffers(p->fd, ANSWERS_BUFFER, BATCH_MAX);
	if (r < 0) {
		close(p->fd);
		p->fd = -1;
		return why_set(why, r, "cannot prepare an nftables socket: %s", strerror(-r));
	}
	return 0;
}

static void add_table(struct probe_batch *b, uint16_t type, uint16_t flags)
{
	char room[ANSWER_MAX] __attribute__((aligned(8)));
	struct nftnl_table *t = nftnl_table_alloc();
	struct nlmsghdr *nlh;

	if (!t) {
		b->error = -ENOMEM;
		return;
	}
	nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, NFPROTO_INET);
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, PROBE_TABLE);
	if (type == NFT_MSG_NEWTABLE)
		nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	nlh = probe_message(b, room, type, flags);
	nftnl_table_nlmsg_build_payload(nlh, t);
	b->table_seq = b->seq;
	probe_add(b, nlh);
	nftnl_table_free(t);
}

static void batch_begin(struct probe_batch *b)
{
	char room[ANSWER_MAX] __attribute__((aligned(8)));

	*b = (struct probe_batch){ 0 };
	buf_init(&b->buf, BATCH_MAX);
	probe_add(b, nftnl_batch_begin(room, ++b->seq));
}

static void batch_end(struct probe_batch *b)
{
	char room[ANSWER_MAX] __attribute__((aligned(8)));

	probe_add(b, nftnl_batch_end(room, ++b->seq));
}

/*
 * The first error among the kernel's answers, which are all there when send has returned.
 * failed_seq: whose it is.
 */
static int batch_answers(int fd, uint32_t *failed_seq)
{
	char answer[ANSWER_MAX] __attribute__((aligned(8)));
	const struct nlmsghdr *h;
	ssize_t n;
	int len, r = 0;

	while ((n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
		len = (int)n;
		for (h = (struct nlmsghdr *)answer; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type != NLMSG_ERROR ||
			    mnl_nlmsg_get_payload_len(h) < sizeof(*e) || r != 0)
				continue;
			r = e->error;
			*failed_seq = h->nlmsg_seq;
		}
	}
	if (n < 0 && errno != EAGAIN && r == 0)
		r = -errno;
	return r;
}

static int batch_send(struct probe *p, struct probe_batch *b, uint32_t *failed_seq)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	*failed_seq = 0;
	if (b->error < 0)
		return b->error;
	if (sendto(p->fd, b->buf.p, b->buf.len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return batch_answers(p->fd, failed_seq);
}

static int refused(int error, bool at_table, struct why *why)
{
	if (at_table && (error == -EEXIST || error == -EPERM))
		return why_set(
			why, -EEXIST,
			"a table inet %s of somebody else exists here: is another agent running?",
			PROBE_TABLE);
	if (at_table && (error == -EOPNOTSUPP || error == -EINVAL))
		return why_set(why, -EOPNOTSUPP,
			       "this kernel has no nftables tables with an owner (Linux 5.12)");
	if (error == -EMSGSIZE)
		return why_set(why, error,
			       "too many patterns for one transaction (net.core.wmem_max)");
	return why_set(why, error, "nftables refused the probe table: %s", strerror(-error));
}

int probe_put(struct probe *p, const struct probe_lease *leases, uint32_t count,
	      const struct probe_site *site, struct why *why)
{
	struct probe_batch b;
	uint32_t failed_seq;
	int r;

	batch_begin(&b);
	if (p->standing)
		add_table(&b, NFT_MSG_DELTABLE, 0);
	add_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	probe_rules(&b, leases, count, site);
	batch_end(&b);
	r = batch_send(p, &b, &failed_seq);
	if (r == 0) {
		p->standing = true;
		atomic_fetch_add(&p->commits, 1);
	} else {
		r = refused(r, failed_seq == b.table_seq, why);
	}
	buf_clear(&b.buf);
	return r;
}

static int counter_ask(int fd, char letter, uint64_t id)
{
	char room[ANSWER_MAX] __attribute__((aligned(8))), name[PROBE_NAME_MAX];
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh;
	int r = 0;

	if (!o)
		return -ENOMEM;
	probe_name(name, letter, id);
	nftnl_obj_set_u32(o, NFTNL_OBJ_FAMILY, NFPROTO_INET);
	nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, PROBE_TABLE);
	nftnl_obj_set_str(o, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nlh = nftnl_nlmsg_build_hdr(room, NFT_MSG_GETOBJ, NFPROTO_INET, 0, 1);
	nftnl_obj_nlmsg_build_payload(nlh, o);
	if (sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		r = -errno;
	nftnl_obj_free(o);
	return r;
}

static int counter_read(int fd, char letter, uint64_t id, uint64_t *packets)
{
	char room[ANSWER_MAX] __attribute__((aligned(8)));
	const struct nlmsghdr *nlh = (struct nlmsghdr *)room;
	struct nftnl_obj *o;
	ssize_t n;
	int r;

	r = counter_ask(fd, letter, id);
	if (r < 0)
		return r;
	n = recv(fd, room, sizeof(room), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (!mnl_nlmsg_ok(nlh, (int)n))
		return -EBADMSG;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
	/* An object of its own: parsing into one that has a name already would leak that. */
	o = nftnl_obj_alloc();
	if (!o)
		return -ENOMEM;
	r = nftnl_obj_nlmsg_parse(nlh, o) < 0 ? -EBADMSG : 0;
	if (r == 0)
		*packets = nftnl_obj_get_u64(o, NFTNL_OBJ_CTR_PKTS);
	nftnl_obj_free(o);
	return r;
}

int probe_counters(struct probe *p, uint64_t id, uint64_t *traced, uint64_t *refused_packets)
{
	int r;

	if (!p->standing)
		return -ENOENT;
	r = counter_read(p->fd, 't', id, traced);
	return r < 0 ? r : counter_read(p->fd, 'r', id, refused_packets);
}

void probe_clear(struct probe *p)
{
	struct probe_batch b;
	uint32_t failed_seq;

	if (p->standing) {
		batch_begin(&b);
		add_table(&b, NFT_MSG_DELTABLE, 0);
		batch_end(&b);
		if (batch_send(p, &b, &failed_seq) == 0)
			atomic_fetch_add(&p->commits, 1);
		buf_clear(&b.buf);
	}
	if (p->fd >= 0)
		close(p->fd);
	probe_init(p);
}
