/*
 * A ruleset memfd is believed only as far as its lengths add up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/helper/ipc.h"
#include "agent/source/ruleset.h"
#include "common/journey.h"

static const char text[] =
	"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m state --state NEW -j DROP\nCOMMIT\n";

static struct ruleset_part part(const char *name, uint32_t len)
{
	struct ruleset_part p = { .backend = BACKEND_LEGACY, .family = FAMILY_IPV4, .len = len };

	snprintf(p.table, sizeof(p.table), "%s", name);
	return p;
}

static int file(const struct ruleset_part *p, size_t text_len)
{
	int fd = memfd_create("ruleset", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, sizeof(*p)), sizeof(*p));
	assert_int_equal(write(fd, text, text_len), text_len);
	return fd;
}

static void finds_each_table(void **state)
{
	struct ruleset_part p = part("filter", sizeof(text) - 1), q = part("raw", 0);
	int fd = file(&p, sizeof(text) - 1);
	struct ruleset r;
	const char *map;

	(void)state;
	assert_int_equal(write(fd, &q, sizeof(q)), sizeof(q));
	assert_int_equal(ruleset_open(&r, fd), 0);
	assert_int_equal(r.count, 2);
	assert_string_equal(r.tables[0].name, "filter");
	assert_string_equal(r.tables[1].name, "raw");
	assert_int_equal(r.tables[1].len, 0);
	map = ruleset_map(&r);
	assert_memory_equal(map + r.tables[0].offset, text, sizeof(text) - 1);
	assert_true(text_uses_conntrack(map, r.size));
	ruleset_unmap(&r, map);
	ruleset_clear(&r);
	assert_int_equal(ruleset_open(&r, -1), 0);
}

static void refuses_lengths_beyond_the_file(void **state)
{
	struct ruleset_part p = part("filter", sizeof(text));
	struct ruleset r;

	(void)state;
	assert_int_equal(ruleset_open(&r, file(&p, sizeof(text) - 1)), -EBADMSG);
	assert_int_equal(r.fd, -1);
	p.len = UINT32_MAX;
	assert_int_equal(ruleset_open(&r, file(&p, sizeof(text) - 1)), -EBADMSG);
	p = part("filter", 3); /* what follows is no header */
	assert_int_equal(ruleset_open(&r, file(&p, 10)), -EBADMSG);
	p = part("filter", 4);
	memset(p.table, 'x', sizeof(p.table));
	assert_int_equal(ruleset_open(&r, file(&p, 4)), -EBADMSG);
	p = part("filter", 4);
	p.family = FAMILY_COUNT;
	assert_int_equal(ruleset_open(&r, file(&p, 4)), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_each_table),
		cmocka_unit_test(refuses_lengths_beyond_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
