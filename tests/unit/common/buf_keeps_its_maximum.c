/*
 * Buffers and arenas never hold more than the maximum that they were made with, and what did not fit left no trace.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/why.h"

static void buf_refuses_beyond_its_maximum(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_add(&b, "abc", 3), 0);
	assert_int_equal(buf_addf(&b, "%d-%s", 42, "x"), 0);
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.p, "abc42-x", 7);
	assert_non_null(buf_extend(&b, 993));
	assert_int_equal(b.len, 1000);
	assert_true(b.cap <= 1000);
	assert_int_equal(buf_add(&b, "y", 1), -E2BIG);
	assert_int_equal(buf_addf(&b, "%d", 1), -E2BIG);
	assert_null(buf_extend(&b, 1));
	assert_null(buf_extend(&b, SIZE_MAX));
	assert_int_equal(b.len, 1000);
	buf_clear(&b);
	assert_null(b.p);
	assert_int_equal(b.max, 1000);
	assert_int_equal(buf_add(&b, "again", 5), 0);
	buf_clear(&b);
}

static void buf_shift_drops_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 16);
	buf_shift(&b, 3); /* of nothing */
	assert_int_equal(buf_add(&b, "0123456789", 10), 0);
	buf_shift(&b, 4);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.p, "456789", 6);
	buf_shift(&b, 100);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
}

/* Small and large in turn leave the most unused ends of blocks. */
static void arena_counts_what_it_holds(void **state)
{
	struct arena a;
	size_t given = 0;
	uint8_t *p;

	(void)state;
	arena_init(&a, 1 << 20);
	for (;;) {
		size_t len = given % 16 ? (64 << 10) + 8 : 8;

		p = arena_alloc(&a, len);
		if (!p)
			break;
		assert_int_equal((uintptr_t)p % 8, 0);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, len);
		given += len;
		assert_true(given <= a.held);
		assert_true(a.held <= a.max);
	}
	assert_true(given > (1 << 19) - (128 << 10));
	arena_reset(&a);
	assert_true(a.held <= 64 << 10);
	p = arena_alloc(&a, 100);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(p[i], 0); /* the kept block was dirty */
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 3));
	assert_null(arena_strndup(&a, "x", SIZE_MAX));
	arena_free(&a);
	assert_int_equal(a.held, 0);
}

static void small_arenas_are_used_up(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 100);
	assert_non_null(arena_alloc(&a, 40));
	assert_non_null(arena_alloc(&a, 48));
	assert_int_equal(a.held, 100);
	assert_null(arena_alloc(&a, 16));
	assert_string_equal(arena_strndup(&a, "sevenXX", 5), "seven");
	assert_null(arena_alloc(&a, 8));
	arena_free(&a);
}

static void why_is_cut_and_optional(void **state)
{
	char big[WHY_MAX + 50];
	struct why why;

	(void)state;
	memset(big, 'w', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(why_set(NULL, -EINVAL, "%s", big), -EINVAL);
	assert_int_equal(why_set(&why, -ENOENT, "no %s", "eth7"), -ENOENT);
	assert_string_equal(why.text, "no eth7");
	why_set(&why, -EINVAL, "%s", big);
	assert_int_equal(strlen(why.text), WHY_MAX);
}

static void arena_rewinds_to_its_mark(void **state)
{
	struct arena_mark empty, mark;
	struct arena a;
	size_t held;
	char *kept;

	(void)state;
	arena_init(&a, 1 << 20);
	empty = arena_mark(&a);
	kept = arena_strndup(&a, "kept", 4);
	assert_non_null(kept);
	mark = arena_mark(&a);
	held = a.held;
	for (int round = 0; round < 100; round++) { /* more than the maximum in all */
		assert_non_null(arena_alloc(&a, 100));
		assert_non_null(arena_alloc(&a, 300000));
		arena_rewind(&a, mark);
		assert_int_equal(a.held, held);
	}
	assert_string_equal(kept, "kept");
	arena_rewind(&a, empty);
	assert_int_equal(a.held, 0);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_refuses_beyond_its_maximum),
		cmocka_unit_test(buf_shift_drops_the_front),
		cmocka_unit_test(arena_counts_what_it_holds),
		cmocka_unit_test(arena_rewinds_to_its_mark),
		cmocka_unit_test(small_arenas_are_used_up),
		cmocka_unit_test(why_is_cut_and_optional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
