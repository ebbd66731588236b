/*
 * ICMP errors whose capture lacks the addresses that they embed: which packet they are about.
 */
#pragma once

#include "collector/stitch/drafts.h"

/* Packets of conversations, by what an error tells of them. Zeroed: not looked at yet. */
struct embedded {
	struct packet_key *list; /* in the arena */
	size_t count;
	bool ready;
};

/*
 * *of: the conversation of the packet that fits what the error e embeds, the last one before it; NULL: none fits. The drafts' packets must not change
 * between calls. 0 or -ENOMEM.
 */
int embedded_find(struct draft **of, struct embedded *m, const struct drafts *all,
		  const struct stored_journey *e);
