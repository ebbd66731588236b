/*
 * Addresses, prefixes and tuples: who talks to whom, as a packet says it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ADDR_TEXT_MAX = 46, ENDPOINT_TEXT_MAX = 56 };

/* family is 4, 6, or 0 for "none"; IPv4 uses the first four bytes, network order; the rest is zero. */
struct addr {
	uint8_t family;
	uint8_t b[16];
};

struct prefix {
	struct addr addr;
	uint8_t len; /* bits */
};

/*
 * One direction of a flow. TCP, UDP, SCTP, DCCP, UDP-Lite: ports. ICMP and ICMPv6 queries: sport is the
 * id, dport the request's type (8, 13, 15, 17; 128 ...) in both directions; ICMP errors and all
 * other protocols: both 0.
 */
struct tuple {
	struct addr src, dst;
	uint16_t sport, dport;
	uint8_t proto; /* IPPROTO_* of the innermost known header */
};

bool addr_parse(struct addr *a, const char *text);
void addr_print(const struct addr *a, char text[static ADDR_TEXT_MAX]);
bool addr_equal(const struct addr *a, const struct addr *b);
int addr_cmp(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *a);
bool addr_is_link_local(const struct addr *a); /* 169.254.0.0/16, fe80::/10 */
bool addr_is_multicast(const struct addr *a);  /* or the IPv4 limited broadcast */

/* "10.0.0.0/8", "10.0.0.1", "10.0.0.0/255.0.0.0"; host bits are kept as given but never compared. */
bool prefix_parse(struct prefix *p, const char *text);
bool prefix_has(const struct prefix *p, const struct addr *a);
void prefix_print(const struct prefix *p, char text[static ADDR_TEXT_MAX + 4]);

bool proto_has_ports(uint8_t proto);
bool proto_is_icmp(uint8_t proto);
/* "tcp", "udp", "icmp", "icmpv6" ("ipv6-icmp" is accepted), ...; numbers for what has no name here. */
const char *proto_name(uint8_t proto, char number[static 4]);
bool proto_parse(uint8_t *proto, const char *text);

bool tuple_equal(const struct tuple *a, const struct tuple *b);
/* Same for both directions, ICMP ids stay with the packet. */
struct tuple tuple_reverse(const struct tuple *t);
/* Equal for a tuple and its reverse: the key under which a flow is found. */
uint64_t tuple_flow_key(const struct tuple *t);
/* "10.0.1.2:443", "[2001:db8::1]:443", without port where the protocol has none. */
void endpoint_print(const struct addr *a, uint16_t port, uint8_t proto,
		    char text[static ENDPOINT_TEXT_MAX]);
