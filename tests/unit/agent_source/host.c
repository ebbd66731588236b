/*
 * The dump of facts runs against the kernel that the test stands on: rtnetlink answers anybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include "agent/source/host.h"
#include "agent/source/ifnames.h"

struct seen {
	int count;
	bool lo, lo_route, lo_conf, rules;
};

static void on_facts(void *arg, const struct facts *f)
{
	struct seen *s = arg;
	struct addr lo;

	s->count++;
	addr_parse(&lo, "127.0.0.1");
	for (uint32_t i = 0; i < f->link_count; i++)
		s->lo |= strcmp(f->links[i].name, "lo") == 0 && f->links[i].ifindex == 1;
	for (uint32_t i = 0; i < f->route_count; i++)
		s->lo_route |= f->routes[i].ifindex == 1 && prefix_has(&f->routes[i].dst, &lo);
	for (uint32_t i = 0; i < f->link_count; i++)
		s->lo_conf |= f->links[i].ifindex == 1 && f->links[i].conf4;
	/* A kernel without policy routing has none, and says that it knows none. */
	s->rules = f->rules4 ? f->rule_count >= 3 : f->rule_count == 0;
}

static void a_dump_tells_links_and_routes(void **state)
{
	struct seen seen = { 0 };
	const struct sink out = { .arg = &seen, .facts = on_facts };
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct source s;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&self, sizeof(self)), 0);
	source_init(&s, &source_host, fd, NULL);
	for (int round = 1; round <= 2; round++) {
		assert_int_equal(host_dump(&s), 0);
		assert_true(host_dumping(&s));
		for (int i = 0; i < 100 && host_dumping(&s); i++) {
			struct pollfd p = { .fd = fd, .events = POLLIN };

			poll(&p, 1, 100);
			assert_true(source_drain(&s, 16, &out) >= 0);
		}
		assert_false(host_dumping(&s));
		assert_int_equal(seen.count, round);
	}
	assert_true(seen.lo);
	assert_true(seen.lo_route);
	assert_true(seen.lo_conf);
	assert_true(seen.rules);
	source_clear(&s);
}

static void names_follow_their_index(void **state)
{
	struct ifnames n = { 0 };

	(void)state;
	for (int i = 100; i > 0; i--)
		assert_int_equal(ifnames_set(&n, i, i % 2 ? "odd" : "even"), 0);
	assert_string_equal(ifnames_find(&n, 7), "odd");
	assert_int_equal(ifnames_set(&n, 7, "renamed"), 0);
	assert_string_equal(ifnames_find(&n, 7), "renamed");
	assert_int_equal(ifnames_set(&n, 7, ""), 0);
	assert_string_equal(ifnames_find(&n, 7), "");
	assert_string_equal(ifnames_find(&n, 8), "even");
	assert_int_equal(n.count, 99);
	ifnames_clear(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dump_tells_links_and_routes),
		cmocka_unit_test(names_follow_their_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
