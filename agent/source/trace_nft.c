/*
 * nft trace: an event for each rule that a traced packet met in nftables, and one for each base chain that it
 * left by its policy. Headers (40 bytes of network, 20 of transport) come with the first event of each
 * base chain only; later events bear just the trace id, which the kernel reuses within milliseconds.
 *
 * Our own table's empty chains are the checkpoints. Of the chains that arm packets only the last event, the
 * policy, counts as the checkpoint; the headers that came with the first one are held for it.
 */
#include "agent/source/source.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "agent/source/ifnames.h"
#include "agent/source/netlink.h"

enum { HELD = 64, HELD_WAYS = 4 };

/*
 * Headers by trace id, between the events of one base chain: that is microseconds, but other processors tell of other packets
 * meanwhile. Each id has its place in any of some neighbours. An event without a packet: free.
 */
struct held {
	struct trace_event list[HELD];
};

/* The text of a, as it stands in the message; in room what is not ended there, or longer than room. */
static const char *attr_text(const struct nlattr *a, char *room, size_t size)
{
	const char *text = a ? mnl_attr_get_payload(a) : "";
	size_t most = a ? mnl_attr_get_payload_len(a) : 1;
	size_t len = strnlen(text, most);

	if (len < most && len < size)
		return text;
	if (len >= size)
		len = size - 1;
	memcpy(room, text, len);
	room[len] = '\0';
	return room;
}

static enum family family_of(uint8_t nfproto)
{
	switch (nfproto) {
	case NFPROTO_INET:
		return FAMILY_INET;
	case NFPROTO_IPV4:
		return FAMILY_IPV4;
	case NFPROTO_IPV6:
		return FAMILY_IPV6;
	case NFPROTO_ARP:
		return FAMILY_ARP;
	case NFPROTO_BRIDGE:
		return FAMILY_BRIDGE;
	case NFPROTO_NETDEV:
		return FAMILY_NETDEV;
	default:
		return FAMILY_NONE;
	}
}

static enum step_verdict verdict_of(uint32_t code)
{
	switch ((int32_t)code) {
	case NFT_CONTINUE:
	case NFT_BREAK:
		return STEP_VERDICT_CONTINUE;
	case NFT_JUMP:
		return STEP_VERDICT_JUMP;
	case NFT_GOTO:
		return STEP_VERDICT_GOTO;
	case NFT_RETURN:
		return STEP_VERDICT_RETURN;
	}
	switch (code & NF_VERDICT_MASK) {
	case NF_DROP:
		return STEP_VERDICT_DROP;
	case NF_ACCEPT:
		return STEP_VERDICT_ACCEPT;
	case NF_STOLEN:
		return STEP_VERDICT_STOLEN;
	case NF_QUEUE:
		return STEP_VERDICT_QUEUE;
	default:
		return STEP_VERDICT_NONE;
	}
}

static void verdict_set(struct step *st, const struct nlattr **attr)
{
	const struct nlattr *nested[NFTA_VERDICT_CODE + 1] = { NULL };

	attrs_take_nested(nested, NFTA_VERDICT_CODE, attr[NFTA_TRACE_VERDICT]);
	if (attr_bytes(nested[NFTA_VERDICT_CODE], sizeof(uint32_t)))
		st->verdict = (uint8_t)verdict_of(attr_be32(nested[NFTA_VERDICT_CODE]));
	else if (attr_bytes(attr[NFTA_TRACE_POLICY], sizeof(uint32_t)))
		st->verdict = (uint8_t)verdict_of(attr_be32(attr[NFTA_TRACE_POLICY]));
}

static void ether_set(struct trace_event *e, const struct nlattr **attr)
{
	const struct nlattr *frame = attr[NFTA_TRACE_LL_HEADER];
	const void *type = attr_bytes(attr[NFTA_TRACE_IIFTYPE], sizeof(uint16_t));
	uint16_t hwtype = 0;

	if (!frame || !type)
		return;
	memcpy(&hwtype, type, sizeof(hwtype));
	if (ntohs(hwtype) == ARPHRD_ETHER)
		ether_decode(&e->ether, mnl_attr_get_payload(frame),
			     mnl_attr_get_payload_len(frame));
}

static void packet_set(const struct source *s, struct trace_event *e, const struct nlattr **attr)
{
	const struct nlattr *net = attr[NFTA_TRACE_NETWORK_HEADER];
	const struct nlattr *th = attr[NFTA_TRACE_TRANSPORT_HEADER];

	if (attr[NFTA_TRACE_IIF])
		ifnames_copy(s->names, (int32_t)attr_be32(attr[NFTA_TRACE_IIF]), e->in_if);
	if (attr[NFTA_TRACE_OIF])
		ifnames_copy(s->names, (int32_t)attr_be32(attr[NFTA_TRACE_OIF]), e->out_if);
	ether_set(e, attr);
	if (!net)
		return;
	e->has_packet =
		packet_decode(&e->packet, mnl_attr_get_payload(net), mnl_attr_get_payload_len(net),
			      th ? mnl_attr_get_payload(th) : NULL,
			      th ? mnl_attr_get_payload_len(th) : 0) == 0;
	e->step.ttl = e->packet.ttl;
}

/* Where the headers of this id are, or else where they may be put: a free place, or the oldest one's. */
static struct trace_event *held_place(struct held *h, uint32_t id)
{
	struct trace_event *oldest = NULL;

	for (uint32_t i = 0; i < HELD_WAYS; i++) {
		struct trace_event *e = &h->list[(id + i) % HELD];

		if (e->has_packet && e->trace_id == id)
			return e;
		if (!oldest ||
		    (oldest->has_packet && (!e->has_packet || e->received.v < oldest->received.v)))
			oldest = e;
	}
	return oldest;
}

/* Headers of an event that is not passed on wait here for the base chain's next one that is. */
static void hold(struct source *s, const struct trace_event *e)
{
	struct held *h = s->state;

	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			return; /* the checkpoint then comes without headers */
		s->state = h;
	}
	*held_place(h, e->trace_id) = *e;
}

static void take_held(struct source *s, struct trace_event *e)
{
	struct held *h = s->state;
	struct trace_event *from;

	if (!h)
		return;
	from = held_place(h, e->trace_id);
	if (!from->has_packet || from->trace_id != e->trace_id)
		return;
	e->has_packet = true;
	e->packet = from->packet;
	e->traced_before = from->traced_before;
	e->step.ttl = from->step.ttl;
	memcpy(e->in_if, from->in_if, sizeof(e->in_if));
	memcpy(e->out_if, from->out_if, sizeof(e->out_if));
	e->ether = from->ether;
	from->has_packet = false;
}

/* True: e is now a checkpoint. False: one of our table's inner events, of which nothing is told. */
static bool checkpoint_event(struct source *s, struct trace_event *e, uint32_t type,
			     const char *chain)
{
	int c = checkpoint_parse(chain);

	/* Of one that is armed there the first event is of the chain that arms it. */
	e->traced_before = e->has_packet && c > CHECKPOINT_NONE;
	if (type != NFT_TRACETYPE_POLICY || c <= CHECKPOINT_NONE) {
		if (e->has_packet)
			hold(s, e);
		return false;
	}
	if (!e->has_packet)
		take_held(s, e);
	e->step.label = LABEL_CHECKPOINT;
	e->step.checkpoint = (uint8_t)c;
	e->step.hook = (uint8_t)checkpoint_hook((enum checkpoint)c);
	e->step.verdict = STEP_VERDICT_NONE;
	e->step.table = "";
	e->step.chain = "";
	e->priority = checkpoint_priority((enum checkpoint)c);
	e->priority_known = true;
	return true;
}

static void trace_event(struct source *s, const struct nlattr **attr, uint8_t nfproto,
			struct boot_ns now, const struct sink *out)
{
	struct trace_event e = { .received = now };
	char table_room[TABLE_NAME_MAX + 1], chain_room[CHAIN_NAME_MAX + 1];
	const char *table = attr_text(attr[NFTA_TRACE_TABLE], table_room, sizeof(table_room));
	const char *chain = attr_text(attr[NFTA_TRACE_CHAIN], chain_room, sizeof(chain_room));
	uint32_t type = attr_be32(attr[NFTA_TRACE_TYPE]);

	e.trace_id = attr_be32(attr[NFTA_TRACE_ID]);
	e.mark = attr_be32(attr[NFTA_TRACE_MARK]);
	e.step.at = now;
	e.step.backend = BACKEND_NATIVE;
	e.step.family = (uint8_t)family_of(nfproto);
	packet_set(s, &e, attr);

	if (strcmp(table, PROBE_TABLE) == 0 &&
	    (e.step.family == FAMILY_INET || e.step.family == FAMILY_BRIDGE)) {
		if (!checkpoint_event(s, &e, type, chain))
			return;
	} else if (type == NFT_TRACETYPE_RULE && !attr_be64(attr[NFTA_TRACE_RULE_HANDLE])) {
		/* Some kernels tell the end of a chain so, before its policy: no rule has handle 0. */
		if (e.has_packet)
			hold(s, &e);
		return;
	} else {
		if (!e.has_packet)
			take_held(s, &e);
		e.step.label = type == NFT_TRACETYPE_POLICY   ? LABEL_POLICY
			       : type == NFT_TRACETYPE_RETURN ? LABEL_RETURN
							      : LABEL_RULE;
		e.step.table = table;
		e.step.chain = chain;
		e.step.handle = attr_be64(attr[NFTA_TRACE_RULE_HANDLE]);
		verdict_set(&e.step, attr);
	}
	if (out->trace)
		out->trace(out->arg, &e);
}

static int trace_nft_decode(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
			    const struct sink *out)
{
	const struct nlmsghdr *nlh;
	const struct nfgenmsg *nfg;

	while ((nlh = netlink_next(&p, &len))) {
		const struct nlattr *attr[NFTA_TRACE_MAX + 1] = { 0 };

		if (nlh->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE))
			continue;
		if (!attrs_take(attr, NFTA_TRACE_MAX, nlh, sizeof(*nfg)))
			return -EBADMSG;
		if (!attr_bytes(attr[NFTA_TRACE_TYPE], sizeof(uint32_t)) ||
		    !attr_bytes(attr[NFTA_TRACE_ID], sizeof(uint32_t)))
			return -EBADMSG;
		nfg = mnl_nlmsg_get_payload(nlh);
		trace_event(s, attr, nfg->nfgen_family, now, out);
	}
	return len > 0 ? -EBADMSG : 0;
}

static void trace_nft_clear(struct source *s)
{
	free(s->state);
	s->state = NULL;
}

const struct source_ops source_trace_nft = {
	.name = "trace-nft",
	.decode = trace_nft_decode,
	.clear = trace_nft_clear,
};
