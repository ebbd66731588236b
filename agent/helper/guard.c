/*
 * A sysctl file that was opened inside a namespace goes on meaning that namespace, so the guard
 * needs neither to enter one nor a path. It has a socket to the helper, those files, and
 * CAP_NET_ADMIN, and it ends when the helper's end of the socket closes, by whatever death.
 */
#include "agent/helper/guard.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/helper/child.h"
#include "agent/helper/fallback.h"
#include "agent/helper/logger.h"
#include "agent/helper/pass.h"

/*
 * The helper's end gets a high number, and the guard waits for this long: a dying process closes
 * its sockets one by one, and our tables must be gone before the logger changes.
 */
enum { AGENT_TEXT = 17 };
enum { GUARD_FD_HIGH = 768, SETTLE_MS = 50 };

struct note {
	uint32_t slot;
	uint32_t rules; /* it is about rules: slot is a place. 1: they stand, 2: they do not */
	char previous[LOGGER_NAME_MAX + 1]; /* "": nothing to restore */
};

enum { RULES_STAND = 1, RULES_GONE };

/* Namespaces in which rules of ours stand. */
struct raised {
	bool standing;
	int fd; /* owned; -1: where we stand */
};

struct kept {
	int fd; /* owned; -1 none */
	char previous[LOGGER_NAME_MAX + 1];
};

int guard_start(struct guard *g, uint64_t rules_of)
{
	struct child c = { .argv = { "--guard" }, .fd_count = 3, .deaf = true };
	char agent[AGENT_TEXT];
	int pair[2], high, r;

	*g = (struct guard){ .fd = -1 };
	snprintf(agent, sizeof(agent), "%016" PRIx64, rules_of);
	c.argv[1] = rules_of ? agent : NULL;
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

	if (previous)
		snprintf(note.previous, sizeof(note.previous), "%s", previous);
	return pass(g->fd, &note, sizeof(note), previous ? fd : -1, 0);
}

int guard_rules(struct guard *g, uint32_t place, int fd, bool standing)
{
	struct note note = { .slot = place, .rules = standing ? RULES_STAND : RULES_GONE };

	return pass(g->fd, &note, sizeof(note), standing ? fd : -1, 0);
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
static int take_note(struct kept kept[static GUARD_NOTES_MAX],
		     struct raised raised[static HOSTS_PER_AGENT])
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
	if (n != sizeof(note) || note.rules > RULES_GONE ||
	    note.slot >= (note.rules ? (uint32_t)HOSTS_PER_AGENT : (uint32_t)GUARD_NOTES_MAX)) {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	if (note.rules) {
		struct raised *up = &raised[note.slot];

		if (up->fd >= 0)
			close(up->fd);
		*up = (struct raised){ note.rules == RULES_STAND, fd };
		return 1;
	}
	note.previous[LOGGER_NAME_MAX] = '\0';
	kept_set(&kept[note.slot], fd, note.previous);
	return 1;
}

/* Rules are removed by a child in their namespace, which takes more. */
static void keep_capabilities(bool rules)
{
	capng_clear(CAPNG_SELECT_BOTH);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
	if (rules)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_RAW,
			      CAP_SYS_ADMIN, -1);
	capng_apply(CAPNG_SELECT_CAPS);
}

static void lower_rules(struct raised *up, uint64_t agent)
{
	struct netns ns = { .fd = up->fd };
	struct fallback f = { .standing = true };

	fallback_put(&f, &ns, agent, NULL, 0, NULL);
}

int guard_main(const char *rules_of)
{
	uint64_t agent = rules_of ? strtoull(rules_of, NULL, 16) : 0;
	struct kept kept[GUARD_NOTES_MAX];
	struct raised raised[HOSTS_PER_AGENT];
	uint32_t i;
	int r;

	keep_capabilities(agent != 0);
	for (i = 0; i < GUARD_NOTES_MAX; i++)
		kept[i] = (struct kept){ .fd = -1 };
	for (i = 0; i < HOSTS_PER_AGENT; i++)
		raised[i] = (struct raised){ .fd = -1 };

	do
		r = take_note(kept, raised);
	while (r > 0);

	for (i = 0; i < HOSTS_PER_AGENT; i++)
		if (raised[i].standing)
			lower_rules(&raised[i], agent);
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
