/*
 * Journeys are packed by hand. What comes out are the bytes that protobuf-c makes of them, and they decode to what went in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/msg.h"
#include "proto/lasthop.pb-c.h"

enum { MANY = 2000 };

struct made {
	struct journey j;
	struct step steps[STEPS_MAX];
	char texts[8][CHAIN_NAME_MAX + 1];
};

static uint64_t dice = 1;

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice;
}

/* Numbers of all lengths, and many zeros. */
static uint64_t number(void)
{
	return roll() % 3 ? roll() >> (roll() % 64) : 0;
}

static struct tuple tuple_roll(void)
{
	struct tuple t = { .sport = (uint16_t)number(),
			   .dport = (uint16_t)number(),
			   .proto = (uint8_t)number() };

	t.src.family = t.dst.family = roll() % 2 ? 4 : 6;
	for (int i = 0; i < (t.src.family == 4 ? 4 : 16); i++) {
		t.src.b[i] = (uint8_t)number();
		t.dst.b[i] = (uint8_t)number();
	}
	return t;
}

/* Texts change while their places stay: what a place held before must not count. */
static const char *text_roll(struct made *m, size_t max)
{
	char *text = m->texts[roll() % 8];

	if (roll() % 2) {
		memset(text, 'a' + (int)(roll() % 26), roll() % (max + 1));
		text[roll() % (max + 1)] = '\0';
	}
	text[max] = '\0';
	return text;
}

static void step_roll(struct made *m, struct step *s)
{
	*s = (struct step){ .hook = (uint8_t)(roll() % HOOK_COUNT),
			    .backend = (uint8_t)(roll() % BACKEND_IPSET),
			    .family = (uint8_t)(roll() % FAMILY_COUNT),
			    .label = (uint8_t)(roll() % LABEL_COUNT),
			    .verdict = (uint8_t)(roll() % STEP_VERDICT_COUNT),
			    .checkpoint = (uint8_t)(roll() % CHECKPOINT_COUNT),
			    .tuple = (uint8_t)(roll() % m->j.tuple_count),
			    .ttl = (uint8_t)number(),
			    .kernel_time = roll() % 2,
			    .number = (uint32_t)number(),
			    .at.v = (int64_t)number(),
			    .table = roll() % 2 ? text_roll(m, TABLE_NAME_MAX) : "",
			    .chain = roll() % 2 ? text_roll(m, TABLE_NAME_MAX) : "" };
	if (roll() % 8 == 0)
		s->handle = number();
	if (roll() % 8 == 0)
		s->prefix = text_roll(m, TABLE_NAME_MAX);
}

static void journey_roll(struct made *m)
{
	struct journey *j = &m->j;

	memset(j, 0, sizeof(*j));
	j->at.v = (int64_t)number();
	j->trace_id = (uint32_t)number();
	j->fp = number();
	j->fp_long = number();
	j->ip_version = (uint8_t)roll();
	j->total_len = (uint16_t)number();
	j->ip_id = (uint16_t)number();
	j->tcp_flags = (uint8_t)number();
	j->icmp_type = (uint8_t)number();
	j->icmp_code = (uint8_t)number();
	j->tcp_window = (uint16_t)number();
	j->icmp_seq = (uint16_t)number();
	j->tcp_seq = (uint32_t)number();
	j->tcp_ack = (uint32_t)number();
	if (roll() % 3 == 0) {
		j->is_icmp_error = true;
		j->has_inner = roll() % 2;
		j->has_inner_tuple = roll() % 2;
		j->inner_proto = (uint8_t)number();
		j->inner_ttl = (uint8_t)number();
		j->inner_len = (uint16_t)number();
		j->inner_id = (uint16_t)number();
		j->inner = tuple_roll();
	}
	snprintf(j->in_if, sizeof(j->in_if), "%.*s", (int)(roll() % IFNAME_MAX), "abcdefghijklmno");
	snprintf(j->out_if, sizeof(j->out_if), "%.*s", (int)(roll() % IFNAME_MAX), "lan");
	j->ether.type = (uint16_t)number();
	j->ether.vlan = (uint16_t)(number() % VLAN_COUNT);
	for (int i = 0; i < 6; i++) {
		j->ether.src[i] = (uint8_t)number();
		j->ether.dst[i] = (uint8_t)number();
	}
	j->mark = (uint32_t)number();
	j->cut = roll() % 2;
	j->tuple_count = (uint8_t)(1 + roll() % TUPLES_MAX);
	for (int i = 0; i < j->tuple_count; i++)
		j->tuples[i] = tuple_roll();
	j->step_count = (uint16_t)(roll() % 4 ? roll() % 8 : roll() % (STEPS_MAX + 1));
	j->steps = m->steps;
	for (int i = 0; i < j->step_count; i++)
		step_roll(m, &m->steps[i]);
}

/* Unpacked and packed again by protobuf-c: the same bytes, and nothing in them that it does not know. */
static void packs_alike(const uint8_t *p, size_t len)
{
	Pb__Message *m = pb__message__unpack(NULL, len, p);
	uint8_t *again = malloc(len + 64);

	assert_non_null(m);
	assert_int_equal(m->is_case, PB__MESSAGE__IS_BATCH);
	assert_int_equal(m->batch->n_records, 1);
	assert_int_equal(m->batch->records[0]->is_case, PB__RECORD__IS_JOURNEY);
	assert_int_equal(m->batch->records[0]->journey->base.n_unknown_fields, 0);
	assert_int_equal(pb__message__get_packed_size(m), len);
	pb__message__pack(m, again);
	assert_memory_equal(again, p, len);
	free(again);
	pb__message__free_unpacked(m, NULL);
}

static void comes_back(const uint8_t *p, size_t len, uint32_t host, const struct journey *j)
{
	const struct journey *got;
	struct arena arena;
	struct msg m;

	arena_init(&arena, MSG_HEAP_MAX);
	assert_int_equal(msg_decode(&m, p, len, &arena), 0);
	assert_int_equal(m.batch.records[0].host, host);
	got = &m.batch.records[0].journey;
	assert_int_equal(got->fp, j->fp);
	assert_int_equal(got->step_count, j->step_count);
	assert_string_equal(got->in_if, j->in_if);
	for (int i = 0; i < j->step_count; i++) {
		const struct step *a = &got->steps[i], *b = &j->steps[i];

		assert_string_equal(a->table, b->table);
		assert_string_equal(a->chain, b->chain);
		assert_string_equal(a->prefix ? a->prefix : "", b->prefix ? b->prefix : "");
		assert_int_equal(a->at.v, b->at.v);
		assert_int_equal(a->handle, b->handle);
		assert_int_equal(a->number, b->number);
		assert_int_equal(a->ttl, b->ttl);
		assert_int_equal(a->tuple, b->tuple);
	}
	arena_free(&arena);
}

static void any_journey_is_packed_as_protobuf_does(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct record r = { .kind = RECORD_JOURNEY };
	struct batch *b;
	struct buf out;

	(void)state;
	assert_int_equal(batch_new(&b), 0);
	buf_init(&out, FRAME_INFLATED_MAX);
	for (uint64_t i = 0; i < MANY; i++) {
		journey_roll(m);
		r.host = (uint32_t)(roll() % HOSTS_PER_AGENT);
		r.journey = m->j;
		r.journey.ip_version = m->j.ip_version = roll() % 2 ? 4 : 6;
		assert_int_equal(batch_add(b, &r), 0);
		out.len = 0;
		assert_int_equal(batch_end(b, i, &out), 0);
		packs_alike(out.p, out.len);
		comes_back(out.p, out.len, r.host, &m->j);
	}
	batch_free(b);
	buf_clear(&out);
	free(m);
}

/* The longest that there can be: every number at its longest, every text its own. */
static void the_longest_journey_finds_room(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	static char names[STEPS_MAX][3][16];
	struct record r = { .kind = RECORD_JOURNEY };
	struct batch *b;
	struct buf out;

	(void)state;
	memset(&m->j, 0xff, sizeof(m->j));
	m->j.ip_version = 6;
	m->j.is_icmp_error = m->j.has_inner = m->j.has_inner_tuple = m->j.cut = true;
	m->j.ether.vlan = VLAN_COUNT - 1;
	memset(m->j.in_if, 'i', IFNAME_MAX);
	memset(m->j.out_if, 'o', IFNAME_MAX);
	m->j.in_if[IFNAME_MAX] = m->j.out_if[IFNAME_MAX] = '\0';
	m->j.inner.src.family = m->j.inner.dst.family = 6;
	m->j.tuple_count = TUPLES_MAX;
	for (int i = 0; i < TUPLES_MAX; i++)
		m->j.tuples[i].src.family = m->j.tuples[i].dst.family = 6;
	m->j.steps = m->steps;
	m->j.step_count = STEPS_MAX;
	for (int i = 0; i < STEPS_MAX; i++) {
		for (int k = 0; k < 3; k++)
			snprintf(names[i][k], sizeof(names[i][k]), "%d-%d", i, k);
		m->steps[i] = (struct step){ .hook = HOOK_EGRESS,
					     .backend = BACKEND_NATIVE,
					     .family = FAMILY_NETDEV,
					     .label = LABEL_KERNEL,
					     .verdict = STEP_VERDICT_QUEUE,
					     .checkpoint = CHECKPOINT_POST_LAST,
					     .tuple = TUPLES_MAX - 1,
					     .ttl = 255,
					     .kernel_time = true,
					     .number = UINT32_MAX,
					     .handle = UINT64_MAX,
					     .at.v = i % 2 ? INT64_MAX / 2 : INT64_MIN / 2,
					     .table = names[i][0],
					     .chain = names[i][1],
					     .prefix = names[i][2] };
	}
	r.journey = m->j;
	r.host = HOSTS_PER_AGENT - 1;
	assert_int_equal(batch_new(&b), 0);
	buf_init(&out, FRAME_INFLATED_MAX);
	assert_int_equal(batch_add(b, &r), 0);
	assert_int_equal(batch_end(b, UINT64_MAX, &out), 0);
	packs_alike(out.p, out.len);
	comes_back(out.p, out.len, r.host, &m->j);
	batch_free(b);
	buf_clear(&out);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_journey_is_packed_as_protobuf_does),
		cmocka_unit_test(the_longest_journey_finds_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
