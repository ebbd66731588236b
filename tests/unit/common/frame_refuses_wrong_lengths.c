/*
 * Frames come back whole from any cut of the stream; wrong lengths are refused from their first bytes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/frame.h"
#include "common/limits.h"

static void bodies_come_back(void **state)
{
	static uint8_t body[300000];
	size_t sizes[] = { 1, 100, 511, 512, 5000, 250000 };
	struct buf out, in;
	struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i / 50);
	buf_init(&out, 1 << 20);
	buf_init(&in, FRAME_INFLATED_MAX);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		out.len = in.len = 0;
		assert_int_equal(frame_add(&out, body, sizes[i]), 0);
		for (size_t cut = 0; cut < out.len && cut < 600; cut++)
			assert_int_equal(frame_next(&f, out.p, cut), 0);
		assert_int_equal(frame_next(&f, out.p, out.len), out.len);
		assert_int_equal(frame_body(&f, &in), 0);
		assert_int_equal(in.len, sizes[i]);
		assert_memory_equal(in.p, body, sizes[i]);
	}
	/* A frame may be its encoding alone. */
	out.len = in.len = 0;
	buf_clear(&in);
	assert_int_equal(frame_add(&out, body, 0), 0);
	assert_int_equal(frame_next(&f, out.p, out.len), FRAME_HEAD + 1);
	assert_int_equal(frame_body(&f, &in), 0);
	assert_int_equal(in.len, 0);
	assert_int_equal(frame_add(&out, body, 250000), 0);
	assert_true(out.len < 20000); /* it was compressed */
	buf_clear(&out);
	buf_clear(&in);
}

static void wrong_lengths_are_refused_early(void **state)
{
	const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff }, zero[] = { 0, 0, 0, 0 },
		      over[] = { 0, 4, 0, 1 }, coding[] = { 0, 0, 0, 2, 9 };
	struct frame f;

	(void)state;
	assert_int_equal(frame_next(&f, huge, 1), -EPROTO);
	assert_int_equal(frame_next(&f, zero, 4), -EPROTO);
	assert_int_equal(frame_next(&f, over, 4), -EPROTO);
	assert_int_equal(frame_next(&f, coding, 5), -EPROTO);
}

/* A zstd header may declare any size. */
static void bombs_are_refused_before_allocation(void **state)
{
	const uint8_t bomb[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0 };
	struct frame f = { .encoding = FRAME_ZSTD, .body = bomb, .len = sizeof(bomb) };
	struct buf in;

	(void)state;
	buf_init(&in, FRAME_INFLATED_MAX);
	assert_int_equal(frame_body(&f, &in), -EPROTO);
	assert_int_equal(in.cap, 0);
	buf_clear(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_come_back),
		cmocka_unit_test(wrong_lengths_are_refused_early),
		cmocka_unit_test(bombs_are_refused_before_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
