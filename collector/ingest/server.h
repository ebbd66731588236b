/*
 * What the files of ingest share: the listener's state, agents (peers) and their connections (sessions).
 */
#pragma once

#include <pthread.h>
#include <uthash.h>

#include "collector/ingest/ingest.h"

enum {
	READ_SLAB = 64 << 10,         /* one read of a socket */
	UNGREETED_MAX = 128,          /* connections without a Hello */
	UNGREETED_IN_MAX = 16 << 10,  /* bytes that one of them may make us hold */
	UNGREETED_PATIENCE_MS = 1000, /* older ones make room for others */
	SESSIONS_MAX = 16384,
	PEERS_MAX = 65536,
	CONTENT_BYTES_MAX = 96 << 20, /* all contents that are being assembled */
};

struct session;
struct peer;

/* The newest commit of one agent on its way from the writer's thread to the loop. */
struct commit {
	uint64_t agent, epoch, seq;
	bool queued;
	struct commit *next; /* in ingest.committed */
	UT_hash_handle hh;
};

struct ingest {
	uv_loop_t *loop;     /* borrowed */
	struct store *store; /* borrowed */
	struct ingest_log log;
	int handles; /* open ones of the listener */
	bool stopping;
	uv_tcp_t tcp;
	uv_async_t wake;  /* the writer has committed something */
	uv_timer_t again; /* looks for room: in the store, and for connections that wait */

	struct peer *peers;       /* owned; hash by agent, kept until the end */
	struct live_host *hosts;  /* hash by host id; the peers own them */
	struct session *sessions; /* owned list */
	uint32_t session_count, ungreeted_count, stalled_count;
	bool accept_waits;                 /* a connection was left unaccepted for want of room */
	struct ingest_observer *observers; /* borrowed list */
	uint64_t content_bytes;            /* being assembled in all sessions */
	struct ingest_counts counts;

	pthread_mutex_t lock;     /* protects the three below */
	struct commit *commits;   /* owned; hash by agent, one per peer */
	struct commit *committed; /* list of the queued ones */
	bool deaf;                /* wake is closing */

	/* Scratch of one callback. */
	uint8_t *slab; /* READ_SLAB bytes */
	struct buf body, out;
	struct arena arena;

	int64_t log_tokens, log_at_ms; /* rate limit of lines */
	uint64_t log_omitted;
};

/* Says one line for people, at most 10 a second. */
void ingest_say(struct ingest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Something may have room again: stalled sessions, waiting connections, contents. */
void ingest_room(struct ingest *g);
/* Makes the place in which commits of this agent travel. 0 or -ENOMEM. */
int ingest_expect_commits(struct ingest *g, uint64_t agent);
