/*
 * lasthop-helper: the part of the agent that holds the capabilities. It opens sockets, reads
 * rulesets and owns the probe tables on request of the worker, at the other end of descriptor 3,
 * and removes everything when that end closes. It starts its guard first.
 *
 * 	lasthop-helper [--netns NAME]...	the helper, for these namespaces, or where it stands
 * 	lasthop-helper --all			for every namespace that there is
 * 	lasthop-helper --guard [AGENT]		see guard.h
 * 	lasthop-helper --arm FAMILY		see arm.h
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

#include "agent/helper/arm.h"
#include "agent/helper/audit.h"
#include "agent/helper/bpf.h"
#include "agent/helper/guard.h"
#include "agent/helper/ipc.h"
#include "agent/helper/main_dump.h"
#include "agent/helper/main_nft.h"
#include "agent/helper/pass.h"
#include "agent/helper/place.h"
#include "agent/helper/request.h"
#include "agent/helper/sockets.h"

enum { FDS_IN_MAX = 8, SEND_SECONDS = 5, LOGGER_CHECK_MS = 2000, LARGE = 64 << 10 };

struct helper {
	struct lease_config config;
	struct guard guard;
	int signals, timer;   /* owned */
	int done;             /* owned: eventfd of the dumps */
	bool all, told;       /* every namespace is followed; the worker wants to hear of them */
	uint32_t place_count; /* that the worker may name */
	struct place *places; /* owned; HOSTS_PER_AGENT */
	struct follow_ops follow_ops;
	struct follow follow;
	struct bpf bpf;
	struct audit_place audit;
};

/* The command line. */
struct start {
	struct lease_config config;
	bool all;
	uint32_t count;
	char *names[HOSTS_PER_AGENT];
};

#define GONE "its network namespace has ended"

/* Answers. */

/* Sends the answer and gives fd away. */
static int answer_give(const struct helper_answer *a, int fd)
{
	int r = pass(HELPER_FD, a, sizeof(*a), fd, 0);

	if (fd >= 0)
		close(fd);
	return r;
}

/* Requests. */

struct opening {
	const struct helper_request *q;
	struct why *why;
	uint32_t *value;
};

static int open_in_place(void *arg)
{
	struct opening *o = arg;

	if (o->q->op == HELPER_DUMP)
		return o->q->what == DUMP_STATS ? stats_dump_open(o->why)
						: conntrack_dump_open(o->why);
	if (o->q->what == SOURCE_NFLOG)
		return nflog_open(o->q, o->value, o->why);
	return source_open((enum helper_source)o->q->what, o->why);
}

/* Does it need the place that it names to be there? */
static bool needs_place(const struct helper_request *q)
{
	return q->op != HELPER_RELEASE && q->op != HELPER_RCVBUF && !request_is_for_all(q);
}

static int bpf_request(struct helper *h, const struct helper_request *q, struct why *why)
{
	if (q->op == HELPER_DUMP)
		return bpf_reasons(why);
	if (q->known > 0 && q->known < DROPS_RATE)
		h->bpf.drop_rate = (uint32_t)q->known;
	switch ((enum helper_source)q->what) {
	case SOURCE_DROPS:
		return bpf_ring(&h->bpf, BPF_DROPS, why);
	case SOURCE_DROPS_LOST:
		return bpf_lost(&h->bpf, BPF_DROPS, why);
	case SOURCE_CHANGES:
		return bpf_ring(&h->bpf, BPF_CHANGES, why);
	default:
		return bpf_lost(&h->bpf, BPF_CHANGES, why);
	}
}

static int lease_request(struct place *p, const struct helper_request *q, struct why *why)
{
	int r = lease_check(&q->lease, boot_now(), why);

	return r < 0 ? r : leases_put(&p->leases, &q->lease, why);
}

/* Namespaces. */

/* Tells the worker of place i: error 0: its host is there; -ENOENT: it has gone; else who it is about and why. */
static void announce(struct helper *h, uint32_t i, int error, const char *text)
{
	struct helper_answer a = { .op = HELPER_NETNS, .error = error, .value = i };

	if (!h->told)
		return;
	if (i < h->place_count)
		a.digest = h->places[i].held.inode;
	snprintf(a.why, sizeof(a.why), "%s", text);
	/* Should it not go out, the worker's socket is broken, and the next look at it says so. */
	(void)pass(HELPER_FD, &a, sizeof(a), -1, 0);
}

static void place_came(struct helper *h, uint32_t i)
{
	if (i >= h->place_count)
		h->place_count = i + 1;
	(void)bpf_watch(&h->bpf, i, h->places[i].held.inode);
	announce(h, i, 0, h->places[i].held.name);
}

static void place_gone(struct helper *h, uint32_t i)
{
	uint32_t tags[DUMPS_WAITING_MAX + 1], n, k;

	(void)bpf_watch(&h->bpf, i, 0);
	n = place_end(&h->places[i], tags);
	for (k = 0; k < n; k++) {
		struct helper_answer a = { .op = HELPER_DUMP, .tag = tags[k], .error = -ENOENT };

		snprintf(a.why, sizeof(a.why), "%s", GONE);
		(void)pass(HELPER_FD, &a, sizeof(a), -1, 0);
	}
	announce(h, i, -ENOENT, h->places[i].held.name);
}

static int on_begin(void *arg, uint32_t i, const struct dweller *d, struct why *why)
{
	struct helper *h = arg;
	struct netns ns;
	int r = census_open(d);

	if (r < 0)
		return why_set(why, r, "it cannot be opened: %s", strerror(-r));
	netns_take(&ns, d->name, r);
	return place_begin(&h->places[i], &ns, &h->config, i, &h->guard, h->done, why);
}

static void on_end(void *arg, uint32_t i)
{
	place_gone(arg, i);
}

static void on_refuse(void *arg, const char *name, const char *why)
{
	char text[WHY_MAX + 1];

	if (name[0])
		snprintf(text, sizeof(text), "network namespace %s is not watched: %s", name, why);
	else
		snprintf(text, sizeof(text), "%s", why);
	announce(arg, HOSTS_PER_AGENT, -ENOSPC, text);
}

/* Looks for namespaces that came or went. */
static void look(struct helper *h)
{
	struct holding *places[HOSTS_PER_AGENT];
	bool was[HOSTS_PER_AGENT];
	uint64_t inode[HOSTS_PER_AGENT];
	uint32_t i;

	for (i = 0; i < HOSTS_PER_AGENT; i++) {
		places[i] = &h->places[i].held;
		was[i] = places[i]->standing;
		inode[i] = places[i]->inode;
	}
	follow_look(&h->follow, places, h->all ? HOSTS_PER_AGENT : h->place_count);
	for (i = 0; i < HOSTS_PER_AGENT; i++)
		if (places[i]->standing && (!was[i] || places[i]->inode != inode[i]))
			place_came(h, i);
}

/* The worker wants to hear of namespaces from now on: first of those that it knows. */
static int follow_request(struct helper *h)
{
	uint32_t i;
	int r = 0;

	if (h->told)
		return -EALREADY;
	h->told = true;
	for (i = 0; i < h->place_count; i++)
		announce(h, i, h->places[i].held.standing ? 0 : -ENOENT, h->places[i].held.name);
	if (h->all || h->places[0].held.name[0])
		r = follow_open(&h->follow, h->all, &h->follow_ops);
	if (r == 0)
		look(h);
	return r;
}

static int group0_look(void *arg)
{
	*(bool *)arg = group0_taken();
	return 0;
}

/* What a helper left that could restore nothing any more; never under somebody who uses it. */
static int repair_request(struct place *p, uint32_t what, struct why *why)
{
	const uint8_t previous[LOGGER_FAMILIES] = { what & 0xff, what >> 8 & 0xff };
	bool taken = false;
	int r = netns_run(&p->ns, group0_look, &taken, why);

	if (r < 0 || taken)
		return r < 0 ? r : -EBUSY;
	return logger_repair(&p->leases.logger, previous);
}

static int release_request(struct place *p)
{
	if (p->held.standing)
		return -EBUSY;
	p->held.free = true;
	return 0;
}

/* Does what q asks. -EPROTO ends the helper; every other failure goes into an answer. */
static int request_serve(struct helper *h, const struct helper_request *q, int fd_in)
{
	struct helper_answer a = { .op = q->op, .tag = q->tag };
	struct place *p = &h->places[q->netns];
	struct lease_count count = { 0 };
	struct why why = { "" };
	struct opening o = { q, &why, &a.value };
	uint8_t loggers[LOGGER_FAMILIES];
	int fd = -1, r = 0;

	if (!p->held.standing && needs_place(q)) {
		a.error = -ENOENT;
		snprintf(a.why, sizeof(a.why), "%s", GONE);
		return answer_give(&a, -1);
	}
	switch ((enum helper_op)q->op) {
	case HELPER_DUMP:
		if (q->what == DUMP_RULESET || q->what == DUMP_COUNTERS || q->what == DUMP_SETS) {
			if (dumper_has(&p->dumper, q->tag))
				return -EPROTO;
			r = dumper_ask(&p->dumper, q->tag, q->what, q->known);
			if (r == 0)
				return 0;
			why_set(&why, r,
				"too many ruleset dumps wait, or no thread could be started");
			break;
		}
		/* fall through */
	case HELPER_OPEN:
		if (q->op == HELPER_OPEN && q->what == SOURCE_AUDIT) {
			fd = r = audit_open(&h->audit, &why);
			a.value = h->audit.auditing;
			break;
		}
		if (q->op == HELPER_OPEN && q->what == SOURCE_TRACE_LEGACY)
			r = logger_usable(&p->leases.logger, &why);
		if (r < 0)
			break;
		fd = r = request_is_for_all(q) ? bpf_request(h, q, &why)
					       : netns_run(&p->ns, open_in_place, &o, &why);
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
	case HELPER_LOGGERS:
		logger_now(&p->leases.logger, loggers);
		a.value = NF_LOGGER_PAIR(loggers[0], loggers[1]);
		break;
	case HELPER_LOGGERS_PUT:
		r = repair_request(p, q->what, &why);
		break;
	case HELPER_FOLLOW:
		r = follow_request(h);
		break;
	case HELPER_RELEASE:
		r = release_request(p);
		break;
	case HELPER_NETNS:
	case HELPER_NONE:
		return -EPROTO;
	}
	if (q->op == HELPER_LEASE || q->op == HELPER_STOP || q->op == HELPER_LEASE_STATE) {
		a.value = LEASE_OURS(p->leases.fallback.count[0], p->leases.fallback.count[1]);
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
		if (h->places[i].leases.count || h->places[i].leases.fallback.standing)
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
	enum { WORKER, SIGNALS, GUARD, TIMER, DUMPS, FOLLOW, POLLS };
	struct pollfd polls[POLLS] = {
		[WORKER] = { .fd = HELPER_FD, .events = POLLIN },
		[SIGNALS] = { .fd = h->signals, .events = POLLIN },
		[GUARD] = { .fd = h->guard.fd, .events = POLLIN },
		[TIMER] = { .fd = h->timer, .events = POLLIN },
		[DUMPS] = { .fd = h->done, .events = POLLIN },
		[FOLLOW] = { .events = POLLIN },
	};
	uint64_t ignored;
	int n, r = 1;

	while (r > 0) {
		timer_set(h);
		polls[FOLLOW].fd = h->follow.fd;
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
		if (polls[FOLLOW].revents)
			look(h);
		if (polls[DUMPS].revents)
			r = dumps_answer(h);
		if (r > 0 && polls[WORKER].revents)
			r = request_take(h);
	}
	return r;
}

/* Start and end. */

/* What of root's power remains: see the table in README.md. */
static void give_up_privileges(bool all)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		      CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON,
		      CAP_AUDIT_READ, -1);
	if (all)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			     CAP_SYS_PTRACE);
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
	if (h->signals < 0 || h->timer < 0 || h->done < 0)
		return -errno;
	return 0;
}

/* The namespaces that we were started for. */
static int places_open(struct helper *h, char *const names[], uint32_t count, struct why *why)
{
	struct netns ns;
	uint32_t i;
	int r;

	h->places = calloc(HOSTS_PER_AGENT, sizeof(*h->places));
	if (!h->places)
		return why_set(why, -ENOMEM, "out of memory");
	for (i = 0; i < HOSTS_PER_AGENT; i++)
		place_init(&h->places[i]);
	do {
		struct place *p = &h->places[h->place_count];

		i = h->place_count;
		r = netns_open(&ns, count ? names[i] : NULL, why);
		p->held.standing = r == 0;
		if (r == 0)
			r = place_begin(p, &ns, &h->config, i, &h->guard, h->done, why);
		else if (r == -ENOENT) /* it may come */
			r = 0;
		if (r < 0)
			return r;
		snprintf(p->held.name, sizeof(p->held.name), "%s", count ? names[i] : "");
		p->held.inode = p->held.standing ? netns_inode(&ns) : 0;
		p->held.used = true;
		(void)bpf_watch(&h->bpf, i, p->held.inode);
		h->place_count++;
	} while (h->place_count < count);
	return 0;
}

/* Before anything is opened: the guard has to be the first. */
static int helper_open(struct helper *h, const struct start *s, struct why *why)
{
	int r;

	*h = (struct helper){ .config = s->config,
			      .guard.fd = -1,
			      .signals = -1,
			      .timer = -1,
			      .done = -1,
			      .all = s->all,
			      .audit.initial.fd = -1,
			      .follow = { .fd = -1, .notify = -1, .timer = -1 } };
	h->follow_ops = (struct follow_ops){ h, on_begin, on_end, on_refuse };
	bpf_init(&h->bpf, DROPS_RATE);
	audit_look(&h->audit);
	give_up_privileges(s->all);
	r = loop_open(h);
	if (r < 0)
		return why_set(why, r, "descriptor %d is not the worker's socket: %s", HELPER_FD,
			       strerror(-r));
	r = guard_start(&h->guard, h->config.fallback == FALLBACK_OFF ? 0 : h->config.agent);
	if (r < 0)
		return why_set(why, r, "cannot start the guard: %s", strerror(-r));
	return places_open(h, s->names, s->count, why);
}

static void helper_clear(struct helper *h)
{
	uint32_t tags[DUMPS_WAITING_MAX + 1], i;

	for (i = 0; h->places && i < HOSTS_PER_AGENT; i++)
		leases_clear(&h->places[i].leases);
	bpf_clear(&h->bpf);
	audit_clear(&h->audit);
	guard_clear(&h->guard);
	for (i = 0; h->places && i < HOSTS_PER_AGENT; i++)
		place_end(&h->places[i], tags);
	follow_clear(&h->follow);
	free(h->places);
}

static int helper_main(const struct start *s)
{
	struct helper h;
	struct why why = { "" };
	int r;

	/* One heap for all threads: the helper is small and wants to stay so. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD,
		LARGE); /* a table that was read goes back to the system at once */
	r = helper_open(&h, s, &why);
	if (r < 0)
		fprintf(stderr, "lasthop-helper: %s\n", why.text);
	else
		r = serve(&h);
	helper_clear(&h);
	return r < 0 ? 1 : 0;
}

static bool named_before(const struct start *s, const char *name)
{
	uint32_t i;

	for (i = 0; i < s->count; i++)
		if (strcmp(s->names[i], name) == 0)
			return true;
	return false;
}

/* False: not what our worker would say. */
static bool start_read(struct start *s, int argc, char *argv[])
{
	int i;

	for (i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--all") == 0) {
			s->all = true;
		} else if (strcmp(argv[i], "--fallback") == 0) {
			s->config.fallback = FALLBACK_ALLOWED;
		} else if (strcmp(argv[i], "--fallback-only") == 0) {
			s->config.fallback = FALLBACK_FORCED;
		} else if (strcmp(argv[i], "--agent") == 0 && strlen(value) == 16 &&
			   strspn(value, "0123456789abcdef") == 16) {
			s->config.agent = strtoull(argv[++i], NULL, 16);
		} else if (strcmp(argv[i], "--netns") == 0 && s->count < HOSTS_PER_AGENT &&
			   netns_name_valid(value) && !named_before(s, value)) {
			s->names[s->count++] = argv[++i];
		} else {
			return false;
		}
	}
	return !(s->all && s->count) && (s->config.fallback == FALLBACK_OFF || s->config.agent);
}

int main(int argc, char *argv[])
{
	struct start s = { 0 };

	if ((argc == 2 || argc == 3) && strcmp(argv[1], "--guard") == 0)
		return guard_main(argc == 3 ? argv[2] : NULL);
	if (argc == 3 && strcmp(argv[1], "--dump") == 0)
		return strcmp(argv[2], "nft") == 0 ? dump_nft_main() : dump_main(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--arm") == 0)
		return arm_main(argv[2]);
	if (!start_read(&s, argc, argv)) {
		fprintf(stderr,
			"usage: lasthop-helper [--all | --netns NAME...] [--agent ID [--fallback | "
			"--fallback-only]]; lasthop-agent starts it\n");
		return 2;
	}
	return helper_main(&s);
}
