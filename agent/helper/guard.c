/*
 * A sysctl file that was opened inside a namespace goes on meaning that namespace, so the guard
 * needs neither to enter one nor a path. It has a socket to the helper, those files, and
 * CAP_NET_ADMIN, and it ends when the helper's end of the socket closes, by whatever death.
 */
#include "agent/helper/guard.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/helper/child.h"
#include "agent/helper/logger.h"

/*
 * The helper's end gets a high number, and the guard waits for this long: a dying process closes
 * its sockets one by one, and our tables must be gone before the logger changes.
 */
enum { GUARD_FD_HIGH = 768, SETTLE_MS = 50 };

struct note {
	uint32_t slot;
	char previous[LOGGER_NAME_MAX + 1]; /* "": nothing to restore */
};

struct kept {
	int fd; /* owned; -1 none */
	char previous[LOGGER_NAME_MAX + 1];
};

int guard_start(struct guard *g)
{
	struct child c = { .argv = { "--guard" }, .fd_count = 3, .deaf = true };
	int pair[2], high, r;

	*g = (struct guard){ .fd = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	high = fcntl(pair[0], F_DUPFD_CLOEXEC, GUARD_FD_HIGH);
	if (high >= 0) {
		close(pair[0]);
		pair[0] = high;
	}
	c.fds[0] = pair[1];
	c.fds[1] = -1;
	c.fds[2] = -1;
	r = child_start(&c);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	g->pid = r;
	g->fd = pair[0];
	return 0;
}

int guard_tell(struct guard *g, uint32_t slot, int fd, const char *previous)
{
	struct note note = { .slot = slot };
	struct iovec iov = { &note, sizeof(note) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (previous) {
		snprintf(note.previous, sizeof(note.previous), "%s", previous);
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(g->fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void guard_clear(struct guard *g)
{
	if (g->fd >= 0)
		close(g->fd);
	if (g->pid > 0)
		while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
			;
	*g = (struct guard){ .fd = -1 };
}

static void kept_set(struct kept *k, int fd, const char *previous)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = fd;
	snprintf(k->previous, sizeof(k->previous), "%s", previous);
}

/* 1: a note was taken; 0: the helper's end is closed; -errno. */
static int take_note(struct kept kept[static GUARD_NOTES_MAX])
{
	struct note note;
	struct iovec iov = { &note, sizeof(note) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *c;
	int fd = -1;
	ssize_t n;

	n = recvmsg(GUARD_FD, &m, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n == 0)
		return 0;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	if (n != sizeof(note) || note.slot >= GUARD_NOTES_MAX) {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	note.previous[LOGGER_NAME_MAX] = '\0';
	kept_set(&kept[note.slot], fd, note.previous);
	return 1;
}

static void keep_one_capability(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
	capng_apply(CAPNG_SELECT_CAPS);
}

int guard_main(void)
{
	struct kept kept[GUARD_NOTES_MAX];
	uint32_t i;
	int r;

	keep_one_capability();
	for (i = 0; i < GUARD_NOTES_MAX; i++)
		kept[i] = (struct kept){ .fd = -1 };

	do
		r = take_note(kept);
	while (r > 0);

	for (i = 0; i < GUARD_NOTES_MAX; i++)
		if (kept[i].fd >= 0)
			break;
	if (i < GUARD_NOTES_MAX)
		poll(NULL, 0, SETTLE_MS);
	for (; i < GUARD_NOTES_MAX; i++)
		if (kept[i].fd >= 0)
			logger_put_back(kept[i].fd, kept[i].previous);
	return r < 0 ? 1 : 0;
}
