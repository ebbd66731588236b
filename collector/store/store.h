/*
 * The store keeps facts and finds them again. Everything behind this header is replaceable: SQLite by
 * default (collector/store/README.md has the schema), a distributed database for fleets that outgrow it.
 *
 * Threads: store_put() and friends may be called from one thread (the loop); they queue for the writer, which
 * commits in groups and then calls `committed` on its own thread. Readers (struct reader) are separate; each is
 * used by one thread at a time, any number at once.
 */
#pragma once

#include <stdbool.h>

#include "common/buf.h"
#include "common/flow.h"
#include "common/msg.h"
#include "common/why.h"

struct store;
struct reader;

struct store_options {
	const char *dir;
	uint64_t segment_rows; /* journeys per segment; 0: 1,000,000 */
	int64_t segment_ns;    /* age of a segment; 0: one hour */
	uint64_t keep_bytes;   /* retention; 0: no limit */
	int64_t keep_ns;       /* retention by age; 0: no limit */
	/* Everything of this agent's epoch up to and with seq is committed and synced. Called on any thread. */
	void (*committed)(void *arg, uint64_t agent, uint64_t epoch, uint64_t seq);
	/* The disk is full or failing (why) or well again (NULL); meanwhile nothing is acknowledged. */
	void (*trouble)(void *arg, const char *why);
	void *arg;
};

/* Opens or creates; recovers what a crash left. -errno with why (a newer schema, another process's lock, ...). */
int store_open(struct store **out, const struct store_options *o, struct why *why);
/* Commits what is queued and closes. */
void store_close(struct store *s);

/* --- writing ------------------------------------------------------------------------------------------ */

/* An agent as it introduced itself; hosts get stable ids of the store's own. */
struct store_agent {
	uint64_t agent;      /* the store's id of it, filled by store_hello() */
	uint64_t epoch, seq; /* the last batch that is committed, filled; epoch 0: never seen */
	uint64_t hosts[HOSTS_PER_AGENT]; /* the store's host id by index in the Hello, filled */
	struct wall_ns heard; /* the caller's: when its run before was last heard of; 0 not known */
};

/*
 * Registers agent, boot and hosts, synchronously (a small catalog transaction). -EBUSY: the same id with
 * another instance is connected within the last minute (a clone).
 */
int store_hello(struct store *s, const struct msg_hello *h, struct store_agent *a, struct why *why);
/* Registers the hosts that the agent has now; their ids replace those in a. 0, or -errno and nothing changed. */
int store_hosts(struct store *s, struct store_agent *a, const struct msg_hosts *h);

/* The offset of a host's boot clock: wall = boot + offset, give or take error. */
struct clock_offset {
	int64_t offset, error; /* ns */
	struct boot_ns at;
};
void store_offset(struct store *s, uint64_t agent, const struct clock_offset *o);

/*
 * Queues one decoded batch; records' journeys are stored with wall times by offset. The store copies what it keeps.
 * Batches at or below the committed or queued seq of the epoch are ignored (and committed again).
 * Returns 0, or -EAGAIN when the queue is full: stop reading from that agent until store_room().
 */
int store_put(struct store *s, const struct store_agent *a, const struct msg_batch *b);
bool store_room(const struct store *s);

/* Contents (table texts), by their id. Synchronous to ask, idempotent to put. */
bool store_has_content(struct store *s, const struct content_id *id);
int store_put_content(struct store *s, const struct content_id *id, const char *text, size_t len);

/* A lease as it was asked for; its states on hosts arrive as records. */
struct store_lease {
	uint64_t id;
	struct wall_ns from, until;
	const char *flow; /* flow_print()'s text */
	const char *by;   /* who asked */
	uint32_t rate;
	bool ended;
};
int store_put_lease(struct store *s, const struct store_lease *l);

/* --- reading ------------------------------------------------------------------------------------------- */

int reader_open(struct reader **out, struct store *s, struct why *why);
void reader_close(struct reader *r);

/* The store's answer may be incomplete: the open segment's keys are still being rebuilt after a start. */
bool reader_incomplete(const struct reader *r);

struct stored_host {
	uint64_t host, agent;
	const char *id;
	struct wall_ns first_seen, last_seen;
	struct wall_ns checked; /* when it last told that all its tables stood as reported */
	bool retired;
};

/* Times in a stored journey are wall times by the offset that was known; error is its half width. */
struct stored_journey {
	uint64_t row; /* unique in the store while it is kept; grows with arrival */
	uint64_t host;
	struct wall_ns at;
	int64_t error;  /* ns */
	int64_t offset; /* wall - boot that was applied: step times are boot times */
	struct journey j;
};
/* For qsort: by time; of one time, by arrival. */
int stored_journey_cmp(const void *pa, const void *pb);

struct journey_query {
	struct wall_ns since, until;
	const struct flow *
		flow; /* matches any tuple of the journey (or what an ICMP error embeds), in either direction; NULL: any */
	const uint64_t *fps; /* or: any of these fingerprints, ascending */
	size_t fp_count;
	bool (*skip)(const void *arg, uint64_t row); /* rows that nobody wants again; NULL: none */
	const void *skip_arg;
	bool ends;             /* only journeys that may be their packet's last (keys.h) */
	const uint64_t *hosts; /* only of these; none: of all */
	size_t host_count;
	uint64_t after_row; /* only rows beyond it; 0: all */
	size_t examine;     /* rows that may be read for it, the newest; 0: all (*cut tells) */
	size_t limit;       /* newest first beyond it are kept; *cut tells */
};

/* Appends to *out (arena memory), in the order of stored_journey_cmp(). 0 or -errno. */
int reader_journeys(struct reader *r, const struct journey_query *q, struct arena *arena,
		    struct stored_journey **out, size_t *count, bool *cut);

struct stored_conn {
	uint64_t host;
	struct wall_ns from, until; /* until 0: not seen to end */
	/* When it was last told of; before `until`: its end was not seen, and was between both (0: between from and until). */
	struct wall_ns told;
	struct conn c; /* as last seen */
};

/* Connections with orig or reply (or their reverse) matching the flow, alive in the span. Newest first. */
int reader_conns(struct reader *r, const struct flow *flow, struct wall_ns since,
		 struct wall_ns until, size_t limit, struct arena *arena, struct stored_conn **out,
		 size_t *count);

/* One entry of a table's history. */
struct stored_table {
	uint64_t host;
	uint8_t backend, family;
	const char *table;
	struct content_id content; /* all zero: the table was absent from here on */
	struct wall_ns from_min,
		from; /* last read that showed something else (0: none: it stood before), first read that showed this */
	struct wall_ns
		last; /* last read that still showed it (of tables, later ones while `until` is 0: see checked) */
	struct wall_ns until; /* first read that showed something else; 0: still in force */
	bool torn;
	struct content_id handles; /* nftables: of its rules; all zero: none */
	struct wall_ns since_min,
		since;         /* as from_min and from, of the text, whatever its handles */
	uint32_t commits;      /* between from_min and from; 0: not known */
	uint32_t author_count; /* who made it so: 0 not known, more than one: by one of them */
	const struct author *authors;
};

/* All history entries of a host (0: all hosts) that overlap the span, oldest first. */
int reader_tables(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		  struct arena *arena, struct stored_table **out, size_t *count);
/* The text of a content. -ENOENT when it has not arrived. *text is in the arena. */
int reader_content(struct reader *r, const struct content_id *id, struct arena *arena,
		   const char **text, size_t *len);

int reader_hosts(struct reader *r, struct arena *arena, struct stored_host **out, size_t *count);
/* The store's id of the host of that name. -ENOENT: there is none. */
int reader_host(struct reader *r, const char *id, struct arena *arena, uint64_t *host);
/* The newest facts of a host at or before t (else the first after it). -ENOENT: none. */
int reader_facts(struct reader *r, uint64_t host, struct wall_ns t, struct arena *arena,
		 struct facts *out);
/* When the facts that stood at t were told, and when the next ones were; 0: there are none. 0 or -errno. */
int reader_facts_span(struct reader *r, uint64_t host, struct wall_ns t, struct wall_ns *from,
		      struct wall_ns *next);
/* The newest source list of a host. -ENOENT: none. */
int reader_sources(struct reader *r, uint64_t host, struct arena *arena, struct sources *out);
/* A host's newest statistics of connection tracking, and those that stood at `since` (else its first). -ENOENT: none. */
int reader_stats(struct reader *r, uint64_t host, struct wall_ns since, struct arena *arena,
		 struct conntrack_stats *first, struct conntrack_stats *newest);

struct stored_loss {
	uint64_t host;
	struct wall_ns from, until;
	const char *source;
	bool count_known;
	uint64_t count;
};
int reader_losses(struct reader *r, struct wall_ns since, struct wall_ns until, struct arena *arena,
		  struct stored_loss **out, size_t *count);

/* A span in which a lease was in force on a host, with what it selected there. */
struct stored_arming {
	uint64_t lease, host;
	struct wall_ns from, until; /* until 0: still */
	uint32_t modulus;
	uint64_t traced, refused;
	uint32_t pattern_count;
	struct pattern *patterns;
};
int reader_armings(struct reader *r, struct wall_ns since, struct wall_ns until,
		   struct arena *arena, struct stored_arming **out, size_t *count);
int reader_leases(struct reader *r, struct wall_ns since, struct arena *arena,
		  struct store_lease **out, size_t *count);

/* What rules of a host counted, as one record told it; before and at are c's, as wall times. */
struct stored_counters {
	uint64_t host;
	struct wall_ns since, before, at;
	int64_t error; /* ns */
	struct counters c;
};
/* Called with each; it lives until the return. False: no more of them. */
typedef bool counters_take(void *arg, const struct stored_counters *c);
/* All records of a host whose span (since to at) overlaps the window, oldest first. 0 or -errno. */
int reader_counters(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		    counters_take *take, void *arg);
