/*
 * The legacy tables of one namespace as the kernel keeps them, reduced to a digest: a cheap way to
 * know that no rule has changed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/journey.h"
#include "common/why.h"

enum { RAWTABLES_MAX = 16, RAWTABLE_NAME = 32 };

struct rawtable {
	enum family family; /* FAMILY_IPV4, FAMILY_IPV6 */
	char name[RAWTABLE_NAME];
	uint64_t digest; /* of its rules, without counters */
};

struct rawtables {
	uint64_t digest; /* of them all; never 0 */
	uint32_t count;
	struct rawtable
		list[RAWTABLES_MAX]; /* IPv4 first, in the order in which packets meet them */
};

/* What the kernel is asked through; kept open between reads, since it belongs to the namespace. */
struct rawsockets {
	int v4, v6; /* owned; -1: not opened yet */
};

void rawsockets_clear(struct rawsockets *s);

/* A table as the kernel gave it, counters included. */
struct rawentries {
	enum family family;
	const char *name;
	uint32_t hooks;           /* bit h: hook h has a chain here */
	const uint32_t *starts;   /* offsets of its first entry ... */
	const uint32_t *policies; /* ... and of its policy, both by hook */
	const void *entries;
	uint32_t size;
};
/* 0 or -errno. */
typedef int rawtable_take(void *arg, const struct rawentries *e);

/* Which tables exist in the calling thread's namespace; no more is asked. 0 or -errno with why. */
int rawtables_list(struct rawtables *t, struct why *why);
/*
 * Reads the digests of the tables of a family (FAMILY_NONE: of both) that exist in the calling thread's
 * namespace; asks about no other, since that would load it. take, unless NULL, is called with
 * each table once, in the list's order. 0 or -errno with why.
 */
int rawtables_read(struct rawtables *t, struct rawsockets *s, enum family only, rawtable_take *take,
		   void *arg, struct why *why);
/* Sets the digest of them all from those of each. */
void rawtables_sum(struct rawtables *t);
/*
 * Feeds one table's entries to the digest; for tests of what counts as a change. -EBADMSG when
 * offsets do not add up.
 */
int rawtable_digest(uint64_t *digest, enum family family, void *entries, uint32_t size);
