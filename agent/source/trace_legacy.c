/*
 * Legacy TRACE: one NFLOG message of group 0 for each rule that a traced packet met in an iptables-legacy table,
 * with the packet as it was before the rule's target ran. Everything else that arrives on the group
 * (log rules, conntrack's complaints) is passed on as a log line. Sequence numbers are counted when the
 * kernel builds a message, so a gap is exactly what was lost.
 */
#include "agent/source/source.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <string.h>

#include "agent/source/ifnames.h"
#include "agent/source/netlink.h"
#include "agent/source/prefix.h"

enum { PREFIX_MAX = 128, ETHER_LEN = 14, ETHER_SRC = 6 };

/* A kernel time further off than this from our own is not believed. */
static const int64_t kernel_time_slack = 60 * (int64_t)NS_PER_S;

static void name_set(const struct source *s, char out[static IFNAME_MAX + 1],
		     const struct nlattr *a)
{
	if (a)
		ifnames_copy(s->names, (int32_t)attr_be32(a), out);
}

static enum hook hook_of(uint8_t nf_hook)
{
	static const enum hook hooks[] = {
		[NF_INET_PRE_ROUTING] = HOOK_PREROUTING,   [NF_INET_LOCAL_IN] = HOOK_INPUT,
		[NF_INET_FORWARD] = HOOK_FORWARD,          [NF_INET_LOCAL_OUT] = HOOK_OUTPUT,
		[NF_INET_POST_ROUTING] = HOOK_POSTROUTING,
	};

	return nf_hook < sizeof(hooks) / sizeof(hooks[0]) ? hooks[nf_hook] : HOOK_NONE;
}

static void seq_check(struct source *s, const struct nlattr *a, struct boot_ns now,
		      const struct sink *out)
{
	struct loss l = { .from = s->last, .until = now, .source = s->ops->name };
	uint32_t seq;

	if (!a)
		return;
	seq = attr_be32(a);
	if (s->seq_known && seq != s->seq) {
		l.count_known = true;
		l.count = (uint32_t)(seq - s->seq);
		if (out->loss)
			out->loss(out->arg, &l);
	}
	s->overrun = false;
	s->seq = seq + 1;
	s->seq_known = true;
}

/* Both clocks are looked at once for all that came together. */
static int64_t offset_at(struct source *s, struct boot_ns now)
{
	if (s->offset_at.v != now.v) {
		s->offset = boot_minus_wall();
		s->offset_at = now;
	}
	return s->offset;
}

static void time_set(struct source *s, struct step *st, const struct nlattr *a, struct boot_ns now)
{
	struct nfulnl_msg_packet_timestamp ts;
	const void *p = attr_bytes(a, sizeof(ts));
	int64_t sec, usec, at;

	st->at = now;
	if (!p)
		return;
	memcpy(&ts, p, sizeof(ts));
	sec = (int64_t)be64toh(ts.sec);
	usec = (int64_t)be64toh(ts.usec);
	if (sec < 0 || sec > INT32_MAX * INT64_C(4) || usec < 0 || usec >= 1000000)
		return;
	at = sec * NS_PER_S + usec * 1000 + offset_at(s, now);
	/* The wall clock may have been set in between: then only our own clock is sane. */
	if (at > now.v + kernel_time_slack || at < now.v - kernel_time_slack)
		return;
	st->at.v = at < now.v ? at : now.v;
	st->kernel_time = true;
}

/* The sender's address, from the frame that brought the packet; there is none on the way out. */
static void mac_set(struct trace_event *e, const struct nlattr **attr)
{
	const uint8_t *frame = attr_bytes(attr[NFULA_HWHEADER], ETHER_LEN);
	const void *type = attr_bytes(attr[NFULA_HWTYPE], sizeof(uint16_t));
	uint16_t hwtype = 0;

	if (!attr[NFULA_IFINDEX_INDEV] || !frame || !type)
		return;
	memcpy(&hwtype, type, sizeof(hwtype));
	if (ntohs(hwtype) == ARPHRD_ETHER)
		memcpy(e->src_mac, frame + ETHER_SRC, sizeof(e->src_mac));
}

static void packet_event(struct source *s, const struct nlattr **attr, uint8_t family,
			 struct boot_ns now, const struct sink *out)
{
	struct trace_event e = { .received = now };
	const struct nfulnl_msg_packet_hdr *hdr;
	struct trace_prefix trace;
	char prefix[PREFIX_MAX + 1] = "";
	size_t len = 0;

	if (attr[NFULA_PREFIX]) {
		len = mnl_attr_get_payload_len(attr[NFULA_PREFIX]);
		if (len > PREFIX_MAX)
			len = PREFIX_MAX;
		memcpy(prefix, mnl_attr_get_payload(attr[NFULA_PREFIX]), len);
	}
	hdr = attr_bytes(attr[NFULA_PACKET_HDR], sizeof(*hdr));
	e.step.backend = BACKEND_LEGACY;
	e.step.family = family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6;
	e.step.hook = hdr ? hook_of(hdr->hook) : HOOK_NONE;
	name_set(s, e.in_if, attr[NFULA_IFINDEX_INDEV]);
	name_set(s, e.out_if, attr[NFULA_IFINDEX_OUTDEV]);
	e.mark = attr_be32(attr[NFULA_MARK]);
	time_set(s, &e.step, attr[NFULA_TIMESTAMP], now);
	mac_set(&e, attr);
	if (attr[NFULA_PAYLOAD]) {
		e.has_packet =
			packet_decode(&e.packet, mnl_attr_get_payload(attr[NFULA_PAYLOAD]),
				      mnl_attr_get_payload_len(attr[NFULA_PAYLOAD]), NULL, 0) == 0;
		e.step.ttl = e.packet.ttl;
	}

	if (e.step.hook != HOOK_NONE && trace_prefix_parse(&trace, prefix, len)) {
		e.step.label = (uint8_t)trace.label;
		e.step.number = trace.number;
		e.step.table = trace.table;
		e.step.chain = trace.chain;
		e.priority = legacy_priority(trace.table, e.step.hook);
		e.priority_known = true;
	} else {
		/* conntrack names no hook and the kernel writes 0 for it: only an outgoing device tells. */
		if (e.out_if[0] != '\0' && e.in_if[0] == '\0' && e.step.hook == HOOK_PREROUTING)
			e.step.hook = HOOK_OUTPUT;
		e.step.label = LABEL_LOG;
		e.step.table = "";
		e.step.chain = "";
		e.step.prefix = prefix;
	}
	if (out->trace)
		out->trace(out->arg, &e);
}

static int trace_legacy_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			       const struct sink *out)
{
	const struct nlmsghdr *nlh;
	const struct nfgenmsg *nfg;

	while ((nlh = netlink_next(&p, &len))) {
		const struct nlattr *attr[NFULA_MAX + 1] = { 0 };

		if (nlh->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
			continue;
		if (!attrs_take(attr, NFULA_MAX, nlh, sizeof(*nfg)))
			return -EBADMSG;
		seq_check(s, attr[NFULA_SEQ], now, out);
		s->last = now;
		nfg = mnl_nlmsg_get_payload(nlh);
		if (nfg->nfgen_family == AF_INET || nfg->nfgen_family == AF_INET6)
			packet_event(s, attr, nfg->nfgen_family, now, out);
	}
	return len > 0 ? -EBADMSG : 0;
}

const struct source_ops source_trace_legacy = {
	.name = "trace-legacy",
	.decode = trace_legacy_decode,
	.counts = true,
};
