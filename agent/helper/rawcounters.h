/*
 * The counters of legacy tables, as DUMP_COUNTERS hands them over.
 */
#pragma once

#include "agent/helper/rawtable.h"
#include "common/buf.h"

struct rawcounters {
	int fd; /* borrowed: where each table is written, one after the other */
	struct buf chains, values;
};

void rawcounters_init(struct rawcounters *c, int fd);
/* A rawtable_take: writes the counters of one table. -EBADMSG when the entries do not add up. */
int rawcounters_take(void *rawcounters, const struct rawentries *e);
void rawcounters_clear(struct rawcounters *c);

struct counters_part;
/* Writes one table: what it is, its chains, its values. 0 or -errno. */
int counters_write(int fd, const struct counters_part *part, const struct buf *chains,
		   const struct buf *values);
