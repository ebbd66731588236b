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
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/helper/child.h"
#include "agent/helper/nftcounters.h"
#include "agent/helper/nftlist.h"
#include "agent/helper/rawcounters.h"

enum { TRIES = 3, CHILD_SECONDS = 30, NFT_LOOK_S = 60 };

void dumper_init(struct dumper *d, const struct netns *ns, int done, int quit,
		 const atomic_uint *commits)
{
	*d = (struct dumper){ .ns = ns,
			      .done = done,
			      .quit = quit,
			      .sockets = { -1, -1 },
			      .commits = commits,
			      .last.fd = -1,
			      .fd = -1 };
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

static int64_t cpu_of(const struct rusage *u)
{
	return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * NS_PER_S +
	       (u->ru_utime.tv_usec + u->ru_stime.tv_usec) * (int64_t)1000;
}

/*
 * Waits for the child's end, for the helper's end, or for too long. 0 or -errno with why; the child
 * is gone then.
 */
static int child_await(struct dumper *d, pid_t pid, int errors, struct why *why)
{
	struct rusage used = { 0 };
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
	while (wait4(pid, &status, 0, &used) < 0 && errno == EINTR)
		;
	d->answer.spent_ns += cpu_of(&used);
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

/* What stands, as far as numbers tell: equal ones mean that nothing has changed. */
struct standing {
	uint64_t legacy;     /* digest of the legacy tables */
	uint32_t generation; /* of nftables; 0: it is not there */
	uint32_t nft;        /* the same without our own changes */
};

/* Of both; never 0. */
static uint64_t digest_of(const struct standing *s)
{
	uint64_t digest = s->legacy ^ (uint64_t)s->nft * UINT64_C(0x9e3779b97f4a7c15);

	return digest ? digest : 1;
}

/* nf_tables may be loaded at any time; asking for it would load it. */
static void look_for_nft(struct dumper *d)
{
	int64_t now = boot_now().v;

	if (d->nft || (d->nft_looked && now - d->nft_at < (int64_t)NFT_LOOK_S * NS_PER_S))
		return;
	d->nft = nft_present();
	d->nft_looked = true;
	d->nft_at = now;
}

static int read_generation(struct dumper *d, struct standing *s, struct why *why)
{
	unsigned int ours = atomic_load(d->commits);
	int r = 0;

	s->generation = 0;
	if (d->nft)
		r = nft_generation(&s->generation);
	s->nft = s->generation ? s->generation - ours : 0;
	return r < 0 ? why_set(why, r, "cannot ask nftables: %s", strerror(-r)) : 0;
}

static int copy_last(const struct dumper *d, off_t from, off_t until, int fd)
{
	while (from < until) {
		ssize_t n = sendfile(fd, d->last.fd, &from, (size_t)(until - from));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
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

/* s->legacy is what is known of them so far, and then what was told. */
static int render_legacy(struct dumper *d, struct standing *s, int fd, struct why *why)
{
	struct rawtables t;
	bool v4 = false, v6 = false;
	uint32_t i;
	int r;

	if (s->legacy && d->last.fd >= 0 && d->last.stands.legacy == s->legacy)
		return copy_last(d, 0, d->last.split, fd);
	r = rawtables_list(&t, why);
	for (i = 0; r == 0 && i < t.count; i++) {
		v4 |= t.list[i].family == FAMILY_IPV4;
		v6 |= t.list[i].family == FAMILY_IPV6;
	}
	if (r == 0 && v4)
		r = render(d, "ipv4", fd, why);
	if (r == 0 && v6)
		r = render(d, "ipv6", fd, why);
	return r < 0 ? r : told(&s->legacy, fd);
}

static int mark_torn(int fd, off_t at)
{
	struct ruleset_part part;
	ssize_t n;

	while ((n = pread(fd, &part, sizeof(part), at)) == sizeof(part)) {
		part.torn = 1;
		if (pwrite(fd, &part, sizeof(part), at) != sizeof(part))
			return -EIO;
		at += (off_t)sizeof(part) + part.len;
	}
	return n == 0 ? 0 : -EIO;
}

/*
 * The tables of nftables, behind those before split. The generation must be the same before and after; what changes all the time
 * is told after some tries, and marked. *torn then.
 */
static int render_nft(struct dumper *d, struct standing *s, int fd, off_t split, bool *torn,
		      struct why *why)
{
	struct standing after = *s;
	int r = read_generation(d, s, why);

	*torn = false;
	if (r < 0 || !s->generation)
		return r;
	if (d->last.fd >= 0 && d->last.stands.nft == s->nft)
		return copy_last(d, d->last.split, d->last.size, fd);
	for (int try = 0; try < TRIES; try++) {
		if (ftruncate(fd, split) < 0 || lseek(fd, split, SEEK_SET) < 0)
			return -errno;
		r = render(d, "nft", fd, why);
		if (r == 0)
			r = read_generation(d, &after, why);
		if (r < 0 || after.nft == s->nft)
			return r;
		s->generation = after.generation;
		s->nft = after.nft;
	}
	*torn = true;
	return mark_torn(fd, split);
}

/* The next render copies from it what has not changed by then. Its pages are the worker's, too. */
static void keep_last(struct dumper *d, const struct standing *s, int fd, off_t split)
{
	if (d->last.fd >= 0)
		close(d->last.fd);
	d->last.fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	d->last.stands.legacy = s->legacy;
	d->last.stands.nft = s->nft;
	d->last.split = split;
	d->last.size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
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
static int unchanged(struct dumper *d, struct standing *s, struct why *why)
{
	struct helper_answer *a = &d->answer;
	int64_t cpu = thread_cpu_ns();
	struct rawtables tables;
	int r;

	if (!d->known)
		return false;
	r = rawtables_read(&tables, &d->sockets, FAMILY_NONE, NULL, NULL, why);
	s->legacy = tables.digest;
	if (r == 0)
		r = read_generation(d, s, why);
	if (r < 0)
		return r;
	a->after = boot_now().v;
	a->cpu_ns = thread_cpu_ns() - cpu;
	a->digest = digest_of(s);
	a->value = s->generation;
	return a->digest == d->known;
}

static int name_sets(struct dumper *d, int fd)
{
	struct setnames names;
	int r = setnames_read(&names, fd);

	return r < 0 ? r : setdump_name(&d->sets, &names);
}

static int dump(struct dumper *d, struct why *why)
{
	struct helper_answer *a = &d->answer;
	struct standing s = { 0 };
	off_t split = 0;
	bool torn;
	int fd, r;

	look_for_nft(d);
	a->before = boot_now().v;
	r = unchanged(d, &s, why);
	if (r != 0)
		return r < 0 ? r : 0;
	fd = memfd_create("ruleset", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return why_set(why, -errno, "cannot make a memfd: %s", strerror(errno));
	a->before = boot_now().v;
	r = render_legacy(d, &s, fd, why);
	if (r == 0) {
		split = lseek(fd, 0, SEEK_END);
		r = render_nft(d, &s, fd, split, &torn, why);
	}
	if (r < 0)
		goto out;
	a->after = boot_now().v;
	a->digest = torn ? 0 : digest_of(&s);
	a->value = s.generation;
	keep_last(d, &s, torn ? -1 : fd, split);
	r = name_sets(d, fd);
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
	int64_t cpu;
	struct rawcounters counters;
	struct standing s = { 0 };
	struct rawtables tables;
	int fd, r;

	look_for_nft(d);
	cpu = thread_cpu_ns();
	fd = memfd_create("counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return why_set(why, -errno, "cannot make a memfd: %s", strerror(errno));
	rawcounters_init(&counters, fd);
	a->before = boot_now().v;
	r = rawtables_read(&tables, &d->sockets, FAMILY_NONE, rawcounters_take, &counters, why);
	s.legacy = tables.digest;
	if (r == 0)
		r = read_generation(d, &s, why);
	a->after = boot_now().v;
	a->digest = digest_of(&s);
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

static int dump_sets(struct dumper *d, struct why *why)
{
	struct helper_answer *a = &d->answer;
	int r = 0;

	a->before = boot_now().v;
	a->digest = 1;
	if (d->sets)
		r = setdump_take(d->sets, d->known, &a->digest, &d->fd, &a->cpu_ns, why);
	a->after = boot_now().v;
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
		r = d->what == DUMP_COUNTERS ? count(d, &why)
		    : d->what == DUMP_SETS   ? dump_sets(d, &why)
					     : dump(d, &why);
	d->answer.error = r;
	if (why.text[0]) /* without an error: what could not be read as well */
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
	if (d->last.fd >= 0)
		close(d->last.fd);
	rawsockets_clear(&d->sockets);
	setdump_free(d->sets);
	dumper_init(d, NULL, -1, -1, NULL);
}
