/* What hosts send reaches a terminal as visible text, whatever it was. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/screen.h"
#include "collector/cli/text.h"

static void check(const char *in, size_t len, bool utf8, const char *expected)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(text_safe(&out, in, len, utf8, false), 0);
	assert_int_equal(buf_add(&out, "", 1), 0);
	assert_string_equal((const char *)out.p, expected);
	buf_clear(&out);
}

#define CHECK(in, expected) check(in, sizeof(in) - 1, true, expected)

static void text_shows_what_a_terminal_would_obey(void **state)
{
	(void)state;
	CHECK("plain, \"quoted\" \\ text", "plain, \"quoted\" \\ text");
	CHECK("\x1b]0;title\x07", "\\x1b]0;title\\x07");
	CHECK("line\nfake log\tx\r", "line\\nfake log\\tx\\x0d");
	CHECK("nul\0after", "nul\\x00after");
	CHECK("\x7f", "\\x7f");
	CHECK("\xc2\x9b"
	      "31m",
	      "\\u009b31m"); /* CSI in one character */
	CHECK("\xe2\x80\xae"
	      "abc\xe2\x81\xa6",
	      "\\u202eabc\\u2066");
	CHECK("\xef\xbb\xbf", "\\ufeff");
	CHECK("\xf3\xa0\x81\x81", "\\U000e0041"); /* a tag character: invisible */
	CHECK("<script> %n%s '); DROP TABLE =cmd|", "<script> %n%s '); DROP TABLE =cmd|");
	CHECK("gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x98\x80",
	      "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x98\x80");
}

static void text_shows_bytes_that_are_no_utf8(void **state)
{
	(void)state;
	CHECK("\xff\xfe", "\\xff\\xfe");
	CHECK("\xc0\xaf", "\\xc0\\xaf");                   /* overlong '/' */
	CHECK("\xe0\x80\x9b", "\\xe0\\x80\\x9b");          /* overlong control character */
	CHECK("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
	CHECK("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
	CHECK("cut \xe2\x9c", "cut \\xe2\\x9c");
	check("gr\xc3\xbc", 4, false, "gr\\u00fc");
}

static void every_byte_pair_becomes_harmless(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 0x10000; i++) {
		char in[2] = { (char)(i >> 8), (char)i };
		struct buf out;
		size_t used;

		buf_init(&out, 64);
		assert_int_equal(text_safe(&out, in, 2, true, false), 0);
		for (size_t k = 0; k < out.len; k += used)
			assert_true(
				text_is_plain(text_next((char *)out.p + k, out.len - k, &used)));
		buf_clear(&out);
	}
}

static void expect_screen(struct screen *s, const char *expected)
{
	assert_int_equal(buf_add(&s->out, "", 1), 0);
	assert_string_equal((const char *)s->out.p, expected);
	screen_clear(s);
}

static void lines_wrap_at_words_and_hang(void **state)
{
	struct screen s;

	(void)state;
	screen_init(&s, 40, true, false);
	screen_put(&s, STYLE_PLAIN, "why    one two three four five six seven eight nine");
	screen_end(&s, 7);
	screen_put(&s, STYLE_PLAIN, "0123456789012345678901234567890123456789AB");
	screen_end(&s, 2);
	expect_screen(&s, "why    one two three four five six seven\n       eight nine\n"
			  "0123456789012345678901234567890123456789\n  AB\n");
}

static void columns_count_what_is_seen(void **state)
{
	struct screen s;

	(void)state;
	screen_init(&s, 80, true, true);
	screen_put(&s, STYLE_BAD, "→ 漢字");
	screen_column(&s, 10);
	screen_put(&s, STYLE_PLAIN, "x");
	screen_end(&s, 0);
	expect_screen(&s, "\x1b[31m→ 漢字    \x1b[0mx\n");
}

static void signs_have_words_in_ascii(void **state)
{
	struct screen s;

	(void)state;
	screen_init(&s, 80, false, false);
	screen_put(&s, STYLE_PLAIN, "✓ ✗ ⇄ → é");
	screen_end(&s, 0);
	expect_screen(&s, "OK X <> -> \\u00e9\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_shows_what_a_terminal_would_obey),
		cmocka_unit_test(text_shows_bytes_that_are_no_utf8),
		cmocka_unit_test(every_byte_pair_becomes_harmless),
		cmocka_unit_test(lines_wrap_at_words_and_hang),
		cmocka_unit_test(columns_count_what_is_seen),
		cmocka_unit_test(signs_have_words_in_ascii),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
