/* Instants as people type them, read in the terminal's zone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "collector/cli/when.h"

static struct wall_ns at(const char *rfc3339)
{
	struct wall_ns t;

	assert_true(when_parse_rfc3339(&t, rfc3339));
	return t;
}

static void check(const char *zone, const char *now, const char *text, const char *expected)
{
	struct wall_ns t;
	struct why why;

	setenv("TZ", zone, 1);
	tzset();
	if (when_parse(&t, text, at(now), &why) < 0)
		fail_msg("%s: %s", text, why.text);
	if (t.v != at(expected).v)
		fail_msg("%s in %s is %lld, not %s", text, zone, (long long)t.v, expected);
}

static void when_reads_every_form_of_time(void **state)
{
	const char *now = "2026-11-23T06:52:48.500000000Z";

	(void)state;
	check("UTC", now, "now", "2026-11-23T06:52:48.5Z");
	check("UTC", now, "15m", "2026-11-23T06:37:48.5Z");
	check("UTC", now, "2h", "2026-11-23T04:52:48.5Z");
	check("UTC", now, "3d", "2026-11-20T06:52:48.5Z");
	check("UTC", now, "06:52", "2026-11-23T06:52:00Z");
	check("UTC", now, "06:53", "2026-11-22T06:53:00Z"); /* the most recent one that is past */
	check("UTC", now, "06:52:48", "2026-11-23T06:52:48Z");
	check("UTC", now, "2026-11-22", "2026-11-22T00:00:00Z");
	check("UTC", now, "2026-11-22 23:59", "2026-11-22T23:59:00Z");
	check("UTC", now, "2026-11-22T23:59:01.25", "2026-11-22T23:59:01.25Z");
	check("UTC", now, "2026-11-23T08:00:00+02:00", "2026-11-23T06:00:00Z");
	check("UTC", now, "yesterday", "2026-11-22T06:52:48.5Z");
	check("CET-1CEST,M3.5.0,M10.5.0/3", now, "07:00", "2026-11-23T06:00:00Z");
	check("CET-1CEST,M3.5.0,M10.5.0/3", now, "2026-07-01 12:00", "2026-07-01T10:00:00Z");
	check("CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T12:00:00Z", "yesterday",
	      "2026-10-24T11:00:00Z");
}

static void when_refuses_what_is_no_time(void **state)
{
	static const char *const wrong[] = {
		"",
		"x",
		"15",
		"m",
		"-5m",
		"15mm",
		"25:00",
		"06:60",
		"6:5",
		"2026-13-01",
		"2026-11-23T",
		"2026-11-23 06",
		"2026-11-23T06:00:00+2",
		"06:52:48.",
		"tomorrow",
		"99999999999999d",
	};
	struct wall_ns t, now = at("2026-11-23T06:52:48Z");
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(when_parse(&t, wrong[i], now, &why), -EINVAL);
		assert_non_null(strstr(why.text, "is no time"));
	}
	assert_false(when_parse_rfc3339(&t, "2026-11-23 06:00:00"));
	assert_false(when_parse_rfc3339(&t, NULL));
}

static void when_prints_the_date_when_it_is_not_today(void **state)
{
	struct wall_ns now = at("2026-11-23T06:52:48Z");
	char text[WHEN_TEXT_MAX];

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	when_print(at("2026-11-23T01:02:03.456Z"), now, true, text);
	assert_string_equal(text, "01:02:03.456");
	when_print(at("2026-11-22T01:02:03Z"), now, false, text);
	assert_string_equal(text, "Nov 22 01:02:03");
	when_print(at("2025-11-23T01:02:03Z"), now, false, text);
	assert_string_equal(text, "2025-11-23 01:02:03");
	when_print_span(INT64_C(41) * NS_PER_S, text);
	assert_string_equal(text, "41 s");
	when_print_span(INT64_C(900) * NS_PER_S, text);
	assert_string_equal(text, "15 min");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_reads_every_form_of_time),
		cmocka_unit_test(when_refuses_what_is_no_time),
		cmocka_unit_test(when_prints_the_date_when_it_is_not_today),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
