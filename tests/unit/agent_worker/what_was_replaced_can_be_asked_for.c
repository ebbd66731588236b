/*
 * The texts of rulesets that stood for some milliseconds only: the collector asks for them when others have replaced them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/worker/replaced.h"

static const struct boot_ns now = { 1000 };

/* One table whose memfd has that many bytes. */
static struct ruleset ruleset(size_t size)
{
	struct ruleset r = { .size = size, .count = 1 };

	r.fd = memfd_create("ruleset", MFD_CLOEXEC);
	assert_true(r.fd >= 0);
	r.tables[0].len = size;
	return r;
}

static struct content_id id(uint32_t n)
{
	return content_id_of((const char *)&n, sizeof(n));
}

static void keep(struct replaced *l, uint32_t n, size_t size, struct boot_ns at)
{
	struct ruleset r = ruleset(size);
	struct content_id known = id(n);

	replaced_keep(l, &r, &known, at);
	assert_int_equal(r.fd, -1);
	assert_int_equal(r.count, 0);
}

static bool has(const struct replaced *l, uint32_t n)
{
	const struct content_id known = id(n);
	const struct ruleset *in = NULL;
	int at = replaced_find(l, &known, &in);

	assert_true(at < 0 || (at == 0 && in && in->count == 1));
	return at == 0;
}

static void each_is_found_until_its_time_is_over(void **state)
{
	struct replaced l = { 0 };
	struct boot_ns later = { now.v + INT64_C(2) * NS_PER_S },
		       over = { now.v + (int64_t)REPLACED_S * NS_PER_S };

	(void)state;
	replaced_expire(&l, now);
	assert_false(has(&l, 1));
	keep(&l, 1, 100, now);
	keep(&l, 2, 200, later);
	assert_true(has(&l, 1) && has(&l, 2) && !has(&l, 3));
	replaced_expire(&l, over);
	assert_true(!has(&l, 1) && has(&l, 2));
	keep(&l, 3, 300, over);
	assert_int_equal(l.size, 500);
	replaced_clear(&l);
	assert_int_equal(l.size, 0);
	assert_false(has(&l, 2));
}

static void the_oldest_make_room(void **state)
{
	struct replaced l = { 0 };

	(void)state;
	for (uint32_t i = 0; i < REPLACED_MAX + 1; i++)
		keep(&l, i, 10, now);
	assert_int_equal(l.count, REPLACED_MAX);
	assert_true(!has(&l, 0) && has(&l, 1));
	keep(&l, 100, REPLACED_BYTES_MAX - 15, now);
	assert_int_equal(l.count, 2);
	assert_true(has(&l, REPLACED_MAX) && has(&l, 100));
	keep(&l, 101, REPLACED_BYTES_MAX + 1, now);
	assert_true(has(&l, 100) && !has(&l, 101));
	replaced_clear(&l);
}

/* The first one that is read replaces none. */
static void without_a_memfd_there_is_nothing_to_keep(void **state)
{
	struct replaced l = { 0 };
	struct ruleset none = { .fd = -1 };

	(void)state;
	replaced_keep(&l, &none, NULL, now);
	assert_int_equal(l.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_found_until_its_time_is_over),
		cmocka_unit_test(the_oldest_make_room),
		cmocka_unit_test(without_a_memfd_there_is_nothing_to_keep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
