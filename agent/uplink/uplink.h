/*
 * The uplink: one TCP session to the collector, made again whenever it ends. It sends what the spool holds, in
 * order, pieces of contents between batches, and hands on what the collector asks.
 */
#pragma once

#include <uv.h>

#include "agent/spool/spool.h"
#include "common/msg.h"
#include "common/why.h"

#define UPLINK_STATES(X) X(IDLE) X(CONNECTING) X(GREETING) X(STREAMING) X(CLOSING) X(ENDED)
enum uplink_state {
#define X(s) UPLINK_##s,
	UPLINK_STATES(X)
#undef X
};

/* What the uplink needs from, and tells, the program. Everything runs on the loop. */
struct uplink_ops {
	/* Fills the Hello; its pointers must stay valid until the call of message() after. */
	void (*hello)(void *arg, struct msg_hello *h);
	/* A message for the program: LEASE_START, LEASE_STOP, NEED, SNAPSHOT_NOW. Borrowed during the call. */
	void (*message)(void *arg, const struct msg *m);
	/*
	 * One piece of a content, at most PART_MAX bytes from offset. False when it is not there any more.
	 * The bytes stay valid until content_end().
	 */
	bool (*content)(void *arg, const struct content_id *id, uint64_t offset,
			struct msg_part *part);
	void (*content_end)(void *arg);
	/* The collector has forgotten what it had acknowledged. */
	void (*forgotten)(void *arg);
	/* Until when all that the kernel has told is in the spool; at most now. */
	struct boot_ns (*read_until)(void *arg, struct boot_ns now);
	/* For the log: what happened, once. streaming: the session is up. */
	void (*changed)(void *arg, bool streaming, const char *why);
};

struct uplink;

/* addr is the collector's; the spool is borrowed. Connects at once. */
int uplink_open(struct uplink **out, uv_loop_t *loop, const struct sockaddr *addr,
		struct spool *spool, const struct uplink_ops *ops, void *arg);
/* The hosts that hello() tells of have changed: the collector hears of it before the next batch. */
void uplink_hosts(struct uplink *u);
/* The spool may hold more to send. */
void uplink_kick(struct uplink *u);
/* How far behind the kernel is what the collector has acknowledged, in ms. */
uint64_t uplink_behind(const struct uplink *u, struct boot_ns now);
/* Tells the collector that; only useful while streaming. */
void uplink_tell_behind(struct uplink *u);
/* Offers contents; only useful while streaming. */
void uplink_have(struct uplink *u, const struct content_id *ids, uint32_t count);
/* All batches up to this one are acknowledged. */
uint64_t uplink_acked(const struct uplink *u);
/* How many backends of tables the collector knows. */
uint32_t uplink_backends(const struct uplink *u);
bool uplink_streaming(const struct uplink *u);
/* When the last word of the collector came; 0 never. */
struct boot_ns uplink_heard(const struct uplink *u);
/* Is everything that the spool holds acknowledged? */
bool uplink_drained(const struct uplink *u);
/* Ends the session for good; memory goes when the loop has closed its handles. May be called twice. */
void uplink_close(struct uplink *u);
