/*
 * Writing the catalog: what records change in it. Every function is called by the writer's thread, inside its
 * transaction.
 */
#pragma once

#include "collector/store/db.h"
#include "collector/store/pack.h"

/* What a batch came with: whose, and how its boot times become wall times. */
struct origin {
	uint64_t agent, epoch, seq;
	int64_t offset, error;
	uint32_t host_count;
	uint64_t hosts[HOSTS_PER_AGENT];
};

/* Applies a record that is no journey. 0 or -errno. */
int catalog_apply(struct db *d, struct packer *p, const struct origin *o, const struct record *r);
/* Is this batch in the catalog already? < 0: -errno. */
int catalog_has(struct db *d, const struct origin *o);
int catalog_mark(struct db *d, const struct origin *o);
