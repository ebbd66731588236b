#include "agent/source/drops.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "agent/helper/events.h"
#include "agent/source/ifnames.h"

enum {
	NETFILTER_HOOKS = 1 << HOOK_INGRESS | 1 << HOOK_PREROUTING | 1 << HOOK_INPUT |
			  1 << HOOK_FORWARD | 1 << HOOK_OUTPUT | 1 << HOOK_POSTROUTING |
			  1 << HOOK_EGRESS
};

bool drop_peek(const uint8_t *p, size_t len, uint32_t *host, uint32_t *reason)
{
	struct drop_event d;

	if (len < sizeof(d))
		return false;
	memcpy(&d, p, sizeof(d));
	*host = d.host;
	*reason = d.reason;
	return d.kind == EVENT_DROP;
}

/* The hook where there is only one that it can have been. */
static enum hook only_hook(uint32_t mask)
{
	for (int h = HOOK_NONE + 1; h < HOOK_COUNT; h++) {
		if (mask == 1u << h)
			return (enum hook)h;
	}
	return HOOK_NONE;
}

/* The kernel's struct nf_conntrack_tuple; its layout is as old as conntrack's netlink. */
enum { CAME_SRC = 0, CAME_SPORT = 16, CAME_DST = 20, CAME_DPORT = 36, CAME_PROTO = 38 };

/*
 * What conntrack calls an ICMP error's connection has another protocol, or is the error itself. in_hook: a rule ended it; behind the
 * hooks, on their way to a socket, packets lose their connection.
 */
static bool came_decode(struct tuple *came, const struct drop_event *d, const struct packet *p,
			bool in_hook)
{
	const uint8_t *t = d->came;
	size_t len = p->ip_version == 4 ? 4 : 16;

	if (!p->has_l4 || p->is_icmp_error)
		return false;
	*came = p->tuple;
	if (d->tracked == EVENT_NOT_TRACKED)
		return in_hook;
	if (d->tracked != EVENT_TRACKED || t[CAME_PROTO] != p->tuple.proto)
		return false;
	memcpy(came->src.b, t + CAME_SRC, len);
	memcpy(came->dst.b, t + CAME_DST, len);
	if (proto_has_ports(came->proto)) {
		came->sport = (uint16_t)(t[CAME_SPORT] << 8 | t[CAME_SPORT + 1]);
		came->dport = (uint16_t)(t[CAME_DPORT] << 8 | t[CAME_DPORT + 1]);
	} else if (proto_is_icmp(came->proto) && came->dport) {
		came->sport = (uint16_t)(t[CAME_SPORT] << 8 | t[CAME_SPORT + 1]);
	}
	return true;
}

int drop_decode(struct trace_event *e, uint32_t *host, const uint8_t *p, size_t len,
		const char *reason, const struct ifnames *names, struct boot_ns now)
{
	struct drop_event d;
	bool in_hook;

	if (len < sizeof(d))
		return -EBADMSG;
	memcpy(&d, p, sizeof(d));
	if (d.kind != EVENT_DROP || d.captured > EVENT_PACKET_MAX)
		return -EBADMSG;
	*e = (struct trace_event){ .received = now, .mark = d.mark };
	if ((d.protocol != ETH_P_IP && d.protocol != ETH_P_IPV6) ||
	    packet_decode(&e->packet, d.packet, d.captured, NULL, 0) < 0)
		return -EBADMSG;
	*host = d.host;
	e->has_packet = true;
	e->step.label = LABEL_KERNEL;
	e->step.family = e->packet.ip_version == 4 ? FAMILY_IPV4 : FAMILY_IPV6;
	e->step.ttl = e->packet.ttl;
	e->step.kernel_time = true;
	/* What is not from before this very moment is no time of this boot. */
	e->step.at.v = d.at > 0 && d.at <= (uint64_t)now.v ? (int64_t)d.at : now.v;
	e->step.table = e->step.chain = "";
	e->step.prefix = reason;
	/* Only rules end packets in hooks; what else the kernel does it does between them. */
	in_hook = strcmp(reason, "NETFILTER_DROP") == 0;
	if (in_hook) {
		e->step.number = d.hooks & NETFILTER_HOOKS;
		e->step.hook = (uint8_t)only_hook(e->step.number);
	}
	if (d.outgoing) {
		ifnames_copy(names, (int32_t)d.dev, e->out_if);
		ifnames_copy(names, (int32_t)d.iif, e->in_if);
	} else {
		ifnames_copy(names, (int32_t)d.dev, e->in_if);
	}
	/* On the way out the header before the packet may be one of our own. */
	if (!d.outgoing)
		memcpy(e->ether.src, d.mac, sizeof(e->ether.src));
	e->has_came = came_decode(&e->came, &d, &e->packet, in_hook);
	return 0;
}

/* n bytes that should be text and need not end, as a string. */
static void text_copy(char *to, const char *from, size_t n)
{
	size_t len = strnlen(from, n);

	memcpy(to, from, len);
	to[len] = '\0';
}

int change_decode(struct table_change *c, const uint8_t *p, size_t len)
{
	struct change_event_raw raw;

	if (len < sizeof(raw))
		return -EBADMSG;
	memcpy(&raw, p, sizeof(raw));
	if (raw.kind != EVENT_CHANGE || raw.command_len > EVENT_COMMAND_MAX ||
	    (raw.family != 4 && raw.family != 6))
		return -EBADMSG;
	*c = (struct table_change){ .at = { (int64_t)raw.at },
				    .host = raw.host,
				    .pid = raw.pid,
				    .uid = raw.uid,
				    .loginuid = raw.loginuid,
				    .family = raw.family == 4 ? FAMILY_IPV4 : FAMILY_IPV6 };
	text_copy(c->program, raw.comm, sizeof(raw.comm));
	text_copy(c->table, raw.table, sizeof(raw.table));
	memcpy(c->command, raw.command, raw.command_len);
	for (uint32_t i = 0; i + 1 < raw.command_len; i++)
		if (c->command[i] == '\0')
			c->command[i] = COMMAND_BREAK;
	return 0;
}
