/*
 * Few requests are on the wire at a time, the others wait here: a SEQPACKET send must not block the loop, and the
 * helper answers while it takes more.
 */
#include "agent/worker/link.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/helper/pass.h"

enum { ON_WIRE_MAX = 16, WAITING_MAX = 1024 };

#define HELPER_NAME "lasthop-helper"
#define HELPER_DIR "/usr/libexec/lasthop"

struct pending {
	struct pending *next;
	struct helper_request q;
	int fd; /* owned: to be passed; -1 none or sent */
	bool sent;
	link_answer *done;
	void *arg;
};

struct link {
	int fd;
	pid_t pid;
	uint32_t tag, on_wire, waiting;
	struct pending *first; /* owned; in the order of asking */
	link_told *told;
	void *told_arg;
};

static bool helper_path(char path[static PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(HELPER_NAME) - 1);
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		if (slash) {
			memcpy(slash + 1, HELPER_NAME, sizeof(HELPER_NAME));
			if (access(path, X_OK) == 0)
				return true;
		}
	}
	snprintf(path, PATH_MAX, "%s/%s", HELPER_DIR, HELPER_NAME);
	return access(path, X_OK) == 0;
}

/* In the child: the pair's end becomes HELPER_FD, everything else closes on exec. */
static void run_helper(const char *path, int fd, char *const *argv)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd == HELPER_FD)
		fcntl(fd, F_SETFD, 0);
	else if (dup2(fd, HELPER_FD) < 0)
		_exit(127);
	execv(path, argv);
	_exit(127);
}

static char **helper_argv(const struct link_start *s, char agent[static 17])
{
	char **argv = calloc(2 * (size_t)s->netns_count + 6, sizeof(*argv));
	uint32_t n = 0;

	if (!argv)
		return NULL;
	snprintf(agent, 17, "%016" PRIx64, s->agent);
	argv[n++] = (char *)(uintptr_t)HELPER_NAME;
	argv[n++] = (char *)(uintptr_t) "--agent";
	argv[n++] = agent;
	if (s->fallback || s->fallback_only)
		argv[n++] =
			(char *)(uintptr_t)(s->fallback_only ? "--fallback-only" : "--fallback");
	if (s->all)
		argv[n++] = (char *)(uintptr_t) "--all";
	for (uint32_t i = 0; i < s->netns_count; i++) {
		argv[n++] = (char *)(uintptr_t) "--netns";
		argv[n++] = (char *)(uintptr_t)s->netns[i];
	}
	return argv;
}

int link_open(struct link **out, const struct link_start *s, struct why *why)
{
	char path[PATH_MAX], agent[17];
	int pair[2] = { -1, -1 };
	struct link *l = NULL;
	char **argv = NULL;
	int r;

	if (!helper_path(path))
		return why_set(why, -ENOENT, "%s is neither beside this program nor in %s",
			       HELPER_NAME, HELPER_DIR);
	l = calloc(1, sizeof(*l));
	argv = helper_argv(s, agent);
	if (!l || !argv) {
		r = -ENOMEM;
		goto out;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = why_set(why, -errno, "no socket for the helper: %s", strerror(errno));
		goto out;
	}
	l->pid = fork();
	if (l->pid < 0) {
		r = why_set(why, -errno, "cannot start the helper: %s", strerror(errno));
		goto out;
	}
	if (l->pid == 0)
		run_helper(path, pair[1], argv);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	l->fd = pair[0];
	close(pair[1]);
	free(argv);
	*out = l;
	return 0;
out:
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
	}
	free(argv);
	free(l);
	return r;
}

int link_fd(const struct link *l)
{
	return l->fd;
}

int link_pid(const struct link *l)
{
	return l->pid;
}

static int send_one(struct link *l, struct pending *p)
{
	int r = pass(l->fd, &p->q, sizeof(p->q), p->fd, MSG_DONTWAIT);

	if (r < 0)
		return r;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->sent = true;
	l->on_wire++;
	return 0;
}

static int send_waiting(struct link *l)
{
	int r;

	for (struct pending *p = l->first; p && l->on_wire < ON_WIRE_MAX; p = p->next) {
		if (p->sent)
			continue;
		r = send_one(l, p);
		if (r == -EAGAIN && l->on_wire > 0)
			return 0; /* the next answer makes room */
		if (r < 0)
			return r;
	}
	return 0;
}

int link_ask(struct link *l, const struct helper_request *q, int pass_fd, link_answer *done,
	     void *arg)
{
	struct pending **at, *p;

	if (l->waiting >= WAITING_MAX)
		return -EBUSY;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->q = *q;
	p->q.tag = ++l->tag;
	p->fd = pass_fd >= 0 ? fcntl(pass_fd, F_DUPFD_CLOEXEC, 0) : -1;
	p->done = done;
	p->arg = arg;
	for (at = &l->first; *at; at = &(*at)->next)
		;
	*at = p;
	l->waiting++;
	return send_waiting(l);
}

/* The fd that came with an answer; -1 when none did. */
static int passed_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int take_answer(struct link *l, const struct helper_answer *a, int fd)
{
	struct pending **at, *p;

	if (a->tag == 0 && a->op == HELPER_NETNS) {
		if (fd >= 0)
			close(fd);
		if (l->told)
			l->told(l->told_arg, a);
		return 0;
	}
	for (at = &l->first; *at && !((*at)->sent && (*at)->q.tag == a->tag); at = &(*at)->next)
		;
	p = *at;
	if (!p || p->q.op != a->op) {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	*at = p->next;
	l->on_wire--;
	l->waiting--;
	if (p->done)
		p->done(p->arg, &p->q, a, fd);
	else if (fd >= 0)
		close(fd);
	free(p);
	return 0;
}

void link_listen(struct link *l, link_told *told, void *arg)
{
	l->told = told;
	l->told_arg = arg;
}

void link_forget(struct link *l, uint32_t netns)
{
	for (struct pending *p = l->first; p; p = p->next) {
		if (p->q.netns == netns && !request_is_for_all(&p->q))
			p->done = NULL;
	}
}

int link_read(struct link *l)
{
	struct helper_answer a;
	struct iovec iov = { &a, sizeof(a) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	int fd, r;

	for (;;) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.room);
		n = recvmsg(l->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNRESET;
		fd = passed_fd(&m);
		if (n != sizeof(a)) {
			if (fd >= 0)
				close(fd);
			return -EPROTO;
		}
		a.why[WHY_MAX] = '\0';
		r = take_answer(l, &a, fd);
		if (r < 0)
			return r;
	}
	return send_waiting(l);
}

void link_free(struct link *l, int wait_ms)
{
	struct pending *p;

	if (!l)
		return;
	close(l->fd);
	while ((p = l->first)) {
		l->first = p->next;
		if (p->fd >= 0)
			close(p->fd);
		free(p);
	}
	for (; wait_ms > 0 && waitpid(l->pid, NULL, WNOHANG) == 0; wait_ms -= 10)
		poll(NULL, 0, 10);
	free(l);
}
