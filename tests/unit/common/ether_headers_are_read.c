/*
 * Of an Ethernet header is told what is in it, and nothing that is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/ether.h"

#define MACS 2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 9

static const struct {
	const char *what;
	uint8_t bytes[24];
	size_t len;
	uint16_t type, vlan;
} headers[] = {
	{ "plain", { MACS, 0x86, 0xdd }, 14, 0x86dd, 0 },
	{ "more than the header", { MACS, 0x08, 0x00, 0x45, 0, 0, 60 }, 18, 0x0800, 0 },
	{ "802.1Q", { MACS, 0x81, 0, 0xe0, 0x07, 0x08, 0x00 }, 18, 0x0800, 7 },
	{ "802.1ad", { MACS, 0x88, 0xa8, 0x0f, 0xff, 0x86, 0xdd }, 18, 0x86dd, 4095 },
	{ "a priority, no VLAN", { MACS, 0x81, 0, 0xa0, 0, 0x08, 0x00 }, 18, 0x0800, 0 },
	{ "a tag cut off", { MACS, 0x81, 0, 0, 7, 8 }, 17, 0, 0 },
	{ "two tags", { MACS, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 8, 0 }, 20, 0, 5 },
	{ "a length", { MACS, 0x05, 0xdc }, 14, 0, 0 },
};

static void a_header_says_what_is_in_it(void **state)
{
	struct ether e;

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		print_message("%s\n", headers[i].what);
		assert_true(ether_decode(&e, headers[i].bytes, headers[i].len));
		assert_int_equal(e.dst[5], 8);
		assert_int_equal(e.src[5], 9);
		assert_int_equal(e.type, headers[i].type);
		assert_int_equal(e.vlan, headers[i].vlan);
		assert_true(ether_known(&e));
	}
}

static void half_a_header_says_nothing(void **state)
{
	struct ether e = { .vlan = 1 };

	(void)state;
	assert_false(ether_decode(&e, headers[0].bytes, 13));
	assert_false(ether_known(&e));
}

static void a_tag_taken_off_is_told(void **state)
{
	struct ether e = { 0 };

	(void)state;
	ether_tag(&e, 0x0800, 7);
	assert_int_equal(e.vlan, 0);
	ether_tag(&e, 0x8100, 0x6007);
	assert_int_equal(e.vlan, 7);
}

static void only_the_same_sender_s_frame_adds_to_it(void **state)
{
	const struct ether tagged = { .src = { 2, 0, 0, 0, 0, 9 }, .type = 0x0800, .vlan = 7 };
	struct ether e = { 0 }, other;

	(void)state;
	assert_true(ether_decode(&other, headers[0].bytes, 14));
	ether_merge(&e, &tagged);
	assert_int_equal(e.vlan, 7);
	ether_merge(&e, &other);
	assert_int_equal(e.dst[5], 8);
	assert_int_equal(e.type, 0x0800);
	assert_int_equal(e.vlan, 7);

	other.src[5] = 1;
	ether_merge(&other, &tagged);
	assert_int_equal(other.vlan, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_says_what_is_in_it),
		cmocka_unit_test(half_a_header_says_nothing),
		cmocka_unit_test(a_tag_taken_off_is_told),
		cmocka_unit_test(only_the_same_sender_s_frame_adds_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
