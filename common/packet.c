/*
 * Decoding packet headers. The capture may be one piece or two (network and transport apart), and may end
 * anywhere; a struct view keeps every read inside it.
 */
#include "common/packet.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/fingerprint.h"

enum {
	IPV4_HEAD = 20,
	IPV6_HEAD = 40,
	EXTENSIONS_MAX = 8,
	UDP_PROBE = 12,
	ICMP_PROBE = 12,
	OTHER_PROBE = 20
};

struct view {
	const uint8_t *p;
	size_t len;
};

static bool has(const struct view *v, size_t offset, size_t n)
{
	return offset <= v->len && n <= v->len - offset;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* As much of v from offset on as there is, at most n bytes; the rest stays as it was. */
static void copy(uint8_t *to, const struct view *v, size_t offset, size_t n)
{
	if (offset >= v->len)
		return;
	if (n > v->len - offset)
		n = v->len - offset;
	memcpy(to, v->p + offset, n);
}

static bool icmp_is_error(uint8_t version, uint8_t type)
{
	if (version == 6)
		return type < 128;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* The request's type of a query, 0 for what is none: RFC 792, 950, 4443. */
static uint8_t icmp_query(uint8_t version, uint8_t type)
{
	if (version == 6)
		return type == 128 || type == 129 ? 128 : 0;
	switch (type) {
	case 0:
	case 8:
		return 8;
	case 13:
	case 14:
		return 13;
	case 15:
	case 16:
		return 15;
	case 17:
	case 18:
		return 17;
	default:
		return 0;
	}
}

/* Ports or the ICMP id of t's transport header; true when they were there. */
static bool tuple_l4(struct tuple *t, uint8_t version, const struct view *th)
{
	if (proto_has_ports(t->proto)) {
		if (!has(th, 0, 4))
			return false;
		t->sport = be16(th->p);
		t->dport = be16(th->p + 2);
		return true;
	}
	if (proto_is_icmp(t->proto)) {
		if (!has(th, 0, 8))
			return false;
		t->dport = icmp_query(version, th->p[0]);
		t->sport = t->dport ? be16(th->p + 4) : 0;
		return true;
	}
	return true;
}

static void addrs4(struct tuple *t, const uint8_t *ip)
{
	t->src.family = t->dst.family = 4;
	memcpy(t->src.b, ip + 12, 4);
	memcpy(t->dst.b, ip + 16, 4);
}

static void addrs6(struct tuple *t, const uint8_t *ip)
{
	t->src.family = t->dst.family = 6;
	memcpy(t->src.b, ip + 8, 16);
	memcpy(t->dst.b, ip + 24, 16);
}

/*
 * Walks IPv6 extension headers from offset on. Returns the transport's offset, or 0 when the walk cannot be
 * finished: the capture ends, a later fragment, or a header that hides what follows.
 */
static size_t skip_extensions(const struct view *net, uint8_t *proto)
{
	size_t at = IPV6_HEAD;

	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		switch (*proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (!has(net, at, 2))
				return 0;
			*proto = net->p[at];
			at += 8 * ((size_t)net->p[at + 1] + 1);
			break;
		case IPPROTO_AH:
			if (!has(net, at, 2))
				return 0;
			*proto = net->p[at];
			at += 4 * ((size_t)net->p[at + 1] + 2);
			break;
		case IPPROTO_FRAGMENT:
			if (!has(net, at, 8))
				return 0;
			*proto = net->p[at];
			if (be16(net->p + at + 2) & 0xfff8)
				return 0;
			at += 8;
			break;
		default:
			return at;
		}
	}
	return 0;
}

static bool is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
	       proto == IPPROTO_AH || proto == IPPROTO_FRAGMENT;
}

/* What an ICMP error embeds, from 8 bytes into its header on. */
static void decode_inner(struct packet *p, const struct view *th)
{
	struct view in = { th->p + 8, th->len > 8 ? th->len - 8 : 0 };
	struct view l4 = { NULL, 0 };
	size_t head;

	if (p->ip_version == 4) {
		if (!has(&in, 0, 12) || in.p[0] >> 4 != 4 || (in.p[0] & 15) < 5)
			return;
		p->has_inner = true;
		p->inner_len = be16(in.p + 2);
		p->inner_id = be16(in.p + 4);
		p->inner_ttl = in.p[8];
		p->inner_proto = in.p[9];
		head = 4 * (size_t)(in.p[0] & 15);
		if (!has(&in, 0, IPV4_HEAD))
			return;
		addrs4(&p->inner, in.p);
	} else {
		if (!has(&in, 0, 12) || in.p[0] >> 4 != 6)
			return;
		p->has_inner = true;
		p->inner_len = (uint16_t)(be16(in.p + 4) + IPV6_HEAD);
		p->inner_proto = in.p[6];
		p->inner_ttl = in.p[7];
		head = IPV6_HEAD;
		if (!has(&in, 0, IPV6_HEAD))
			return;
		addrs6(&p->inner, in.p);
		head = skip_extensions(&in, &p->inner_proto);
		if (!head)
			return;
	}
	p->inner.proto = p->inner_proto;
	if (has(&in, head, 0))
		l4 = (struct view){ in.p + head, in.len - head };
	p->has_inner_tuple = tuple_l4(&p->inner, p->ip_version, &l4);
}

/* Fills the transport part of the fingerprint's fields; false: there is no whole header. */
static bool decode_l4(struct packet *p, const struct view *th, uint8_t l4[static 16])
{
	switch (p->tuple.proto) {
	case IPPROTO_TCP:
		if (!has(th, 0, 20))
			return false;
		p->tcp_seq = be32(th->p + 4);
		p->tcp_ack = be32(th->p + 8);
		p->tcp_flags = th->p[13];
		p->tcp_window = be16(th->p + 14);
		memcpy(l4, th->p + 4, 8);
		l4[8] = p->tcp_flags & 0x3f; /* a rule may clear the two of ECN (-j ECN) */
		put16(l4 + 9, p->tcp_window);
		return true;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		if (!has(th, 0, 8))
			return false;
		memcpy(l4, th->p + 4, 2);
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!has(th, 0, 8))
			return false;
		p->icmp_type = th->p[0];
		p->icmp_code = th->p[1];
		p->icmp_seq = be16(th->p + 6);
		p->is_icmp_error = icmp_is_error(p->ip_version, p->icmp_type);
		l4[0] = p->icmp_type;
		l4[1] = p->icmp_code;
		put16(l4 + 2, p->icmp_seq);
		if (p->is_icmp_error)
			decode_inner(p, th);
		return true;
	default:
		/* probe_other() reads what there is */
		return has(th, 0, proto_has_ports(p->tuple.proto) ? 4 : 1);
	}
}

/*
 * Protocols that are not looked into (tunnels, IPsec, SCTP, routing): what NAT leaves alone of their first 20 bytes. It changes ports,
 * SCTP's and DCCP's checksum, and the call id of PPTP's GRE.
 */
static bool probe_other(const struct packet *p, const struct view *th, size_t len,
			uint8_t l4[static 16])
{
	static const struct {
		uint8_t proto, first, count,
			second; /* count bytes from first on, the rest from second on */
	} known[] = {
		{ IPPROTO_GRE, 0, 6, 8 },
		{ IPPROTO_DCCP, 4, 2, 8 },
		{ IPPROTO_SCTP, 4, 4, 12 },
		{ 0, 0, 16, 16 },
	};
	size_t i = 0, n = len > OTHER_PROBE ? OTHER_PROBE : len;

	if (!n || !has(th, 0, n))
		return false;
	while (known[i].proto && known[i].proto != p->tuple.proto)
		i++;
	copy(l4, &(struct view){ th->p, n }, known[i].first, known[i].count);
	copy(l4 + known[i].count, &(struct view){ th->p, n }, known[i].second,
	     16u - known[i].count);
	return true;
}

/*
 * Payload bytes in the fingerprint: every source must have captured them, or they must not exist. len is the
 * transport header and payload together as the IP header says; captures may be padded or cut.
 */
static bool probe(const struct packet *p, const struct view *th, size_t len, uint8_t l4[static 16])
{
	size_t n;

	if (p->tuple.proto == IPPROTO_UDP || p->tuple.proto == IPPROTO_UDPLITE) {
		n = len > 8 ? len - 8 : 0;
		if (n > UDP_PROBE)
			n = UDP_PROBE;
		if (!has(th, 8, n))
			return false;
		copy(l4 + 2, th, 8, n);
	} else if (proto_is_icmp(p->tuple.proto)) {
		n = len > 8 ? len - 8 : 0;
		if (n > ICMP_PROBE)
			n = ICMP_PROBE;
		if (p->is_icmp_error && n > (p->ip_version == 4 ? 10 : 8))
			n = p->ip_version == 4 ? 10 : 8;
		if (!has(th, 8, n))
			return false;
		copy(l4 + 4, th, 8, n);
	} else if (p->tuple.proto != IPPROTO_TCP) {
		return probe_other(p, th, len, l4);
	}
	return true;
}

/* TCP's timestamp option (kind 8, RFC 7323). */
static void find_timestamp(const struct view *th, uint8_t stamp[static 8])
{
	size_t end = has(th, 12, 1) ? 4 * (size_t)(th->p[12] >> 4) : 0, at = 20;

	while (at + 1 < end && has(th, at, 2)) {
		uint8_t kind = th->p[at], len = th->p[at + 1];

		if (kind == 0)
			return;
		if (kind == 1) {
			at++;
			continue;
		}
		if (len < 2)
			return;
		if (kind == 8 && len == 10 && has(th, at, 10)) {
			memcpy(stamp, th->p + at + 2, 8);
			return;
		}
		at += len;
	}
}

/* fp_long needs the whole transport header and 32 payload bytes, or all of them. */
static void decode_long(struct packet *p, const struct view *th, size_t len)
{
	uint8_t fields[FINGERPRINT_LONG_LEN] = { 0 };
	size_t head = 8, n;

	if (p->tuple.proto == IPPROTO_TCP)
		head = 4 * (size_t)(th->p[12] >> 4);
	else if (!proto_is_icmp(p->tuple.proto) && p->tuple.proto != IPPROTO_UDP &&
		 p->tuple.proto != IPPROTO_UDPLITE)
		return;
	n = len > head ? len - head : 0;
	if (n > 32)
		n = 32;
	/* NAT helpers and ICMP errors change what is embedded. */
	if (p->is_icmp_error || head < 8 || !has(th, head, n))
		return;
	if (p->tuple.proto == IPPROTO_TCP)
		find_timestamp(th, fields);
	copy(fields + 8, th, head, n);
	p->fp_long = fingerprint_long(p->fp, fields);
}

int packet_decode(struct packet *p, const uint8_t *net, size_t net_len, const uint8_t *th,
		  size_t th_len)
{
	struct view n = { net, net_len }, t = { th, th ? th_len : 0 };
	uint8_t fields[FINGERPRINT_LEN] = { 0 };
	size_t head, l4_len;
	bool later_fragment = false, first_fragment = false;

	memset(p, 0, sizeof(*p));
	if (!has(&n, 0, 1))
		return -EBADMSG;
	p->ip_version = net[0] >> 4;
	if (p->ip_version == 4 && has(&n, 0, IPV4_HEAD)) {
		head = 4 * (size_t)(net[0] & 15);
		if (head < IPV4_HEAD)
			goto bad;
		p->total_len = be16(net + 2);
		p->ip_id = be16(net + 4);
		p->frag = be16(net + 6);
		p->ttl = net[8];
		p->tuple.proto = net[9];
		addrs4(&p->tuple, net);
		later_fragment = p->frag & 0x1fff;
		first_fragment = p->frag & 0x2000;
		put16(fields + 2, p->total_len);
		put16(fields + 4, p->ip_id);
		put16(fields + 6, p->frag);
		l4_len = p->total_len > head ? p->total_len - head : 0;
	} else if (p->ip_version == 6 && has(&n, 0, IPV6_HEAD)) {
		uint16_t payload = be16(net + 4);

		p->total_len = (uint16_t)(payload + IPV6_HEAD);
		p->ttl = net[7];
		p->tuple.proto = net[6];
		addrs6(&p->tuple, net);
		put16(fields + 2, payload);
		first_fragment = net[6] == IPPROTO_FRAGMENT;
		head = skip_extensions(&n, &p->tuple.proto);
		if (!head || (th && is_extension(net[6])))
			later_fragment =
				true; /* or no way to the transport header: the same for us */
		l4_len =
			(size_t)payload + IPV6_HEAD > head ? (size_t)payload + IPV6_HEAD - head : 0;
	} else {
		goto bad;
	}
	if (later_fragment)
		return 0;
	if (!th && has(&n, head, 0))
		t = (struct view){ net + head, net_len - head };
	/* What lies beyond the packet is the link's padding. A length of 0 is a giant packet (GSO). */
	if (p->total_len && t.len > l4_len && p->total_len > head)
		t.len = l4_len;
	tuple_l4(&p->tuple, p->ip_version, &t);

	fields[0] = p->ip_version;
	fields[1] = p->tuple.proto;
	if (!decode_l4(p, &t, fields + 8))
		return 0;
	p->has_l4 = true;
	if (first_fragment)
		return 0; /* hosts put the whole together, and that is the packet which goes on */
	if (!probe(p, &t, l4_len, fields + 8))
		return 0;
	p->fp = fingerprint(fields);
	if (!th)
		decode_long(p, &t, l4_len);
	return 0;
bad:
	memset(p, 0, sizeof(*p));
	return -EBADMSG;
}

static const char *icmp_text(const struct packet *p)
{
	static const struct {
		uint8_t version, type;
		int16_t code;
		const char *text;
	} known[] = {
		{ 4, 8, -1, "echo-request" },        { 4, 0, -1, "echo-reply" },
		{ 4, 3, 0, "network-unreachable" },  { 4, 3, 1, "host-unreachable" },
		{ 4, 3, 3, "port-unreachable" },     { 4, 3, 4, "fragmentation-needed" },
		{ 4, 3, 13, "admin-prohibited" },    { 4, 3, -1, "destination-unreachable" },
		{ 4, 11, -1, "time-exceeded" },      { 4, 5, -1, "redirect" },
		{ 4, 12, -1, "parameter-problem" },  { 6, 128, -1, "echo-request" },
		{ 6, 129, -1, "echo-reply" },        { 6, 1, 0, "no-route" },
		{ 6, 1, 1, "admin-prohibited" },     { 6, 1, 3, "address-unreachable" },
		{ 6, 1, 4, "port-unreachable" },     { 6, 1, -1, "destination-unreachable" },
		{ 6, 2, -1, "packet-too-big" },      { 6, 3, -1, "time-exceeded" },
		{ 6, 135, -1, "neighbour-solicit" }, { 6, 136, -1, "neighbour-advert" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].version == p->ip_version && known[i].type == p->icmp_type &&
		    (known[i].code < 0 || known[i].code == p->icmp_code))
			return known[i].text;
	}
	return NULL;
}

void packet_kind(const struct packet *p, char text[static 32])
{
	static const struct {
		uint8_t bit;
		const char *name;
	} flags[] = { { 2, "SYN" }, { 1, "FIN" }, { 4, "RST" }, { 8, "PSH" }, { 16, "ACK" } };
	const char *icmp;
	char number[4];
	size_t n = 0;

	if (p->tuple.proto == IPPROTO_TCP && p->has_l4) {
		text[0] = '\0';
		for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			if (p->tcp_flags & flags[i].bit)
				n += (size_t)snprintf(text + n, 32 - n, "%s%s", n ? " " : "",
						      flags[i].name);
		}
		if (!n)
			snprintf(text, 32, "no flags");
		return;
	}
	icmp = proto_is_icmp(p->tuple.proto) && p->has_l4 ? icmp_text(p) : NULL;
	if (icmp)
		snprintf(text, 32, "%s", icmp);
	else if (proto_is_icmp(p->tuple.proto) && p->has_l4)
		snprintf(text, 32, "icmp type %u code %u", p->icmp_type, p->icmp_code);
	else
		snprintf(text, 32, "%s", proto_name(p->tuple.proto, number));
}
