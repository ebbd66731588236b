/* What is noted about loggers is there after a restart, and nothing of it after a reboot. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/worker/notes.h"

static const uint8_t boot[16] = { 1 }, other_boot[16] = { 2 };

struct bench {
	char dir[64];
	struct notes n;
};

static int make(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	snprintf(b->dir, sizeof(b->dir), "/tmp/lasthop-notes-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	*state = b;
	return notes_open(&b->n, b->dir, boot, NULL);
}

static int unmake(void **state)
{
	struct bench *b = *state;
	char path[96];

	notes_clear(&b->n);
	snprintf(path, sizeof(path), "%s/loggers", b->dir);
	unlink(path);
	rmdir(b->dir);
	free(b);
	return 0;
}

static void again(struct bench *b, const uint8_t id[static 16])
{
	notes_clear(&b->n);
	assert_int_equal(notes_open(&b->n, b->dir, id, NULL), 0);
}

static void notes_survive_a_restart(void **state)
{
	struct bench *b = *state;

	assert_int_equal(notes_set(&b->n, 4026531840, 0x301), 0);
	assert_int_equal(notes_set(&b->n, 7, 0x101), 0);
	again(b, boot);
	assert_int_equal(notes_find(&b->n, 4026531840), 0x301);
	assert_int_equal(notes_find(&b->n, 7), 0x101);
	assert_int_equal(notes_find(&b->n, 8), 0);
	assert_int_equal(notes_set(&b->n, 4026531840, 0), 0);
	assert_int_equal(notes_set(&b->n, 8, 0), 0);
	again(b, boot);
	assert_int_equal(notes_find(&b->n, 4026531840), 0);
	assert_int_equal(notes_find(&b->n, 7), 0x101);
	again(b, other_boot);
	assert_int_equal(notes_find(&b->n, 7), 0);
}

static void the_newest_have_room(void **state)
{
	struct bench *b = *state;

	for (uint64_t i = 1; i <= NOTES_MAX + 1; i++)
		assert_int_equal(notes_set(&b->n, i, 0x101), 0);
	again(b, boot);
	assert_int_equal(notes_find(&b->n, 1), 0);
	assert_int_equal(notes_find(&b->n, NOTES_MAX + 1), 0x101);
}

static void damage_is_not_believed(void **state)
{
	static const char *const texts[] = {
		"",
		"01000000000000000000000000000000",
		"01000000000000000000000000000000\n7",
		"01000000000000000000000000000000\n7 257",
		"01000000000000000000000000000000\n7 -1\n7 0\n7 65536\nx y\n0 257\n",
		"7 257\n",
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(ftruncate(b->n.fd, 0), 0);
		assert_int_equal(pwrite(b->n.fd, texts[i], strlen(texts[i]), 0), strlen(texts[i]));
		again(b, boot);
		assert_int_equal(notes_find(&b->n, 7), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
		T(notes_survive_a_restart),
		T(the_newest_have_room),
		T(damage_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
