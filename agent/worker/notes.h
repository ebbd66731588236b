/*
 * Notes for the next start, in DIR/loggers: which packet loggers a namespace had before a lease. They are needed only when helper and
 * guard are killed at the same instant, and mean nothing after a reboot.
 */
#pragma once

#include <stdint.h>

#include "common/limits.h"
#include "common/why.h"

enum { NOTES_MAX = 2 * HOSTS_PER_AGENT };

struct notes {
	int fd; /* owned; -1 none */
	uint8_t boot_id[16];
	uint32_t count;
	struct notes_entry {
		uint64_t inode;
		uint32_t loggers;
	} list[NOTES_MAX];
};

/* Reads what the last start left, if it was in this boot. 0 or -errno with why. */
int notes_open(struct notes *n, const char *dir, const uint8_t boot_id[static 16], struct why *why);
/* What is noted for the namespace; 0 nothing. */
uint32_t notes_find(const struct notes *n, uint64_t inode);
/* Notes loggers for it (0: nothing any more), and has that on disk before it returns. 0 or -errno. */
int notes_set(struct notes *n, uint64_t inode, uint32_t loggers);
void notes_clear(struct notes *n);
