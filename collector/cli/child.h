/*
 * Programs of lasthop that run as children for a while: they stand beside our own executable, write their
 * chatter into a file, and die with us however we die.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "common/why.h"

enum { CHILD_LOG_MAX = 4095 };

struct child {
	pid_t pid;        /* 0: none */
	const char *name; /* borrowed */
	char log[400];    /* its stderr goes here */
};

/* argv[0] is the program's name, dir holds its log. 0 or -errno with why. */
int child_start(struct child *c, const char *const argv[], const char *dir, struct why *why);
/* Does it still run? */
bool child_runs(struct child *c);
/* What it has said so far; returns the length. */
size_t child_said(const struct child *c, char text[static CHILD_LOG_MAX + 1]);
/* SIGTERM, a few seconds of patience, SIGKILL. Harmless when it does not run. */
void child_stop(struct child *c);
