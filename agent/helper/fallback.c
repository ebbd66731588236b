#include "agent/helper/fallback.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/helper/arm.h"
#include "agent/helper/child.h"

#define LOCK_FILE "/run/xtables.lock"

static const char *const families[2] = { "ipv4", "ipv6" };

struct arming {
	int rules; /* borrowed: the memfd */
	const char *family;
	struct why *why;
};

/* Where iptables looks for it, too. */
static int lock_open(void)
{
	const char *path = getenv("XTABLES_LOCKFILE");
	int fd = open(path && path[0] ? path : LOCK_FILE, O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* In the namespace, on a thread that outlives the child. */
static int arm(void *arg)
{
	struct arming *a = arg;
	struct child c = { .argv = { "--arm", a->family },
			   .fds = { a->rules },
			   .fd_count = 3,
			   .dies_with_us = true };
	char text[WHY_MAX + 1];
	int errors[2], status, r;
	ssize_t n;

	c.fds[1] = r = lock_open();
	if (r < 0)
		return why_set(a->why, r, "cannot open the lock of iptables: %s", strerror(-r));
	if (pipe2(errors, O_CLOEXEC) < 0) {
		r = -errno;
		close(c.fds[1]);
		return r;
	}
	c.fds[2] = errors[1];
	r = child_start(&c);
	close(errors[1]);
	close(c.fds[1]); /* the child's alone: its end frees the lock */
	if (r < 0) {
		close(errors[0]);
		return why_set(a->why, r, "cannot start a process: %s", strerror(-r));
	}
	n = read(errors[0], text, WHY_MAX);
	close(errors[0]);
	while (waitpid(r, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return why_set(a->why, -EIO, "%s", text[0] ? text : "our rules could not be written");
}

/* The wall clock's end of a lease: the kernel's match knows no other clock. */
static int64_t until(const struct probe_lease *l)
{
	return (wall_now().v + (int64_t)l->remaining_ms * NS_PER_MS) / NS_PER_S + 1;
}

static struct arm *arm_make(uint64_t agent, const struct probe_lease *leases, uint32_t count)
{
	struct arm *a = calloc(1, sizeof(*a) + ARM_RULES_MAX * sizeof(a->rules[0]));
	uint32_t i, k, way;

	if (!a)
		return NULL;
	a->agent = agent;
	for (i = 0; i < count; i++) {
		for (k = 0; k < leases[i].pattern_count; k++) {
			for (way = 0; way < 2; way++) {
				struct arm_rule *r = &a->rules[a->count++];

				r->lease = leases[i].id;
				r->until = until(&leases[i]);
				/* Each rule has a limit of its own: together they keep the lease's. */
				r->rate = leases[i].rate / (2 * leases[i].pattern_count);
				r->rate = r->rate ? r->rate : 1;
				r->reverse = way;
				r->pattern = leases[i].patterns[k];
			}
		}
	}
	return a;
}

static uint32_t count_of(const struct arm *a, int family)
{
	uint32_t i, n = 0;

	for (i = 0; i < a->count; i++)
		n += a->rules[i].pattern.family == (family ? 6 : 4);
	return n;
}

int fallback_put(struct fallback *f, const struct netns *ns, uint64_t agent,
		 const struct probe_lease *leases, uint32_t count, struct why *why)
{
	struct arm *a = arm_make(agent, leases, count);
	struct arming arming = { .why = why };
	size_t size;
	int fd, i, r = 0;

	if (!a)
		return why_set(why, -ENOMEM, "out of memory");
	size = sizeof(*a) + a->count * sizeof(a->rules[0]);
	fd = memfd_create("rules", MFD_CLOEXEC);
	if (fd < 0 || write(fd, a, size) != (ssize_t)size)
		r = why_set(why, -EIO, "cannot make a memfd");
	arming.rules = fd;
	for (i = 0; i < 2 && r == 0; i++) {
		f->standing |= count > 0;
		arming.family = families[i];
		r = netns_run(ns, arm, &arming, why);
		if (r == 0)
			f->count[i] = count_of(a, i);
	}
	if (r == 0 && count == 0)
		f->standing = false;
	if (fd >= 0)
		close(fd);
	free(a);
	return r;
}
