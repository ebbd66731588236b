/*
 * Follows the namespaces as they come and go: wakes up when that may have happened, takes a census,
 * and decides what it means for the places that hosts have.
 *
 *  1. A place's host has gone when nothing but ourselves holds its namespace any more (no name, no
 *     process), or when its name means another namespace by now.
 *  2. A namespace with one of the names that we were started for, or any when all are followed, gets
 *     a place: the one that its name has had before, else a free one.
 *  3. Without a name it must have been there for a moment: programs make short-lived ones.
 */
#pragma once

#include "agent/helper/census.h"
#include "common/clock.h"
#include "common/why.h"

/* What a place is to the follower. */
struct holding {
	char name[ID_MAX + 1]; /* of its host; "": where the helper stands, which never goes */
	uint64_t inode;
	bool used;     /* it has been a host's: its index means that host */
	bool standing; /* the host is there */
	bool free;     /* used, but its index may pass to another host */
	pid_t pid;     /* the process that we know to stand in it; 0: its name holds it */
	int pidfd;     /* owned, by the follower; -1 none */
};

struct follow_ops {
	void *arg;
	/* The namespace gets place i. 0; -errno with why: it cannot be watched. */
	int (*begin)(void *arg, uint32_t i, const struct dweller *d, struct why *why);
	void (*end)(void *arg, uint32_t i);
	/* Said once: name is not watched, and why. "": something is wrong with following itself. */
	void (*refuse)(void *arg, const char *name, const char *why);
};

enum { YOUNG_MAX = 256, REFUSED_MAX = 64 };

struct follow {
	const struct follow_ops *ops; /* borrowed */
	bool all, names_watched, denied_told;
	int fd;            /* owned: readable when something may have happened; -1 none */
	int notify, timer; /* owned; -1 none */
	uint32_t hurry;    /* looks that soon follow */
	struct young {
		uint64_t inode;
		struct boot_ns since;
	} young[YOUNG_MAX];
	uint32_t young_count;
	uint64_t refused[REFUSED_MAX];
	uint32_t refused_count;
	struct census *census; /* owned */
};

/* all: else only the names that the places have. 0 or -errno. */
int follow_open(struct follow *f, bool all, const struct follow_ops *ops);
/* Something happened, or it is time: looks, and tells ops. */
void follow_look(struct follow *f, struct holding *const *places, uint32_t count);
/* What a census means; f->census is not used. For follow_look() and tests. */
void follow_decide(struct follow *f, const struct census *c, struct holding *const *places,
		   uint32_t count, struct boot_ns now);
void follow_clear(struct follow *f);
