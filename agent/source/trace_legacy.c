/*
 * Legacy TRACE: one NFLOG message of group 0 for each rule that a traced packet met in an iptables-legacy table,
 * with the packet as it was before the rule's target ran. Everything else that arrives on the group
 * (log rules, conntrack's complaints) is passed on as a log line. Sequence numbers are counted when the
 * kernel builds a message, so a gap is exactly what was lost.
 */
#include "agent/source/source.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/source/lines.h"
#include "agent/source/netlink.h"
#include "agent/source/ulog.h"

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

/* What the events of one packet, and those of packets on one way, have in common. */
struct memory {
	struct seen seen;
	struct lines lines;
};

static void packet_event(struct source *s, const struct nlattr *const *attr, uint8_t family,
			 struct boot_ns now, const struct sink *out)
{
	const struct nfulnl_msg_packet_hdr *hdr = attr_bytes(attr[NFULA_PACKET_HDR], sizeof(*hdr));
	const struct nlattr *prefix = attr[NFULA_PREFIX];
	struct trace_event e = { .received = now };
	struct memory *m = s->state;
	const struct line *line;

	e.step.backend = BACKEND_LEGACY;
	e.step.family = family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6;
	e.step.hook = hdr ? ulog_hook(hdr->hook) : HOOK_NONE;
	line = lines_read(&m->lines, (enum hook)e.step.hook,
			  prefix ? mnl_attr_get_payload(prefix) : "",
			  prefix ? mnl_attr_get_payload_len(prefix) : 0);
	ulog_read(&e, s, attr, now, &m->seen);

	if (line->trace) {
		e.step.label = (uint8_t)line->parsed.label;
		e.step.number = line->parsed.number;
		e.step.table = line->parsed.table;
		e.step.chain = line->parsed.chain;
		e.priority = line->priority;
		e.priority_known = true;
	} else {
		/* conntrack names no hook and the kernel writes 0 for it: only an outgoing device tells. */
		if (e.out_if[0] != '\0' && e.in_if[0] == '\0' && e.step.hook == HOOK_PREROUTING)
			e.step.hook = HOOK_OUTPUT;
		e.step.label = LABEL_LOG;
		e.step.table = "";
		e.step.chain = "";
		e.step.prefix = line->text;
	}
	if (out->trace)
		out->trace(out->arg, &e);
}

static int trace_legacy_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			       const struct sink *out)
{
	const struct nlmsghdr *nlh;
	const struct nfgenmsg *nfg;

	if (!s->state)
		s->state = calloc(1, sizeof(struct memory));
	if (!s->state)
		return -ENOMEM;
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
			packet_event(s, (const struct nlattr *const *)attr, nfg->nfgen_family, now,
				     out);
	}
	return len > 0 ? -EBADMSG : 0;
}

static void trace_legacy_clear(struct source *s)
{
	free(s->state);
	s->state = NULL;
}

const struct source_ops source_trace_legacy = {
	.name = "trace-legacy",
	.decode = trace_legacy_decode,
	.counts = true,
	.clear = trace_legacy_clear,
};
