/*
 * A line of three hosts, and packets that pass each of them as they should.
 */
#pragma once

#include "fake.h"

enum { SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const char *const two_rules =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	"-A INPUT -p tcp -m tcp --dport 443 -j DROP\n-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n";
static const char *const open_table =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

/* cl (10.0.1.2) - rt (10.0.1.1, 10.0.3.1) - sv (10.0.3.2), all armed all the time. */
static inline void three_hosts(uint64_t *cl, uint64_t *rt, uint64_t *sv)
{
	*cl = host("cl", "10.0.1.2/24");
	*rt = host("rt", "10.0.1.1/24");
	*sv = host("sv", "10.0.3.2/24");
	address(*rt, "10.0.3.1/24");
	route(*cl, "0.0.0.0/0", "10.0.1.1");
	route(*rt, "10.0.1.0/24", NULL);
	route(*rt, "10.0.3.0/24", NULL);
	route(*sv, "0.0.0.0/0", "10.0.3.1");
	armed(*cl, 0, 0);
	armed(*rt, 0, 0);
	armed(*sv, 0, 0);
}

static inline struct journey *sends(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple,
				    uint8_t flags, uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_OUT_FIRST, 64);
	checkpoint(j, CHECKPOINT_POST_LAST, 64);
	return j;
}

static inline struct journey *forwards(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple,
				       uint8_t flags, uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	checkpoint(j, CHECKPOINT_FWD_FIRST, 63);
	checkpoint(j, CHECKPOINT_POST_LAST, 63);
	return j;
}

static inline struct journey *receives(uint64_t h, int64_t t, uint64_t fp, struct tuple tuple,
				       uint8_t flags, uint32_t seq)
{
	struct journey *j = journey(h, t, fp, tuple, flags, seq);

	checkpoint(j, CHECKPOINT_PRE_FIRST, 63);
	checkpoint(j, CHECKPOINT_IN_FIRST, 63);
	return j;
}
