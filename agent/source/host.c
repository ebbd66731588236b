/*
 * The dump is a chain of requests, each sent when the one before has been answered: links, addresses, IPv4 and IPv6
 * routes, forwarding of both families. Answers bear our port and number; all else on the socket is a
 * notification. A dump that the kernel marks as interrupted is done over.
 */
#include "agent/source/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/source/netlink.h"

enum stage {
	STAGE_LINK,
	STAGE_ADDR,
	STAGE_ROUTE4,
	STAGE_ROUTE6,
	STAGE_CONF4,
	STAGE_CONF6,
	STAGE_COUNT
};

enum { TRIES = 3 };

struct dump {
	bool active, interrupted;
	int tries;
	enum stage stage;
	uint32_t seq;
	uint32_t link_cap, addr_cap, route_cap;
	struct facts facts; /* arrays owned */
};

/* One more element of a growing array; NULL beyond max or without memory. */
static void *grow(void **list, uint32_t *count, uint32_t *cap, uint32_t max, size_t size)
{
	uint32_t more = *cap ? *cap * 2 : 16;
	void *grown;
	void *p;

	if (*count == max)
		return NULL;
	if (*count == *cap) {
		grown = reallocarray(*list, more, size);
		if (!grown)
			return NULL;
		*list = grown;
		*cap = more;
	}
	p = (uint8_t *)*list + (size_t)*count * size;
	memset(p, 0, size);
	++*count;
	return p;
}

static void dump_reset(struct dump *d)
{
	free(d->facts.links);
	free(d->facts.addrs);
	free(d->facts.routes);
	d->facts = (struct facts){ 0 };
	d->link_cap = d->addr_cap = d->route_cap = 0;
	d->interrupted = false;
}

static int request(const struct source *s, struct dump *d)
{
	uint8_t buf[256] __attribute__((aligned(8))) = { 0 };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct netconfmsg *conf;
	struct rtmsg *rtm;

	nlh->nlmsg_seq = ++d->seq;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	switch (d->stage) {
	case STAGE_LINK:
		nlh->nlmsg_type = RTM_GETLINK;
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
		/* Statistics and the like would be most of the answer. */
		mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		break;
	case STAGE_ADDR:
		nlh->nlmsg_type = RTM_GETADDR;
		mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifaddrmsg));
		break;
	case STAGE_ROUTE4:
	case STAGE_ROUTE6:
		nlh->nlmsg_type = RTM_GETROUTE;
		rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
		rtm->rtm_family = d->stage == STAGE_ROUTE4 ? AF_INET : AF_INET6;
		break;
	case STAGE_CONF4:
	case STAGE_CONF6:
		nlh->nlmsg_type = RTM_GETNETCONF;
		nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
		conf = mnl_nlmsg_put_extra_header(nlh, sizeof(*conf));
		conf->ncm_family = d->stage == STAGE_CONF4 ? AF_INET : AF_INET6;
		mnl_attr_put_u32(nlh, NETCONFA_IFINDEX, (uint32_t)NETCONFA_IFINDEX_ALL);
		break;
	case STAGE_COUNT:
		return -EINVAL;
	}
	if (s->fd < 0)
		return 0;
	if (sendto(s->fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

static int attr_put(const struct nlattr *a, void *arg)
{
	const struct nlattr **attr = arg;

	if (mnl_attr_get_type(a) < 64)
		attr[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

/* False when the message is too short for its own header. */
static bool attrs(const struct nlmsghdr *nlh, size_t head, const struct nlattr *attr[static 64])
{
	memset(attr, 0, 64 * sizeof(*attr));
	return mnl_nlmsg_get_payload_len(nlh) >= head &&
	       mnl_attr_parse(nlh, (unsigned int)head, attr_put, attr) >= 0;
}

static uint32_t attr_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (a && mnl_attr_get_payload_len(a) >= sizeof(v))
		memcpy(&v, mnl_attr_get_payload(a), sizeof(v));
	return v;
}

static void addr_bytes(struct addr *out, uint8_t family, const void *p, size_t have)
{
	size_t len = family == AF_INET ? 4 : 16;

	if (have < len || (family != AF_INET && family != AF_INET6))
		return;
	out->family = family == AF_INET ? 4 : 6;
	memcpy(out->b, p, len);
}

static void attr_addr(struct addr *out, uint8_t family, const struct nlattr *a)
{
	if (a)
		addr_bytes(out, family, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
}

static void name_of(char out[static IFNAME_MAX + 1], const struct nlattr *a)
{
	size_t len = a ? strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)) : 0;

	if (len > IFNAME_MAX)
		len = IFNAME_MAX;
	if (len > 0)
		memcpy(out, mnl_attr_get_payload(a), len);
	out[len] = '\0';
}

static void link_add(struct dump *d, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[64];
	struct facts_link *l;

	if (!attrs(nlh, sizeof(*ifi), attr))
		return;
	l = grow((void **)&d->facts.links, &d->facts.link_count, &d->link_cap, FACTS_LINKS_MAX,
		 sizeof(*l));
	if (!l)
		return;
	l->ifindex = ifi->ifi_index;
	l->up = ifi->ifi_flags & IFF_UP;
	l->link = (int32_t)attr_u32(attr[IFLA_LINK]);
	l->master = (int32_t)attr_u32(attr[IFLA_MASTER]);
	l->mtu = attr_u32(attr[IFLA_MTU]);
	name_of(l->name, attr[IFLA_IFNAME]);
	if (attr[IFLA_ADDRESS] && mnl_attr_get_payload_len(attr[IFLA_ADDRESS]) == sizeof(l->mac))
		memcpy(l->mac, mnl_attr_get_payload(attr[IFLA_ADDRESS]), sizeof(l->mac));
}

static void addr_add(struct dump *d, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[64];
	struct facts_addr *f;
	struct addr a = { 0 };

	if (!attrs(nlh, sizeof(*ifa), attr))
		return;
	/* On a point-to-point link IFA_ADDRESS is the peer's. */
	attr_addr(&a, ifa->ifa_family, attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS]);
	if (!a.family || ifa->ifa_prefixlen > (a.family == 4 ? 32 : 128))
		return;
	f = grow((void **)&d->facts.addrs, &d->facts.addr_count, &d->addr_cap, FACTS_ADDRS_MAX,
		 sizeof(*f));
	if (!f)
		return;
	f->ifindex = (int32_t)ifa->ifa_index;
	f->addr = (struct prefix){ .addr = a, .len = ifa->ifa_prefixlen };
}

static void route_put(struct dump *d, const struct facts_route *r)
{
	struct facts_route *f = grow((void **)&d->facts.routes, &d->facts.route_count,
				     &d->route_cap, FACTS_ROUTES_MAX, sizeof(*f));

	if (f)
		*f = *r;
}

static void gateway_set(struct addr *out, uint8_t family, const struct nlattr *gateway,
			const struct nlattr *via)
{
	struct rtvia v;

	attr_addr(out, family, gateway);
	if (!via || mnl_attr_get_payload_len(via) < sizeof(v))
		return;
	memcpy(&v, mnl_attr_get_payload(via), sizeof(v));
	addr_bytes(out, (uint8_t)v.rtvia_family,
		   (const uint8_t *)mnl_attr_get_payload(via) + sizeof(v),
		   mnl_attr_get_payload_len(via) - sizeof(v));
}

/* Each next hop of a multipath route is a route of its own here. */
static void multipath_put(struct dump *d, const struct facts_route *base, uint8_t family,
			  const struct nlattr *mp)
{
	const uint8_t *p = mnl_attr_get_payload(mp);
	size_t left = mnl_attr_get_payload_len(mp);
	const struct nlattr *gateway, *via, *a;
	struct facts_route r;
	struct rtnexthop nh;
	int rest;

	while (left >= sizeof(nh)) {
		memcpy(&nh, p, sizeof(nh));
		if (nh.rtnh_len < sizeof(nh) || nh.rtnh_len > left)
			return;
		gateway = via = NULL;
		a = (const struct nlattr *)(p + sizeof(nh));
		rest = (int)(nh.rtnh_len - sizeof(nh));
		for (; mnl_attr_ok(a, rest); a = mnl_attr_next(a)) {
			if (mnl_attr_get_type(a) == RTA_GATEWAY)
				gateway = a;
			else if (mnl_attr_get_type(a) == RTA_VIA)
				via = a;
			rest -= (int)MNL_ALIGN(a->nla_len);
		}
		r = *base;
		r.ifindex = nh.rtnh_ifindex;
		gateway_set(&r.gateway, family, gateway, via);
		route_put(d, &r);
		if ((size_t)RTNH_ALIGN(nh.rtnh_len) >= left)
			return;
		p += RTNH_ALIGN(nh.rtnh_len);
		left -= (size_t)RTNH_ALIGN(nh.rtnh_len);
	}
}

static void route_add(struct dump *d, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[64];
	struct facts_route r = { 0 };

	if (!attrs(nlh, sizeof(*rtm), attr))
		return;
	if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
	    rtm->rtm_flags & RTM_F_CLONED)
		return;
	r.dst.addr.family = rtm->rtm_family == AF_INET ? 4 : 6;
	if (rtm->rtm_dst_len > (r.dst.addr.family == 4 ? 32 : 128))
		return;
	attr_addr(&r.dst.addr, rtm->rtm_family, attr[RTA_DST]);
	r.dst.len = rtm->rtm_dst_len;
	r.table = attr[RTA_TABLE] ? attr_u32(attr[RTA_TABLE]) : rtm->rtm_table;
	r.metric = attr_u32(attr[RTA_PRIORITY]);
	r.type = rtm->rtm_type;
	if (attr[RTA_MULTIPATH]) {
		multipath_put(d, &r, rtm->rtm_family, attr[RTA_MULTIPATH]);
		return;
	}
	r.ifindex = (int32_t)attr_u32(attr[RTA_OIF]);
	gateway_set(&r.gateway, rtm->rtm_family, attr[RTA_GATEWAY], attr[RTA_VIA]);
	route_put(d, &r);
}

static void conf_add(struct dump *d, const struct nlmsghdr *nlh)
{
	const struct nlattr *attr[64];

	if (!attrs(nlh, sizeof(struct netconfmsg), attr) || !attr[NETCONFA_FORWARDING])
		return;
	if (d->stage == STAGE_CONF4) {
		d->facts.forward4 = attr_u32(attr[NETCONFA_FORWARDING]) != 0;
		d->facts.forward_known = true;
	} else {
		d->facts.forward6 = attr_u32(attr[NETCONFA_FORWARDING]) != 0;
	}
}

static void link_told(const struct nlmsghdr *nlh, const struct sink *out)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[64];
	char name[IFNAME_MAX + 1] = "";

	if (!out->link || !attrs(nlh, sizeof(*ifi), attr))
		return;
	/* A bridge's word about its port comes as a link message too; only AF_UNSPEC is the link's own. */
	if (ifi->ifi_family != AF_UNSPEC)
		return;
	if (nlh->nlmsg_type == RTM_NEWLINK)
		name_of(name, attr[IFLA_IFNAME]);
	out->link(out->arg, ifi->ifi_index, name);
}

static void notification(const struct nlmsghdr *nlh, const struct sink *out)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_told(nlh, out);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWNETCONF:
		break;
	default:
		return;
	}
	if (out->facts_changed)
		out->facts_changed(out->arg);
}

/* The stage has been answered, in whole or (an old kernel without it) not at all. */
static int stage_done(struct source *s, struct dump *d, struct boot_ns now, const struct sink *out)
{
	int r;

	if (d->interrupted && d->tries < TRIES) {
		d->tries++;
		dump_reset(d);
		d->stage = STAGE_LINK;
		return request(s, d);
	}
	d->stage++;
	if (d->stage < STAGE_COUNT) {
		r = request(s, d);
		if (r < 0)
			d->active = false;
		return r;
	}
	d->active = false;
	d->facts.at = now;
	if (out->facts)
		out->facts(out->arg, &d->facts);
	dump_reset(d);
	return 0;
}

static int answer(struct source *s, struct dump *d, const struct nlmsghdr *nlh, struct boot_ns now,
		  const struct sink *out)
{
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		d->interrupted = true;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
		if (d->stage == STAGE_LINK)
			link_add(d, nlh);
		return 0;
	case RTM_NEWADDR:
		if (d->stage == STAGE_ADDR)
			addr_add(d, nlh);
		return 0;
	case RTM_NEWROUTE:
		if (d->stage == STAGE_ROUTE4 || d->stage == STAGE_ROUTE6)
			route_add(d, nlh);
		return 0;
	case RTM_NEWNETCONF:
		conf_add(d, nlh);
		return 0;
	case NLMSG_DONE:
	case NLMSG_ERROR:
		return stage_done(s, d, now, out);
	}
	return 0;
}

static int host_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
		       const struct sink *out)
{
	const struct nlmsghdr *nlh;
	struct dump *d = s->state;
	int r;

	while ((nlh = netlink_next(&p, &len))) {
		if (d && d->active && nlh->nlmsg_pid == s->portid && nlh->nlmsg_seq == d->seq) {
			r = answer(s, d, nlh, now, out);
			if (r < 0)
				return r;
		} else {
			notification(nlh, out);
		}
	}
	return len > 0 ? -EBADMSG : 0;
}

static void host_clear(struct source *s)
{
	if (!s->state)
		return;
	dump_reset(s->state);
	free(s->state);
	s->state = NULL;
}

int host_dump(struct source *s)
{
	struct dump *d = s->state;
	int r;

	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return -ENOMEM;
		s->state = d;
	}
	dump_reset(d);
	d->stage = STAGE_LINK;
	d->tries = 0;
	r = request(s, d);
	d->active = r == 0;
	return r;
}

bool host_dumping(const struct source *s)
{
	const struct dump *d = s->state;

	return d && d->active;
}

const struct source_ops source_host = {
	.name = "host",
	.decode = host_decode,
	.clear = host_clear,
};
