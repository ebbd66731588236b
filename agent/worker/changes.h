/*
 * Who changed a host's tables: what the kernel told at that moment, kept until a read of the tables shows the change.
 *
 *  1. an event belongs to the first change of its table that a read shows after it; one of nftables, which does not tell the
 *     table, to all changes of its tables that this read shows
 *  2. events of one process are one author; of several, each may have been it
 *  3. an event from before the last read that still showed the old table changed nothing that a later read shows: the table
 *     was replaced by its equal, or an earlier read has shown it already
 *     (one of nftables is told when it comes here, which may be after the read that showed it: its generation tells better)
 *  4. where an event that may have been it was forgotten for want of room, or lost before it came here, or where more may have
 *     been it than can be told, nobody is accused: neither the one that is left, nor some of them
 *  5. nor where a notice of nftables is still to come: each generation between the two reads must have had its own, ours counted
 */
#pragma once

#include "agent/source/drops.h"

enum { CHANGES_MAX = 32, HEARD_MAX = 256 };

/* The source of the changes of legacy tables, by name. */
#define CHANGES_LEGACY "changes"

/* What is known of somebody who changed a table. */
struct noted {
	struct boot_ns at; /* 0: free */
	uint8_t family;
	char table[TABLE_NAME_MAX + 1];
	uint32_t pid, uid, loginuid, generation;
	uint8_t via;
	char program[32], command[COMMAND_MAX + 1], user[64];
};

struct changes {
	struct noted list[CHANGES_MAX];
	struct boot_ns crowded; /* the newest event that was forgotten for want of room; 0 none */
	struct boot_ns lost,
		lost_nft; /* until when events of legacy tables, of nftables, were lost */
	uint32_t heard[HEARD_MAX], heard_next; /* generations that had their notice; a ring */
	bool heard_own[HEARD_MAX];             /* it was ours */
	struct author found
		[AUTHORS_MAX]; /* what changes_credit() gave; texts are in the list, or in the audit log's */
};

/* What /proc says of the process while it still runs: user and command, with secrets. */
void noted_ask_proc(struct noted *n);
/* Takes what looks like a secret out of its command, and finds its user's name: of who logged in, where that is known. */
void noted_finish(struct noted *n);
/* Adds an author unless his process is there already. False: there are more than can be told. */
bool authors_add(struct author list[static AUTHORS_MAX], uint32_t *count, const struct noted *n);

/* Keeps the event, without what looks like a secret in its command. */
void changes_note(struct changes *c, const struct table_change *event);
/* A transaction of nftables that needs no author, being ours, had its notice; changes_note() does the same of others'. */
void changes_heard(struct changes *c, uint32_t generation);
/* Events may be missing until then, where the loss is one of a source of changes. */
void changes_lost(struct changes *c, const struct loss *l);
struct audit;
/*
 * Gives a table's change of the host of this index the number of its commits and its authors, which stay valid until the next call. The first read of all has none: what stood
 * before has no author. The generations of nftables are those of the last read that still showed the old table and of the one that
 * showed the new one; 0: not known. audit: what the audit log has told, for all hosts; NULL: nothing.
 */
void changes_credit(struct changes *c, struct audit *audit, uint32_t host, struct ruleset_fact *f,
		    uint32_t before, uint32_t now);
