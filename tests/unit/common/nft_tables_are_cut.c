/* What `nft list table` prints, cut into chains and rules, each rule with its number. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/table.h"

static const char text[] = "table inet mixed {\n"
			   "\tcomment \"what { it is\"\n"
			   "\tcounter named {\n"
			   "\t\tpackets 0 bytes 0\n"
			   "\t}\n"
			   "\n"
			   "\tset s {\n"
			   "\t\ttype inet_service\n"
			   "\t\telements = { 22, 23,\n"
			   "\t\t\t     24 }\n"
			   "\t}\n"
			   "\n"
			   "\tchain in {\n"
			   "\t\ttype filter hook input priority filter; policy drop;\n"
			   "\t\tudp dport 9 counter packets 7 bytes 280 comment \"first }\"\n"
			   "\t\ttcp dport vmap { 22 : accept, 23 : drop }\n"
			   "\t\tlog prefix \"two\n"
			   "lines }\"\n"
			   "\t\tjump deep # handle 9\n"
			   "\t}\n"
			   "\n"
			   "\tchain deep {\n"
			   "\t\tcomment \"a chain's\"\n"
			   "\t\ttcp dport @s counter packets 0 bytes 0 accept\n"
			   "\t}\n"
			   "\n"
			   "\tchain empty {\n"
			   "\t}\n"
			   "}\n";

static void rules_have_their_numbers(void **state)
{
	const struct rule_text *r;
	struct table t;

	(void)state;
	assert_int_equal(table_parse_as(&t, BACKEND_NATIVE, text, sizeof(text) - 1), 0);
	assert_string_equal(t.name, "mixed");
	assert_int_equal(t.chain_count, 3);
	assert_string_equal(t.chains[0].name, "in");
	assert_string_equal(t.chains[0].policy, "drop");
	assert_int_equal(t.chains[0].rule_count, 4);
	assert_string_equal(t.chains[1].policy, "-");
	assert_int_equal(t.chains[1].rule_count, 1);
	assert_string_equal(t.chains[2].name, "empty");
	assert_int_equal(t.chains[2].rule_count, 0);
	r = chain_rule(&t.chains[0], 3);
	assert_int_equal(r->len, strlen("log prefix \"two\nlines }\""));
	r = chain_rule(&t.chains[0], 2);
	assert_memory_equal(r->text, "tcp dport vmap { 22 : accept, 23 : drop }", r->len);
	table_clear(&t);
}

static void what_is_no_table_is_refused(void **state)
{
	struct table t;

	(void)state;
	for (size_t len = 0; len < sizeof(text) - 2; len++)
		assert_int_equal(table_parse_nft(&t, text, len), -EBADMSG);
	assert_int_equal(table_parse_nft(&t, "*filter\nCOMMIT\n", 15), -EBADMSG);
	assert_int_equal(table_parse_nft(&t, "table ip a {\n}\ntable ip b {\n}\n", 30), -EBADMSG);
	assert_int_equal(table_parse_nft(&t, "table ip a {\n\tchain  {\n\t}\n}\n", 28), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_have_their_numbers),
		cmocka_unit_test(what_is_no_table_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
