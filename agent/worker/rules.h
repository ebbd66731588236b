/*
 * The rulesets of one host: read again and again, told when they changed. The memfds, the newest and those of the last
 * seconds, are the only copies of the texts; what is kept here is their names and identities.
 */
#pragma once

#include "agent/helper/ipc.h"
#include "agent/source/basechains.h"
#include "agent/source/ruleset.h"
#include "agent/worker/forged.h"
#include "agent/worker/replaced.h"
#include "common/record.h"

enum { TABLES_CPU_SHARE = 125 }; /* looking for changes costs less than 1 % of a core */
/* Reading texts that changed costs one part in so many of a core, after as much at once as is paid for in so many seconds. */
enum { TEXTS_CPU_SHARE = 20, TEXTS_AHEAD_S = 20 };

struct rules {
	enum helper_dump what; /* DUMP_RULESET, or DUMP_SETS */
	uint32_t share;        /* looking for changes costs one part in so many of a core */
	bool names_sets;       /* some rule names an ipset, or seems to */
	struct ruleset newest;
	struct content_id ids[RULESET_TABLES_MAX]; /* of newest.tables */
	struct replaced replaced;                  /* those before it */
	struct basechains chains;                  /* of nftables */
	struct forged forged;                      /* prefixes of the log that read like a trace */
	bool known;                                /* it has been read */
	uint32_t site;                             /* of enum lease_site: what they tell */
	uint64_t digest;
	uint32_t generation; /* of nftables, when its texts were read; 0: they were not */
	uint32_t shown,
		showing; /* generations of the last read taken, and of the one whose changes are told */
	struct boot_ns last; /* `before` of the last read */
	struct boot_ns due;  /* of the next read */
	int64_t cpu_ns;      /* what looking for changes cost last */
	int64_t every;       /* ns from one read to the next while nothing changes */
	struct boot_ns paid; /* when the texts that were read have been paid for */
	bool asked, check_wanted;
	bool urgent;            /* somebody waits for the next read */
	bool again;             /* something changed while a read was under way */
	bool stale;             /* another read has shown that they changed */
	char why[WHY_MAX + 1];  /* of the last failure; "" none */
	char note[WHY_MAX + 1]; /* what the last read that succeeded could not tell; "" nothing */
};

/* Where the findings go. */
typedef void rules_emit(void *arg, const struct record *r);

void rules_init(struct rules *r, enum helper_dump what, uint32_t share);
/* The request for the next read. */
struct helper_request rules_request(const struct rules *r, uint32_t host);
/*
 * Takes the answer and its fd; emits RECORD_RULESET for each table that changed or vanished, and RECORD_RULESET_CHECKED
 * when none did and one was wanted (of ipsets: RECORD_RULESET of each, as it was told before). True when there is something new. Sets when to read next.
 */
bool rules_take(struct rules *r, const struct helper_answer *a, int fd, uint32_t host,
		rules_emit *emit, void *arg);
/*
 * The answer of another read of the tables, with its digest. True: they stand as they were last read, and that counts as a
 * read that changed nothing. Else what there is now is to be read at once.
 */
bool rules_check(struct rules *r, const struct helper_answer *a, uint32_t host, rules_emit *emit,
		 void *arg);
/* Somebody waits for what stands now, and that it does. */
void rules_ask(struct rules *r);
/*
 * When to read next: at once when something changed or somebody asked; but what changes all the time is read as rarely as the
 * texts cost.
 */
struct boot_ns rules_due(const struct rules *r);
/* Emits all tables as they stand: the collector has forgotten them. */
void rules_resend(const struct rules *r, uint32_t host, rules_emit *emit, void *arg);
/* The index of the table of this name; -1 none. */
int rules_table(const struct rules *r, uint8_t backend, uint8_t family, const char *name);
/* The index of the table with this content, and the ruleset that has it; -1: there is none, or none any more. */
int rules_find(const struct rules *r, const struct content_id *id, const struct ruleset **in);
void rules_clear(struct rules *r);
