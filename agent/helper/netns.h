/*
 * A network namespace that the helper was started for. Only a thread made for one action ever
 * enters it, so the helper itself stays where it stands.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/why.h"

#define NETNS_DIR "/run/netns/"

struct netns {
	char name[ID_MAX + 1]; /* "" for where the helper stands */
	int fd;                /* owned; -1: where the helper stands */
};

/* A plain name of [A-Za-z0-9._-], never "." or "..". */
bool netns_name_valid(const char *name);
/*
 * Opens /run/netns/NAME; a NULL name is where the helper stands. 0 or -errno with why. The name may be unmounted meanwhile, as if
 * nobody had opened it.
 */
int netns_open(struct netns *ns, const char *name, struct why *why);
/* Makes ns of an open namespace, which it owns from now on; likewise without holding the mount that it was opened by. */
void netns_take(struct netns *ns, const char *name, int fd);
/* What tells it from others while it lives; 0: it cannot be told. */
uint64_t netns_inode(const struct netns *ns);
void netns_clear(struct netns *ns);
/* Moves the calling thread into ns. 0 or -errno. */
int netns_enter(const struct netns *ns);
/*
 * Runs action(arg) in ns on a thread that ends with it. What action returned, or -errno with why.
 */
int netns_run(const struct netns *ns, int (*action)(void *arg), void *arg, struct why *why);
/*
 * A thread with a small stack; a start routine must not need more than THREAD_STACK. 0 or -errno.
 */
enum { THREAD_STACK = 256 << 10 };
int thread_start(unsigned long *id, void *(*routine)(void *arg), void *arg);
