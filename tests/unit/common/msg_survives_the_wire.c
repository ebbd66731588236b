/*
 * Every kind of message and record decodes to what was encoded, and damaged ones are refused, not believed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/msg.h"

static struct tuple tuple4(uint8_t last, uint16_t sport, uint16_t dport)
{
	struct tuple t = { .src = { 4, { 10, 0, 1, last } },
			   .dst = { 4, { 10, 0, 3, 2 } },
			   .sport = sport,
			   .dport = dport,
			   .proto = 6 };

	return t;
}

/* Encodes, decodes and encodes again: both encodings must agree, since decoding must lose nothing. */
static void round_trip(const struct msg *m, struct msg *back, struct arena *arena)
{
	struct buf first, second;

	buf_init(&first, FRAME_INFLATED_MAX);
	buf_init(&second, FRAME_INFLATED_MAX);
	assert_int_equal(msg_encode(&first, m), 0);
	assert_int_equal(msg_decode(back, first.p, first.len, arena), 0);
	assert_int_equal(back->kind, m->kind);
	assert_int_equal(msg_encode(&second, back), 0);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.p, second.p, first.len);
	buf_clear(&first);
	buf_clear(&second);
}

static void every_record_comes_back(void **state)
{
	struct step steps[3] = {
		{ .hook = HOOK_PREROUTING,
		  .label = LABEL_CHECKPOINT,
		  .checkpoint = CHECKPOINT_PRE_FIRST,
		  .backend = BACKEND_NATIVE,
		  .family = FAMILY_INET,
		  .ttl = 64,
		  .at = { 1000 },
		  .table = "",
		  .chain = "" },
		{ .hook = HOOK_PREROUTING,
		  .label = LABEL_RULE,
		  .backend = BACKEND_LEGACY,
		  .family = FAMILY_IPV4,
		  .number = 2,
		  .ttl = 64,
		  .kernel_time = true,
		  .at = { 900 },
		  .table = "nat",
		  .chain = "PREROUTING" },
		{ .hook = HOOK_FORWARD,
		  .label = LABEL_LOG,
		  .backend = BACKEND_LEGACY,
		  .family = FAMILY_IPV4,
		  .tuple = 1,
		  .ttl = 63,
		  .at = { 2000 },
		  .table = "filter",
		  .chain = "FORWARD",
		  .prefix = "denied: " },
	};
	struct facts_link link = { .ifindex = 3,
				   .name = "wan",
				   .mac = { 2, 1, 1, 1, 1, 1 },
				   .mtu = 1500,
				   .up = true,
				   .conf4 = true,
				   .forward4 = true,
				   .disable6 = true,
				   .rp_filter = 2 };
	struct facts_addr address = { 3, { { 4, { 198, 18, 0, 1 } }, 24 } };
	struct facts_route route = { .dst = { { 4, { 0 } }, 0 },
				     .gateway = { 4, { 198, 18, 0, 2 } },
				     .ifindex = 3,
				     .table = 254,
				     .type = 1,
				     .tos = 8,
				     .src = { { 4, { 10, 0, 0, 0 } }, 8 } };
	struct facts_rule rules[] = {
		{ .family = 4,
		  .action = 1,
		  .invert = true,
		  .other = true,
		  .tos = 4,
		  .proto = 6,
		  .priority = 100,
		  .table = 1000000,
		  .mark = 1,
		  .mask = UINT32_MAX,
		  .suppress = 0,
		  .sport = { 1, 65535 },
		  .dport = { 443, 443 },
		  .from = { { 4, { 10, 0, 1, 0 } }, 24 },
		  .iif = "lan",
		  .oif = "wan" },
		{ .family = 6,
		  .action = 2,
		  .l3mdev = true,
		  .priority = UINT32_MAX,
		  .target = 32766,
		  .suppress = -1,
		  .to = { { 6, { 0x20, 1 } }, 128 } },
	};
	static const struct author authors[] = {
		{ "iptables", "iptables -A INPUT -j DROP", "alice", 77, 0, 1000, VIA_BPF },
		{ "puppet", NULL, NULL, 78, AUTHOR_NOBODY, AUTHOR_NOBODY, VIA_AUDIT },
	};
	struct source_fact source = { "trace-legacy", SOURCE_FAILED, "group 0 is owned" };
	struct pattern pattern = {
		.family = 4, .proto = 6, .src = { { 4, { 10, 0, 1, 2 } }, 32 }, .dport = 443
	};
	struct counter_entry moved[3] = {
		{ "FORWARD", 0, COUNTER_EXACT, 3, 180 },
		{ "FORWARD", 50000, COUNTER_RESET, UINT64_MAX, UINT64_MAX },
		{ "DB-GUARD", 1, COUNTER_NEW, 1, 60 },
	};
	struct record records[11] = { 0 };
	struct journey *j = &records[0].journey;
	struct msg m = { .kind = MSG_RECORDS,
			 .batch = { .seq = 7, .count = 11, .records = records } },
		   back;
	struct arena arena;

	(void)state;
	records[0].kind = RECORD_JOURNEY;
	records[0].host = 3;
	*j = (struct journey){ .at = { 1000 },
			       .trace_id = 5,
			       .fp = 0xfeedfacecafebeef,
			       .ip_version = 4,
			       .total_len = 60,
			       .ip_id = 77,
			       .tcp_flags = 2,
			       .tcp_window = 64240,
			       .tcp_seq = 0xdeadbeef,
			       .in_if = "lan",
			       .out_if = "wan",
			       .ether = { .src = { 2, 0, 0, 0, 0, 9 },
					  .dst = { 2, 0, 0, 0, 0, 8 },
					  .type = 0x0800,
					  .vlan = 4095 },
			       .tuple_count = 2,
			       .step_count = 3,
			       .steps = steps,
			       .mark = 9 };
	j->tuples[0] = tuple4(2, 40000, 443);
	j->tuples[1] = tuple4(9, 40000, 8443);
	records[1].kind = RECORD_CONN;
	records[1].conn = (struct conn){ .at = { 5 },
					 .event = CONN_DESTROY,
					 .id = 8,
					 .status = 0x18a,
					 .orig = tuple4(2, 1, 2),
					 .reply = tuple4(3, 2, 1) };
	records[2].kind = RECORD_RULESET;
	records[2].ruleset = (struct ruleset_fact){ .before = { 1 },
						    .read_at = { 2 },
						    .backend = BACKEND_LEGACY,
						    .family = FAMILY_IPV6,
						    .table = "filter" };
	records[2].ruleset.content.b[31] = 1;
	records[2].ruleset.handles.b[0] = 2;
	records[2].ruleset.commits = 3;
	records[2].ruleset.author_count = 2;
	records[2].ruleset.authors = authors;
	records[3].kind = RECORD_RULESET_CHECKED;
	records[3].checked.at.v = 99;
	records[4].kind = RECORD_FACTS;
	records[4].facts = (struct facts){ .at = { 4 },
					   .forward_known = true,
					   .link_count = 1,
					   .addr_count = 1,
					   .route_count = 1,
					   .rule_count = 2,
					   .rules4 = true,
					   .cut = true,
					   .rp_filter = 1,
					   .rules = rules,
					   .links = &link,
					   .addrs = &address,
					   .routes = &route };
	records[5].kind = RECORD_SOURCES;
	records[5].sources = (struct sources){ .at = { 6 }, .count = 1, .list = &source };
	records[6].kind = RECORD_LOSS;
	records[6].loss = (struct loss){ .from = { 1 },
					 .until = { 9 },
					 .source = "trace-nft",
					 .count_known = true,
					 .count = 12 };
	records[7].kind = RECORD_LEASE;
	records[7].lease = (struct lease_fact){ .at = { 3 },
						.id = 0x4f21,
						.state = LEASE_ARMED,
						.modulus = 8,
						.traced = 100,
						.refused = 2,
						.pattern_count = 1,
						.patterns = &pattern };
	records[8].kind = RECORD_COUNTERS;
	records[8].counters = (struct counters){ .since = { 1 },
						 .before = { 2 },
						 .at = { 3 },
						 .backend = BACKEND_NFT,
						 .family = FAMILY_IPV6,
						 .table = "filter",
						 .content = { { 9 } },
						 .baseline = true,
						 .part = 1,
						 .parts = 2,
						 .lost = 4,
						 .count = 3,
						 .entries = moved };
	records[9].kind = RECORD_ENDED;
	records[9].ended.at.v = 77;
	records[10].kind = RECORD_STATS;
	records[10].stats = (struct conntrack_stats){ { 78 }, 1, 2, 3, 4, 5, 6, 7, 8, 9, { 77 } };

	arena_init(&arena, MSG_HEAP_MAX);
	round_trip(&m, &back, &arena);
	assert_int_equal(back.batch.seq, 7);
	assert_int_equal(back.batch.count, 11);
	j = &back.batch.records[0].journey;
	assert_int_equal(j->fp, 0xfeedfacecafebeef);
	assert_string_equal(j->out_if, "wan");
	assert_memory_equal(&j->ether, &records[0].journey.ether, sizeof(j->ether));
	assert_int_equal(j->tuples[1].dport, 8443);
	assert_int_equal(j->steps[1].at.v, 900);
	assert_true(j->steps[1].kernel_time);
	assert_string_equal(j->steps[1].chain, "PREROUTING");
	assert_int_equal(j->steps[2].tuple, 1);
	assert_string_equal(j->steps[2].prefix, "denied: ");
	assert_null(j->steps[1].prefix);
	assert_int_equal(back.batch.records[1].conn.event, CONN_DESTROY);
	assert_true(tuple_equal(&back.batch.records[1].conn.reply, &records[1].conn.reply));
	assert_int_equal(back.batch.records[4].facts.routes[0].dst.len, 0);
	assert_true(addr_equal(&back.batch.records[4].facts.routes[0].gateway, &route.gateway));
	assert_memory_equal(&back.batch.records[4].facts.links[0], &link, sizeof(link));
	assert_memory_equal(&back.batch.records[4].facts.routes[0], &route, sizeof(route));
	assert_memory_equal(back.batch.records[4].facts.rules, rules, sizeof(rules));
	assert_true(back.batch.records[4].facts.rules4 && back.batch.records[4].facts.cut);
	assert_false(back.batch.records[4].facts.rules6);
	assert_int_equal(back.batch.records[4].facts.rp_filter, 1);
	assert_string_equal(back.batch.records[5].sources.list[0].why, "group 0 is owned");
	assert_int_equal(back.batch.records[9].ended.at.v, 77);
	assert_memory_equal(&back.batch.records[10].stats, &records[10].stats,
			    sizeof(records[10].stats));
	assert_true(pattern_equal(&back.batch.records[7].lease.patterns[0], &pattern));
	for (int i = 0; i < 3; i++) {
		const struct counter_entry *e = &back.batch.records[8].counters.entries[i];

		assert_string_equal(e->chain, moved[i].chain);
		assert_int_equal(e->rule, moved[i].rule);
		assert_int_equal(e->mark, moved[i].mark);
		assert_int_equal(e->packets, moved[i].packets);
		assert_int_equal(e->bytes, moved[i].bytes);
	}
	arena_free(&arena);
}

static void every_message_comes_back(void **state)
{
	struct msg_host hosts[2] = { { "edge", "", false }, { "edge/blue", "blue", true } };
	struct content_id ids[2] = { { { 1 } }, { { 2 } } };
	uint8_t data[5] = { 1, 2, 3, 4, 5 };
	struct pattern pattern = {
		.family = 6, .proto = 58, .dst = { { 6, { 0x20, 1 } }, 64 }, .icmp_id = 7
	};
	struct msg list[] = {
		{ .kind = MSG_HELLO,
		  .hello = { .id = "edge",
			     .version = "0.1",
			     .epoch = 9,
			     .instance = { 1 },
			     .boot_id = { 2 },
			     .boot = { 3 },
			     .wall = { 4 },
			     .allow_trace = true,
			     .host_count = 2,
			     .hosts = hosts } },
		{ .kind = MSG_HAVE, .have = { 2, ids } },
		{ .kind = MSG_NEED, .need = { 1, ids } },
		{ .kind = MSG_PART, .part = { { { 3 } }, 10, 15, data, 5 } },
		{ .kind = MSG_PING, .ping = { 5 } },
		{ .kind = MSG_PONG, .pong = { 5, { 6 }, { 7 }, 8 } },
		{ .kind = MSG_WELCOME, .welcome = { 9, 10, true, "a clone", 4 } },
		{ .kind = MSG_ACK, .ack = 11 },
		{ .kind = MSG_LEASE_START, .lease_start = { 1, 2, 3, 4, 8, 1, &pattern } },
		{ .kind = MSG_LEASE_STOP, .lease_stop = { 1, 2 } },
		{ .kind = MSG_SNAPSHOT_NOW },
		{ .kind = MSG_HOSTS, .hosts = { 2, hosts } },
	};
	struct arena arena;
	struct msg back;

	(void)state;
	arena_init(&arena, MSG_HEAP_MAX);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		round_trip(&list[i], &back, &arena);
	arena_free(&arena);
}

static void damage_is_refused(void **state)
{
	struct record r = { .kind = RECORD_LOSS,
			    .loss = { .source = "spool", .count_known = true, .count = 3 } };
	struct msg m = { .kind = MSG_RECORDS, .batch = { .seq = 1, .count = 1, .records = &r } },
		   back;
	struct arena arena;
	uint8_t *host;
	struct buf b;

	(void)state;
	arena_init(&arena, MSG_HEAP_MAX);
	buf_init(&b, FRAME_INFLATED_MAX);
	assert_int_equal(msg_encode(&b, &m), 0);
	for (size_t cut = 1; cut < b.len; cut++) {
		arena_reset(&arena);
		assert_true(msg_decode(&back, b.p, cut, &arena) <= 0);
	}
	r.host = HOSTS_PER_AGENT - 1;
	b.len = 0;
	assert_int_equal(msg_encode(&b, &m), 0);
	host = memmem(b.p, b.len, (uint8_t[]){ 1 << 3, HOSTS_PER_AGENT - 1 }, 2);
	assert_non_null(host);
	assert_int_equal(msg_decode(&back, b.p, b.len, &arena), 0);
	host[1] = HOSTS_PER_AGENT;
	assert_int_equal(msg_decode(&back, b.p, b.len, &arena), -EPROTO);
	buf_clear(&b);
	arena_free(&arena);
}

/* "gw" and "gw\0x" must not become one name. */
static void text_with_a_nul_is_refused(void **state)
{
	struct step step = { .hook = HOOK_INPUT, .table = "filterQ", .chain = "INPUT" };
	struct record r = { .kind = RECORD_JOURNEY,
			    .journey = { .ip_version = 4,
					 .tuple_count = 1,
					 .step_count = 1,
					 .steps = &step,
					 .tuples = { tuple4(2, 1, 2) } } };
	struct msg_host host = { "edge", "blueQ", false };
	struct msg list[] = {
		{ .kind = MSG_WELCOME, .welcome = { 9, 10, true, "cloneQ", 0 } },
		{ .kind = MSG_HELLO, .hello = { .id = "edgeQ", .version = "1" } },
		{ .kind = MSG_HELLO,
		  .hello = { .id = "edge", .version = "1", .host_count = 1, .hosts = &host } },
		{ .kind = MSG_HOSTS, .hosts = { 1, &host } },
		{ .kind = MSG_RECORDS, .batch = { 1, 1, &r } },
	};
	struct arena arena;
	struct msg back;
	struct buf b;

	(void)state;
	arena_init(&arena, MSG_HEAP_MAX);
	buf_init(&b, FRAME_INFLATED_MAX);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		uint8_t *q;

		b.len = 0;
		assert_int_equal(msg_encode(&b, &list[i]), 0);
		assert_int_equal(msg_decode(&back, b.p, b.len, &arena), 0);
		q = memchr(b.p, 'Q', b.len);
		assert_non_null(q);
		*q = '\0';
		assert_int_equal(msg_decode(&back, b.p, b.len, &arena), -EPROTO);
	}
	buf_clear(&b);
	arena_free(&arena);
}

/* A batch that its reader refuses would be sent for ever: the one who packs it must refuse first. */
static void what_the_peer_would_refuse_is_not_packed(void **state)
{
	static struct step steps[STEPS_MAX + 1];
	char name[CHAIN_NAME_MAX + LOG_PREFIX_MAX];
	struct step step = { .hook = HOOK_INPUT, .table = "filter", .chain = "INPUT" };
	struct record good = { .kind = RECORD_JOURNEY,
			       .journey = { .ip_version = 4,
					    .tuple_count = 1,
					    .step_count = 1,
					    .steps = &step,
					    .tuples = { tuple4(2, 1, 2) } } };
	struct counter_entry entry = { 0 };
	struct record r = good;
	struct batch *b;
	struct arena arena;
	struct buf out;
	struct msg back;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t i = 0; i <= STEPS_MAX; i++)
		steps[i] = step;
	assert_int_equal(batch_new(&b), 0);
	step.chain = name + sizeof(name) - 1 - CHAIN_NAME_MAX;
	assert_int_equal(batch_add(b, &r), 0); /* as long as may be */
	step.chain--;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	step.chain = "INPUT";
	step.prefix = name + sizeof(name) - 1 - LOG_PREFIX_MAX;
	assert_int_equal(batch_add(b, &r), 0);
	step.prefix--;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	step.prefix = NULL;
	r.journey.ether.vlan = VLAN_COUNT;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = good;
	r.journey.tuples[0].dst.family = 6;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = good;
	r.journey.tuple_count = 0;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = good;
	r.journey.steps = steps;
	r.journey.step_count = STEPS_MAX;
	assert_int_equal(batch_add(b, &r), 0);
	r.journey.step_count++;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = good;
	r.host = HOSTS_PER_AGENT;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = (struct record){ .kind = RECORD_LOSS, .loss = { .source = name } };
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = (struct record){ .kind = RECORD_RULESET, .ruleset = { .table = name } };
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = (struct record){ .kind = RECORD_LEASE,
			     .lease = { .why = name, .pattern_count = PATTERNS_MAX + 1 } };
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r = (struct record){ .kind = RECORD_CONN };
	assert_int_equal(batch_add(b, &r), -EINVAL);
	entry.chain = name;
	r = (struct record){
		.kind = RECORD_COUNTERS,
		.counters = { .table = "filter", .parts = 1, .count = 1, .entries = &entry }
	};
	assert_int_equal(batch_add(b, &r), -EINVAL);
	entry.chain = "INPUT";
	r.counters.part = 1;
	assert_int_equal(batch_add(b, &r), -EINVAL);
	r.counters.part = 0;
	r.counters.count = COUNTER_ENTRIES_MAX + 1;
	assert_int_equal(batch_add(b, &r), -EINVAL);

	/* What was refused left nothing behind, and the batch takes as many as the reader does. */
	r = (struct record){ .kind = RECORD_RULESET_CHECKED };
	while (batch_count(b) < BATCH_RECORDS_MAX)
		assert_int_equal(batch_add(b, &r), 0);
	assert_int_equal(batch_add(b, &r), -E2BIG);
	buf_init(&out, FRAME_INFLATED_MAX);
	arena_init(&arena, MSG_HEAP_MAX);
	assert_int_equal(batch_end(b, 3, &out), 0);
	assert_int_equal(msg_decode(&back, out.p, out.len, &arena), 0);
	assert_int_equal(back.batch.count, BATCH_RECORDS_MAX);
	assert_int_equal(strlen(back.batch.records[0].journey.steps[0].chain), CHAIN_NAME_MAX);
	assert_int_equal(strlen(back.batch.records[1].journey.steps[0].prefix), LOG_PREFIX_MAX);
	assert_int_equal(back.batch.records[2].journey.step_count, STEPS_MAX);
	batch_free(b);
	buf_clear(&out);
	arena_free(&arena);
}

/* Submessages in submessages, 10,000 deep: a schema that knows recursion would end on the stack. */
static void deep_nesting_ends_early(void **state)
{
	static uint8_t wire[64 << 10];
	uint8_t *p = wire + sizeof(wire);
	struct arena arena;
	struct msg back;

	(void)state;
	for (int depth = 0; depth < 10000; depth++) {
		size_t len = (size_t)(wire + sizeof(wire) - p);

		*--p = (uint8_t)(len >> 14);
		*--p = (uint8_t)(len >> 7 | 0x80);
		*--p = (uint8_t)(len | 0x80);
		*--p = 2 << 3 | 2;
	}
	arena_init(&arena, MSG_HEAP_MAX);
	assert_int_equal(msg_decode(&back, p, (size_t)(wire + sizeof(wire) - p), &arena), -EPROTO);
	arena_free(&arena);
}

/* A newer peer's fields and messages are passed over. */
static void the_unknown_is_ignored(void **state)
{
	const uint8_t message[] = { 0xfa, 0x06, 2, 8, 1 },
		      ack[] = { 7 << 3 | 2, 6, 8, 11, 0xfa, 0x06, 1, 0 };
	struct arena arena;
	struct msg back;

	(void)state;
	arena_init(&arena, MSG_HEAP_MAX);
	assert_int_equal(msg_decode(&back, message, sizeof(message), &arena), 0);
	assert_int_equal(back.kind, MSG_NONE);
	assert_int_equal(msg_decode(&back, ack, sizeof(ack), &arena), 0);
	assert_int_equal(back.kind, MSG_ACK);
	assert_int_equal(back.ack, 11);
	arena_free(&arena);
}

/* A megabyte of empty submessages would become a hundred of heap. */
static void amplification_stops_at_the_arena(void **state)
{
	static uint8_t wire[FRAME_INFLATED_MAX];
	struct arena arena;
	struct msg back;
	size_t body = sizeof(wire) - 8;

	(void)state;
	wire[0] = 2 << 3 | 2; /* Message.batch */
	wire[1] = (uint8_t)(body | 0x80);
	wire[2] = (uint8_t)(body >> 7 | 0x80);
	wire[3] = (uint8_t)(body >> 14);
	for (size_t i = 4; i + 1 < body + 4; i += 2)
		wire[i] = 2 << 3 | 2; /* Batch.records, length 0 */
	arena_init(&arena, MSG_HEAP_MAX);
	assert_true(msg_decode(&back, wire, body + 4, &arena) < 0);
	assert_true(arena.held <= MSG_HEAP_MAX);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_record_comes_back),
		cmocka_unit_test(every_message_comes_back),
		cmocka_unit_test(damage_is_refused),
		cmocka_unit_test(text_with_a_nul_is_refused),
		cmocka_unit_test(what_the_peer_would_refuse_is_not_packed),
		cmocka_unit_test(deep_nesting_ends_early),
		cmocka_unit_test(the_unknown_is_ignored),
		cmocka_unit_test(amplification_stops_at_the_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
