/*
 * Other programs can send netlink messages, too: to a socket, and where they may, to all of a group. Sources take none of them.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/source/source.h"

enum { GROUP = 1 };

static int taken;

static int note(struct source *s, const uint8_t *p, size_t len, struct boot_ns now,
		const struct sink *out)
{
	(void)s, (void)p, (void)len, (void)now, (void)out;
	taken++;
	return 0;
}

static const struct source_ops ops = { .name = "noted", .decode = note };

/* Programs may talk to each other over this protocol; in a namespace of our own to groups as well. */
static int open_socket(uint32_t groups)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&self, sizeof(self)), 0);
	return fd;
}

static uint32_t port_of(int fd)
{
	struct sockaddr_nl self;
	socklen_t len = sizeof(self);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
	return self.nl_pid;
}

static int say(int fd, uint32_t port, uint32_t groups)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups };
	struct nlmsghdr h = { .nlmsg_len = sizeof(h), .nlmsg_type = NLMSG_MIN_TYPE };

	return sendto(fd, &h, sizeof(h), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static void a_socket_is_shut_to_others(void **state)
{
	int other = open_socket(0), fd = open_socket(0);
	const struct sink nobody = { 0 };
	struct source s;

	(void)state;
	taken = 0;
	/* Before the source has it, another's may come to wait in it. */
	assert_int_equal(say(other, port_of(fd), 0), 0);
	source_init(&s, &ops, fd, NULL);
	assert_true(s.shut);
	assert_true(s.asks_sender);
	assert_int_equal(say(other, port_of(fd), 0), -ECONNREFUSED);
	assert_int_equal(source_drain(&s, 16, &nobody), 1);
	assert_int_equal(taken, 0);
	assert_false(s.asks_sender);
	assert_int_equal(say(other, port_of(fd), 0), -ECONNREFUSED);
	assert_int_equal(source_drain(&s, 16, &nobody), 0);
	close(other);
	source_clear(&s);
}

static void a_group_may_hear_others_and_asks(void **state)
{
	int other = open_socket(0), fd = open_socket(1 << (GROUP - 1));
	const struct sink nobody = { 0 };
	struct source s;

	(void)state;
	taken = 0;
	source_init(&s, &ops, fd, NULL);
	assert_false(s.shut);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(say(other, 0, 1 << (GROUP - 1)), -ECONNREFUSED); /* no kernel */
		assert_int_equal(source_drain(&s, 16, &nobody), 1);
		assert_true(s.asks_sender);
	}
	assert_int_equal(taken, 0);
	close(other);
	source_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_is_shut_to_others),
		cmocka_unit_test(a_group_may_hear_others_and_asks),
	};

	/* Who may listen to groups: root, of whatever namespace. */
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 && unshare(CLONE_NEWNET) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
