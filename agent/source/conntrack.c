/*
 * conntrack: what its table says about connections, as events and as dumps. Both come in the same message; a part of
 * a dump is marked NLM_F_MULTI, a new entry NLM_F_CREATE, a change neither.
 *
 * Read with libmnl: libnetfilter_conntrack ends the process when an attribute has a size that it does not expect.
 */
#include "agent/source/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

#include "agent/source/netlink.h"

/* The highest attribute of each list that is read; kernels add more behind. */
enum {
	TOP_MAX = CTA_ZONE,
	TUPLE_MAX = CTA_TUPLE_PROTO,
	IP_MAX = CTA_IP_V6_DST,
	PROTO_MAX = CTA_PROTO_ICMPV6_CODE,
	LIST_MAX = CTA_ZONE
};

struct attrs {
	const struct nlattr *at[LIST_MAX + 1];
};

static struct attrs nested(const struct nlattr *a, uint16_t max)
{
	struct attrs list = { { NULL } };

	attrs_take_nested(list.at, max, a);
	return list;
}

static uint16_t attr_be16(const struct nlattr *a)
{
	const void *p = attr_bytes(a, sizeof(uint16_t));
	uint16_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return ntohs(v);
}

static uint8_t attr_byte(const struct nlattr *a)
{
	const uint8_t *p = attr_bytes(a, 1);

	return p ? *p : 0;
}

static bool addr_set(struct addr *out, const struct nlattr *v4, const struct nlattr *v6)
{
	size_t len = v4 ? 4 : 16;
	const void *p = attr_bytes(v4 ? v4 : v6, len);

	if (!p)
		return false;
	out->family = v4 ? 4 : 6;
	memcpy(out->b, p, len);
	return true;
}

/* The type of the query that an ICMP answer belongs to. */
static uint8_t query_type(uint8_t proto, uint8_t type)
{
	if (proto == IPPROTO_ICMPV6)
		return type == 129 ? 128 : type;
	switch (type) {
	case 0:
		return 8;
	case 14:
		return 13;
	case 16:
		return 15;
	case 18:
		return 17;
	default:
		return type;
	}
}

static bool tuple_set(struct tuple *t, const struct nlattr *a)
{
	struct attrs top = nested(a, TUPLE_MAX);
	struct attrs ip = nested(top.at[CTA_TUPLE_IP], IP_MAX);
	struct attrs proto = nested(top.at[CTA_TUPLE_PROTO], PROTO_MAX);

	if (!addr_set(&t->src, ip.at[CTA_IP_V4_SRC], ip.at[CTA_IP_V6_SRC]) ||
	    !addr_set(&t->dst, ip.at[CTA_IP_V4_DST], ip.at[CTA_IP_V6_DST]))
		return false;
	t->proto = attr_byte(proto.at[CTA_PROTO_NUM]);
	if (t->proto == IPPROTO_ICMP) {
		t->sport = attr_be16(proto.at[CTA_PROTO_ICMP_ID]);
		t->dport = query_type(t->proto, attr_byte(proto.at[CTA_PROTO_ICMP_TYPE]));
	} else if (t->proto == IPPROTO_ICMPV6) {
		t->sport = attr_be16(proto.at[CTA_PROTO_ICMPV6_ID]);
		t->dport = query_type(t->proto, attr_byte(proto.at[CTA_PROTO_ICMPV6_TYPE]));
	} else if (proto_has_ports(t->proto)) {
		t->sport = attr_be16(proto.at[CTA_PROTO_SRC_PORT]);
		t->dport = attr_be16(proto.at[CTA_PROTO_DST_PORT]);
	}
	return true;
}

static int conn_event(const struct nlmsghdr *nlh, struct boot_ns now, const struct sink *out)
{
	struct attrs top = { { NULL } };
	struct conn c = { .at = now };

	if (!attrs_take(top.at, TOP_MAX, nlh, sizeof(struct nfgenmsg)))
		return -EBADMSG;
	if (!tuple_set(&c.orig, top.at[CTA_TUPLE_ORIG]) ||
	    !tuple_set(&c.reply, top.at[CTA_TUPLE_REPLY]))
		return -EBADMSG;
	if ((nlh->nlmsg_type & 0xff) == IPCTNL_MSG_CT_DELETE)
		c.event = CONN_DESTROY;
	else if (nlh->nlmsg_flags & NLM_F_MULTI)
		c.event = CONN_DUMP;
	else
		c.event = nlh->nlmsg_flags & NLM_F_CREATE ? CONN_NEW : CONN_UPDATE;
	c.id = attr_be32(top.at[CTA_ID]);
	c.status = attr_be32(top.at[CTA_STATUS]);
	c.mark = attr_be32(top.at[CTA_MARK]);
	c.zone = attr_be16(top.at[CTA_ZONE]);
	if (c.event != CONN_DESTROY)
		c.timeout_s = attr_be32(top.at[CTA_TIMEOUT]);
	if (out->conn)
		out->conn(out->arg, &c);
	return 0;
}

static int done_error(const struct nlmsghdr *nlh)
{
	int error;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(error))
		return 0;
	memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
	return error > 0 ? 0 : error;
}

static int conntrack_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			    const struct sink *out)
{
	const struct nlmsghdr *nlh;
	int r;

	(void)s;
	while ((nlh = netlink_next(&p, &len))) {
		switch (nlh->nlmsg_type) {
		case NLMSG_DONE:
		case NLMSG_ERROR:
			if (out->done)
				out->done(out->arg, done_error(nlh));
			break;
		case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW:
		case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE:
			r = conn_event(nlh, now, out);
			if (r < 0)
				return r;
			break;
		}
	}
	return len > 0 ? -EBADMSG : 0;
}

const struct source_ops source_conntrack = {
	.name = "conntrack",
	.decode = conntrack_decode,
};
