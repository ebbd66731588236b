/* What makes one content of a table another: only what went and came, in the order in which it stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/diagnose/delta.h"

/* A line of each: "+FORWARD 2 -A FORWARD -j DROP". */
static void expect(enum backend backend, const char *older, const char *newer, const char *chain,
		   const char *lines)
{
	struct table a, b;
	struct arena arena;
	struct delta d;
	char text[4096] = "";
	size_t n = 0;

	arena_init(&arena, 64 << 20);
	if (older)
		assert_int_equal(table_parse_as(&a, backend, older, strlen(older)), 0);
	assert_int_equal(table_parse_as(&b, backend, newer, strlen(newer)), 0);
	assert_int_equal(delta_make(&d, older ? &a : NULL, &b, chain, &arena), 0);
	for (size_t i = 0; i < d.count; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%c%s %u %.*s\n",
				      d.lines[i].added ? '+' : '-', d.lines[i].chain ?: "",
				      d.lines[i].number, (int)d.lines[i].len, d.lines[i].text);
	assert_string_equal(text, lines);
	if (older)
		table_clear(&a);
	table_clear(&b);
	arena_free(&arena);
}

#define TABLE(rules) "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n" rules "COMMIT\n"
#define A "-A FORWARD -s 10.0.0.1/32 -j ACCEPT\n"
#define B "-A FORWARD -s 10.0.0.2/32 -j ACCEPT\n"
#define C "-A FORWARD -s 10.0.0.3/32 -j DROP\n"

static void rules_come_go_and_move(void **state)
{
	(void)state;
	expect(BACKEND_LEGACY, TABLE(A B), TABLE(A B), NULL, "");
	expect(BACKEND_LEGACY, TABLE(A B), TABLE(A C B), NULL,
	       "+FORWARD 2 -A FORWARD -s 10.0.0.3/32 -j DROP\n");
	expect(BACKEND_LEGACY, TABLE(A C B), TABLE(A B), NULL,
	       "-FORWARD 2 -A FORWARD -s 10.0.0.3/32 -j DROP\n");
	expect(BACKEND_LEGACY, TABLE(A B), TABLE(A C), NULL,
	       "-FORWARD 2 -A FORWARD -s 10.0.0.2/32 -j ACCEPT\n+FORWARD 2 -A FORWARD -s 10.0.0.3/32 -j DROP\n");
	/* B went to the front: it went and came, the others stay. */
	expect(BACKEND_LEGACY, TABLE(A C B), TABLE(B A C), NULL,
	       "+FORWARD 1 -A FORWARD -s 10.0.0.2/32 -j ACCEPT\n-FORWARD 3 -A FORWARD -s 10.0.0.2/32 -j ACCEPT\n");
	/* One copy of many. */
	expect(BACKEND_LEGACY, TABLE(A A A B), TABLE(A A B), NULL,
	       "-FORWARD 3 -A FORWARD -s 10.0.0.1/32 -j ACCEPT\n");
	expect(BACKEND_LEGACY, TABLE(C A B A), TABLE(A B A), NULL,
	       "-FORWARD 1 -A FORWARD -s 10.0.0.3/32 -j DROP\n");
}

static void chains_and_policies(void **state)
{
	(void)state;
	expect(BACKEND_LEGACY, "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
	       "*filter\n:INPUT DROP [0:0]\n:MINE - [0:0]\n-A MINE -j DROP\nCOMMIT\n", NULL,
	       "-INPUT 0 -P INPUT ACCEPT\n+INPUT 0 -P INPUT DROP\n+MINE 0 -N MINE\n+MINE 1 -A MINE -j DROP\n");
	expect(BACKEND_LEGACY,
	       "*filter\n:INPUT ACCEPT [0:0]\n:MINE - [0:0]\n-A MINE -j DROP\nCOMMIT\n",
	       "*filter\n:INPUT DROP [0:0]\nCOMMIT\n", "MINE",
	       "-MINE 0 -N MINE\n-MINE 1 -A MINE -j DROP\n");
	expect(BACKEND_LEGACY, NULL, "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", NULL,
	       "+INPUT 0 -P INPUT ACCEPT\n");
}

static void what_stands_in_no_chain_of_nft(void **state)
{
	static const char before[] =
		"table inet f {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 }\n\t}\n\n"
		"\tchain in {\n\t\ttype filter hook input priority filter; policy accept;\n\t\tip saddr @s drop\n\t}\n}\n";
	static const char after[] =
		"table inet f {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.2 }\n\t}\n\n"
		"\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tip saddr @s drop\n\t}\n}\n";

	(void)state;
	expect(BACKEND_NATIVE, before, after, NULL,
	       "-in 0 type filter hook input priority filter; policy accept;\n+in 0 type filter hook input priority filter; policy drop;\n"
	       "- 0 \telements = { 10.0.0.1 }\n+ 0 \telements = { 10.0.0.2 }\n");
}

/* Two large tables without a rule in common at their ends take no more than n log n. */
static void large_tables(void **state)
{
	const uint32_t n = 50000;
	struct buf a, b;
	struct table older, newer;
	struct arena arena;
	struct delta d;

	(void)state;
	buf_init(&a, 16 << 20);
	buf_init(&b, 16 << 20);
	buf_addf(&a, "*filter\n:INPUT ACCEPT [0:0]\n");
	buf_addf(&b, "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\n");
	for (uint32_t i = 0; i < n; i++) {
		buf_addf(&a, "-A INPUT -m mark --mark %u -j DROP\n", i);
		if (i % 100)
			buf_addf(&b, "-A INPUT -m mark --mark %u -j DROP\n", i);
	}
	buf_addf(&a, "COMMIT\n");
	assert_int_equal(buf_addf(&b, "-A INPUT -j REJECT\nCOMMIT\n"), 0);
	arena_init(&arena, 256 << 20);
	assert_int_equal(table_parse(&older, (const char *)a.p, a.len), 0);
	assert_int_equal(table_parse(&newer, (const char *)b.p, b.len), 0);
	assert_int_equal(delta_make(&d, &older, &newer, NULL, &arena), 0);
	assert_int_equal(d.added, 2);
	assert_int_equal(d.removed, n / 100);
	table_clear(&older);
	table_clear(&newer);
	arena_free(&arena);
	buf_clear(&a);
	buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_come_go_and_move),
		cmocka_unit_test(chains_and_policies),
		cmocka_unit_test(what_stands_in_no_chain_of_nft),
		cmocka_unit_test(large_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
