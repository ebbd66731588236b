/*
 * Addresses, prefixes, protocols and tuples: reading, printing, comparing.
 */
#include "common/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#ifndef IPPROTO_L2TP
#define IPPROTO_L2TP 115
#endif

static const struct {
	uint8_t proto;
	const char *name, *alias;
} protos[] = {
	{ IPPROTO_TCP, "tcp", NULL },
	{ IPPROTO_UDP, "udp", NULL },
	{ IPPROTO_ICMP, "icmp", NULL },
	{ IPPROTO_ICMPV6, "icmpv6", "ipv6-icmp" },
	{ IPPROTO_SCTP, "sctp", NULL },
	{ IPPROTO_DCCP, "dccp", NULL },
	{ IPPROTO_UDPLITE, "udplite", NULL },
	{ IPPROTO_GRE, "gre", NULL },
	{ IPPROTO_ESP, "esp", NULL },
	{ IPPROTO_AH, "ah", NULL },
	{ IPPROTO_IGMP, "igmp", NULL },
	{ IPPROTO_IPIP, "ipip", "ipencap" },
	{ IPPROTO_IPV6, "ipv6", NULL },
	{ 89, "ospf", NULL },
	{ 112, "vrrp", NULL },
	{ IPPROTO_PIM, "pim", NULL },
	{ IPPROTO_L2TP, "l2tp", NULL },
};

bool addr_parse(struct addr *a, const char *text)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, a->b) == 1)
		a->family = 4;
	else if (inet_pton(AF_INET6, text, a->b) == 1)
		a->family = 6;
	else
		memset(a, 0, sizeof(*a));
	return a->family != 0;
}

void addr_print(const struct addr *a, char text[static ADDR_TEXT_MAX])
{
	if (!a->family ||
	    !inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, text, ADDR_TEXT_MAX))
		snprintf(text, ADDR_TEXT_MAX, "-");
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a->family == 4)
		return a->b[0] == 127;
	return a->family == 6 && !memcmp(a->b, one, sizeof(one));
}

bool addr_is_link_local(const struct addr *a)
{
	if (a->family == 4)
		return a->b[0] == 169 && a->b[1] == 254;
	return a->family == 6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool addr_is_multicast(const struct addr *a)
{
	static const uint8_t ones[4] = { 255, 255, 255, 255 };

	if (a->family == 4)
		return (a->b[0] & 0xf0) == 0xe0 || !memcmp(a->b, ones, sizeof(ones));
	return a->family == 6 && a->b[0] == 0xff;
}

/* "255.255.0.0" as a prefix length; -1 when its bits have holes, or for the other family. */
static int mask_bits(const char *text, uint8_t family)
{
	struct addr mask;
	int bits = 0;

	if (!addr_parse(&mask, text) || mask.family != family)
		return -1;
	for (int i = 0; i < (mask.family == 4 ? 32 : 128); i++) {
		bool set = mask.b[i / 8] & (0x80 >> (i % 8));

		if (set && bits != i)
			return -1;
		bits += set;
	}
	return bits;
}

bool prefix_parse(struct prefix *p, const char *text)
{
	char addr[ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	char *end;
	long bits;

	memset(p, 0, sizeof(*p));
	if (n == 0 || n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (!addr_parse(&p->addr, addr))
		return false;
	p->len = p->addr.family == 4 ? 32 : 128;
	if (!slash)
		return true;
	bits = strtol(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end)
		bits = mask_bits(slash + 1, p->addr.family);
	if (bits < 0 || bits > p->len)
		return false;
	p->len = (uint8_t)bits;
	return true;
}

bool prefix_has(const struct prefix *p, const struct addr *a)
{
	size_t bytes = p->len / 8, bits = p->len % 8;
	uint8_t mask = (uint8_t)(0xff00 >> bits);

	if (p->len == 0)
		return !p->addr.family || p->addr.family == a->family;
	if (p->addr.family != a->family || memcmp(p->addr.b, a->b, bytes))
		return false;
	return !bits || ((p->addr.b[bytes] ^ a->b[bytes]) & mask) == 0;
}

void prefix_print(const struct prefix *p, char text[static ADDR_TEXT_MAX + 4])
{
	addr_print(&p->addr, text);
	if (p->addr.family && p->len != (p->addr.family == 4 ? 32 : 128)) {
		size_t n = strlen(text);

		snprintf(text + n, ADDR_TEXT_MAX + 4 - n, "/%u", p->len);
	}
}

bool proto_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP || proto == IPPROTO_UDPLITE;
}

bool proto_is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

const char *proto_name(uint8_t proto, char number[static 4])
{
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		if (protos[i].proto == proto)
			return protos[i].name;
	}
	snprintf(number, 4, "%u", proto);
	return number;
}

bool proto_parse(uint8_t *proto, const char *text)
{
	char *end;
	long n;

	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		if (!strcasecmp(protos[i].name, text) ||
		    (protos[i].alias && !strcasecmp(protos[i].alias, text))) {
			*proto = protos[i].proto;
			return true;
		}
	}
	n = strtol(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || n > 255)
		return false;
	*proto = (uint8_t)n;
	return true;
}

bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return a->proto == b->proto && a->sport == b->sport && a->dport == b->dport &&
	       addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

struct tuple tuple_reverse(const struct tuple *t)
{
	struct tuple r = { .src = t->dst,
			   .dst = t->src,
			   .sport = t->dport,
			   .dport = t->sport,
			   .proto = t->proto };

	if (!proto_has_ports(t->proto)) {
		r.sport = t->sport;
		r.dport = t->dport;
	}
	return r;
}

uint64_t tuple_flow_key(const struct tuple *t)
{
	struct tuple back = tuple_reverse(t);
	uint8_t key[40] = { 0 };
	int order = addr_cmp(&t->src, &t->dst);
	const struct tuple *first = t;

	if (order > 0 || (order == 0 && t->sport > back.sport))
		first = &back;
	key[0] = first->src.family;
	key[1] = first->proto;
	key[2] = (uint8_t)(first->sport >> 8);
	key[3] = (uint8_t)first->sport;
	key[4] = (uint8_t)(first->dport >> 8);
	key[5] = (uint8_t)first->dport;
	memcpy(key + 8, first->src.b, 16);
	memcpy(key + 24, first->dst.b, 16);
	return XXH3_64bits(key, sizeof(key));
}

void endpoint_print(const struct addr *a, uint16_t port, uint8_t proto,
		    char text[static ENDPOINT_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];

	addr_print(a, addr);
	if (!proto_has_ports(proto))
		snprintf(text, ENDPOINT_TEXT_MAX, "%s", addr);
	else if (a->family == 6)
		snprintf(text, ENDPOINT_TEXT_MAX, "[%s]:%u", addr, port);
	else
		snprintf(text, ENDPOINT_TEXT_MAX, "%s:%u", addr, port);
}
