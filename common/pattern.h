/*
 * A pattern: which packets a lease traces on one host. It stands for both directions, for the ICMP errors
 * that embed such a packet, and, where conntrack is active, for every packet of a connection that
 * began so.
 */
#pragma once

#include "common/addr.h"

struct pattern {
	uint8_t family;         /* 4 or 6 */
	uint8_t proto;          /* 0: any */
	struct prefix src, dst; /* len 0: any */
	uint16_t sport, dport;  /* 0: any; only where proto has ports */
	uint16_t icmp_id;       /* only for ICMP; 0: any */
};

/* At least one address or port is fixed, ports only where they exist, families agree. */
bool pattern_valid(const struct pattern *p);
/* Does the lease of p select a packet with this tuple, in either direction? */
bool pattern_has(const struct pattern *p, const struct tuple *t);
bool pattern_equal(const struct pattern *a, const struct pattern *b);
