/*
 * Which logger a namespace writes its packet log to, per family. TRACE of the legacy tables reaches
 * our socket only while that is nfnetlink_log; it is set while a lease stands and put back after.
 */
#pragma once

#include <stdbool.h>

#include "agent/helper/guard.h"
#include "common/why.h"

enum { LOGGER_FAMILIES = 2 }; /* ipv4, ipv6 */

struct logger {
	struct guard *guard; /* borrowed */
	uint32_t slot;       /* the first of LOGGER_FAMILIES of the guard's */
	bool talks;          /* the kernel's own log may be written from this namespace */
	struct logger_family {
		int fd;     /* owned: the sysctl file of the namespace; -errno: there is none */
		int locked; /* -errno: it can be read only */
		bool bound; /* by us, and ours to put back */
		char previous[LOGGER_NAME_MAX + 1];
	} families[LOGGER_FAMILIES];
};

/*
 * Opens the namespace's files; runs inside it. Files that cannot be opened show when bind is asked.
 */
void logger_open(struct logger *l, struct guard *guard, uint32_t slot);
/* Can both families log to us, now or after a bind? 0 or -errno with why. */
int logger_usable(const struct logger *l, struct why *why);
/*
 * Makes both families log to us. Where that cannot be, it does only if traced packets are logged nowhere then. Kernels without such a logger are fine. 0 or -errno with why; then
 * nothing changed.
 */
int logger_bind(struct logger *l, struct why *why);
/* Forgets what somebody else has changed since: theirs stays. */
void logger_check(struct logger *l);
/* Puts back what was there, where it still is ours. */
void logger_restore(struct logger *l);
/* Restores and closes. */
void logger_clear(struct logger *l);

/* Which loggers the namespace has now: enum nf_logger of each family. */
void logger_now(const struct logger *l, uint8_t now[static LOGGER_FAMILIES]);
/*
 * Puts these back where LOGGER_OURS stands though nobody asked for it: a former helper and its guard were
 * killed. 0, or -EBUSY while it is bound by us.
 */
int logger_repair(struct logger *l, const uint8_t previous[static LOGGER_FAMILIES]);

/* Writes previous to the file if it still says LOGGER_OURS. 0 or -errno. */
int logger_put_back(int fd, const char *previous);
