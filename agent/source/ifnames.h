/*
 * Interface names of one host by index, as its own namespace knows them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"

struct ifname {
	int32_t ifindex;
	char name[IFNAME_MAX + 1];
};

struct ifnames {
	struct ifname *list; /* owned; sorted by ifindex */
	uint32_t count, cap;
};

enum { IFNAMES_MAX = 16384 };

/* Sets or, with an empty name, removes one. 0, -ENOMEM, -E2BIG beyond IFNAMES_MAX. */
int ifnames_set(struct ifnames *n, int32_t ifindex, const char *name);
/* "" for what is not known; valid until the next change. */
const char *ifnames_find(const struct ifnames *n, int32_t ifindex);
/* Copies the name, or "". */
void ifnames_copy(const struct ifnames *n, int32_t ifindex, char name[static IFNAME_MAX + 1]);
void ifnames_clear(struct ifnames *n);
