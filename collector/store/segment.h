/*
 * A segment: one file of journeys. The open one is written by the writer's thread and has its keys in memory; a sealed
 * one has them on disk and is never written again.
 */
#pragma once

#include "collector/store/catalog.h"
#include "collector/store/keys.h"

enum { PATH_MAX_LEN = 512 };

/* One journey ready to be inserted; body is packed. */
struct row {
	uint64_t host;
	int64_t t;
	uint64_t fp;
	struct tuple tuple;
	uint32_t body, body_len; /* in the job's bytes */
	uint8_t key_count;
	uint32_t keys; /* in the job's keys */
};

struct segment {
	uint32_t no;
	struct db db;
	struct key_map
		*map; /* shared with readers until the segment is sealed and they have let go */
	uint64_t rows, counters; /* journeys; counter rows */
	int64_t t_min, t_max, created;
};

void segment_path(char path[static PATH_MAX_LEN], const char *dir, uint32_t no);
/* Opens or creates for writing. The map is empty: segment_rebuild() fills it for rows that stand already. */
int segment_open(struct segment *s, const char *dir, uint32_t no);
void segment_close(struct segment *s);
int segment_insert(struct segment *s, const struct row *r, const uint64_t *keys,
		   const uint8_t *body, int64_t offset, int64_t error);
int segment_mark(struct segment *s, const struct origin *o);
/* Reads all rows' keys into the map through a connection of its own. */
int segment_rebuild(const char *dir, uint32_t no, struct key_map *map);
/* Writes the map as the segment's index, in one transaction; the caller owns the file's writing. */
int segment_seal(const char *dir, uint32_t no, struct key_map *map);
