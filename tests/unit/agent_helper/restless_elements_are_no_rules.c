/*
 * Elements that packets or the clock bring and take are not in a table's text: otherwise every change of a rule would seem to
 * have changed the sets beside it, too. All else stays byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/nfttext.h"

static void settles(const char *text, const char *wanted)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	assert_int_equal(nfttext_settle(&b, text, strlen(text)), 0);
	assert_int_equal(b.len, strlen(wanted));
	assert_memory_equal(b.p, wanted, b.len);
	buf_clear(&b);
}

#define HEAD "table ip t {\n"
#define PLAIN                                                                                              \
	"\tset plain {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 10.0.0.0/8,\n\t\t\t     " \
	"192.168.1.1-192.168.1.9 }\n\t}\n\n"
#define CHAIN                                                                                              \
	"\tchain c {\n\t\ttype filter hook output priority filter; policy accept;\n"                       \
	"\t\tadd @dyn { ip daddr timeout 20s }\n\t\tmeter m size 65535 { ip daddr limit rate 5/second }\n" \
	"\t}\n}\n"

static void dynamic_sets(void **state)
{
	(void)state;
	settles(HEAD
		"\tset dyn {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n"
		"\t\telements = { 1.2.3.4 timeout 30s comment \"a }\n\t}\n b\", 127.0.0.1 timeout 20s,\n"
		"\t\t\t     127.0.0.2 timeout 20s }\n\t}\n\n" PLAIN CHAIN,
		HEAD
		"\tset dyn {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n"
		"\t}\n\n" PLAIN CHAIN);
	settles(HEAD
		"\tset lim {\n\t\ttype ipv4_addr\n\t\tflags dynamic\n\t\telements = { 127.0.0.1 limit rate 1/second }\n"
		"\t}\n" PLAIN CHAIN,
		HEAD "\tset lim {\n\t\ttype ipv4_addr\n\t\tflags dynamic\n\t}\n" PLAIN CHAIN);
}

static void timed_maps(void **state)
{
	(void)state;
	settles(HEAD
		"\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\tflags timeout\n\t\telements = { 9.9.9.9 timeout 1h : drop }\n"
		"\t}\n" CHAIN,
		HEAD "\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\tflags timeout\n\t}\n" CHAIN);
}

/* Words of comments are no flags, and one set's flags are not the next one's. */
static void others_stay(void **state)
{
	static const char comment[] = HEAD
		"\tset s {\n\t\ttype ipv4_addr\n\t\tcomment \"\n\t\tflags dynamic\n\t\ttimeout 1m\"\n"
		"\t\telements = { 1.1.1.1 comment \"timeout 3s\" }\n\t}\n" CHAIN;
	static const char unfinished[] = HEAD "\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 1.1";

	(void)state;
	settles(comment, comment);
	settles(HEAD PLAIN CHAIN, HEAD PLAIN CHAIN);
	settles(HEAD "\tset a {\n\t\tflags timeout\n\t\telements = { 1.1.1.1 }\n\t}\n" PLAIN CHAIN,
		HEAD "\tset a {\n\t\tflags timeout\n\t}\n" PLAIN CHAIN);
	settles(unfinished, unfinished);
	settles("", "");
}

static void a_full_buffer_is_told(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_true(nfttext_settle(&b, HEAD, strlen(HEAD)) < 0);
	buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dynamic_sets),
		cmocka_unit_test(timed_maps),
		cmocka_unit_test(others_stay),
		cmocka_unit_test(a_full_buffer_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
