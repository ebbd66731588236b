#include "agent/source/ulog.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "agent/source/ifnames.h"
#include "agent/source/netlink.h"

/* A kernel time further off than this from our own is not believed. */
static const int64_t kernel_time_slack = 60 * (int64_t)NS_PER_S;

static void name_set(const struct source *s, char out[static IFNAME_MAX + 1],
		     const struct nlattr *a)
{
	if (a)
		ifnames_copy(s->names, (int32_t)attr_be32(a), out);
}

enum hook ulog_hook(uint8_t nf_hook)
{
	static const enum hook hooks[] = {
		[NF_INET_PRE_ROUTING] = HOOK_PREROUTING,   [NF_INET_LOCAL_IN] = HOOK_INPUT,
		[NF_INET_FORWARD] = HOOK_FORWARD,          [NF_INET_LOCAL_OUT] = HOOK_OUTPUT,
		[NF_INET_POST_ROUTING] = HOOK_POSTROUTING,
	};

	return nf_hook < sizeof(hooks) / sizeof(hooks[0]) ? hooks[nf_hook] : HOOK_NONE;
}

/* Both clocks are looked at once for all that came in a millisecond. */
static int64_t offset_at(struct source *s, struct boot_ns now)
{
	if (now.v - s->offset_at.v >= NS_PER_MS || now.v < s->offset_at.v) {
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

/* A tag that the device has taken off; the kernel tells it in the bridge family only. */
static void tag_set(struct trace_event *e, const struct nlattr *vlan)
{
	const struct nlattr *nested[NFULA_VLAN_TCI + 1] = { NULL };
	uint16_t type = 0, tci = 0;

	if (!vlan)
		return;
	attrs_take_nested(nested, NFULA_VLAN_TCI, vlan);
	if (!attr_bytes(nested[NFULA_VLAN_PROTO], sizeof(type)) ||
	    !attr_bytes(nested[NFULA_VLAN_TCI], sizeof(tci)))
		return;
	memcpy(&type, attr_bytes(nested[NFULA_VLAN_PROTO], sizeof(type)), sizeof(type));
	memcpy(&tci, attr_bytes(nested[NFULA_VLAN_TCI], sizeof(tci)), sizeof(tci));
	ether_tag(&e->ether, ntohs(type), ntohs(tci));
}

/* The header of the frame that brought the packet; there is none on the way out. */
static void ether_set(struct trace_event *e, const struct nlattr *const *attr)
{
	const struct nlattr *frame = attr[NFULA_HWHEADER];
	const void *type = attr_bytes(attr[NFULA_HWTYPE], sizeof(uint16_t));
	uint16_t hwtype = 0;

	if (!attr[NFULA_IFINDEX_INDEV] || !frame || !type)
		return;
	memcpy(&hwtype, type, sizeof(hwtype));
	if (ntohs(hwtype) == ARPHRD_ETHER &&
	    ether_decode(&e->ether, mnl_attr_get_payload(frame), mnl_attr_get_payload_len(frame)))
		tag_set(e, attr[NFULA_VLAN]);
}

size_t ulog_prefix(const struct nlattr *a, char prefix[static LOG_PREFIX_MAX + 1])
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len > LOG_PREFIX_MAX)
		len = LOG_PREFIX_MAX;
	if (len > 0)
		memcpy(prefix, mnl_attr_get_payload(a), len);
	prefix[len] = '\0';
	return len;
}

void ulog_read(struct trace_event *e, struct source *s, const struct nlattr *const *attr,
	       struct boot_ns now, struct seen *seen)
{
	const struct nlattr *payload = attr[NFULA_PAYLOAD];

	name_set(s, e->in_if, attr[NFULA_IFINDEX_INDEV]);
	name_set(s, e->out_if, attr[NFULA_IFINDEX_OUTDEV]);
	e->mark = attr_be32(attr[NFULA_MARK]);
	time_set(s, &e->step, attr[NFULA_TIMESTAMP], now);
	ether_set(e, attr);
	if (!payload)
		return;
	e->has_packet = seen_decode(seen, &e->packet, mnl_attr_get_payload(payload),
				    mnl_attr_get_payload_len(payload)) == 0;
	e->step.ttl = e->packet.ttl;
}
