/*
 * The lock is on a file of its own, since agent.state is replaced: written beside, synced, renamed, and the directory
 * synced, so an epoch is never used twice even when the power goes.
 */
#include "agent/worker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

enum { TEXT_MAX = 256 };

static int lock(int dir, struct why *why)
{
	char text[32] = "";
	ssize_t n;
	int fd = openat(dir, "agent.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return why_set(why, -errno, "cannot open the lock in the state directory: %s",
			       strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		return why_set(why, -EBUSY, "another agent uses this state directory: pid %.*s",
			       (int)(n > 0 ? strcspn(text, "\n") : 0), text);
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n) {
		int r = -errno;

		close(fd);
		return why_set(why, r, "cannot write the lock: %s", strerror(-r));
	}
	return fd;
}

static bool parse(struct state *s, const char *text)
{
	char hex[33];
	unsigned int byte;

	if (sscanf(text, "epoch %" SCNu64 "\ninstance %32[0-9a-f]\n", &s->epoch, hex) != 2 ||
	    strlen(hex) != 32 || s->epoch == 0)
		return false;
	for (int i = 0; i < 16; i++) {
		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		s->instance[i] = (uint8_t)byte;
	}
	return true;
}

/* 0 also when there is none yet. */
static int load(struct state *s, int dir, struct why *why)
{
	char text[TEXT_MAX] = "";
	int fd = openat(dir, "agent.state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return getrandom(s->instance, sizeof(s->instance), 0) == sizeof(s->instance)
			       ? 0
			       : why_set(why, -EIO, "no random numbers");
	if (fd < 0)
		return why_set(why, -errno, "cannot read agent.state: %s", strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0 || !parse(s, text))
		return why_set(
			why, -EBADMSG,
			"agent.state is damaged: remove it to begin anew as another instance");
	return 0;
}

static int save(const struct state *s, int dir, struct why *why)
{
	char text[TEXT_MAX];
	int n, r = 0;
	int fd;

	n = snprintf(text, sizeof(text), "epoch %" PRIu64 "\ninstance ", s->epoch);
	for (int i = 0; i < 16; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%02x", s->instance[i]);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "\n");

	fd = openat(dir, "agent.state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) < 0 ||
	    renameat(dir, "agent.state.new", dir, "agent.state") < 0 || fsync(dir) < 0)
		r = why_set(why, errno ? -errno : -EIO, "cannot write agent.state: %s",
			    strerror(errno));
	if (fd >= 0)
		close(fd);
	return r;
}

int state_open(struct state *s, const char *path, struct why *why)
{
	uint64_t now;
	int dir, r;

	*s = (struct state){ .fd = -1 };
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make the state directory %s: %s", path,
			       strerror(errno));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return why_set(why, -errno, "cannot open the state directory %s: %s", path,
			       strerror(errno));
	r = s->fd = lock(dir, why);
	if (r < 0)
		goto out;
	r = load(s, dir, why);
	if (r < 0)
		goto out;
	/* Beyond the last one, and beyond those of a state directory that was lost. */
	now = (uint64_t)(wall_now().v / NS_PER_S);
	s->epoch = s->epoch < now ? now : s->epoch + 1;
	r = save(s, dir, why);
out:
	close(dir);
	if (r < 0)
		state_clear(s);
	return r;
}

void state_clear(struct state *s)
{
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct state){ .fd = -1 };
}
