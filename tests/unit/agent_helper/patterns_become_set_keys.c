/* Patterns become set keys as the kernel's registers will hold the packet's fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/shape.h"

static struct pattern pattern(uint8_t proto, const char *src, const char *dst, uint16_t sport,
			      uint16_t dport)
{
	struct pattern p = { .proto = proto, .sport = sport, .dport = dport };

	if (src)
		assert_true(prefix_parse(&p.src, src));
	if (dst)
		assert_true(prefix_parse(&p.dst, dst));
	p.family = src ? p.src.addr.family : p.dst.addr.family;
	return p;
}

static void key_holds_fields_in_words(void **state)
{
	static const uint8_t want[] = { 6, 0, 0,    0,    10, 0, 1, 2,    10, 0,
					3, 2, 0x1f, 0x90, 0,  0, 1, 0xbb, 0,  0 };
	struct pattern p = pattern(6, "10.0.1.2", "10.0.3.2", 8080, 443);
	struct shape s = shape_of(&p);
	uint8_t key[SHAPE_KEY_MAX];

	(void)state;
	assert_int_equal(shape_key(&s, &p, key), sizeof(want));
	assert_int_equal(shape_key_len(&s), sizeof(want));
	assert_memory_equal(key, want, sizeof(want));
}

static void key_of_prefixes_has_no_host_bits(void **state)
{
	struct pattern p = pattern(0, "10.255.1.2/9", "192.0.2.255/31", 0, 0);
	static const uint8_t want[] = { 10, 128, 0, 0, 192, 0, 2, 254 };
	struct shape s = shape_of(&p);
	uint8_t key[SHAPE_KEY_MAX], mask[16];

	(void)state;
	assert_int_equal(shape_key(&s, &p, key), sizeof(want));
	assert_memory_equal(key, want, sizeof(want));
	assert_true(shape_field_mask(&s, FIELD_SRC, mask));
	assert_memory_equal(mask, ((uint8_t[]){ 255, 128, 0, 0 }), 4);
}

static void key_fits_the_registers_at_its_longest(void **state)
{
	struct pattern p = pattern(17, "2001:db8::1/127", "2001:db8::ffff", 1, 2);
	struct shape s = shape_of(&p);
	uint8_t key[SHAPE_KEY_MAX], mask[16];

	(void)state;
	assert_int_equal(shape_key(&s, &p, key), 4 + 16 + 16 + 4 + 4);
	assert_int_equal(key[4 + 15], 0);
	assert_true(shape_field_mask(&s, FIELD_SRC, mask));
	assert_int_equal(mask[15], 0xfe);
	assert_false(shape_field_mask(&s, FIELD_DST, mask));
	assert_false(shape_field_mask(&s, FIELD_SPORT, mask));
}

static void every_prefix_length_masks_its_bits(void **state)
{
	uint8_t mask[16];
	uint32_t len, i, bits;

	(void)state;
	for (len = 1; len < 128; len++) {
		struct shape s = { .family = 6, .src_len = (uint8_t)len, .has[FIELD_SRC] = true };

		assert_true(shape_field_mask(&s, FIELD_SRC, mask));
		for (i = 0, bits = 0; i < 128; i++) {
			bool set = mask[i / 8] & (0x80 >> i % 8);

			assert_int_equal(set, i < len);
			bits += set;
		}
		assert_int_equal(bits, len);
	}
}

static void patterns_share_a_shape_when_they_fix_the_same(void **state)
{
	struct pattern p[] = {
		pattern(6, "10.0.1.2", NULL, 0, 443),    pattern(17, "10.9.9.9", NULL, 0, 53),
		pattern(6, "10.0.1.0/24", NULL, 0, 443), pattern(6, NULL, "10.0.1.2", 0, 443),
		pattern(6, "2001:db8::1", NULL, 0, 443), pattern(1, "10.0.1.2", NULL, 0, 0),
		pattern(1, "10.0.1.2", NULL, 0, 0),
	};
	struct shape shapes[PATTERNS_MAX];

	(void)state;
	p[6].icmp_id = 7;
	assert_int_equal(shapes_of(shapes, p, 7), 6);
	assert_int_equal(shapes_of(shapes, p, 2), 1);
	assert_int_equal(shapes_of(shapes, p, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_holds_fields_in_words),
		cmocka_unit_test(key_of_prefixes_has_no_host_bits),
		cmocka_unit_test(key_fits_the_registers_at_its_longest),
		cmocka_unit_test(every_prefix_length_masks_its_bits),
		cmocka_unit_test(patterns_share_a_shape_when_they_fix_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
