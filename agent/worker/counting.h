/*
 * The counters of one host's tables: when to read them, and what each has counted.
 */
#pragma once

#include "agent/worker/rules.h"
#include "agent/worker/tally.h"

struct counting {
	uint32_t seconds; /* between two reads; 0: off */
	uint32_t count;
	struct tally *tables[RULESET_TABLES_MAX]; /* owned */
	struct boot_ns due;
	int64_t cost;          /* CPU of the last read, ns */
	bool tell, baseline;   /* by the next read */
	bool known;            /* one has been taken */
	char why[WHY_MAX + 1]; /* of the last failure; "" none */
};

void counting_init(struct counting *c, uint32_t seconds);
/* Is a read due now? It may be up to `slack` early, where it saves another read. */
bool counting_due(const struct counting *c, struct boot_ns now, int64_t slack);
/* The request for it. */
struct helper_request counting_request(const struct rules *rules, uint32_t host);
/*
 * Takes the answer and its fd. rules: what the tables held during the read; NULL when that is not known, and
 * then nothing is taken. Emits RECORD_COUNTERS; sets when to read next.
 */
void counting_take(struct counting *c, const struct helper_answer *a, int fd,
		   const struct rules *rules, uint32_t host, rules_emit *emit, void *arg);
/* The rules have changed: looks soon at what the new ones count. */
void counting_soon(struct counting *c, struct boot_ns now);
/* Reads now and tells each table, moved or not; with baseline everything from the beginning. */
void counting_now(struct counting *c, bool baseline);
void counting_clear(struct counting *c);
