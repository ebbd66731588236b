/*
 * A question that matches thousands of flows: each conversation gets what is its own, and eight times as many cost about eight times as much.
 * What is gathered from the store is an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "collector/stitch/flows.h"
#include "collector/stitch/gather.h"

enum { FLOWS = 4000, FEW = FLOWS / 8, SIGHTINGS = 6, SYN = 2, ACK = 16, CLIENT = 1, GATE, SERVER };

static struct stored_journey list[FLOWS * SIGHTINGS];
static struct step steps[FLOWS * SIGHTINGS][2];
static struct stored_conn conns[FLOWS];
static size_t count, conn_count;

int gather(struct gathered *g, struct fleet *f, const struct flow *flow, size_t limit)
{
	(void)f;
	(void)flow;
	(void)limit;
	*g = (struct gathered){
		.list = list, .count = count, .conns = conns, .conn_count = conn_count
	};
	return 0;
}

static struct tuple tcp(uint32_t n)
{
	struct tuple t = { .sport = (uint16_t)(1024 + n), .dport = 443, .proto = 6 };

	assert_true(addr_parse(&t.src, "10.0.1.2") && addr_parse(&t.dst, "203.0.113.9"));
	return t;
}

static struct journey *saw(uint64_t host, int64_t us, enum hook first, uint8_t ttl, enum hook last,
			   struct tuple in, struct tuple out)
{
	struct stored_journey *sj = &list[count];
	struct step *s = steps[count];
	bool same = tuple_equal(&in, &out);

	*sj = (struct stored_journey){ .row = ++count,
				       .host = host,
				       .at = { us * 1000 },
				       .error = 1000,
				       .j = { .ip_version = 4,
					      .total_len = 60,
					      .steps = s,
					      .step_count = 2,
					      .tuples = { in, out },
					      .tuple_count = same ? 1 : 2 } };
	s[0] = (struct step){ .hook = (uint8_t)first, .ttl = ttl, .label = LABEL_CHECKPOINT };
	s[1] = (struct step){ .hook = (uint8_t)last,
			      .ttl = (uint8_t)(ttl - (first == HOOK_PREROUTING &&
						      last == HOOK_POSTROUTING)),
			      .label = LABEL_CHECKPOINT,
			      .tuple = !same };
	return &sj->j;
}

static void is_packet(struct journey *j, uint64_t fp, uint8_t flags, uint16_t id)
{
	j->fp = fp;
	j->tcp_flags = flags;
	j->tcp_seq = (uint32_t)fp;
	j->ip_id = id;
}

/* A SYN through a gateway that translates it, its answer, and an ICMP error of somebody behind, which embeds it without addresses. */
static void flow(uint32_t n)
{
	struct tuple in = tcp(n), out = tcp(n), icmp = { .proto = 1 }, back, far;
	int64_t us = 1000000 + (int64_t)n * 1000;
	uint16_t id = (uint16_t)(n + 1);
	struct journey *error;

	assert_true(addr_parse(&out.src, "198.51.100.7"));
	back = tuple_reverse(&in);
	far = tuple_reverse(&out);
	icmp.src = out.dst;
	icmp.dst = in.src;
	conns[conn_count] = (struct stored_conn){
		.host = GATE,
		.from = { us * 1000 },
		.c = { .id = (uint32_t)conn_count + 1, .orig = in, .reply = far }
	};
	conn_count++;
	is_packet(saw(CLIENT, us, HOOK_OUTPUT, 64, HOOK_POSTROUTING, in, in), 2 * n + 1, SYN, id);
	is_packet(saw(GATE, us + 100, HOOK_PREROUTING, 64, HOOK_POSTROUTING, in, out), 2 * n + 1,
		  SYN, id);
	is_packet(saw(SERVER, us + 200, HOOK_PREROUTING, 63, HOOK_INPUT, out, out), 2 * n + 1, SYN,
		  id);
	is_packet(saw(SERVER, us + 300, HOOK_OUTPUT, 64, HOOK_POSTROUTING, far, far), 2 * n + 2,
		  SYN | ACK, 0);
	is_packet(saw(GATE, us + 400, HOOK_PREROUTING, 64, HOOK_POSTROUTING, far, back), 2 * n + 2,
		  SYN | ACK, 0);
	error = saw(CLIENT, us + 500, HOOK_PREROUTING, 60, HOOK_INPUT, icmp, icmp);
	error->is_icmp_error = error->has_inner = true;
	error->inner_proto = 6;
	error->inner_len = 60;
	error->inner_id = id;
}

static void are_whole(const struct flows *f, size_t n)
{
	assert_int_equal(f->count, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct conversation *c = &f->list[i];
		struct tuple t = tcp(i);

		assert_true(tuple_equal(&c->tuple, &t));
		assert_int_equal(c->original_count, 1);
		assert_int_equal(c->original[0]->hop_count, 3);
		assert_int_equal(c->reply_count, 1);
		assert_int_equal(c->answer_count, 1);
		assert_int_equal(path_packet(c->answers[0])->inner_id, i + 1);
		assert_ptr_equal(c->conn, &conns[i]);
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The best of some: what else the machine does costs CPU time, too. */
static double takes(uint32_t n)
{
	const struct flow any = { .icmp_type = -1, .icmp_id = -1 };
	double best = 1e9;

	count = conn_count = 0;
	for (uint32_t i = 0; i < n; i++)
		flow(i);
	for (int i = 0; i < 3; i++) {
		struct fleet fleet = { 0 };
		struct arena arena;
		struct flows found;
		double begun;

		arena_init(&arena, 256 << 20);
		fleet.arena = &arena;
		begun = seconds();
		assert_int_equal(flows_find(&found, &fleet, &any, FLOWS * SIGHTINGS), 0);
		begun = seconds() - begun;
		best = begun < best ? begun : best;
		are_whole(&found, n);
		arena_free(&arena);
	}
	return best;
}

static void the_time_grows_as_the_flows(void **state)
{
	double few = takes(FEW), many = takes(FLOWS);

	(void)state;
	print_message("%d flows: %.4f s, %d: %.4f s\n", FEW, few, FLOWS, many);
	assert_true(many < 24 * few); /* each against each: 64 times */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_time_grows_as_the_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
