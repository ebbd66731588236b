/*
 * A peer: an agent as this process knows it, across its connections. It has the hosts of its last Hello,
 * and the notes: records that observers will hear of when their batch is committed.
 */
#pragma once

#include "collector/ingest/server.h"

enum { NOTES_MAX = 1024 }; /* beyond it the agent is not read until some are committed */

struct note {
	uint64_t epoch, seq; /* of its batch */
	uint32_t host;
	struct boot_ns at;
	bool no_rulesets;        /* they cannot be read there */
	struct ingest_note note; /* host and at are filled when it is told */
	struct note *prev, *next;
};

struct live_host {
	char id[HOST_MAX + 1];
	uint64_t host;
	struct peer *peer; /* borrowed: the peer has us */
	bool sources_told, rulesets_told;
	bool gone; /* its namespace has ended */
	UT_hash_handle hh;
};

struct peer {
	struct ingest *ingest; /* borrowed */
	struct store_agent agent;
	uint64_t epoch; /* of the last Hello */
	uint8_t instance[16], boot_id[16];
	char id[ID_MAX + 1];
	bool resumed, allow_trace;
	struct session *session; /* borrowed; NULL: not connected */
	uint32_t host_count;
	struct live_host *hosts[HOSTS_PER_AGENT]; /* owned, also in ingest.hosts */
	struct note *notes;                       /* owned list, by arrival */
	uint32_t note_count;

	struct clock_offset offset; /* the newest that was good enough */
	int64_t offset_ms;          /* when, on the loop's clock */
	int64_t heard_ms;           /* last message, on the loop's clock */
	int64_t lag_ms;             /* from the last Pong; -1 unknown */
	bool clock_known;
	int64_t clock_ns; /* its wall clock less ours, at the last ping */
	UT_hash_handle hh;
};

/* The peer whose agent introduced itself by h; made at its first time. 0, -ENOMEM or -EMFILE (too many). */
int peer_take(struct peer **out, struct ingest *g, const struct store_agent *a,
	      const struct msg_hello *h);
/* The agent's hosts are these now. 0 or -errno: the store or memory failed, and nothing changed. */
int peer_hosts(struct peer *p, const struct msg_hosts *h);
struct peer *peer_find(struct ingest *g, uint64_t agent);
struct peer *peer_by_id(struct ingest *g, const char *id);
void peer_free(struct peer *p);

/* Keeps what observers want to know of a batch that the store has queued. 0 or -ENOMEM. */
int peer_note_batch(struct peer *p, const struct msg_batch *b);
/* Tells observers what is committed up to and with seq of this epoch. */
void peer_committed(struct peer *p, uint64_t epoch, uint64_t seq);
void peer_hello(struct peer *p);
void peer_gone(struct peer *p);

/* Takes an offset unless a much better one is fresh; the store gets what was taken. */
void peer_offset(struct peer *p, const struct clock_offset *o);
