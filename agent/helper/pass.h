/*
 * One message over a SEQPACKET pair, with a descriptor beside it: how helper, guard and worker send theirs.
 */
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* The receiver gets a copy of fd; -1: none goes with it. 0 or -errno. */
static inline int pass(int to, const void *message, size_t len, int fd, int flags)
{
	struct iovec iov = { (void *)message, len };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(to, &m, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
