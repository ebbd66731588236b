/*
 * The ipsets that rules name. Only these are asked for: where a rule names one, ip_set is loaded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct setname {
	char name[SET_NAME_MAX + 1];
	bool fed;     /* packets change its members: -j SET */
	bool is_list; /* once it has been read */
};

struct setnames {
	uint32_t count;
	bool more; /* than there is room for */
	struct setname list[IPSETS_MAX];
};

/* Adds one; a name that is there may become fed. */
void setnames_add(struct setnames *n, const char *name, bool fed);
/* Adds those of one table's text, as iptables-save prints it. 0 or -errno. */
int setnames_of(struct setnames *n, const char *text, size_t len);
/* Those of all texts of a ruleset memfd, by name. 0 or -errno. */
int setnames_read(struct setnames *n, int fd);
