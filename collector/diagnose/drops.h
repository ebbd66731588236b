/*
 * What the fleet discards: the words of diagnose_drops()'s answer, and how its packets are put together.
 */
#pragma once

#include "collector/diagnose/answer.h"

enum {
	DROPS_JOURNEYS_MAX = 50000, /* that one question looks at, the newest */
	DROPS_GROUPS_MAX =
		500, /* of packets of one flow that ended alike; those with the most packets */
	DROPS_FLOWS_MAX = 20, /* told of each place */
};

/* Packets of one flow that ended in one place; the newest stands for all. */
struct drop_group {
	const struct stored_journey *newest;
	struct hop hop; /* newest as a path of one hop: what the fate points at */
	struct path path;
	struct fate fate;
	const char *class; /* the verdict of a death, else why the reason is none */
	bool one_port;     /* all of its packets had the newest one's source port */
	uint64_t packets;
	struct wall_ns first, last;
};

/*
 * The groups of these journeys, most packets first; journeys that are no end after all are in none. *omitted: packets of groups beyond DROPS_GROUPS_MAX. by_port: flows with another source port are groups of their own.
 * 0 or -ENOMEM.
 */
int drops_group(struct drop_group **out, size_t *count, const struct inquiry *q,
		const struct stored_journey *list, size_t n, bool by_port, uint64_t *omitted);
/* Did two groups end in the same place, for the same reason? */
bool drops_same_place(const struct drop_group *a, const struct drop_group *b);
/* The kernel's name of it, or ours. */
const char *drops_reason(const struct drop_group *g);
