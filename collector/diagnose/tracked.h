/*
 * What connection tracking alone tells of a flow: which hosts its first packet passed, in which order, and what they made of
 * its addresses. An entry is made when the packet has passed the last hook of its host: it left it, or arrived there.
 */
#pragma once

#include "collector/diagnose/answer.h"
#include "collector/stitch/translations.h"

/* A host that connection tracking saw it pass. */
struct stop {
	const struct stored_conn *conn;
	struct tuple in, out;
	bool ambiguous; /* in which order it passed them, or whether it was this connection, is not known */
};

struct stops {
	struct stop *list; /* in the order of the way; in the arena */
	size_t count;
};

/* The stops of a connection: 1. the translations in order; 2. between them, who saw the same addresses: sender, by time, receiver. */
int stops_of(struct stops *out, const struct inquiry *q, const struct translated *t);
/* The stops of a conversation; none where connection tracking told nothing. */
int stops_find(struct stops *out, const struct inquiry *q, const struct conversation *c);

/* A stop as a hop of `where`: link "nat" (null for the first), no interface, no TTL, no step. */
json_t *json_stop(const struct inquiry *q, const struct stop *s, bool first);

/*
 * How it ended as far as connection tracking tells: delivered when its last stop owns the address it goes to, or a reply was seen;
 * else unknown.
 */
enum verdict stops_verdict(const struct inquiry *q, const struct stops *s, bool *reply_seen);
/*
 * Did the host at which a packet of the conversation died, or its receiver, begin to track it after `death`? Then another one
 * passed there. Entries that were found long after they were made (events had been lost) tell nothing, nor do those of zones:
 * in which one the packet was is not known.
 */
bool stops_passed(struct stops *out, const struct inquiry *q, const struct conversation *c,
		  uint64_t host, struct wall_ns death);
