/*
 * The headers of a checkpoint come with an event before it. Several processors tell of several packets at once.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "agent/source/source.h"

enum { EVENTS_MAX = 256 };

struct seen {
	struct trace_event list[EVENTS_MAX];
	size_t count;
};

static void on_trace(void *arg, struct trace_event *e)
{
	struct seen *s = arg;

	s->list[s->count++] = *e;
}

/* An event of our checkpoint in POSTROUTING; the first one has the headers of UDP to port id. */
static void tell(struct source *s, struct seen *seen, uint32_t id, bool first)
{
	const struct sink out = { .arg = seen, .trace = on_trace };
	const uint8_t ip[] = { 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 3, 2 };
	const uint8_t udp[] = { 0x3, 0xe8, (uint8_t)(id >> 8), (uint8_t)id, 0, 8, 0, 0 };
	uint8_t room[1024];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(room);
	struct nfgenmsg *nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));

	nlh->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_TRACE;
	nfg->nfgen_family = NFPROTO_INET;
	mnl_attr_put_strz(nlh, NFTA_TRACE_TABLE, "lasthop");
	mnl_attr_put_strz(nlh, NFTA_TRACE_CHAIN, "post_last");
	mnl_attr_put_u32(nlh, NFTA_TRACE_ID, htonl(id));
	mnl_attr_put_u32(nlh, NFTA_TRACE_TYPE,
			 htonl(first ? NFT_TRACETYPE_RULE : NFT_TRACETYPE_POLICY));
	if (first) {
		mnl_attr_put(nlh, NFTA_TRACE_NETWORK_HEADER, sizeof(ip), ip);
		mnl_attr_put(nlh, NFTA_TRACE_TRANSPORT_HEADER, sizeof(udp), udp);
	}
	assert_int_equal(s->ops->decode(s, room, nlh->nlmsg_len, boot_now(), &out), 0);
}

static void of_many_packets_each_keeps_its_own(void **state)
{
	enum { AT_ONCE = 4, STRIDE = 64 };
	struct source s = { .ops = &source_trace_nft, .fd = -1 };
	struct seen seen = { .count = 0 };

	(void)state;
	for (uint32_t round = 0; round < 8; round++) {
		uint32_t first = 1 + round * AT_ONCE * STRIDE;

		seen.count = 0;
		for (uint32_t i = 0; i < AT_ONCE; i++)
			tell(&s, &seen, first + i * STRIDE, true);
		for (uint32_t i = 0; i < AT_ONCE; i++)
			tell(&s, &seen, first + i * STRIDE, false);
		assert_int_equal(seen.count, AT_ONCE);
		for (uint32_t i = 0; i < AT_ONCE; i++) {
			assert_true(seen.list[i].has_packet);
			assert_int_equal(seen.list[i].step.checkpoint, CHECKPOINT_POST_LAST);
			assert_int_equal(seen.list[i].packet.tuple.dport, first + i * STRIDE);
		}
	}
	s.ops->clear(&s);
}

/* Packets that died before their checkpoint leave theirs behind. */
static void what_nobody_takes_makes_room(void **state)
{
	struct source s = { .ops = &source_trace_nft, .fd = -1 };
	struct seen seen = { .count = 0 };

	(void)state;
	for (uint32_t id = 1; id < 1000; id++)
		tell(&s, &seen, id, true);
	assert_int_equal(seen.count, 0);
	tell(&s, &seen, 5000, true);
	tell(&s, &seen, 5000, false);
	tell(&s, &seen, 5000, false);
	assert_int_equal(seen.count, 2);
	assert_true(seen.list[0].has_packet);
	assert_int_equal(seen.list[0].packet.tuple.dport, 5000);
	assert_false(seen.list[1].has_packet);
	s.ops->clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_many_packets_each_keeps_its_own),
		cmocka_unit_test(what_nobody_takes_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
