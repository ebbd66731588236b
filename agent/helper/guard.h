/*
 * The guard outlives the helper by a moment: it knows what the loggers were before the helper
 * changed them, and puts that back if the helper ends without having done so.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { GUARD_FD = 0, GUARD_NOTES_MAX = 128, LOGGER_NAME_MAX = 63 };

/* The value that a trace needs, and that only a restorer may replace. */
#define LOGGER_OURS "nfnetlink_log"

struct guard {
	pid_t pid;
	int fd; /* owned; readable only when the guard is dead; -1 none */
};

/* Starts the guard; rules_of: the agent whose rules in raw it may have to remove, 0: there will be none. 0 or -errno. */
int guard_start(struct guard *g, uint64_t rules_of);
/*
 * Tells it that slot's logger, behind fd, is about to change from previous; a NULL previous says
 * that there is nothing to restore any more. 0 or -errno.
 */
int guard_tell(struct guard *g, uint32_t slot, int fd, const char *previous);
/*
 * Tells it that rules of ours are about to stand in the namespace behind fd (-1: where we stand), or that none do any more. 0 or -errno.
 */
int guard_rules(struct guard *g, uint32_t place, int fd, bool standing);
/* Lets the guard end, restoring what it still knows, and waits for it. */
void guard_clear(struct guard *g);

/* The guard itself, `lasthop-helper --guard [AGENT]`. Returns the exit status. */
int guard_main(const char *rules_of);
