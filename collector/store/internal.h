/*
 * What the store's threads and readers share.
 */
#pragma once

#include "collector/store/counters.h"
#include "collector/store/segment.h"
#include "collector/store/store.h"

/* A segment as readers see it. */
struct known_segment {
	uint32_t no;
	bool sealed; /* its keys are on disk; map is NULL */
	bool rebuilding;
	bool damaged;        /* never sealed; what could be read of it is in the map */
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
	struct counter_rows counters;
	struct buf bytes;  /* packed journeys */
	struct buf others; /* the batch without its journeys, packed; empty: none */
};

enum { AGENT_BUCKETS = 1024 };

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
	struct known_agent *agents[AGENT_BUCKETS]; /* owned lists, by id */
	struct known_segment *segments;            /* owned, by number */
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
/* Takes it out of the list and the catalog. */
void store_forget_segment(struct store *s, uint32_t no);
/* Writes the segment's row; under s->catalog_lock. */
int store_put_segment(struct store *s, const struct known_segment *k, const char *state);
/* Opens segment `no`; one without rows gets the marks of all agents. 0 or -errno. */
int store_begin_segment(struct store *s, struct segment *out, uint32_t no);
/* Makes segment `no` the open one. */
int store_next_segment(struct store *s, uint32_t no);
/* Counts a loss of all hosts in this span. */
void store_lost(struct store *s, int64_t from, int64_t until);
/* Segment `no` cannot be read or written whole: it is left as it is, and its time counts as lost. Only once. */
void store_damaged(struct store *s, uint32_t no);

/* Its connection to the catalog. */
struct db *reader_catalog(struct reader *r);
/* A reader's connection to a segment; NULL when retention has just removed it. 0 or -errno. */
int reader_segment_db(struct reader *r, uint32_t no, struct db **out);
/* All segments as they are now, oldest first, in the arena. */
int reader_segments(struct reader *r, struct arena *arena, struct known_segment **list, size_t *n);
