/*
 * Flow text: the one parser for every place where a person names a flow. It takes iptables flags
 * (-p -s -d --sport --dport --icmp-type --icmp-id -i -o -4 -6, prefixes, port ranges, services by name, "!" or
 * --not before a flag), the short form (tcp 10.0.1.2 10.0.3.2:443, [2001:db8::1]:443, "dport 443"), and what people paste:
 * a tcpdump line, conntrack src= dst= sport= dport=, kernel log SRC= DST= SPT= DPT= PROTO=.
 */
#pragma once

#include "common/pattern.h"
#include "common/why.h"

enum { FLOW_TEXT_MAX = 512 };

struct port_range {
	uint16_t from, to; /* 0,0: any; both ends count */
	bool negate;
};

struct flow_prefix {
	struct prefix prefix; /* len 0: any */
	bool negate;
};

struct flow {
	uint8_t family; /* 0: either */
	uint8_t proto;  /* 0: any */
	bool proto_negate;
	struct flow_prefix src, dst;
	struct port_range sport, dport;
	int16_t icmp_type; /* -1: any */
	int32_t icmp_id;   /* -1: any */
	char in_if[IFNAME_MAX + 1],
		out_if[IFNAME_MAX + 1]; /* "" any; a trailing '+' is a wildcard */
	bool in_negate, out_negate;
};

/* Parses argv (one or many words). 0, or -EINVAL with why naming the word that was wrong and what is expected. */
int flow_parse(struct flow *f, int argc, const char *const argv[], struct why *why);
/* The flow as iptables flags, which flow_parse() reads back to the same. */
void flow_print(const struct flow *f, char text[static FLOW_TEXT_MAX]);
/* The flow of exactly this tuple. */
struct flow flow_of_tuple(const struct tuple *t);
/* Does a packet with this tuple belong to f in the direction that f names? Interfaces are not looked at. */
bool flow_has(const struct flow *f, const struct tuple *t);
enum { FLOW_PATTERNS_MAX = 4 };

/*
 * The flow as patterns of a lease, which may be wider: interfaces, ICMP types and port ranges are not in them. What names no
 * family is of both, and a port without a protocol is TCP's and UDP's. -EINVAL with why when a lease cannot express it (no
 * address or port, ...).
 */
int flow_patterns(const struct flow *f, struct pattern out[static FLOW_PATTERNS_MAX], size_t *count,
		  struct why *why);
