/*
 * The chains of a legacy table as the kernel gives it, in the order in which iptables-save prints them: the built-in ones as they
 * stand, then the users' by name.
 */
#pragma once

#include "agent/helper/rawtable.h"

struct rawchain {
	const char *name;    /* borrowed, from the entries; a built-in chain's is constant */
	const char *policy;  /* "ACCEPT", "DROP"; NULL: a user's chain */
	uint32_t first, end; /* offsets of its rules, [first, end) */
};

struct rawchains {
	const struct rawentries *entries; /* borrowed */
	struct rawchain *list;            /* owned */
	uint32_t count, builtin;
	struct rawchain **by_place; /* owned: the users' chains by offset */
};

/* Offsets within an entry: behind its head, of its target, of the entry after it. */
struct rawentry {
	uint32_t matches, target, next;
};

/* Cuts the table into chains. 0, -EBADMSG when offsets do not add up, -ENOMEM; then there is nothing to clear. */
int rawchains_open(struct rawchains *c, const struct rawentries *e);
void rawchains_clear(struct rawchains *c);
/* What stands at an offset, which must be within a chain. */
struct rawentry rawchains_entry(const struct rawchains *c, uint32_t at);
/*
 * What a standard target's verdict means in iptables-save: a verdict's name, a chain's, "" for going on with the next rule; NULL for
 * none of these.
 */
const char *rawchains_verdict(const struct rawchains *c, int verdict, uint32_t next);
