/*
 * Ingest: where agents connect. It takes their records to the store, acknowledges what is committed and
 * synced, keeps what is known of each agent right now, and carries requests (leases, snapshots) to them.
 * Everything here lives in the loop's thread, but ingest_committed().
 */
#pragma once

#include <uv.h>

#include "collector/store/store.h"

struct ingest;

struct ingest_log {
	void (*line)(void *arg, const char *line); /* one line for people, without newline */
	void *arg;
};

/* Makes an ingest that does not listen yet, since the store wants ingest_committed() when it opens. */
int ingest_new(struct ingest **out, uv_loop_t *loop, const struct ingest_log *log);
/* For struct store_options, with the ingest as arg. Called on the writer's thread. */
void ingest_committed(void *ingest, uint64_t agent, uint64_t epoch, uint64_t seq);
/* Listens on a numeric address; *port is what was chosen for port 0. The store is borrowed until ingest_free(). */
int ingest_listen(struct ingest *g, struct store *s, const struct sockaddr *a, uint16_t *port,
		  struct why *why);
/* Stops listening and closes all sessions; may be called twice. The loop then runs out of ingest's handles. */
void ingest_stop(struct ingest *g);
/* After the loop has closed everything; NULL is fine. The store must be closed before, or never use it again. */
void ingest_free(struct ingest *g);

/* A host's agent right now. */
struct ingest_live {
	uint64_t host;          /* the store's id */
	const char *id, *agent; /* borrowed until the loop goes on */
	bool connected;         /* and welcomed */
	bool gone;              /* its namespace has ended, says its agent */
	bool resumed;           /* it came back with the epoch that the store had seen before */
	bool allow_trace;
	bool sources_told, rulesets_told; /* in this epoch, and committed */
	int64_t quiet_ms;                 /* since anything was heard of it */
	int64_t lag_ms;                   /* how far it is behind; -1 unknown */
	bool clock_known;                 /* by a ping */
	int64_t clock_ms; /* its wall clock less the collector's; what it tells does not rest on it */
};

/* False: no agent of this host has connected since the start. */
bool ingest_live(const struct ingest *g, const char *host, struct ingest_live *out);
/* All hosts whose agents have connected since the start. */
void ingest_each(const struct ingest *g, void (*fn)(void *arg, const struct ingest_live *live),
		 void *arg);

/*
 * Sends a message to the agent of a host; the host's index is filled into LEASE_START and LEASE_STOP.
 * -ENOTCONN: it is not connected.
 */
int ingest_send(struct ingest *g, const char *host, struct msg *m);

/* A record that is now committed, of a kind that somebody may wait for. */
struct ingest_note {
	enum record_kind
		kind;     /* LEASE, RULESET, RULESET_CHECKED, FACTS, SOURCES; LOSS of trace-limit */
	const char *host; /* borrowed */
	struct wall_ns at; /* by the newest offset of the host's clock, give or take error ... */
	int64_t error;     /* ns */
	struct {
		uint64_t id, traced, refused;
		uint8_t state;
		uint32_t modulus;
		char why[WHY_MAX + 1];
	} lease;
};

struct ingest_observer {
	void (*hello)(void *arg, const char *host); /* a host's agent was welcomed */
	void (*gone)(void *arg, const char *host);  /* its connection ended */
	void (*note)(void *arg, const struct ingest_note *note);
	void *arg;
	struct ingest_observer *prev, *next; /* ingest's */
};

/* The observer is the caller's and must stay until ingest_unwatch(); any function may be NULL. */
void ingest_watch(struct ingest *g, struct ingest_observer *o);
void ingest_unwatch(struct ingest *g, struct ingest_observer *o);

/* What went wrong since the start. */
struct ingest_counts {
	uint64_t connections, refused; /* refused: Hellos */
	uint64_t protocol_errors;      /* sessions that ended so */
	uint64_t unknown_messages;     /* of kinds that this version does not know */
	uint64_t batches, records;
};
const struct ingest_counts *ingest_counts(const struct ingest *g);
