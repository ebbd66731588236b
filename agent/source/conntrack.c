/*
 * conntrack: what its table says about connections, as events and as dumps. Both come in the same message; a part of
 * a dump is marked NLM_F_MULTI, a new entry NLM_F_CREATE, a change neither.
 */
#include "agent/source/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <string.h>

static void addr_set(struct addr *a, const struct nf_conntrack *ct, uint8_t l3,
		     enum nf_conntrack_attr v4, enum nf_conntrack_attr v6)
{
	const void *p = nfct_get_attr(ct, l3 == AF_INET ? v4 : v6);

	if (!p)
		return;
	a->family = l3 == AF_INET ? 4 : 6;
	memcpy(a->b, p, l3 == AF_INET ? 4 : 16);
}

/* ICMP: the id, and in both directions the request's type, as packets of either direction are filed. */
static void ports_set(struct tuple *t, const struct nf_conntrack *ct, uint8_t proto,
		      enum nf_conntrack_attr sport, enum nf_conntrack_attr dport)
{
	t->proto = proto;
	if (proto_is_icmp(proto)) {
		if (nfct_attr_is_set(ct, ATTR_ICMP_ID) > 0) {
			t->sport = ntohs(nfct_get_attr_u16(ct, ATTR_ICMP_ID));
			t->dport = nfct_get_attr_u8(ct, ATTR_ICMP_TYPE);
		}
	} else if (proto_has_ports(proto)) {
		t->sport = ntohs(nfct_get_attr_u16(ct, sport));
		t->dport = ntohs(nfct_get_attr_u16(ct, dport));
	}
}

static bool conn_set(struct conn *c, const struct nf_conntrack *ct)
{
	uint8_t l3 = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);
	uint8_t proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO);

	if (l3 != AF_INET && l3 != AF_INET6)
		return false;
	addr_set(&c->orig.src, ct, l3, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC);
	addr_set(&c->orig.dst, ct, l3, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST);
	addr_set(&c->reply.src, ct, l3, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC);
	addr_set(&c->reply.dst, ct, l3, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST);
	if (!c->orig.src.family || !c->orig.dst.family || !c->reply.src.family ||
	    !c->reply.dst.family)
		return false;
	ports_set(&c->orig, ct, proto, ATTR_ORIG_PORT_SRC, ATTR_ORIG_PORT_DST);
	ports_set(&c->reply, ct, proto, ATTR_REPL_PORT_SRC, ATTR_REPL_PORT_DST);

	/* An attribute that did not come reads as 0. */
	c->id = ntohl(nfct_get_attr_u32(ct, ATTR_ID));
	c->status = nfct_get_attr_u32(ct, ATTR_STATUS);
	c->mark = nfct_get_attr_u32(ct, ATTR_MARK);
	c->zone = nfct_get_attr_u16(ct, ATTR_ZONE);
	if (c->event != CONN_DESTROY)
		c->timeout_s = nfct_get_attr_u32(ct, ATTR_TIMEOUT);
	return true;
}

static int conn_event(const struct nlmsghdr *nlh, struct boot_ns now, const struct sink *out)
{
	struct conn c = { .at = now };
	struct nf_conntrack *ct;

	if ((nlh->nlmsg_type & 0xff) == IPCTNL_MSG_CT_DELETE)
		c.event = CONN_DESTROY;
	else if (nlh->nlmsg_flags & NLM_F_MULTI)
		c.event = CONN_DUMP;
	else
		c.event = nlh->nlmsg_flags & NLM_F_CREATE ? CONN_NEW : CONN_UPDATE;

	ct = nfct_new();
	if (!ct)
		return -ENOMEM;
	if (nfct_nlmsg_parse(nlh, ct) < 0) {
		nfct_destroy(ct);
		return -EBADMSG;
	}
	if (conn_set(&c, ct) && out->conn)
		out->conn(out->arg, &c);
	nfct_destroy(ct);
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
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)p;
	int left = (int)len;
	int r;

	(void)s;
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		switch (nlh->nlmsg_type) {
		case NLMSG_DONE:
		case NLMSG_ERROR:
			if (out->done)
				out->done(out->arg, done_error(nlh));
			break;
		case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW:
		case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE:
			if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nfgenmsg))
				return -EBADMSG;
			r = conn_event(nlh, now, out);
			if (r < 0)
				return r;
			break;
		}
	}
	return left > 0 ? -EBADMSG : 0;
}

const struct source_ops source_conntrack = {
	.name = "conntrack",
	.decode = conntrack_decode,
};
