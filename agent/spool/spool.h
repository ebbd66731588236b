/*
 * The spool: numbered batches between the sources and the wire, in memory, bounded. When it is full the
 * oldest batches that are not acknowledged are dropped, and what was in them is counted as a loss.
 */
#pragma once

#include "common/buf.h"
#include "common/record.h"

struct spool;

struct spool_batch {
	uint64_t seq;
	const uint8_t *frame; /* borrowed: framed and ready to be written */
	size_t len;
};

int spool_new(struct spool **out, size_t max);
/* Copies one record into the open batch; closes the batch at BATCH_TARGET. 0, or -errno when the record was refused (counted). */
int spool_add(struct spool *s, const struct record *r);
/*
 * Closes the open batch if it holds anything older than BATCH_AGE_MS (or at all, with force). True: there is one more to send. Gives back
 * what a batch needs when large ones do not come any more.
 */
bool spool_tick(struct spool *s, struct boot_ns now, bool force);
/* Since when the open batch holds something; false when it does not. */
bool spool_open_since(const struct spool *s, struct boot_ns *since);
/* The first closed batch with a seq of at least `seq`; false when there is none. */
bool spool_next(const struct spool *s, uint64_t seq, struct spool_batch *b);
/* Forgets all batches up to and with seq. */
void spool_acked(struct spool *s, uint64_t seq);
/* Records dropped so far and not yet told; the caller ships them as a loss of source "spool". */
bool spool_take_loss(struct spool *s, struct loss *l, uint32_t *host);
uint64_t spool_first(const struct spool *s); /* lowest seq held; the next one to come when empty */
uint64_t spool_last(const struct spool *s);  /* highest closed seq; 0 none */
struct boot_ns spool_oldest(const struct spool *s); /* of the oldest batch not acked; 0 none */
size_t spool_bytes(const struct spool *s);
void spool_free(struct spool *s);
