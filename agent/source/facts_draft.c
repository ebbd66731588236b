/*
 * What rtnetlink says of a host, message by message, becomes facts. Lists are bounded; what found no room in them is said (`cut`).
 */
#include "agent/source/facts_draft.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/source/netlink.h"

enum { ATTRS = 64 };

/* Of kernels since 6.15: FRA_SPORT_MASK, FRA_DPORT_MASK. */
enum { RULE_SPORT_MASK = 28, RULE_DPORT_MASK = 29 };

/* Its place in IFLA_INET6_CONF; kernels before 6.17 have no such setting. */
enum { CONF6_FORCE_FORWARDING = DEVCONF_ACCEPT_RA_MIN_LFT + 1 };

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

static uint32_t attr_u32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (a && mnl_attr_get_payload_len(a) >= sizeof(v))
		memcpy(&v, mnl_attr_get_payload(a), sizeof(v));
	return v;
}

/* Number i of an array of words. */
static uint32_t conf_value(const struct nlattr *conf, size_t i)
{
	uint32_t v;

	memcpy(&v, (const uint8_t *)mnl_attr_get_payload(conf) + i * sizeof(v), sizeof(v));
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

/* The settings of IPv6 that RTM_GETNETCONF does not tell, from the array that has them all. */
static void link_settings(struct facts_link *l, const struct nlattr *spec)
{
	const struct nlattr *families[AF_INET6 + 1] = { NULL }, *six[IFLA_INET6_MAX + 1] = { NULL };
	const struct nlattr *conf;
	size_t count;

	attrs_take_nested(families, AF_INET6, spec);
	attrs_take_nested(six, IFLA_INET6_MAX, families[AF_INET6]);
	conf = six[IFLA_INET6_CONF];
	count = conf ? mnl_attr_get_payload_len(conf) / sizeof(uint32_t) : 0;
	if (count <= DEVCONF_DISABLE_IPV6)
		return;
	l->conf6 = true;
	l->disable6 = conf_value(conf, DEVCONF_DISABLE_IPV6) != 0;
	l->force_forward6 =
		count > CONF6_FORCE_FORWARDING && conf_value(conf, CONF6_FORCE_FORWARDING) != 0;
}

void draft_link(struct facts_draft *d, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[ATTRS] = { NULL };
	struct facts_link *l;

	if (!attrs_take(attr, ATTRS - 1, nlh, sizeof(*ifi)))
		return;
	l = grow((void **)&d->facts.links, &d->facts.link_count, &d->link_cap, FACTS_LINKS_MAX,
		 sizeof(*l));
	if (!l) {
		d->facts.cut = true;
		return;
	}
	l->ifindex = ifi->ifi_index;
	l->up = ifi->ifi_flags & IFF_UP;
	l->link = (int32_t)attr_u32(attr[IFLA_LINK]);
	l->master = (int32_t)attr_u32(attr[IFLA_MASTER]);
	l->mtu = attr_u32(attr[IFLA_MTU]);
	name_of(l->name, attr[IFLA_IFNAME]);
	link_settings(l, attr[IFLA_AF_SPEC]);
	if (attr[IFLA_ADDRESS] && mnl_attr_get_payload_len(attr[IFLA_ADDRESS]) == sizeof(l->mac))
		memcpy(l->mac, mnl_attr_get_payload(attr[IFLA_ADDRESS]), sizeof(l->mac));
}

void draft_addr(struct facts_draft *d, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[ATTRS] = { NULL };
	struct facts_addr *f;
	struct addr a = { 0 };

	if (!attrs_take(attr, ATTRS - 1, nlh, sizeof(*ifa)))
		return;
	/* On a point-to-point link IFA_ADDRESS is the peer's. */
	attr_addr(&a, ifa->ifa_family, attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS]);
	if (!a.family || ifa->ifa_prefixlen > (a.family == 4 ? 32 : 128))
		return;
	f = grow((void **)&d->facts.addrs, &d->facts.addr_count, &d->addr_cap, FACTS_ADDRS_MAX,
		 sizeof(*f));
	if (!f) {
		d->facts.cut = true;
		return;
	}
	f->ifindex = (int32_t)ifa->ifa_index;
	f->addr = (struct prefix){ .addr = a, .len = ifa->ifa_prefixlen };
}

static void route_put(struct facts_draft *d, const struct facts_route *r)
{
	struct facts_route *f = grow((void **)&d->facts.routes, &d->facts.route_count,
				     &d->route_cap, FACTS_ROUTES_MAX, sizeof(*f));

	if (f)
		*f = *r;
	else
		d->facts.cut = true;
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

/* Each next hop of a multipath route is a route of its own here; the kernel passes over those whose interface is gone. */
static void multipath_put(struct facts_draft *d, const struct facts_route *base, uint8_t family,
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
		if (!(nh.rtnh_flags & RTNH_F_DEAD))
			route_put(d, &r);
		if ((size_t)RTNH_ALIGN(nh.rtnh_len) >= left)
			return;
		p += RTNH_ALIGN(nh.rtnh_len);
		left -= (size_t)RTNH_ALIGN(nh.rtnh_len);
	}
}

void draft_route(struct facts_draft *d, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[ATTRS] = { NULL };
	struct facts_route r = { 0 };
	uint8_t bits;

	if (!attrs_take(attr, ATTRS - 1, nlh, sizeof(*rtm)))
		return;
	if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
	    rtm->rtm_flags & RTM_F_CLONED)
		return;
	bits = rtm->rtm_family == AF_INET ? 32 : 128;
	r.dst.addr.family = rtm->rtm_family == AF_INET ? 4 : 6;
	if (rtm->rtm_dst_len > bits || rtm->rtm_src_len > bits)
		return;
	attr_addr(&r.dst.addr, rtm->rtm_family, attr[RTA_DST]);
	r.dst.len = rtm->rtm_dst_len;
	r.table = attr[RTA_TABLE] ? attr_u32(attr[RTA_TABLE]) : rtm->rtm_table;
	r.metric = attr_u32(attr[RTA_PRIORITY]);
	r.type = rtm->rtm_type;
	r.tos = rtm->rtm_tos;
	if (rtm->rtm_src_len) {
		attr_addr(&r.src.addr, rtm->rtm_family, attr[RTA_SRC]);
		r.src.len = r.src.addr.family ? rtm->rtm_src_len : 0;
	}
	if (attr[RTA_MULTIPATH]) {
		multipath_put(d, &r, rtm->rtm_family, attr[RTA_MULTIPATH]);
		return;
	}
	if (rtm->rtm_flags & RTNH_F_DEAD)
		return;
	r.ifindex = (int32_t)attr_u32(attr[RTA_OIF]);
	gateway_set(&r.gateway, rtm->rtm_family, attr[RTA_GATEWAY], attr[RTA_VIA]);
	route_put(d, &r);
}

static uint8_t attr_u8(const struct nlattr *a)
{
	const uint8_t *p = attr_bytes(a, sizeof(*p));

	return p ? *p : 0;
}

static void ports_of(uint16_t out[static 2], const struct nlattr *a)
{
	struct fib_rule_port_range range;
	const void *p = attr_bytes(a, sizeof(range));

	if (!p)
		return;
	memcpy(&range, p, sizeof(range));
	out[0] = range.start;
	out[1] = range.end;
}

/* False: more bits than an address of the family has. */
static bool prefix_of(struct prefix *out, uint8_t family, const struct nlattr *a, uint8_t len)
{
	if (len > (family == AF_INET ? 32 : 128))
		return false;
	if (len == 0)
		return true;
	attr_addr(&out->addr, family, a);
	out->len = len;
	return out->addr.family != 0;
}

/* A range of ports has an empty mask, a single one a full one. */
static bool ports_masked(const struct nlattr *a)
{
	uint16_t mask;
	const void *p = attr_bytes(a, sizeof(mask));

	if (!p)
		return a != NULL;
	memcpy(&mask, p, sizeof(mask));
	return mask != 0 && mask != UINT16_MAX;
}

/* What a rule may ask for that we do not tell: user, tunnel, DSCP, flow label, masks of ports, and what will be invented. */
static bool asks_more(const struct nlattr *const *attr)
{
	if (attr[FRA_UID_RANGE] || attr[FRA_TUN_ID])
		return true;
	if (attr[FRA_SUPPRESS_IFGROUP] && attr_u32(attr[FRA_SUPPRESS_IFGROUP]) != UINT32_MAX)
		return true;
	for (int i = FRA_DPORT_RANGE + 1; i < ATTRS; i++) {
		if (attr[i] && i != RULE_SPORT_MASK && i != RULE_DPORT_MASK)
			return true;
	}
	return ports_masked(attr[RULE_SPORT_MASK]) || ports_masked(attr[RULE_DPORT_MASK]);
}

void draft_rule(struct facts_draft *d, const struct nlmsghdr *nlh)
{
	const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[ATTRS] = { NULL };
	struct facts_rule r = { .suppress = -1 }, *to;

	if (!attrs_take(attr, ATTRS - 1, nlh, sizeof(*h)))
		return;
	if ((h->family != AF_INET && h->family != AF_INET6) ||
	    !prefix_of(&r.from, h->family, attr[FRA_SRC], h->src_len) ||
	    !prefix_of(&r.to, h->family, attr[FRA_DST], h->dst_len))
		return;
	r.family = h->family == AF_INET ? 4 : 6;
	r.action = h->action;
	r.invert = h->flags & FIB_RULE_INVERT;
	r.l3mdev = attr_u8(attr[FRA_L3MDEV]) != 0;
	r.other = asks_more(attr);
	r.tos = h->tos;
	r.proto = attr_u8(attr[FRA_IP_PROTO]);
	r.priority = attr_u32(attr[FRA_PRIORITY]);
	r.table = attr[FRA_TABLE] ? attr_u32(attr[FRA_TABLE]) : h->table;
	r.target = attr_u32(attr[FRA_GOTO]);
	r.mark = attr_u32(attr[FRA_FWMARK]);
	r.mask = attr_u32(attr[FRA_FWMASK]);
	if (attr[FRA_SUPPRESS_PREFIXLEN] && attr_u32(attr[FRA_SUPPRESS_PREFIXLEN]) <= 128)
		r.suppress = (int32_t)attr_u32(attr[FRA_SUPPRESS_PREFIXLEN]);
	ports_of(r.sport, attr[FRA_SPORT_RANGE]);
	ports_of(r.dport, attr[FRA_DPORT_RANGE]);
	name_of(r.iif, attr[FRA_IIFNAME]);
	name_of(r.oif, attr[FRA_OIFNAME]);
	to = grow((void **)&d->facts.rules, &d->facts.rule_count, &d->rule_cap, FACTS_RULES_MAX,
		  sizeof(*to));
	if (to)
		*to = r;
	else
		d->facts.cut = true;
}

static struct facts_link *link_find(struct facts_draft *d, int32_t ifindex)
{
	for (uint32_t i = 0; i < d->facts.link_count; i++) {
		if (d->facts.links[i].ifindex == ifindex)
			return &d->facts.links[i];
	}
	return NULL;
}

void draft_conf(struct facts_draft *d, const struct nlmsghdr *nlh)
{
	const struct netconfmsg *conf = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[ATTRS] = { NULL };
	struct facts *f = &d->facts;
	struct facts_link *l;
	int32_t ifindex;
	bool forward;

	if (!attrs_take(attr, ATTRS - 1, nlh, sizeof(*conf)) || !attr[NETCONFA_IFINDEX] ||
	    !attr[NETCONFA_FORWARDING])
		return;
	ifindex = (int32_t)attr_u32(attr[NETCONFA_IFINDEX]);
	forward = attr_u32(attr[NETCONFA_FORWARDING]) != 0;
	if (ifindex == NETCONFA_IFINDEX_ALL && conf->ncm_family == AF_INET) {
		f->forward4 = forward;
		f->forward_known = true;
		f->rp_filter = (uint8_t)attr_u32(attr[NETCONFA_RP_FILTER]);
	} else if (ifindex == NETCONFA_IFINDEX_ALL && conf->ncm_family == AF_INET6) {
		f->forward6 = forward;
	}
	l = conf->ncm_family == AF_INET ? link_find(d, ifindex) : NULL;
	if (l && attr[NETCONFA_RP_FILTER]) {
		l->conf4 = true;
		l->forward4 = forward;
		l->rp_filter = (uint8_t)attr_u32(attr[NETCONFA_RP_FILTER]);
	}
}

void draft_clear(struct facts_draft *d)
{
	free(d->facts.links);
	free(d->facts.addrs);
	free(d->facts.routes);
	free(d->facts.rules);
	*d = (struct facts_draft){ 0 };
}

bool draft_link_name(int32_t *ifindex, char name[static IFNAME_MAX + 1], const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr[ATTRS] = { NULL };

	if (!attrs_take(attr, ATTRS - 1, nlh, sizeof(*ifi)))
		return false;
	/* A bridge's word about its port comes as a link message too; only AF_UNSPEC is the link's own. */
	if (ifi->ifi_family != AF_UNSPEC)
		return false;
	*ifindex = ifi->ifi_index;
	name_of(name, attr[IFLA_IFNAME]);
	return true;
}
