/*
 * A TRACE line is believed only in the kernel's exact form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/source/prefix.h"

static bool parse(struct trace_prefix *t, const char *text)
{
	return trace_prefix_parse(t, text, strlen(text));
}

static void reads_what_the_kernel_prints(void **state)
{
	struct trace_prefix t;

	(void)state;
	assert_true(parse(&t, "TRACE: filter:FORWARD:policy:4 "));
	assert_string_equal(t.table, "filter");
	assert_string_equal(t.chain, "FORWARD");
	assert_int_equal(t.label, LABEL_POLICY);
	assert_int_equal(t.number, 4);
	/* With its terminating zero, as the attribute has it. */
	assert_true(trace_prefix_parse(&t, "TRACE: raw:U:return:2 ", 23));
	assert_int_equal(t.label, LABEL_RETURN);
}

static void keeps_colons_of_chain_names(void **state)
{
	struct trace_prefix t;

	(void)state;
	assert_true(parse(&t, "TRACE: nat:a:rule:1:rule:7 "));
	assert_string_equal(t.chain, "a:rule:1");
	assert_int_equal(t.number, 7);
}

static void refuses_everything_else(void **state)
{
	static const char *const lines[] = {
		"",
		"TRACE: ",
		"TRACE: filter:FORWARD:policy:4",
		"TRACE: filter:FORWARD:policy: ",
		"TRACE: filter:FORWARD:policy:04 ",
		"TRACE: filter:FORWARD:policy:-1 ",
		"TRACE: filter:FORWARD:policy:0 ",
		"TRACE: filter:FORWARD:policy:4294967296 ",
		"TRACE: filter:FORWARD:drop:4 ",
		"TRACE: other:FORWARD:rule:4 ",
		"TRACE: filter::rule:4 ",
		"TRACE: filter:rule:4 ",
		"trace: filter:FORWARD:rule:4 ",
		"TRACE: filter:FORWARD:rule:4  ",
		" TRACE: filter:FORWARD:rule:4 ",
		"TRACE: filter:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:rule:4 ",
	};
	struct trace_prefix t;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(parse(&t, lines[i]));
	assert_false(trace_prefix_parse(&t, "TRACE: raw:A\0B:rule:2 ", 22));
}

static void nat_comes_late_on_the_way_out(void **state)
{
	(void)state;
	assert_true(legacy_priority("raw", HOOK_PREROUTING) <
		    legacy_priority("mangle", HOOK_PREROUTING));
	assert_true(legacy_priority("mangle", HOOK_PREROUTING) <
		    legacy_priority("nat", HOOK_PREROUTING));
	assert_true(legacy_priority("nat", HOOK_OUTPUT) < legacy_priority("filter", HOOK_OUTPUT));
	assert_true(legacy_priority("filter", HOOK_INPUT) <
		    legacy_priority("security", HOOK_INPUT));
	assert_true(legacy_priority("security", HOOK_INPUT) < legacy_priority("nat", HOOK_INPUT));
	assert_true(legacy_priority("mangle", HOOK_POSTROUTING) <
		    legacy_priority("nat", HOOK_POSTROUTING));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_kernel_prints),
		cmocka_unit_test(keeps_colons_of_chain_names),
		cmocka_unit_test(refuses_everything_else),
		cmocka_unit_test(nat_comes_late_on_the_way_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
