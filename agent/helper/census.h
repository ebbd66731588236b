/*
 * The network namespaces of this machine at one moment: those with a name in /run/netns, and those
 * that processes stand in. A look holds none of them: what we hold open cannot end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/limits.h"

enum { CENSUS_MAX = 1024, FILE_NAME_MAX = 255 };

struct dweller {
	uint64_t inode;               /* of the namespace */
	bool named;                   /* in /run/netns; else a process stands in it */
	pid_t pid;                    /* of that process */
	char file[FILE_NAME_MAX + 1]; /* named: in /run/netns */
	char name[ID_MAX + 1];        /* of its host */
};

struct census {
	uint32_t count;
	bool cut;    /* there are more than CENSUS_MAX */
	bool denied; /* some processes would not be looked at */
	struct dweller list[CENSUS_MAX];
};

/*
 * Takes a census; processes: not of the names alone. A name that a host's id cannot bear is
 * replaced by net-INODE.
 */
void census_take(struct census *c, bool processes);
/* The entry with this name, or the first with this inode; NULL none. */
const struct dweller *census_by_name(const struct census *c, const char *name);
const struct dweller *census_by_inode(const struct census *c, uint64_t inode);
/* Opens what d is; fails when it is another one by now. The fd or -errno. */
int census_open(const struct dweller *d);

/*
 * The container that a process belongs to, by the text of its /proc/PID/cgroup: the first 12
 * characters of its id as Docker, Podman, containerd and CRI-O print it, or the name that LXC or
 * systemd-nspawn gave it. False: in none that we know.
 */
bool container_name(const char *cgroup, char name[static ID_MAX + 1]);
/* What a namespace is called that has no better name. */
void inode_name(uint64_t inode, char name[static ID_MAX + 1]);
