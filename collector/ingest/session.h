/*
 * A session: one connection of one agent, from accept to close. Bytes become frames, frames messages, and
 * messages calls of the store. The peer's mistakes end the session and nothing else.
 */
#pragma once

#include "collector/ingest/parcel.h"
#include "collector/ingest/peer.h"

/* REFUSED: it was told so and may read that before the connection ends. */
#define SESSION_STATES(X) X(UNGREETED) X(WELCOMED) X(REFUSED) X(CLOSING)
enum session_state {
#define X(id) SESSION_##id,
	SESSION_STATES(X)
#undef X
};

/* A content that this agent was asked for. */
struct wanted {
	struct content_id id;
	bool again; /* there was no room for it: ask once more */
};

struct session {
	struct ingest *ingest; /* borrowed */
	struct peer *peer;     /* borrowed; from Hello until close */
	enum session_state state;
	int handles; /* open ones; memory goes with the last */
	uv_tcp_t tcp;
	uv_timer_t tick;
	uv_shutdown_t shutdown; /* of a refused one */
	char from[ENDPOINT_TEXT_MAX];
	bool stalled;        /* the store is full: not reading */
	uint64_t got, acked; /* batches of this connection; got begins with what Welcome said */

	struct buf in; /* bytes of frames that are not whole, or wait for room */
	int64_t opened_ms, heard_ms, pinged_ms; /* the loop's clock */
	uint32_t pings;
	uint64_t token; /* of the Ping that is under way; 0: none */
	struct boot_ns token_at;

	struct wanted *wanted; /* owned */
	uint32_t wanted_count, wanted_cap;
	struct parcel parcel;
	struct content_id skipping; /* a content that had no room: its further parts are ignored */
	struct session *prev, *next;
};

/* Accepts what waits on the listener. 0 or -errno. */
int session_accept(struct ingest *g);
/* May be called twice; why is for the line that tells people, NULL says nothing. */
void session_close(struct session *s, const char *why);
/* Queues one message. -ENOTCONN, -ENOBUFS (it does not read: closed), or what encoding says. */
int session_send(struct session *s, const struct msg *m);
/* Everything up to seq is committed; acknowledges what of it came in this connection. */
void session_ack(struct session *s, uint64_t seq);
/* The store, or the sum of contents, has room again. */
void session_room(struct session *s);
