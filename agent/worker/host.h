/*
 * One host as the worker sees it: its sources, its rulesets, its leases. It asks the helper, decodes what the kernel
 * says, and puts records into the spool. It knows no loop: the program polls the sources' descriptors and calls
 * host_tick() when it is due.
 */
#pragma once

#include "agent/journey/assembler.h"
#include "agent/source/ifnames.h"
#include "agent/source/source.h"
#include "agent/spool/spool.h"
#include "agent/worker/counting.h"
#include "agent/worker/calm.h"
#include "agent/worker/changes.h"
#include "agent/worker/link.h"
#include "agent/worker/logs.h"
#include "agent/worker/ours.h"
#include "agent/worker/rules.h"
#include "agent/worker/said.h"
#include "common/msg.h"

struct host;
struct audit;
struct held;

/* What a host needs of the program. */
struct host_env {
	void *arg;
	struct link *link;                  /* borrowed */
	struct spool *spool;                /* borrowed */
	uint32_t helper_pid;                /* whose changes are our own */
	bool allow_trace, fallback;         /* leases may need rules of ours in raw */
	uint32_t open_max;                  /* journeys that a host may hold open */
	uint32_t lease_seconds, lease_rate; /* at most; local configuration */
	bool sets;                          /* the collector takes ipsets */
	uint32_t counters_seconds;          /* between two reads of the counters; 0: never */
	uint32_t conntrack_rate;            /* events a second that are followed; 0: however many */
	const uint16_t *log_groups;         /* borrowed */
	uint32_t log_group_count;
	struct audit *audit; /* borrowed; NULL: not yet */
	/* A descriptor to poll for reading, or not any more: it is closed right after. */
	void (*watch)(void *arg, struct host *h, struct source *s);
	void (*unwatch)(void *arg, struct source *s);
	void (*have)(void *arg, const struct content_id *ids, uint32_t count);
	void (*flush)(void *arg); /* what is in the spool must go out now */
	/* Notes for the next start which loggers a namespace had before a lease; 0: as they were. */
	void (*note)(void *arg, uint64_t inode, uint32_t loggers);
	/* What the last start noted; 0 nothing. */
	uint32_t (*noted)(void *arg, uint64_t inode);
	void (*say)(void *arg, const struct host *h, const char *text); /* for the log */
	/* Adds what the agent has for all hosts to the list of sources. False: it is not known yet. */
	bool (*sources)(void *arg, struct source_fact *list, uint32_t *count);
};

enum { HOST_SOURCES_MAX = 16 };

enum slot {
	SLOT_CONNTRACK,
	SLOT_HOST,
	SLOT_DUMP,
	SLOT_LEGACY,
	SLOT_NFT,
	SLOT_CHANGES_NFT,
	SLOT_STATS,
	SLOT_NFLOG,
	SLOT_COUNT
};

#define HOST_LEASE_STATES(X) X(FREE) X(WAITING) X(ASKED) X(ARMED) X(STOPPING)
enum host_lease_state {
#define X(s) HOST_LEASE_##s,
	HOST_LEASE_STATES(X)
#undef X
};

struct host_lease {
	enum host_lease_state state;
	bool again; /* changed while it was asked for: ask once more */
	bool state_asked;
	struct helper_lease want;
	struct boot_ns state_at, told_at; /* of the last LEASE_STATE, of the last record */
	uint64_t traced, refused;
	char why[WHY_MAX + 1]; /* why it ends */
};

enum opening { OPENING_NO, OPENING_ASKED, OPENING_DONE, OPENING_FAILED };

struct host {
	uint32_t index;
	char id[HOST_MAX + 1];
	bool gone;                  /* its namespace has ended; nothing is open */
	uint64_t inode;             /* of its namespace; 0: not told yet */
	const struct host_env *env; /* borrowed */
	struct ifnames names;
	struct source sources[SLOT_COUNT];
	enum opening opening[SLOT_COUNT];
	char whys[SLOT_COUNT][WHY_MAX + 1]; /* of the last try, when it failed */
	struct calm calm;                   /* of conntrack's events */
	struct boot_ns stats_due;
	struct conntrack_stats stats; /* as last told */
	struct boot_ns
		whole_from; /* a dump that began then has ended, and has not been told; 0: none */
	bool stats_done;
	bool unloaded; /* connection tracking is not there: nothing is missed */
	struct assembler *assembler;
	struct rules rules;
	struct rules *sets;      /* owned: ipsets; NULL until a rule names one */
	struct changes *changes; /* owned; NULL until somebody changes a table */
	struct held *held;       /* owned: changes that wait for who made them; NULL none */
	struct counting counting;
	struct host_lease leases[LEASES_MAX];
	enum loggers { LOGGERS_LEFT, LOGGERS_ASKED, LOGGERS_NOTED } loggers;
	uint32_t loggers_left; /* which a former start did not put back; 0 none */
	struct boot_ns facts_due, dump_due, dump_last, conntrack_due; /* 0: not */
	struct boot_ns dump_again; /* the last dump that was not the first */
	uint64_t facts_hash;
	struct boot_ns facts_asked, facts_from; /* the last dump began; the next one may begin */
	int64_t facts_cost;                     /* ns of CPU that the last dump took so far */
	struct boot_ns facts_changed,
		facts_stale; /* since when a change waits: for the next dump, for the one under way */
	struct logs logs;
	bool dump_done, sources_changed;
	struct said said;
	struct ours ours;
	const char *
		beyond; /* borrowed: what is not watched beside the hosts; "" nothing; NULL: others are not looked for */
	struct boot_ns assembler_due;
	struct boot_ns checked,
		checked_next; /* its tables stood, but that is not told yet; 0: nothing to tell */
};

/* Asks for the sources that are always on. env must outlive the host. 0 or -errno. */
int host_init(struct host *h, uint32_t index, const char *id, const struct host_env *env);
/* Reads a source that is readable. How many datagrams were taken; more may be waiting when it is `max`. */
int host_readable(struct host *h, struct source *s, int max);
/* Somebody replaced one of its tables: it is read at once. */
void host_changed(struct host *h, const struct table_change *c);
/* Somebody replaced a table that may be one of its: they are looked at at once. */
void host_look(struct host *h);
/* A packet of the host that the kernel freed. */
void host_drop(struct host *h, struct trace_event *e);
/* Something that somebody else counted for the host is lost. */
void host_lost(struct host *h, const struct loss *l);
/* Until when everything is read that its sources have seen of packets and connections; at most now. */
struct boot_ns host_read_until(struct host *h, struct boot_ns now);
/* Does what is due. When it wants to be called next. */
struct boot_ns host_tick(struct host *h, struct boot_ns now);
void host_lease_start(struct host *h, const struct msg_lease_start *m);
void host_lease_stop(struct host *h, uint64_t id, const char *why);
/* Stops them all: nobody is there any more who could. */
void host_lease_stop_all(struct host *h, const char *why);
bool host_leased(const struct host *h);
/* The table or set that has this content, as an index into *in. -1: none. */
int host_content(const struct host *h, const struct content_id *id, const struct ruleset **in);
/* Reads the rulesets now and tells what stands. */
void host_snapshot(struct host *h);
/* The collector has lost what it had: tells everything that is in force again. */
void host_resend(struct host *h);
/* Its namespace has ended, or is not there: tells that nothing is in force any more, and lets go of everything. */
void host_end(struct host *h, const char *why);
void host_clear(struct host *h);
