/*
 * Each table is read with one system call, and its text and its digest are made of the same bytes: it is never torn, whatever
 * changes meanwhile. What has changed since shows at the next question.
 */
#include "agent/helper/dumper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/helper/child.h"
#include "agent/helper/nftcounters.h"
#include "agent/helper/rawcounters.h"

enum { CHILD_SECONDS = 30 };

void dumper_init(struct dumper *d, const struct netns *ns, int done, int quit)
{
	*d = (struct dumper){
		.ns = ns, .done = done, .quit = quit, .sockets = { -1, -1 }, .fd = -1
	};
}

static int64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Keeps the first line of what the child complains about; false at its end. */
static bool listen_to(int fd, struct why *why)
{
	char text[WHY_MAX + 1];
	ssize_t n = read(fd, text, WHY_MAX);

	if (n <= 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (why->text[0] == '\0')
		why_set(why, 0, "%s", text);
	return true;
}

/*
 * Waits for the child's end, for the helper's end, or for too long. 0 or -errno with why; the child
 * is gone then.
 */
static int child_await(struct dumper *d, pid_t pid, int errors, struct why *why)
{
	struct pollfd polls[] = {
		{ .fd = pidfd_open(pid, 0), .events = POLLIN },
		{ .fd = d->quit, .events = POLLIN },
		{ .fd = errors, .events = POLLIN },
	};
	int64_t deadline = boot_now().v + (int64_t)CHILD_SECONDS * NS_PER_S;
	int r = polls[0].fd < 0 ? -errno : 0;
	int status, left;

	while (r == 0 && !(polls[0].revents & POLLIN)) {
		left = (int)((deadline - boot_now().v) / NS_PER_MS);
		if (left <= 0)
			r = -ETIMEDOUT;
		else if (poll(polls, 3, left) < 0 && errno != EINTR)
			r = -errno;
		else if (polls[1].revents)
			r = -ECANCELED;
		else if (polls[2].revents && !listen_to(errors, why))
			polls[2].fd = -1;
	}
	if (r < 0) {
		kill(pid, SIGKILL);
		why_set(why, r, "reading the ruleset was given up: %s", strerror(-r));
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (polls[0].fd >= 0)
		close(polls[0].fd);
	if (r < 0)
		return r;
	if (polls[2].fd >= 0)
		listen_to(errors, why);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (why->text[0] == '\0')
		why_set(why, 0, "the ruleset reader ended with status %#x", (unsigned int)status);
	return -EIO;
}

static int render(struct dumper *d, const char *family, int fd, struct why *why)
{
	struct child c = {
		.argv = { "--dump", family }, .fds = { -1, fd }, .fd_count = 3, .dies_with_us = true
	};
	int errors[2], r;

	if (pipe2(errors, O_CLOEXEC) < 0)
		return why_set(why, -errno, "cannot make a pipe: %s", strerror(errno));
	c.fds[2] = errors[1];
	r = child_start(&c);
	close(errors[1]);
	if (r < 0)
		why_set(why, r, "cannot start the ruleset reader: %s", strerror(-r));
	else
		r = child_await(d, r, errors[0], why);
	close(errors[0]);
	return r;
}

static int render_all(struct dumper *d, const struct rawtables *t, int fd, struct why *why)
{
	bool v4 = false, v6 = false;
	uint32_t i;
	int r = 0;

	for (i = 0; i < t->count; i++) {
		v4 |= t->list[i].family == FAMILY_IPV4;
		v6 |= t->list[i].family == FAMILY_IPV6;
	}
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	if (v4)
		r = render(d, "ipv4", fd, why);
	if (r == 0 && v6)
		r = render(d, "ipv6", fd, why);
	return r;
}

/* The digest of what was told; tables that vanished meanwhile have no part in it. */
static int told(uint64_t *digest, int fd)
{
	struct rawtables tables = { .count = 0 };
	struct ruleset_part part;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, &part, sizeof(part), at)) == sizeof(part)) {
		if (tables.count == RAWTABLES_MAX)
			return -E2BIG;
		tables.list[tables.count++].digest = part.digest;
		at += (off_t)sizeof(part) + part.len;
	}
	rawtables_sum(&tables);
	*digest = tables.digest;
	return n == 0 ? 0 : -EIO;
}

/* The worker maps it: nobody may shorten or change it under its eyes. */
static int seal(int fd)
{
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -errno;
	return 0;
}

/* Has nothing changed? Only asked where there is something to compare with. */
static int unchanged(struct dumper *d, struct why *why)
{
	struct helper_answer *a = &d->answer;
	int64_t cpu = thread_cpu_ns();
	struct rawtables tables;
	int r;

	if (!d->known)
		return false;
	r = rawtables_read(&tables, &d->sockets, FAMILY_NONE, NULL, NULL, why);
	if (r < 0)
		return r;
	a->after = boot_now().v;
	a->cpu_ns = thread_cpu_ns() - cpu;
	a->digest = tables.digest;
	return tables.digest == d->known;
}

static int dump(struct dumper *d, struct why *why)
{
	struct helper_answer *a = &d->answer;
	struct rawtables tables;
	int fd, r;

	a->before = boot_now().v;
	r = unchanged(d, why);
	if (r != 0)
		return r < 0 ? r : 0;
	r = rawtables_list(&tables, why);
	if (r < 0)
		return r;
	fd = memfd_create("ruleset", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return why_set(why, -errno, "cannot make a memfd: %s", strerror(errno));
	a->before = boot_now().v;
	r = render_all(d, &tables, fd, why);
	if (r < 0)
		goto out;
	a->after = boot_now().v;
	r = told(&a->digest, fd);
	if (r == 0)
		r = seal(fd);
	if (r < 0)
		goto out;
	d->fd = fd;
	return 0;
out:
	close(fd);
	return r;
}

static int count(struct dumper *d, struct why *why)
{
	struct helper_answer *a = &d->answer;
	int64_t cpu = thread_cpu_ns();
	struct rawcounters counters;
	struct rawtables tables;
	int fd, r;

	fd = memfd_create("counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return why_set(why, -errno, "cannot make a memfd: %s", strerror(errno));
	rawcounters_init(&counters, fd);
	a->before = boot_now().v;
	r = rawtables_read(&tables, &d->sockets, FAMILY_NONE, rawcounters_take, &counters, why);
	a->after = boot_now().v;
	a->digest = tables.digest;
	rawcounters_clear(&counters);
	if (r == 0 && d->known) {
		/* Without them those of legacy tables stand all the same; no generation says so. */
		if (nftcounters_read(fd, &a->value, why) < 0)
			a->value = 0;
		a->after = boot_now().v;
	}
	if (r == 0)
		r = seal(fd);
	a->cpu_ns = thread_cpu_ns() - cpu;
	if (r < 0)
		close(fd);
	else
		d->fd = fd;
	return r;
}

static void *dump_thread(void *arg)
{
	struct dumper *d = arg;
	struct why why = { "" };
	int r;

	r = netns_enter(d->ns);
	if (r < 0)
		why_set(&why, r, "cannot enter network namespace %s: %s", d->ns->name,
			strerror(-r));
	else
		r = d->what == DUMP_COUNTERS ? count(d, &why) : dump(d, &why);
	d->answer.error = r;
	if (r < 0)
		snprintf(d->answer.why, sizeof(d->answer.why), "%s", why.text);
	atomic_store(&d->ended, true);
	eventfd_write(d->done, 1);
	return NULL;
}

static int dump_start(struct dumper *d, uint32_t tag, uint32_t what, uint64_t known)
{
	int r;

	d->answer = (struct helper_answer){ .op = HELPER_DUMP, .tag = tag };
	d->what = what;
	d->known = known;
	d->fd = -1;
	atomic_store(&d->ended, false);
	r = thread_start(&d->thread, dump_thread, d);
	d->threaded = d->running = r == 0;
	return r;
}

bool dumper_has(const struct dumper *d, uint32_t tag)
{
	uint32_t i;

	for (i = 0; i < d->waiting_count; i++)
		if (d->waiting[i].tag == tag)
			return true;
	return d->running && d->answer.tag == tag;
}

int dumper_ask(struct dumper *d, uint32_t tag, uint32_t what, uint64_t known)
{
	if (!d->running)
		return dump_start(d, tag, what, known);
	if (d->waiting_count == DUMPS_WAITING_MAX)
		return -EBUSY;
	d->waiting[d->waiting_count++] = (struct dump_request){ tag, what, known };
	return 0;
}

bool dumper_take(struct dumper *d, struct helper_answer *answer, int *fd)
{
	struct dump_request next;

	if (!d->running || !atomic_load(&d->ended))
		return false;
	if (d->threaded)
		pthread_join(d->thread, NULL);
	d->running = false;
	*answer = d->answer;
	*fd = d->fd;
	d->fd = -1;

	if (d->waiting_count > 0) {
		next = d->waiting[0];
		memmove(d->waiting, d->waiting + 1, --d->waiting_count * sizeof(d->waiting[0]));
		d->answer.error = dump_start(d, next.tag, next.what, next.known);
		if (d->answer.error < 0) {
			/* No thread to be had: it has ended already. */
			snprintf(d->answer.why, sizeof(d->answer.why), "cannot start a thread");
			d->running = true;
			atomic_store(&d->ended, true);
			eventfd_write(d->done, 1);
		}
	}
	return true;
}

uint32_t dumper_abandon(struct dumper *d, uint32_t tags[static DUMPS_WAITING_MAX + 1])
{
	uint32_t i, n = 0;

	if (d->running) {
		if (d->threaded)
			pthread_join(d->thread, NULL);
		tags[n++] = d->answer.tag;
	}
	for (i = 0; i < d->waiting_count; i++)
		tags[n++] = d->waiting[i].tag;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	d->running = false;
	d->waiting_count = 0;
	return n;
}

void dumper_clear(struct dumper *d)
{
	if (d->running && d->threaded)
		pthread_join(d->thread, NULL);
	if (d->fd >= 0)
		close(d->fd);
	rawsockets_clear(&d->sockets);
	*d = (struct dumper){ .done = -1, .quit = -1, .sockets = { -1, -1 }, .fd = -1 };
}
