/*
 * What the store's threads and readers share.
 */
#pragma once

#include "collector/store/segment.h"
#include "collector/store/store.h"

/* A segment as readers see it. */
struct known_segment {
	uint32_t no;
	bool sealed; /* its keys are on disk; map is NULL */
	bool rebuilding;
	struct key_map *map; /* owned */
	int64_t t_min, t_max, created;
};

struct job {
	struct job *next;
	struct origin origin;
	struct row *rows; /* owned */
	uint32_t row_count;
	uint64_t *keys; /* owned */
	uint32_t key_count, key_cap;
	struct buf bytes;  /* packed journeys */
	struct buf others; /* the batch without its journeys, packed; empty: none */
};

enum { AGENTS_MAX = 16384, SEGMENTS_MAX = 65536 };

struct known_agent {
	uint64_t agent;
	uint64_t run;              /* epoch of its last Hello: what batches belong to */
	uint64_t epoch, queued;    /* the last batch that was queued */
	uint64_t done_epoch, done; /* the last one that is committed and synced */
	struct clock_offset offset;
	struct known_agent *next;
};

struct store {
	struct store_options o;
	char dir[PATH_MAX_LEN];
	int lock_fd;
	struct packer *packer; /* the loop's */

	pthread_mutex_t
		catalog_lock; /* the catalog's writing connection: writer, and the loop's small transactions */
	struct db catalog;
	struct packer *catalog_packer;

	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t work, sealing;
	struct job *first, **last;
	size_t queued_bytes;
	bool stopping;
	struct known_agent *agents[1024]; /* owned lists, by id */
	struct known_segment *segments;   /* owned, by number */
	size_t segment_count;

	struct segment open; /* the writer's */
	pthread_t writer, sealer;
};

struct known_agent *store_agent_of(struct store *s, uint64_t agent);

void job_free(struct job *j);
size_t job_bytes(const struct job *j);

/* Threads of their own until `stopping`. */
void *store_writer(void *store);
void *store_sealer(void *store);
/* Tells the border that writing failed with -errno r. */
void store_complain(struct store *s, int r);

/* Makes a place for a segment; under s->lock. NULL without memory. */
struct known_segment *store_add_segment(struct store *s);
/* Writes the segment's row; under s->catalog_lock. */
int store_put_segment(struct store *s, const struct known_segment *k, const char *state);
/* Begins segment `no`, with all marks of the one before. */
int store_next_segment(struct store *s, uint32_t no);
