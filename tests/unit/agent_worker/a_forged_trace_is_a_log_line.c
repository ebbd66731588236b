/* A prefix that reads like a trace, standing in any table's text, is never taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/worker/forged.h"

static bool is_log(const struct forged *f, const char *chain, enum label label, uint32_t number)
{
	struct trace_event e = { .step = { .backend = BACKEND_LEGACY,
					   .label = (uint8_t)label,
					   .table = "filter",
					   .chain = chain,
					   .number = number },
				 .priority_known = true };
	char text[FORGED_TEXT_MAX], want[FORGED_TEXT_MAX];

	if (!forged_like(f, &e.step))
		return false;
	forged_to_log(&e, text);
	snprintf(want, sizeof(want), "TRACE: filter:%s:%s:%u ", chain, label_name(label), number);
	assert_int_equal(e.step.label, LABEL_LOG);
	assert_string_equal(e.step.prefix, want);
	assert_string_equal(e.step.table, "");
	assert_string_equal(e.step.chain, "");
	assert_false(e.priority_known);
	return true;
}

static void add(struct forged *f, const char *text)
{
	forged_add(f, text, strlen(text));
}

static void only_what_stands_in_a_text_is_doubted(void **state)
{
	struct forged f = { 0 };

	(void)state;
	assert_false(is_log(&f, "INPUT", LABEL_RULE, 1));
	add(&f, "-A INPUT -j NFLOG --nflog-prefix  \"TRACE: filter:INPUT:rule:1 \"\nCOMMIT\n");
	assert_true(is_log(&f, "INPUT", LABEL_RULE, 1));
	assert_false(is_log(&f, "INPUT", LABEL_RULE, 2));
	assert_false(is_log(&f, "INPUT", LABEL_POLICY, 1));
	assert_false(is_log(&f, "OUTPUT", LABEL_RULE, 1));
	add(&f, "log prefix \"TRACE: filter:OUTPUT:policy:3 \" group 0");
	assert_true(is_log(&f, "OUTPUT", LABEL_POLICY, 3));
}

static void quoting_hides_no_prefix(void **state)
{
	struct forged f = { 0 };

	(void)state;
	add(&f, "--log-prefix \"TRACE: filter:A\\\"B:rule:1 \" --log-level 4");
	add(&f, "log prefix \"TRACE: filter:A\\B:return:2 \" group 0");
	add(&f, "TRACE: TRACE: TRACE: filter:C:rule:7 ");
	assert_true(is_log(&f, "A\"B", LABEL_RULE, 1));
	assert_true(is_log(&f, "A\\B", LABEL_RETURN, 2));
	assert_true(is_log(&f, "C", LABEL_RULE, 7));
}

static void lines_on_their_way_are_doubted_for_one_more_read(void **state)
{
	struct forged f = { 0 };

	(void)state;
	add(&f, "\"TRACE: filter:INPUT:rule:1 \"");
	forged_begin(&f);
	assert_true(is_log(&f, "INPUT", LABEL_RULE, 1));
	forged_begin(&f);
	assert_false(is_log(&f, "INPUT", LABEL_RULE, 1));
}

static void too_many_to_know_are_all_doubted(void **state)
{
	struct forged f = { 0 };
	char text[FORGED_TEXT_MAX];

	(void)state;
	for (int i = 1; i <= FORGED_MAX; i++) {
		snprintf(text, sizeof(text), "\"TRACE: filter:INPUT:rule:%d \"", i);
		add(&f, text);
		add(&f, text);
	}
	assert_false(is_log(&f, "OUTPUT", LABEL_RULE, 1));
	add(&f, "\"TRACE: raw:OUTPUT:rule:99 \"");
	assert_true(is_log(&f, "OUTPUT", LABEL_RULE, 1));
}

static void a_torn_text_is_read_to_its_end(void **state)
{
	const char *text = "TRACE: filter:INPUT:rule:1 \\";
	struct forged f;

	(void)state;
	for (size_t len = 0; len <= strlen(text); len++) {
		f = (struct forged){ 0 };
		forged_add(&f, text, len);
		assert_int_equal(f.now.count, len >= strlen(text) - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_stands_in_a_text_is_doubted),
		cmocka_unit_test(quoting_hides_no_prefix),
		cmocka_unit_test(lines_on_their_way_are_doubted_for_one_more_read),
		cmocka_unit_test(too_many_to_know_are_all_doubted),
		cmocka_unit_test(a_torn_text_is_read_to_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
