/*
 * Packets and lines that were read before are known again, and only those: what is told is the same as without a memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/source/lines.h"
#include "agent/source/seen.h"

enum { ROUNDS = 200000 };

static uint64_t dice = 1;

static uint64_t roll(uint64_t n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice % n;
}

/* A UDP packet of several flows; a few of its bytes and its end are anybody's. */
static size_t packet_roll(uint8_t p[static SEEN_BYTES + 8])
{
	size_t len = roll(8) ? 60 : roll(SEEN_BYTES + 8);

	memset(p, 0, SEEN_BYTES + 8);
	p[0] = roll(16) ? 0x45 : 0x60;
	p[3] = 60;
	p[5] = (uint8_t)roll(3);
	p[8] = (uint8_t)(63 + roll(2));
	p[9] = 17;
	p[15] = (uint8_t)roll(2);
	p[19] = (uint8_t)roll(2);
	p[25] = 40;
	if (roll(8) == 0)
		p[roll(SEEN_BYTES)] = (uint8_t)roll(256);
	return len;
}

static void a_packet_is_told_as_if_it_was_never_seen(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	uint8_t bytes[SEEN_BYTES + 8];
	struct packet with, without;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = packet_roll(bytes);
		/* Of its own size, so that reading beyond it shows. */
		uint8_t *p = malloc(len ? len : 1);
		int r;

		memcpy(p, bytes, len);
		r = packet_decode(&without, p, len, NULL, 0);
		assert_int_equal(seen_decode(seen, &with, p, len), r);
		assert_memory_equal(&with, &without, sizeof(with));
		free(p);
	}
	free(seen);
}

static size_t line_roll(char text[static 256])
{
	static const char *const tables[] = { "raw", "nat", "filter", "other" };
	static const char *const types[] = { "rule", "policy", "return", "role" };
	int n = snprintf(text, 256, "TRACE: %s:CHAIN-%d:%s:%d ", tables[roll(4)], (int)roll(20),
			 types[roll(4)], (int)roll(5));
	size_t len = (size_t)n + roll(2); /* with the NUL that ends it, or without */

	if (roll(30) == 0)
		memset(text + n, 'x', len = roll(200) + 1);
	return len < 256 ? len : 255;
}

static void a_line_is_read_as_if_it_was_new(void **state)
{
	struct lines *lines = calloc(1, sizeof(*lines));
	struct trace_prefix parsed;
	char text[512] = "";

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = line_roll(text), kept = len < LOG_PREFIX_MAX ? len : LOG_PREFIX_MAX;
		enum hook hook = (enum hook)roll(HOOK_COUNT);
		const struct line *line = lines_read(lines, hook, text, len);
		bool trace = hook != HOOK_NONE && trace_prefix_parse(&parsed, text, kept);

		assert_int_equal(line->trace, trace);
		assert_memory_equal(line->text, text, kept);
		assert_int_equal(line->text[kept], '\0');
		if (!trace)
			continue;
		assert_string_equal(line->parsed.table, parsed.table);
		assert_string_equal(line->parsed.chain, parsed.chain);
		assert_int_equal(line->parsed.label, parsed.label);
		assert_int_equal(line->parsed.number, parsed.number);
		assert_int_equal(line->priority, legacy_priority(parsed.table, hook));
	}
	free(lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_is_told_as_if_it_was_never_seen),
		cmocka_unit_test(a_line_is_read_as_if_it_was_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
