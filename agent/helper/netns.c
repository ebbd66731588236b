/*
 * setns() moves one thread only. Each action therefore gets a thread of its own, which dies in the
 * namespace that it entered; what it opened belongs to that namespace for good and can be used from
 * anywhere.
 */
#include "agent/helper/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct action {
	const struct netns *ns;
	int (*run)(void *arg);
	void *arg;
	struct why *why;
	int result;
};

bool netns_name_valid(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(name);

	if (len == 0 || len > ID_MAX || strspn(name, letters) != len)
		return false;
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int open_own(void *arg)
{
	(void)arg;
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* A descriptor holds the mount that it was opened by, so that umount(8) calls it busy: it is opened again from within. */
static void let_go_of_mount(struct netns *ns)
{
	struct why ignored;
	int fd = netns_run(ns, open_own, NULL, &ignored);

	if (fd < 0)
		return; /* without the right to enter: it is of no use anyway */
	close(ns->fd);
	ns->fd = fd;
}

int netns_open(struct netns *ns, const char *name, struct why *why)
{
	char path[sizeof(NETNS_DIR) + ID_MAX];

	*ns = (struct netns){ .fd = -1 };
	if (!name)
		return 0;
	if (!netns_name_valid(name))
		return why_set(why, -EINVAL, "not a network namespace's name");

	snprintf(ns->name, sizeof(ns->name), "%s", name);
	snprintf(path, sizeof(path), NETNS_DIR "%s", name);
	ns->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (ns->fd < 0)
		return why_set(why, -errno, "cannot open network namespace %s: %s", name,
			       strerror(errno));
	let_go_of_mount(ns);
	return 0;
}

void netns_take(struct netns *ns, const char *name, int fd)
{
	*ns = (struct netns){ .fd = fd };
	snprintf(ns->name, sizeof(ns->name), "%s", name);
	let_go_of_mount(ns);
}

uint64_t netns_inode(const struct netns *ns)
{
	struct stat st;
	int r = ns->fd < 0 ? stat("/proc/thread-self/ns/net", &st) : fstat(ns->fd, &st);

	return r == 0 ? st.st_ino : 0;
}

void netns_clear(struct netns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	*ns = (struct netns){ .fd = -1 };
}

int netns_enter(const struct netns *ns)
{
	if (ns->fd < 0)
		return 0;
	return setns(ns->fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static void *action_thread(void *arg)
{
	struct action *a = arg;

	a->result = netns_enter(a->ns);
	if (a->result < 0)
		why_set(a->why, 0, "cannot enter network namespace %s: %s", a->ns->name,
			strerror(-a->result));
	else
		a->result = a->run(a->arg);
	return NULL;
}

int netns_run(const struct netns *ns, int (*run)(void *arg), void *arg, struct why *why)
{
	struct action a = { .ns = ns, .run = run, .arg = arg, .why = why };
	unsigned long id;
	int r;

	if (ns->fd < 0)
		return run(arg);
	r = thread_start(&id, action_thread, &a);
	if (r < 0)
		return why_set(why, r, "cannot start a thread: %s", strerror(-r));
	pthread_join(id, NULL);
	return a.result;
}

int thread_start(unsigned long *id, void *(*routine)(void *arg), void *arg)
{
	pthread_attr_t attr;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	r = pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (r == 0)
		r = pthread_create(id, &attr, routine, arg);
	pthread_attr_destroy(&attr);
	return -r;
}
