/*
 * Names and comments of a host's rules are of any bytes: an answer that quotes them is still JSON, and nothing of it is missing.
 */
#include "fake.h"

enum { SYN = 2 };

static const char *const latin_1 =
	"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:gr\xfcn - [0:0]\n"
	"-A FORWARD -p tcp -j gr\xfcn\n-A gr\xfcn -p tcp -m comment --comment \"f\xfcr alle\" -j DROP\nCOMMIT\n";

static uint64_t router(void)
{
	uint64_t rt = host("rt", "10.0.1.1/24");

	address(rt, "10.0.3.1/24");
	table(rt, "filter", latin_1, 0, 500, 90000, 0);
	return rt;
}

static void is_whole(void)
{
	char *all = json_dumps(fake.answer, JSON_COMPACT);

	assert_non_null(all);
	free(all);
	assert_string_equal(text("verdict"), "dropped");
	assert_string_equal(text("died_at.chain"), "gr\\xfcn");
	assert_string_equal(text("died_at.rule_text"),
			    "-A gr\\xfcn -p tcp -m comment --comment \"f\\xfcr alle\" -j DROP");
	assert_non_null(strstr(text("causes.0.summary"), "rule 1"));
	assert_true(json_array_size(at("causes.0.evidence")) > 0);
}

static void a_traced_rule_is_quoted(void **state)
{
	struct journey *j;

	(void)state;
	j = journey(router(), 1000, 7, tcp("10.0.1.2", 40000, "10.0.3.2", 443), SYN, 1);
	checkpoint(j, CHECKPOINT_PRE_FIRST, 64);
	rule(j, HOOK_FORWARD, "filter", "FORWARD", 1, 63);
	rule(j, HOOK_FORWARD, "filter", "gr\xfcn", 1, 63);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	is_whole();
	assert_string_equal(text("died_at.jumps.0.rule_text"), "-A FORWARD -p tcp -j gr\\xfcn");
}

static void a_suspect_is_quoted(void **state)
{
	struct journey *j;

	(void)state;
	j = journey(router(), 1000, 7, tcp("10.0.1.2", 40000, "10.0.3.2", 443), SYN, 1);
	kernel_freed(j, "NETFILTER_DROP", 1 << HOOK_FORWARD, 64);
	ask("tcp 10.0.1.2 10.0.3.2:443");
	is_whole();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_traced_rule_is_quoted, fresh),
		cmocka_unit_test_setup(a_suspect_is_quoted, fresh),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(fake.answer);
	return failed;
}
