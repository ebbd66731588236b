/*
 * A process of our own program in another mode.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum { CHILD_FDS_MAX = 4 };

struct child {
	const char *argv[4];    /* after the program's name; ends at the first NULL */
	int fds[CHILD_FDS_MAX]; /* become 0, 1, 2, ...; -1: /dev/null. Borrowed */
	int fd_count;
	bool deaf;         /* ignores the signals that would end it politely */
	bool dies_with_us; /* killed as soon as the calling thread ends */
};

/*
 * Starts it with nothing but those descriptors, no environment and no blocked signal. The pid or
 * -errno.
 */
pid_t child_start(const struct child *c);
