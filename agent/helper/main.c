/*
 * lasthop-helper: the part of the agent that holds the capabilities. It opens sockets, reads
 * rulesets and owns the probe tables on request of the worker, at the other end of descriptor 3,
 * and removes everything when that end closes. It starts its guard first.
 *
 * 	lasthop-helper [--netns NAME]...	the helper
 * 	lasthop-helper --guard			see guard.h
 * 	lasthop-helper --dump FAMILY		see main_dump.h
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/helper/dumper.h"
#include "agent/helper/guard.h"
#include "agent/helper/ipc.h"
#include "agent/helper/lease.h"
#include "agent/helper/main_dump.h"
#include "agent/helper/netns.h"
#include "agent/helper/request.h"
#include "agent/helper/sockets.h"

enum { FDS_IN_MAX = 8, SEND_SECONDS = 5, LOGGER_CHECK_MS = 2000, LARGE = 64 << 10 };

/* One namespace that this helper serves. */
struct place {
	struct netns ns;
	struct leases leases;
	struct dumper dumper;
};

struct helper {
	struct guard guard;
	int signals, timer; /* owned */
	int done, quit;     /* owned: eventfds of the dumps */
	uint32_t place_count;
	struct place *places; /* owned */
};

/* Answers. */

static int answer_send(const struct helper_answer *a, int fd)
{
	struct iovec iov = { (void *)a, sizeof(*a) };
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
	return sendmsg(HELPER_FD, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Sends the answer and gives fd away. */
static int answer_give(const struct helper_answer *a, int fd)
{
	int r = answer_send(a, fd);

	if (fd >= 0)
		close(fd);
	return r;
}

/* Requests. */

struct opening {
	const struct helper_request *q;
	struct why *why;
};

static int open_in_place(void *arg)
{
	struct opening *o = arg;

	if (o->q->op == HELPER_DUMP)
		return conntrack_dump_open(o->why);
	return source_open((enum helper_source)o->q->what, o->why);
}

static int lease_request(struct place *p, const struct helper_request *q, struct why *why)
{
	int r = lease_check(&q->lease, boot_now(), why);

	return r < 0 ? r : leases_put(&p->leases, &q->lease, why);
}

/* Does what q asks. -EPROTO ends the helper; every other failure goes into an answer. */
static int request_serve(struct helper *h, const struct helper_request *q, int fd_in)
{
	struct helper_answer a = { .op = q->op, .tag = q->tag };
	struct place *p = &h->places[q->netns];
	struct lease_count count = { 0 };
	struct why why = { "" };
	struct opening o = { q, &why };
	int fd = -1, r = 0;

	switch ((enum helper_op)q->op) {
	case HELPER_DUMP:
		if (q->what == DUMP_RULESET) {
			if (dumper_has(&p->dumper, q->tag))
				return -EPROTO;
			r = dumper_ask(&p->dumper, q->tag, q->known);
			if (r == 0)
				return 0;
			why_set(&why, r,
				"too many ruleset dumps wait, or no thread could be started");
			break;
		}
		/* fall through */
	case HELPER_OPEN:
		fd = r = netns_run(&p->ns, open_in_place, &o, &why);
		break;
	case HELPER_RCVBUF:
		r = socket_rcvbuf(fd_in, q->what, &a.value);
		break;
	case HELPER_LEASE:
		r = lease_request(p, q, &why);
		break;
	case HELPER_STOP:
		r = leases_stop(&p->leases, q->known, &count, &why);
		break;
	case HELPER_LEASE_STATE:
		r = leases_count(&p->leases, q->known, &count);
		break;
	case HELPER_NONE:
		return -EPROTO;
	}
	a.error = r < 0 ? r : 0;
	a.traced = count.traced;
	a.refused = count.refused;
	if (a.error && why.text[0] == '\0')
		why_set(&why, 0, "%s", strerror(-a.error));
	snprintf(a.why, sizeof(a.why), "%s", why.text);
	return answer_give(&a, fd);
}

static uint32_t take_fds(struct msghdr *m, int fds[static FDS_IN_MAX])
{
	uint32_t count = 0;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds, CMSG_DATA(c), len);
		count = (uint32_t)(len / sizeof(int));
	}
	return count;
}

/* 1: go on; 0: the worker has gone; -errno: it is not our worker. */
static int request_take(struct helper *h)
{
	struct helper_request q;
	struct iovec iov = { &q, sizeof(q) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(FDS_IN_MAX * sizeof(int))];
	} control;
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room),
	};
	int fds[FDS_IN_MAX];
	uint32_t i, count;
	ssize_t n;
	int r;

	n = recvmsg(HELPER_FD, &m, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? 0 : -errno;
	count = take_fds(&m, fds);
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		r = -EPROTO;
	else
		r = request_check(&q, (size_t)n, count, h->place_count);
	if (r == 0)
		r = request_serve(h, &q, count ? fds[0] : -1);
	for (i = 0; i < count; i++)
		close(fds[i]);
	return r < 0 ? r : 1;
}

static int dumps_answer(struct helper *h)
{
	struct helper_answer a;
	eventfd_t ignored;
	uint32_t i;
	int fd, r;

	eventfd_read(h->done, &ignored);
	for (i = 0; i < h->place_count; i++) {
		while (dumper_take(&h->places[i].dumper, &a, &fd)) {
			r = answer_give(&a, fd);
			if (r < 0)
				return r;
		}
	}
	return 1;
}

/* Time. */

static void timer_set(struct helper *h)
{
	struct itimerspec at = { 0 };
	uint64_t first = 0;
	uint32_t i;

	for (i = 0; i < h->place_count; i++) {
		uint64_t d = leases_deadline(&h->places[i].leases);

		if (d && (first == 0 || d < first))
			first = d;
	}
	at.it_value.tv_sec = (time_t)(first / NS_PER_S);
	at.it_value.tv_nsec = (long)(first % NS_PER_S);
	timerfd_settime(h->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static bool leased(const struct helper *h)
{
	uint32_t i;

	for (i = 0; i < h->place_count; i++)
		if (h->places[i].leases.count)
			return true;
	return false;
}

static void look_around(struct helper *h)
{
	uint32_t i;

	for (i = 0; i < h->place_count; i++) {
		leases_expire(&h->places[i].leases);
		logger_check(&h->places[i].leases.logger);
	}
}

/* 0 when the worker or a signal ended it, -errno when something was wrong. */
static int serve(struct helper *h)
{
	enum { WORKER, SIGNALS, GUARD, TIMER, DUMPS, POLLS };
	struct pollfd polls[POLLS] = {
		[WORKER] = { .fd = HELPER_FD, .events = POLLIN },
		[SIGNALS] = { .fd = h->signals, .events = POLLIN },
		[GUARD] = { .fd = h->guard.fd, .events = POLLIN },
		[TIMER] = { .fd = h->timer, .events = POLLIN },
		[DUMPS] = { .fd = h->done, .events = POLLIN },
	};
	uint64_t ignored;
	int n, r = 1;

	while (r > 0) {
		timer_set(h);
		n = poll(polls, POLLS, leased(h) ? LOGGER_CHECK_MS : -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		if (polls[SIGNALS].revents)
			return 0;
		if (polls[GUARD].revents)
			return -ECHILD;
		if (polls[TIMER].revents && read(h->timer, &ignored, sizeof(ignored)) < 0 &&
		    errno != EAGAIN)
			return -errno;
		if (n == 0 || polls[TIMER].revents)
			look_around(h);
		if (polls[DUMPS].revents)
			r = dumps_answer(h);
		if (r > 0 && polls[WORKER].revents)
			r = request_take(h);
	}
	return r;
}

/* Start and end. */

/* What of root's power remains: see the table in README.md. */
static void give_up_privileges(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		      CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, -1);
	/* Without the right to give up the bounding set, give up the rest. */
	if (capng_apply(CAPNG_SELECT_BOTH) < 0)
		capng_apply(CAPNG_SELECT_CAPS);
}

static int loop_open(struct helper *h)
{
	const struct timeval patience = { .tv_sec = SEND_SECONDS };
	int type = 0;
	socklen_t len = sizeof(type);
	sigset_t ends;

	if (getsockopt(HELPER_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return -ENOTSOCK;
	if (fcntl(HELPER_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    setsockopt(HELPER_FD, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0)
		return -errno;
	h->signals = signalfd(-1, &ends, SFD_CLOEXEC);
	h->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	h->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->quit = eventfd(0, EFD_CLOEXEC);
	if (h->signals < 0 || h->timer < 0 || h->done < 0 || h->quit < 0)
		return -errno;
	return 0;
}

/* Before anything is opened: the guard has to be the first. */
static int helper_open(struct helper *h, char *const names[], uint32_t count, struct why *why)
{
	uint32_t i;
	int r;

	*h = (struct helper){ .guard.fd = -1, .signals = -1, .timer = -1, .done = -1, .quit = -1 };
	give_up_privileges();
	r = loop_open(h);
	if (r < 0)
		return why_set(why, r, "descriptor %d is not the worker's socket: %s", HELPER_FD,
			       strerror(-r));
	r = guard_start(&h->guard);
	if (r < 0)
		return why_set(why, r, "cannot start the guard: %s", strerror(-r));
	h->places = calloc(count ? count : 1, sizeof(*h->places));
	if (!h->places)
		return why_set(why, -ENOMEM, "out of memory");
	do {
		struct place *p = &h->places[h->place_count];

		i = h->place_count;
		r = netns_open(&p->ns, count ? names[i] : NULL, why);
		if (r == 0)
			r = leases_init(&p->leases, &p->ns, &h->guard, i * LOGGER_FAMILIES, why);
		if (r < 0) {
			netns_clear(&p->ns);
			return r;
		}
		dumper_init(&p->dumper, &p->ns, h->done, h->quit);
		h->place_count++;
	} while (h->place_count < count);
	return 0;
}

static void helper_clear(struct helper *h)
{
	uint32_t i;

	for (i = 0; i < h->place_count; i++)
		leases_clear(&h->places[i].leases);
	guard_clear(&h->guard);
	if (h->quit >= 0)
		eventfd_write(h->quit, 1);
	for (i = 0; i < h->place_count; i++) {
		dumper_clear(&h->places[i].dumper);
		netns_clear(&h->places[i].ns);
	}
	free(h->places);
}

static int helper_main(char *const names[], uint32_t count)
{
	struct helper h;
	struct why why = { "" };
	int r;

	/* One heap for all threads: the helper is small and wants to stay so. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD,
		LARGE); /* a table that was read goes back to the system at once */
	r = helper_open(&h, names, count, &why);
	if (r < 0)
		fprintf(stderr, "lasthop-helper: %s\n", why.text);
	else
		r = serve(&h);
	helper_clear(&h);
	return r < 0 ? 1 : 0;
}

static bool named_before(char *const names[], uint32_t count, const char *name)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

int main(int argc, char *argv[])
{
	char *names[HOSTS_PER_AGENT];
	uint32_t count = 0;
	int i;

	if (argc == 2 && strcmp(argv[1], "--guard") == 0)
		return guard_main();
	if (argc == 3 && strcmp(argv[1], "--dump") == 0)
		return dump_main(argv[2]);
	for (i = 1; i + 1 < argc && strcmp(argv[i], "--netns") == 0; i += 2) {
		if (count == HOSTS_PER_AGENT || !netns_name_valid(argv[i + 1]) ||
		    named_before(names, count, argv[i + 1]))
			break;
		names[count++] = argv[i + 1];
	}
	if (i < argc) {
		fprintf(stderr,
			"usage: lasthop-helper [--netns NAME]..., each once; lasthop-agent starts it\n");
		return 2;
	}
	return helper_main(names, count);
}
