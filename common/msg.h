/*
 * Messages: what frames mean. Only msg_*.c know protobuf. Decoding copies into plain structs in the caller's
 * arena and checks every enum, length and count against limits.h; encoding is its exact inverse.
 */
#pragma once

#include "common/buf.h"
#include "common/record.h"

/* RECORDS is the Batch: <sys/socket.h> owns the name MSG_BATCH. */
#define MSGS(X) X(HELLO) X(RECORDS) X(HAVE) X(PART) X(PONG) X(WELCOME) X(ACK) X(NEED) X(PING) X(LEASE_START)	\
	X(LEASE_STOP) X(SNAPSHOT_NOW) X(HOSTS)
enum msg_kind {
	MSG_NONE, /* a kind that this version does not know: counted and ignored */
#define X(id) MSG_##id,
	MSGS(X)
#undef X
};

struct msg_host {
	const char *id;    /* host id */
	const char *netns; /* "" for where the agent stands */
	bool gone;         /* its namespace has ended; it keeps its index */
};

/* Agent to collector, first. */
struct msg_hello {
	const char *id, *version;
	uint64_t epoch;
	uint8_t instance[16], boot_id[16];
	struct boot_ns boot; /* both clocks at the moment of sending */
	struct wall_ns wall;
	bool allow_trace;
	uint32_t host_count;
	struct msg_host *hosts;
};

/*
 * Agent to collector: its hosts as a Hello would list them now. Indexes stay, but that one whose host has gone may pass to
 * another host when everything said of the former is acknowledged.
 */
struct msg_hosts {
	uint32_t count;
	struct msg_host *list;
};

struct msg_batch {
	uint64_t seq; /* from 1 in an epoch */
	uint32_t count;
	struct record *records;
};

struct msg_ids {
	uint32_t count;
	struct content_id *ids;
};

struct msg_part {
	struct content_id id;
	uint64_t offset, total;
	const uint8_t *data;
	uint32_t len;
};

struct msg_ping {
	uint64_t token;
};

struct msg_pong {
	uint64_t token;
	struct boot_ns boot;
	struct wall_ns wall;
	uint64_t oldest_unacked_ms; /* how far the agent is behind */
};

struct msg_welcome {
	uint64_t epoch, seq; /* the last batch of this agent that is stored */
	bool refused;        /* the collector will not take this agent: why */
	const char *why;
	uint32_t backends; /* how many of them the collector knows; 0: those before BACKEND_IPSET */
};

struct msg_lease_start { /* also renews: the same id again */
	uint64_t id;
	uint32_t host;
	uint32_t remaining_ms; /* until its deadline */
	uint32_t rate;         /* packets a second */
	uint32_t modulus;      /* a power of two */
	uint32_t pattern_count;
	struct pattern *patterns;
};

struct msg {
	enum msg_kind kind;
	union {
		struct msg_hello hello;
		struct msg_batch batch;
		struct msg_ids have, need;
		struct msg_part part;
		struct msg_ping ping;
		struct msg_pong pong;
		struct msg_welcome welcome;
		struct msg_hosts hosts;
		uint64_t ack;
		struct msg_lease_start lease_start;
		struct {
			uint64_t id;
			uint32_t host;
		} lease_stop;
	};
};

/* 0; -EPROTO when the bytes or a value are wrong; -ENOMEM beyond the arena. Pointers in *m live in the arena. */
int msg_decode(struct msg *m, const uint8_t *p, size_t len, struct arena *arena);
/* Appends the packed message to out. -E2BIG beyond out's maximum. */
int msg_encode(struct buf *out, const struct msg *m);

/*
 * Batches are encoded record by record, so that a record's size is known when it is added. A batch's body
 * is made by each batch_add(), then batch_end(); the bytes are the same as msg_encode()'s
 * but for the order of names.
 */
struct batch;

int batch_new(struct batch **out);
/* -E2BIG: the batch is full; -EINVAL: the record is beyond limits.h, so that the peer would refuse the batch. */
int batch_add(struct batch *b, const struct record *r);
size_t batch_size(const struct batch *b);
uint32_t batch_count(const struct batch *b);
/* Appends the packed MSG_RECORDS with this seq to out and empties b for the next. */
int batch_end(struct batch *b, uint64_t seq, struct buf *out);
void batch_free(struct batch *b);
