#include "agent/worker/notes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 48, TEXT_MAX = (NOTES_MAX + 1) * LINE_MAX_LEN };

static void boot_text(const uint8_t boot_id[static 16], char text[static 33])
{
	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", boot_id[i]);
}

/* Only lines that are whole and of this boot count. */
static void parse(struct notes *n, const char *text)
{
	char boot[33];
	struct notes_entry e;
	const char *end;

	boot_text(n->boot_id, boot);
	if (strncmp(text, boot, 32) != 0 || text[32] != '\n')
		return;
	for (text += 33; (end = strchr(text, '\n')) && n->count < NOTES_MAX; text = end + 1) {
		if (sscanf(text, "%" SCNu64 " %" SCNu32 "\n", &e.inode, &e.loggers) == 2 &&
		    e.inode && e.loggers && e.loggers <= UINT16_MAX)
			n->list[n->count++] = e;
	}
}

int notes_open(struct notes *n, const char *dir, const uint8_t boot_id[static 16], struct why *why)
{
	char path[4096], text[TEXT_MAX + 1];
	ssize_t got;

	*n = (struct notes){ .fd = -1 };
	memcpy(n->boot_id, boot_id, sizeof(n->boot_id));
	if (snprintf(path, sizeof(path), "%s/loggers", dir) >= (int)sizeof(path))
		return why_set(why, -ENAMETOOLONG, "the state directory's name is too long");
	n->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (n->fd < 0)
		return why_set(why, -errno, "cannot open %.100s: %s", path, strerror(errno));
	got = pread(n->fd, text, TEXT_MAX, 0);
	text[got > 0 ? got : 0] = '\0';
	parse(n, text);
	return 0;
}

static int save(struct notes *n)
{
	char text[TEXT_MAX], boot[33];
	int len;

	boot_text(n->boot_id, boot);
	len = snprintf(text, sizeof(text), "%s\n", boot);
	for (uint32_t i = 0; i < n->count; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%" PRIu64 " %" PRIu32 "\n",
				n->list[i].inode, n->list[i].loggers);
	if (pwrite(n->fd, text, (size_t)len, 0) != len || ftruncate(n->fd, len) < 0 ||
	    fsync(n->fd) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

static struct notes_entry *find(struct notes *n, uint64_t inode)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->list[i].inode == inode)
			return &n->list[i];
	return NULL;
}

uint32_t notes_find(const struct notes *n, uint64_t inode)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->list[i].inode == inode)
			return n->list[i].loggers;
	return 0;
}

int notes_set(struct notes *n, uint64_t inode, uint32_t loggers)
{
	struct notes_entry *e = find(n, inode);

	if (loggers == 0) {
		if (!e)
			return 0;
		*e = n->list[--n->count];
		return save(n);
	}
	if (e && e->loggers == loggers)
		return 0;
	if (!e) {
		/* The oldest belongs to a namespace that never came back. */
		if (n->count == NOTES_MAX)
			memmove(n->list, n->list + 1, --n->count * sizeof(n->list[0]));
		e = &n->list[n->count++];
	}
	*e = (struct notes_entry){ inode, loggers };
	return save(n);
}

void notes_clear(struct notes *n)
{
	if (n->fd >= 0)
		close(n->fd);
	*n = (struct notes){ .fd = -1 };
}
