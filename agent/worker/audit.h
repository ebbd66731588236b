/*
 * Who changed a table, as the audit log tells it. There is one log for all namespaces, and it does not say of which one a record is:
 *
 *  1. where BPF or nftables' notices tell of a change, they say who it was; of the same process the log adds what they did not know
 *  2. else (legacy tables without BPF) those may have been it whose records of a table of this name and family came between the two
 *     reads, from whichever namespace: one process is the author, of several each may have been it
 *  3. one is not accused when the table of this name and family changed in another watched namespace at that time, too
 *  4. nobody is accused where records may be missing: lost, or forgotten for want of room; of a time at which auditing was not known to
 *     be on; or ever, once a change has had no record while it was on, since then some rule keeps records back
 *  5. records come by way of a thread of the kernel: a change that a read shows waits AUDIT_WAIT_MS for them
 *  6. that a process's record has named a change that is shown ends its part: it is no candidate for the next one of that host
 */
#pragma once

#include "agent/source/audit.h"
#include "agent/worker/changes.h"

enum { AUDIT_WAIT_MS = 250, AUDIT_TOLD_MAX = 64, AUDIT_SHOWN_MAX = 64 };

struct audit {
	bool listening; /* records would come */
	bool alone;     /* nobody else tells who changed legacy tables */
	/* SILENT: nobody knows, but a change came without a record. */
	enum audit_state { AUDIT_UNKNOWN, AUDIT_ON, AUDIT_OFF, AUDIT_SILENT } state;
	bool hidden; /* a change came without its record */
	struct boot_ns since, lost, crowded;
	struct audit_told {
		struct noted who;    /* `at`: when the record came; the change was before it */
		struct boot_ns from; /* and after this */
		uint32_t serial;
		bool legacy, finished;
		uint32_t used; /* 6: index of the host + 1 */
	} told[AUDIT_TOLD_MAX];
	struct audit_shown {
		uint32_t host;
		uint8_t family;
		char table[TABLE_NAME_MAX + 1];
		struct boot_ns before, read_at;
		bool judged;
	} shown[AUDIT_SHOWN_MAX], missed; /* missed: the change that had no record */
	uint32_t told_next, shown_next;
};

/* Its socket is open since then. */
void audit_opened(struct audit *a, enum audit_state state, struct boot_ns now);
/* Takes a record. True: somebody changed a legacy table, and nobody else tells whose. */
bool audit_take(struct audit *a, const struct audit_record *r, struct boot_ns now);
/* Records may be missing until then. */
void audit_lost(struct audit *a, struct boot_ns until);
/* A read has shown this change of a legacy table of the host. */
void audit_show(struct audit *a, uint32_t host, const struct ruleset_fact *f);
/* Must a change of such a table wait for records? */
bool audit_awaited(const struct audit *a, uint8_t backend);
/* True: it has learnt that records are kept back, or that there are none. */
bool audit_tick(struct audit *a, struct boot_ns now);
/* When audit_tick() has something to find out; 0: never. */
struct boot_ns audit_due(const struct audit *a);
/* The authors of a change of a legacy table; their texts are the log's, valid until the next record. How many. */
uint32_t audit_authors(struct audit *a, uint32_t host, const struct ruleset_fact *f,
		       struct author list[static AUTHORS_MAX]);
/* Adds to what is known of a process what the log has of the very change of it. */
void audit_add(struct audit *a, struct noted *n);
