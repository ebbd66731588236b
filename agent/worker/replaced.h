/*
 * Rulesets that others have replaced a moment ago. The collector has heard of their tables and may just be asking for the
 * texts: who changes a table with ten commands makes ten contents within a few milliseconds.
 */
#pragma once

#include "agent/source/ruleset.h"
#include "common/content.h"
#include "common/record.h"

enum {
	REPLACED_MAX = 32,
	REPLACED_BYTES_MAX = 4 << 20, /* of their memfds together; one that is larger is not kept */
	REPLACED_S = 5,               /* an exchange with the collector takes much less */
};

struct replaced {
	struct replaced_set *oldest, *newest; /* owned */
	uint32_t count;
	size_t size; /* bytes of memfds */
};

/* Takes set, and keeps it for a while with the identities of its tables; without memory it is forgotten at once. */
void replaced_keep(struct replaced *l, struct ruleset *set, const struct content_id *ids,
		   struct boot_ns now);
/* The index of the table with this content, and the ruleset that has it; -1 none. */
int replaced_find(const struct replaced *l, const struct content_id *id, const struct ruleset **in);
/* Forgets those whose time is over. */
void replaced_expire(struct replaced *l, struct boot_ns now);
void replaced_clear(struct replaced *l);
