/*
 * Names tell by inotify, processes by a pidfd of the one that we know in each namespace. Since
 * neither tells everything (a first process in a new namespace, a name unmounted but not removed),
 * there is a slow look around, too, which takes at most 1 % of a core.
 */
#include "agent/helper/follow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/helper/netns.h"

enum {
	LOOK_ALL_MS = 2000,
	LOOK_NAMES_MS = 5000,
	CPU_SHARE = 100,
	GROWN_MS = 400, /* a namespace without a name is taken for one that stays */
	YOUNG_LOOK_MS = 500,
	HURRIES = 3,
};

/* A name appears before its namespace is mounted on it, and goes in two steps, too. */
static const int hurry_ms[HURRIES] = { 1000, 200, 30 };

static int add(struct follow *f, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(f->fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int follow_open(struct follow *f, bool all, const struct follow_ops *ops)
{
	int r;

	*f = (struct follow){ .ops = ops, .all = all, .fd = -1, .notify = -1, .timer = -1 };
	f->census = malloc(sizeof(*f->census));
	if (!f->census)
		return -ENOMEM;
	f->fd = epoll_create1(EPOLL_CLOEXEC);
	f->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	f->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	r = f->fd < 0 || f->notify < 0 || f->timer < 0 ? -errno : 0;
	if (r == 0)
		r = add(f, f->notify);
	if (r == 0)
		r = add(f, f->timer);
	if (r < 0)
		follow_clear(f);
	return r;
}

void follow_clear(struct follow *f)
{
	if (f->notify >= 0)
		close(f->notify);
	if (f->timer >= 0)
		close(f->timer);
	if (f->fd >= 0)
		close(f->fd);
	free(f->census);
	*f = (struct follow){ .fd = -1, .notify = -1, .timer = -1 };
}

/* --- deciding ----------------------------------------------------------------------------------- */

/* Its process ends: then there may be another one, or nobody any more. */
static void hold(struct follow *f, struct holding *p, pid_t pid)
{
	if (p->pid == pid)
		return;
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	p->pid = pid;
	if (pid == 0 || f->fd < 0)
		return;
	p->pidfd = pidfd_open(pid, 0);
	if (p->pidfd >= 0 && add(f, p->pidfd) < 0) {
		close(p->pidfd);
		p->pidfd = -1;
	}
}

static bool has_gone(const struct follow *f, const struct census *c, const struct holding *p)
{
	const struct dweller *named = census_by_name(c, p->name);

	if (p->name[0] == '\0')
		return false;
	if (!f->all)
		return !named || named->inode != p->inode;
	return (named && named->inode != p->inode) || !census_by_inode(c, p->inode);
}

static bool is_held(struct holding *const *places, uint32_t count, uint64_t inode)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (places[i]->standing && places[i]->inode == inode)
			return true;
	return false;
}

static struct holding *by_name(struct holding *const *places, uint32_t count, const char *name)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (places[i]->used && strcmp(places[i]->name, name) == 0)
			return places[i];
	return NULL;
}

/* Seen long enough? Remembers it until then. */
static bool grown(struct follow *f, uint64_t inode, struct boot_ns now)
{
	uint32_t i;

	for (i = 0; i < f->young_count; i++)
		if (f->young[i].inode == inode)
			return now.v - f->young[i].since.v >= GROWN_MS * (int64_t)NS_PER_MS;
	if (f->young_count < YOUNG_MAX)
		f->young[f->young_count++] = (struct young){ inode, now };
	return false;
}

/* Forgets the young that have grown into a place or are not there any more; the same of the refused. */
static void forget(struct follow *f, const struct census *c, struct holding *const *places,
		   uint32_t count)
{
	uint32_t i, n = 0;

	for (i = 0; i < f->young_count; i++)
		if (census_by_inode(c, f->young[i].inode) &&
		    !is_held(places, count, f->young[i].inode))
			f->young[n++] = f->young[i];
	f->young_count = n;
	for (i = n = 0; i < f->refused_count; i++)
		if (census_by_inode(c, f->refused[i]))
			f->refused[n++] = f->refused[i];
	f->refused_count = n;
}

static void refuse(struct follow *f, const struct dweller *d, const char *why)
{
	uint32_t i;

	for (i = 0; i < f->refused_count; i++)
		if (f->refused[i] == d->inode)
			return;
	if (f->refused_count == REFUSED_MAX)
		return;
	f->refused[f->refused_count++] = d->inode;
	f->ops->refuse(f->ops->arg, d->name, why);
}

/* The place for a host of this name; NULL: there is none left. */
static struct holding *place_for(struct holding *const *places, uint32_t count, const char *name)
{
	struct holding *p = by_name(places, count, name);
	uint32_t i;

	if (p)
		return p;
	for (i = 0; i < count; i++)
		if (!places[i]->used)
			return places[i];
	for (i = 0; i < count; i++)
		if (places[i]->free)
			return places[i];
	return NULL;
}

static void take_in(struct follow *f, const struct dweller *seen, struct holding *const *places,
		    uint32_t count)
{
	struct dweller d = *seen;
	struct holding *p = by_name(places, count, d.name);
	struct why why = { "" };
	uint32_t i;

	/* Two containers of one name, or one that is called like a namespace. */
	if (p && p->standing) {
		inode_name(d.inode, d.name);
		p = by_name(places, count, d.name);
	}
	if (!p && f->all)
		p = place_for(places, count, d.name);
	if (!p || p->standing) {
		if (f->all)
			refuse(f, &d,
			       "as many network namespaces as an agent may have are watched");
		return;
	}
	for (i = 0; places[i] != p; i++)
		;
	if (f->ops->begin(f->ops->arg, i, &d, &why) < 0) {
		refuse(f, &d, why.text);
		return;
	}
	memcpy(p->name, d.name, sizeof(p->name));
	p->inode = d.inode;
	p->used = p->standing = true;
	p->free = false;
	p->pid = 0;
	p->pidfd = -1;
	hold(f, p, d.named ? 0 : d.pid);
}

void follow_decide(struct follow *f, const struct census *c, struct holding *const *places,
		   uint32_t count, struct boot_ns now)
{
	const struct dweller *d;
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (!places[i]->standing)
			continue;
		if (has_gone(f, c, places[i])) {
			hold(f, places[i], 0);
			places[i]->standing = false;
			f->ops->end(f->ops->arg, i);
			continue;
		}
		d = census_by_inode(c, places[i]->inode);
		if (d)
			hold(f, places[i], d->named ? 0 : d->pid);
	}
	for (i = 0; i < c->count; i++) {
		d = &c->list[i];
		if (is_held(places, count, d->inode) || (!f->all && !d->named))
			continue;
		if (d->named || grown(f, d->inode, now))
			take_in(f, d, places, count);
	}
	forget(f, c, places, count);
	if (f->all && c->denied && !f->denied_told) {
		f->denied_told = true;
		f->ops->refuse(f->ops->arg, "",
			       "not all processes may be looked at, CAP_SYS_PTRACE is missing: "
			       "some containers are not seen");
	}
}

/* --- looking ------------------------------------------------------------------------------------ */

/* Takes what woke us up. True: names have changed. */
static bool drain(struct follow *f)
{
	char events[4096] __attribute__((aligned(8)));
	const struct inotify_event *e;
	bool changed = false;
	uint64_t ignored;
	ssize_t n, at;

	while ((n = read(f->notify, events, sizeof(events))) > 0) {
		changed = true;
		for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const void *)(events + at);
			if (e->mask & IN_IGNORED) /* the directory has gone */
				f->names_watched = false;
		}
	}
	while (read(f->timer, &ignored, sizeof(ignored)) > 0)
		;
	return changed;
}

static void set_timer(struct follow *f, int64_t ns)
{
	struct itimerspec at = { .it_value = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) } };

	timerfd_settime(f->timer, 0, &at, NULL);
}

void follow_look(struct follow *f, struct holding *const *places, uint32_t count)
{
	int64_t began = thread_cpu_ns(), next;

	if (f->fd < 0)
		return;
	if (drain(f))
		f->hurry = HURRIES;
	/* The directory is made with the first name. */
	if (!f->names_watched)
		f->names_watched = inotify_add_watch(f->notify, NETNS_DIR,
						     IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB |
							     IN_ONLYDIR) >= 0;
	census_take(f->census, f->all);
	follow_decide(f, f->census, places, count, boot_now());

	next = (int64_t)(f->all ? LOOK_ALL_MS : LOOK_NAMES_MS) * NS_PER_MS;
	if (f->young_count)
		next = YOUNG_LOOK_MS * (int64_t)NS_PER_MS;
	if ((thread_cpu_ns() - began) * CPU_SHARE > next)
		next = (thread_cpu_ns() - began) * CPU_SHARE;
	if (f->hurry)
		next = hurry_ms[--f->hurry] * (int64_t)NS_PER_MS;
	set_timer(f, next);
}
