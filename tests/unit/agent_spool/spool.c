/*
 * The spool: numbered batches, bounded, and nothing dropped without being counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <malloc.h>

#include "agent/spool/spool.h"
#include "common/frame.h"
#include "common/msg.h"

static struct record conn(uint32_t host, uint32_t id)
{
	struct record r = { .kind = RECORD_CONN, .host = host, .conn = { .id = id } };

	/* Hard to compress, so that bytes add up. */
	r.conn.at.v = (int64_t)((uint64_t)(id + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 1);
	r.conn.orig.src.family = r.conn.orig.dst.family = 6;
	r.conn.reply.src.family = r.conn.reply.dst.family = 6;
	for (int i = 0; i < 16; i++) {
		r.conn.orig.src.b[i] = (uint8_t)rand();
		r.conn.reply.dst.b[i] = (uint8_t)rand();
		r.conn.orig.dst.b[i] = (uint8_t)rand();
	}
	return r;
}

/* How many records the batch holds; its seq is checked. */
static uint32_t batch_count_of(const struct spool_batch *b)
{
	struct arena arena;
	struct frame f;
	struct buf body;
	struct msg m;
	uint32_t count;

	buf_init(&body, FRAME_INFLATED_MAX);
	arena_init(&arena, MSG_HEAP_MAX);
	assert_int_equal(frame_next(&f, b->frame, b->len), b->len);
	assert_int_equal(frame_body(&f, &body), 0);
	assert_int_equal(msg_decode(&m, body.p, body.len, &arena), 0);
	assert_int_equal(m.kind, MSG_RECORDS);
	assert_int_equal(m.batch.seq, b->seq);
	count = m.batch.count;
	arena_free(&arena);
	buf_clear(&body);
	return count;
}

static void numbers_batches_from_one(void **state)
{
	struct boot_ns now = boot_now(), since;
	struct record r = conn(0, 1);
	struct spool_batch b;
	struct spool *s;

	(void)state;
	assert_int_equal(spool_new(&s, 1 << 20), 0);
	assert_int_equal(spool_first(s), 1);
	assert_int_equal(spool_last(s), 0);
	assert_false(spool_tick(s, now, true)); /* there is nothing to close */
	assert_false(spool_open_since(s, &since));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(spool_add(s, &r), 0);
		assert_true(spool_open_since(s, &since));
		assert_false(spool_tick(s, since, false)); /* too young */
		since.v += (int64_t)BATCH_AGE_MS * NS_PER_MS;
		assert_true(spool_tick(s, since, false));
	}
	assert_int_equal(spool_last(s), 3);
	assert_true(spool_next(s, 2, &b));
	assert_int_equal(b.seq, 2);
	assert_int_equal(batch_count_of(&b), 1);
	assert_true(spool_oldest(s).v > 0);

	spool_acked(s, 2);
	assert_int_equal(spool_first(s), 3);
	assert_true(spool_next(s, 1, &b));
	assert_int_equal(b.seq, 3);
	spool_acked(s, 3);
	assert_false(spool_next(s, 1, &b));
	assert_int_equal(spool_first(s), 4);
	assert_int_equal(spool_bytes(s), 0);
	assert_int_equal(spool_oldest(s).v, 0);
	spool_free(s);
}

static void closes_a_batch_at_its_target(void **state)
{
	struct spool_batch b;
	struct spool *s;
	uint32_t total = 0;

	(void)state;
	assert_int_equal(spool_new(&s, 16 << 20), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		struct record r = conn(0, i);

		assert_int_equal(spool_add(s, &r), 0);
	}
	assert_true(spool_last(s) > 3);
	spool_tick(s, boot_now(), true);
	for (uint64_t seq = 1; spool_next(s, seq, &b); seq++) {
		assert_true(b.len <= FRAME_HEAD + FRAME_MAX);
		total += batch_count_of(&b);
	}
	assert_int_equal(total, 5000);
	spool_free(s);
}

static void counts_what_it_drops_for_each_host(void **state)
{
	struct spool_batch b;
	struct spool *s;
	struct loss l;
	uint64_t lost[2] = { 0 }, held = 0;
	uint32_t host;

	(void)state;
	assert_int_equal(spool_new(&s, 256 << 10), 0);
	for (uint32_t i = 0; i < 30000; i++) {
		struct record r = conn(i % 3 == 0, i);

		assert_int_equal(spool_add(s, &r), 0);
		assert_true(spool_bytes(s) <= 256 << 10);
	}
	spool_tick(s, boot_now(), true);
	assert_true(spool_first(s) > 1);
	for (uint64_t seq = 1; spool_next(s, seq, &b); seq = b.seq + 1)
		held += batch_count_of(&b);
	while (spool_take_loss(s, &l, &host)) {
		assert_in_range(host, 0, 1);
		assert_string_equal(l.source, "spool");
		assert_true(l.count_known);
		assert_true(l.from.v > 0 && l.from.v <= l.until.v);
		lost[host] += l.count;
	}
	assert_int_equal(held + lost[0] + lost[1], 30000);
	assert_true(lost[0] > lost[1] && lost[1] > 0);
	spool_free(s);
}

static void a_record_that_fits_nowhere_is_a_loss(void **state)
{
	static char why[FRAME_INFLATED_MAX + 1];
	struct source_fact f = { .name = "host", .why = why };
	struct record r = { .kind = RECORD_SOURCES,
			    .host = 2,
			    .sources = { .count = 1, .list = &f } };
	struct record small = conn(2, 1);
	struct spool *s;
	struct loss l;
	uint32_t host;

	(void)state;
	memset(why, 'x', sizeof(why) - 1);
	assert_int_equal(spool_new(&s, 16 << 20), 0);
	assert_int_equal(spool_add(s, &small), 0);
	assert_true(spool_add(s, &r) < 0);
	assert_true(spool_take_loss(s, &l, &host));
	assert_int_equal(host, 2);
	assert_int_equal(l.count, 1);
	assert_int_equal(spool_add(s, &small), 0);
	spool_tick(s, boot_now(), true);
	assert_false(spool_take_loss(s, &l, &host));
	spool_free(s);
}

#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

static size_t heap_used(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __sanitizer_get_current_allocated_bytes();
#else
	return mallinfo2().uordblks + mallinfo2().hblkhd;
#endif
}

enum { SLACK = 8 << 10 }; /* what malloc() keeps for itself */

/* What batches are made with stays while large ones follow each other, and no longer. */
static void an_idle_spool_holds_no_buffers(void **state)
{
	struct boot_ns now = boot_now();
	struct record r = conn(0, 1);
	struct spool *s;
	size_t before, busy;

	(void)state;
	assert_int_equal(spool_new(&s, 1 << 20), 0);
	before = heap_used();
	while (spool_last(s) < 2)
		assert_int_equal(spool_add(s, &r), 0);
	spool_tick(s, now, true);
	spool_acked(s, 3);
	busy = heap_used();
	spool_tick(s, (struct boot_ns){ now.v + 2 * (int64_t)NS_PER_S }, false);
	assert_in_range(heap_used(), before, before + SLACK);
	assert_true(busy > before + BATCH_TARGET);
	assert_int_equal(spool_add(s, &r), 0);
	assert_true(spool_tick(s, now, true));
	spool_acked(s, spool_last(s));
	assert_in_range(heap_used(), before, before + SLACK);
	spool_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_spool_holds_no_buffers),
		cmocka_unit_test(numbers_batches_from_one),
		cmocka_unit_test(closes_a_batch_at_its_target),
		cmocka_unit_test(counts_what_it_drops_for_each_host),
		cmocka_unit_test(a_record_that_fits_nowhere_is_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
