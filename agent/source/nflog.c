/*
 * What rules of the administrator's log to the groups that we were told to read: each message a step LABEL_LOG of a packet. Whatever
 * its prefix says, it is text: traces come on group 0, which is never among these.
 *
 * Each group has its own sequence numbers, counted when the kernel builds a message, so a gap is exactly what was lost. More than
 * NFLOG_RATE packets a second are counted only, so that a rule which logs a flood takes no room from what is traced.
 */
#include "agent/source/nflog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>

#include "agent/source/netlink.h"
#include "agent/source/ulog.h"

struct group {
	uint16_t number;
	uint32_t next; /* sequence number expected */
};

struct nflog {
	struct group groups[NFLOG_GROUPS_MAX];
	uint32_t group_count;
	struct seen seen;
	struct boot_ns second; /* since when `taken` counts */
	uint32_t taken;
	uint64_t excess;
	struct boot_ns excess_from, excess_until;
};

static void tell(const struct source *s, uint64_t count, struct boot_ns now, const struct sink *out)
{
	struct loss l = { .from = s->last,
			  .until = now,
			  .source = s->ops->name,
			  .count_known = true,
			  .count = count };

	if (out->loss)
		out->loss(out->arg, &l);
}

/* The helper bound the group for us, so its numbers start at 0 and even the first loss shows. */
static struct group *group_of(struct nflog *n, uint16_t number)
{
	for (uint32_t i = 0; i < n->group_count; i++)
		if (n->groups[i].number == number)
			return &n->groups[i];
	if (n->group_count == NFLOG_GROUPS_MAX)
		return NULL;
	n->groups[n->group_count] = (struct group){ number, 0 };
	return &n->groups[n->group_count++];
}

static void seq_check(struct source *s, struct group *g, const struct nlattr *a, struct boot_ns now,
		      const struct sink *out)
{
	uint32_t seq;

	if (!a)
		return;
	seq = attr_be32(a);
	if (seq != g->next) {
		tell(s, (uint32_t)(seq - g->next), now, out);
		s->overrun = false;
	}
	g->next = seq + 1;
}

static bool within_rate(struct nflog *n, struct boot_ns now)
{
	if (now.v - n->second.v >= NS_PER_S || n->second.v == 0) {
		n->second = now;
		n->taken = 0;
	}
	if (n->taken < NFLOG_RATE) {
		n->taken++;
		return true;
	}
	if (n->excess++ == 0)
		n->excess_from = now;
	n->excess_until = now;
	return false;
}

static enum family family_of(uint8_t nf)
{
	switch (nf) {
	case NFPROTO_IPV4:
		return FAMILY_IPV4;
	case NFPROTO_IPV6:
		return FAMILY_IPV6;
	case NFPROTO_INET:
		return FAMILY_INET;
	case NFPROTO_BRIDGE:
		return FAMILY_BRIDGE;
	case NFPROTO_NETDEV:
		return FAMILY_NETDEV;
	default:
		return FAMILY_NONE;
	}
}

static enum hook hook_of(enum family f, uint8_t hook)
{
	if (f == FAMILY_NETDEV)
		return hook == NF_NETDEV_INGRESS ? HOOK_INGRESS : HOOK_NONE;
	return f == FAMILY_INET && hook == NF_INET_INGRESS ? HOOK_INGRESS : ulog_hook(hook);
}

/* Bridges and devices carry other things, too, that are no packets of ours. */
static bool is_ip(enum family f, const struct nfulnl_msg_packet_hdr *hdr)
{
	uint16_t proto = ntohs(hdr->hw_protocol);

	return f == FAMILY_IPV4 || f == FAMILY_IPV6 || proto == ETH_P_IP || proto == ETH_P_IPV6;
}

static void packet_event(struct source *s, const struct nlattr *const *attr, uint8_t family,
			 uint16_t group, struct boot_ns now, const struct sink *out)
{
	struct trace_event e = { .received = now, .logged = true };
	const struct nfulnl_msg_packet_hdr *hdr = attr_bytes(attr[NFULA_PACKET_HDR], sizeof(*hdr));
	struct nflog *n = s->state;
	char prefix[LOG_PREFIX_MAX + 1];

	e.step.family = (uint8_t)family_of(family);
	if (!hdr || !is_ip((enum family)e.step.family, hdr))
		return;
	if (!within_rate(n, now))
		return;
	(void)ulog_prefix(attr[NFULA_PREFIX], prefix);
	e.step.label = LABEL_LOG;
	e.step.backend = BACKEND_LEGACY; /* it does not tell, and nobody asks a log line */
	e.step.hook = (uint8_t)hook_of((enum family)e.step.family, hdr->hook);
	e.step.number = group;
	e.step.table = e.step.chain = "";
	e.step.prefix = prefix;
	ulog_read(&e, s, attr, now, &n->seen);
	if (!e.has_packet)
		tell(s, 1, now, out);
	else if (out->trace)
		out->trace(out->arg, &e);
}

static int nflog_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			const struct sink *out)
{
	const struct nlmsghdr *nlh;
	const struct nfgenmsg *nfg;

	if (!s->state)
		s->state = calloc(1, sizeof(struct nflog));
	if (!s->state)
		return -ENOMEM;
	while ((nlh = netlink_next(&p, &len))) {
		const struct nlattr *attr[NFULA_MAX + 1] = { 0 };
		struct group *g;

		if (nlh->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
			continue;
		if (!attrs_take(attr, NFULA_MAX, nlh, sizeof(*nfg)))
			return -EBADMSG;
		nfg = mnl_nlmsg_get_payload(nlh);
		g = group_of(s->state, ntohs(nfg->res_id));
		if (!g)
			return -EBADMSG;
		seq_check(s, g, attr[NFULA_SEQ], now, out);
		s->last = now;
		packet_event(s, (const struct nlattr *const *)attr, nfg->nfgen_family, g->number,
			     now, out);
	}
	return len > 0 ? -EBADMSG : 0;
}

static void nflog_clear(struct source *s)
{
	free(s->state);
	s->state = NULL;
}

bool nflog_excess(struct source *s, struct boot_ns now, struct loss *l)
{
	struct nflog *n = s->state;

	if (!n || n->excess == 0 || now.v - n->excess_from.v < NS_PER_S)
		return false;
	*l = (struct loss){ .from = n->excess_from,
			    .until = n->excess_until,
			    .source = s->ops->name,
			    .count_known = true,
			    .count = n->excess };
	n->excess = 0;
	return true;
}

struct boot_ns nflog_due(const struct source *s)
{
	const struct nflog *n = s->state;

	return (struct boot_ns){ n && n->excess ? n->excess_from.v + NS_PER_S : 0 };
}

const struct source_ops source_nflog = {
	.name = "nflog",
	.decode = nflog_decode,
	.counts = true,
	.clear = nflog_clear,
};
