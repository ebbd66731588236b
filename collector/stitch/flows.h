/*
 * Flows: paths of the same connection, both directions, across NAT.
 */
#pragma once

#include "collector/stitch/path.h"

struct conversation {
	struct tuple tuple;              /* as the sender of the first packet sees it */
	struct path **original, **reply; /* by time; borrowed */
	size_t original_count, reply_count;
	struct path **
		answers; /* RSTs and ICMP errors about it that hosts on the way made, or any ICMP error that embeds it */
	size_t answer_count;
	struct stored_conn *conn; /* NULL: conntrack did not tell */
	uint64_t sender;          /* the host whose OUTPUT it came from; 0: not seen */
	uint64_t gate;            /* the host that translated it first; 0: not seen */
	struct tuple beyond;      /* what that one made of it */
	bool shared;              /* other conversations bear the same addresses and ports */
	struct wall_ns first, last;
};

struct flows {
	struct conversation *list; /* newest last */
	size_t count;
	struct paths paths;
	bool cut; /* more journeys matched than were looked at */
	struct wall_ns
		whole_from; /* of packets before that, journeys may be left out (0: of none) */
};

/* Private addresses are used at several sites: are a and b surely of different senders? */
bool conversations_differ(const struct conversation *a, const struct conversation *b);

/*
 * Finds everything that belongs to the flow in the window: the journeys that match, the same packets on other
 * hosts (by fingerprint), and the other direction of every tuple found on the way. A tuple that was used twice (a SYN
 * with another sequence number) makes two conversations.
 */
int flows_find(struct flows *out, struct fleet *f, const struct flow *flow, size_t limit);
