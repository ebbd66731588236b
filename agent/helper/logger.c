/*
 * The guard hears of a change before it is made and forgets it after it was undone. In between
 * there is no moment at which a death could leave our value behind.
 */
#include "agent/helper/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/helper/ipc.h"

static const char *const files[LOGGER_FAMILIES] = {
	"/proc/sys/net/netfilter/nf_log/2",
	"/proc/sys/net/netfilter/nf_log/10",
};

static const char *const names[NF_LOGGER_COUNT] = {
#define X(id, text) text,
	NF_LOGGERS(X)
#undef X
};

static int value_read(int fd, char value[static LOGGER_NAME_MAX + 1])
{
	ssize_t n = pread(fd, value, LOGGER_NAME_MAX, 0);

	if (n < 0)
		return -errno;
	value[n] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

static int value_write(int fd, const char *value)
{
	return pwrite(fd, value, strlen(value), 0) < 0 ? -errno : 0;
}

static bool is_ours(int fd)
{
	char now[LOGGER_NAME_MAX + 1];

	return value_read(fd, now) == 0 && strcmp(now, LOGGER_OURS) == 0;
}

int logger_put_back(int fd, const char *previous)
{
	int r;

	if (!is_ours(fd))
		return 0;
	r = value_write(fd, previous);
	if (r == -ENOENT) /* that logger was unloaded meanwhile */
		r = value_write(fd, "NONE");
	return r;
}

void logger_open(struct logger *l, struct guard *guard, uint32_t slot)
{
	int i;

	*l = (struct logger){ .guard = guard, .slot = slot };
	/* Only the initial namespace has this switch, and only it writes to the kernel's log without it. */
	l->talks = access("/proc/sys/net/netfilter/nf_log_all_netns", F_OK) == 0;
	for (i = 0; i < LOGGER_FAMILIES; i++) {
		struct logger_family *f = &l->families[i];

		f->fd = open(files[i], O_RDWR | O_CLOEXEC);
		if (f->fd < 0 && errno != ENOENT) {
			f->locked = -errno;
			f->fd = open(files[i], O_RDONLY | O_CLOEXEC);
		}
		if (f->fd < 0)
			f->fd = -errno;
	}
}

int logger_usable(const struct logger *l, struct why *why)
{
	for (int i = 0; i < LOGGER_FAMILIES; i++) {
		const struct logger_family *f = &l->families[i];

		if (f->fd >= 0 && f->locked && !is_ours(f->fd))
			return why_set(why, f->locked, "%s cannot be written (%s)", files[i],
				       strerror(-f->locked));
	}
	return 0;
}

/* What is traced meanwhile would be written to the kernel's log. */
static int stay(const struct logger *l, const struct logger_family *f, const char *file,
		struct why *why)
{
	if (!l->talks || strcmp(f->previous, "NONE") == 0)
		return 0;
	return why_set(why, f->locked,
		       "%s cannot be written (%s): what is traced would fill the kernel's log",
		       file, strerror(-f->locked));
}

static int family_bind(struct logger *l, int i, struct why *why)
{
	struct logger_family *f = &l->families[i];
	int r;

	if (f->bound || f->fd == -ENOENT)
		return 0;
	r = f->fd < 0 ? f->fd : value_read(f->fd, f->previous);
	if (r < 0)
		return why_set(why, r, "cannot open %s: %s", files[i], strerror(-r));
	if (strcmp(f->previous, LOGGER_OURS) == 0)
		return 0;
	if (f->locked)
		return stay(l, f, files[i], why);

	r = guard_tell(l->guard, l->slot + (uint32_t)i, f->fd, f->previous);
	if (r < 0)
		return why_set(why, r, "the guard is gone: %s", strerror(-r));
	r = value_write(f->fd, LOGGER_OURS);
	if (r < 0) {
		guard_tell(l->guard, l->slot + (uint32_t)i, -1, NULL);
		if (r == -ENOENT) /* no such logger: then there is no legacy trace either */
			return 0;
		return why_set(why, r, "cannot write %s: %s", files[i], strerror(-r));
	}
	f->bound = true;
	return 0;
}

static void family_forget(struct logger *l, int i)
{
	l->families[i].bound = false;
	guard_tell(l->guard, l->slot + (uint32_t)i, -1, NULL);
}

int logger_bind(struct logger *l, struct why *why)
{
	bool before[LOGGER_FAMILIES];
	int i, r;

	for (i = 0; i < LOGGER_FAMILIES; i++)
		before[i] = l->families[i].bound;
	for (i = 0; i < LOGGER_FAMILIES; i++) {
		r = family_bind(l, i, why);
		if (r < 0)
			goto out;
	}
	return 0;
out:
	while (--i >= 0) {
		if (l->families[i].bound && !before[i]) {
			logger_put_back(l->families[i].fd, l->families[i].previous);
			family_forget(l, i);
		}
	}
	return r;
}

void logger_now(const struct logger *l, uint8_t now[static LOGGER_FAMILIES])
{
	char value[LOGGER_NAME_MAX + 1];
	int i, k;

	for (i = 0; i < LOGGER_FAMILIES; i++) {
		now[i] = NF_LOGGER_OTHER;
		if (l->families[i].fd < 0 || value_read(l->families[i].fd, value) < 0)
			continue;
		for (k = NF_LOGGER_OTHER + 1; k < NF_LOGGER_COUNT; k++)
			if (strcmp(value, names[k]) == 0)
				now[i] = (uint8_t)k;
	}
}

int logger_repair(struct logger *l, const uint8_t previous[static LOGGER_FAMILIES])
{
	int i;

	for (i = 0; i < LOGGER_FAMILIES; i++)
		if (l->families[i].bound)
			return -EBUSY;
	for (i = 0; i < LOGGER_FAMILIES; i++)
		if (l->families[i].fd >= 0 && previous[i] != NF_LOGGER_OTHER &&
		    previous[i] != NF_LOGGER_NFNETLINK)
			logger_put_back(l->families[i].fd, names[previous[i]]);
	return 0;
}

void logger_check(struct logger *l)
{
	int i;

	for (i = 0; i < LOGGER_FAMILIES; i++)
		if (l->families[i].bound && !is_ours(l->families[i].fd))
			family_forget(l, i);
}

void logger_restore(struct logger *l)
{
	int i;

	for (i = 0; i < LOGGER_FAMILIES; i++) {
		if (!l->families[i].bound)
			continue;
		logger_put_back(l->families[i].fd, l->families[i].previous);
		family_forget(l, i);
	}
}

void logger_clear(struct logger *l)
{
	int i;

	logger_restore(l);
	for (i = 0; i < LOGGER_FAMILIES; i++)
		if (l->families[i].fd >= 0)
			close(l->families[i].fd);
	*l = (struct logger){ .families = { { .fd = -1 }, { .fd = -1 } } };
}
