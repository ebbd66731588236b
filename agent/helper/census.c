#include "agent/helper/census.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/helper/netns.h"

enum { CGROUP_MAX = 4096, ID_HEX = 64, ID_SHOWN = 12 };

void inode_name(uint64_t inode, char name[static ID_MAX + 1])
{
	snprintf(name, ID_MAX + 1, "net-%" PRIu64, inode);
}

/* --- containers --------------------------------------------------------------------------------- */

/* Length of the hexadecimal number that stands at s. */
static size_t hex_len(const char *s)
{
	size_t n = 0;

	while (isdigit((unsigned char)s[n]) || (s[n] >= 'a' && s[n] <= 'f'))
		n++;
	return n;
}

static bool copy_name(const char *from, size_t len, char name[static ID_MAX + 1])
{
	char text[ID_MAX + 1];

	if (len == 0 || len > ID_MAX)
		return false;
	memcpy(text, from, len);
	text[len] = '\0';
	if (!netns_name_valid(text) || text[0] == '.')
		return false;
	memcpy(name, text, len + 1);
	return true;
}

/* One part of a cgroup's path: docker-ID.scope, ID, lxc.payload.NAME, machine-NAME.scope. */
static bool part_names(const char *part, size_t len, const char *before, size_t before_len,
		       char name[static ID_MAX + 1])
{
	static const struct {
		const char *start, *end;
	} managers[] = { { "lxc.payload.", "" }, { "machine-", ".scope" } };
	size_t i, start, end;

	/* The id ends the part, or .scope follows it; what stands before is the runtime's. */
	for (i = 0; i + ID_HEX <= len; i++)
		if ((i == 0 || part[i - 1] == '-') && hex_len(part + i) == ID_HEX &&
		    (i + ID_HEX == len || part[i + ID_HEX] == '.'))
			return copy_name(part + i, ID_SHOWN, name);
	for (i = 0; i < sizeof(managers) / sizeof(managers[0]); i++) {
		start = strlen(managers[i].start);
		end = strlen(managers[i].end);
		if (len > start + end && memcmp(part, managers[i].start, start) == 0 &&
		    memcmp(part + len - end, managers[i].end, end) == 0)
			return copy_name(part + start, len - start - end, name);
	}
	if (before_len == 3 && memcmp(before, "lxc", 3) == 0)
		return copy_name(part, len, name);
	return false;
}

/* The innermost part of the path that names a container. */
static bool path_names(const char *path, char name[static ID_MAX + 1])
{
	const char *before = path;
	size_t before_len = 0;
	bool found = false;

	while (*path) {
		size_t len = strcspn(path, "/");

		found |= part_names(path, len, before, before_len, name);
		before = path;
		before_len = len;
		path += len;
		path += *path == '/';
	}
	return found;
}

bool container_name(const char *cgroup, char name[static ID_MAX + 1])
{
	char line[CGROUP_MAX];
	const char *path;
	size_t len;

	/* HIERARCHY:CONTROLLERS:PATH, several of them where version 1 is in use. */
	for (; *cgroup; cgroup += len + (cgroup[len] == '\n')) {
		len = strcspn(cgroup, "\n");
		if (len >= sizeof(line))
			continue;
		memcpy(line, cgroup, len);
		line[len] = '\0';
		path = strchr(line, ':');
		path = path ? strchr(path + 1, ':') : NULL;
		if (path && path_names(path + 1, name))
			return true;
	}
	return false;
}

static void name_process(struct dweller *d)
{
	char path[32], text[CGROUP_MAX];
	ssize_t n;
	int fd;

	inode_name(d->inode, d->name);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)d->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	container_name(text, d->name);
}

/* --- looking ------------------------------------------------------------------------------------ */

static struct dweller *census_add(struct census *c, uint64_t inode)
{
	if (c->count == CENSUS_MAX) {
		c->cut = true;
		return NULL;
	}
	c->list[c->count] = (struct dweller){ .inode = inode };
	return &c->list[c->count++];
}

/* The inode of the calling thread's own network namespace; 0: it cannot be told. */
static uint64_t census_own(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) == 0 ? st.st_ino : 0;
}

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct dweller *)a)->file, ((const struct dweller *)b)->file);
}

/* Files that no namespace is mounted on are being made, or were left over. Sorted: of two names of one namespace it is always the same. */
static void take_names(struct census *c)
{
	struct stat own, st;
	struct dweller *d;
	struct dirent *e;
	DIR *dir = opendir(NETNS_DIR);

	if (!dir || stat("/proc/thread-self/ns/net", &own) < 0)
		goto out;
	while ((e = readdir(dir))) {
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_dev != own.st_dev)
			continue;
		d = census_add(c, st.st_ino);
		if (!d)
			break;
		d->named = true;
		snprintf(d->file, sizeof(d->file), "%s", e->d_name);
		if (netns_name_valid(e->d_name) && e->d_name[0] != '.')
			snprintf(d->name, sizeof(d->name), "%.*s", ID_MAX, e->d_name);
		else
			inode_name(d->inode, d->name);
	}
	qsort(c->list, c->count, sizeof(c->list[0]), by_file);
out:
	if (dir)
		closedir(dir);
}

/* "net:[4026531840]" */
static uint64_t inode_of(int proc, const char *pid)
{
	char path[32], text[64];
	ssize_t n;

	snprintf(path, sizeof(path), "%.10s/ns/net", pid);
	n = readlinkat(proc, path, text, sizeof(text) - 1);
	if (n < 0)
		return 0;
	text[n] = '\0';
	return strncmp(text, "net:[", 5) == 0 ? strtoull(text + 5, NULL, 10) : 0;
}

static void take_processes(struct census *c)
{
	uint64_t own = census_own(), inode;
	struct dweller *d;
	struct dirent *e;
	DIR *dir = opendir("/proc");

	while (dir && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		errno = 0;
		inode = inode_of(dirfd(dir), e->d_name);
		c->denied |= inode == 0 && errno == EACCES;
		if (inode == 0 || inode == own || census_by_inode(c, inode))
			continue;
		d = census_add(c, inode);
		if (!d)
			break;
		d->pid = (pid_t)strtol(e->d_name, NULL, 10);
		name_process(d);
	}
	if (dir)
		closedir(dir);
}

void census_take(struct census *c, bool processes)
{
	c->count = 0;
	c->cut = c->denied = false;
	take_names(c);
	if (processes)
		take_processes(c);
}

const struct dweller *census_by_name(const struct census *c, const char *name)
{
	uint32_t i;

	for (i = 0; i < c->count; i++)
		if (c->list[i].named && strcmp(c->list[i].name, name) == 0)
			return &c->list[i];
	return NULL;
}

const struct dweller *census_by_inode(const struct census *c, uint64_t inode)
{
	uint32_t i;

	for (i = 0; i < c->count; i++)
		if (c->list[i].inode == inode)
			return &c->list[i];
	return NULL;
}

int census_open(const struct dweller *d)
{
	char path[sizeof(NETNS_DIR) + FILE_NAME_MAX];
	struct stat st;
	int fd;

	if (d->named)
		snprintf(path, sizeof(path), NETNS_DIR "%s", d->file);
	else
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)d->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | (d->named ? O_NOFOLLOW : 0));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_ino != d->inode) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}
