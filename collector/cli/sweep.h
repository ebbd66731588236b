/*
 * A temporary directory that goes when we go, however that is: a process of its own waits for our end and removes it.
 */
#pragma once

#include <sys/types.h>

struct sweep {
	pid_t pid; /* 0: none */
	int fd;    /* our end of its pipe; it closes with us */
};

/* From now on dir goes with us. 0 or -errno: it will be left. */
int sweep_begin(struct sweep *s, const char *dir);
/* Removes it now: returns once it is gone, or after some seconds. Harmless when nothing began. */
void sweep_end(struct sweep *s);
