/*
 * See segment.h.
 */
#include "collector/store/segment.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/counters.h"
#include "store_schema.h"

enum {
	KEYS_IN_ROW = 216, /* three rows of the index fill a page */
};

void segment_path(char path[static PATH_MAX_LEN], const char *dir, uint32_t no)
{
	snprintf(path, PATH_MAX_LEN, "%s/segments/%06" PRIu32 ".db", dir, no);
}

int segment_open(struct segment *s, const char *dir, uint32_t no)
{
	char path[PATH_MAX_LEN];
	sqlite3_stmt *q;
	int r;

	memset(s, 0, sizeof(*s));
	s->no = no;
	segment_path(path, dir, no);
	r = db_open(&s->db, path, schema_segment, schema_segment_version);
	if (r < 0)
		return r;
	s->map = key_map_new();
	q = db_stmt(&s->db, STMT_last_journey);
	r = !s->map ? -ENOMEM : q ? sqlite3_step(q) : -EIO;
	if (r != SQLITE_ROW) {
		key_map_free(s->map);
		segment_close(s);
		return r < 0 ? r : r == SQLITE_DONE ? -EIO : db_error(r);
	}
	s->rows = (uint64_t)sqlite3_column_int64(q, 0);
	s->t_min = sqlite3_column_int64(q, 1);
	s->t_max = sqlite3_column_int64(q, 2);
	sqlite3_reset(q);
	r = counter_rows_seen(s);
	if (r < 0) {
		key_map_free(s->map);
		segment_close(s);
	}
	return r;
}

void segment_close(struct segment *s)
{
	db_close(&s->db);
	s->map = NULL; /* the store keeps it for readers */
}

int segment_insert(struct segment *s, const struct row *r, const uint64_t *keys,
		   const uint8_t *body, int64_t offset, int64_t error)
{
	size_t len = r->tuple.src.family == 4 ? 4 : 16;
	sqlite3_stmt *q = db_stmt(&s->db, STMT_put_journey);
	int ret;

	if (!q)
		return -EIO;
	sqlite3_bind_int64(q, 1, (int64_t)s->rows + 1);
	sqlite3_bind_int64(q, 2, (int64_t)r->host);
	sqlite3_bind_int64(q, 3, r->t);
	sqlite3_bind_int64(q, 4, (int64_t)r->fp);
	db_bind_blob(q, 5, r->tuple.src.b, len);
	db_bind_blob(q, 6, r->tuple.dst.b, len);
	sqlite3_bind_int(q, 7, r->tuple.sport);
	sqlite3_bind_int(q, 8, r->tuple.dport);
	sqlite3_bind_int(q, 9, r->tuple.proto);
	sqlite3_bind_int64(q, 10, offset);
	sqlite3_bind_int64(q, 11, error);
	db_bind_blob(q, 12, body + r->body, r->body_len);
	ret = db_run(q);
	if (ret < 0)
		return ret;
	s->rows++;
	if (!s->t_min || r->t < s->t_min)
		s->t_min = r->t;
	if (r->t > s->t_max)
		s->t_max = r->t;
	return key_map_add(s->map, keys + r->keys, r->key_count, (uint32_t)s->rows);
}

int segment_mark(struct segment *s, const struct origin *o)
{
	return catalog_mark(&s->db, o);
}

int segment_rebuild(const char *dir, uint32_t no, struct key_map *map)
{
	uint64_t keys[KEYS_MAX];
	char path[PATH_MAX_LEN];
	struct arena arena;
	sqlite3_stmt *q;
	int r, step = SQLITE_DONE;
	struct db d;

	segment_path(path, dir, no);
	r = db_open_reader(&d, path);
	if (r < 0)
		return r;
	arena_init(&arena, MSG_HEAP_MAX);
	q = db_stmt(&d, STMT_scan_journeys);
	r = q ? 0 : -EIO;
	if (q)
		sqlite3_bind_int64(q, 1, 0);
	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
		struct record rec;

		arena_reset(&arena);
		if (unpack(sqlite3_column_blob(q, 5), (size_t)sqlite3_column_bytes(q, 5), &arena,
			   &rec) == 0)
			r = key_map_add(map, keys,
					keys_of(&rec.journey,
						(struct wall_ns){ sqlite3_column_int64(q, 2) },
						keys),
					(uint32_t)sqlite3_column_int64(q, 0));
	}
	if (r == 0)
		r = db_error(step); /* a damaged page ends the rows, too */
	arena_free(&arena);
	db_close(&d);
	return r;
}

/* One row of the index, from list[0] on. Returns how many entries it took, or -errno. */
static ssize_t put_keys(struct db *d, const struct key_row *list, size_t n, struct buf *wire)
{
	sqlite3_stmt *q = db_stmt(d, STMT_put_key);
	size_t i;
	int r;

	if (!q)
		return -EIO;
	wire->len = 0;
	for (i = 0; i < n && (i < KEYS_IN_ROW || list[i].key == list[i - 1].key); i++) {
		uint64_t key = htobe64(list[i].key);
		uint32_t row = htobe32(list[i].row);

		if (i && list[i].key == list[i - 1].key && list[i].row == list[i - 1].row)
			continue; /* written while the map was rebuilt */
		r = buf_add(wire, &key, sizeof(key));
		if (r == 0)
			r = buf_add(wire, &row, sizeof(row));
		if (r < 0)
			return r;
	}
	sqlite3_bind_int64(q, 1, (int64_t)list[0].key);
	db_bind_blob(q, 2, wire->p, wire->len);
	r = db_run(q);
	return r < 0 ? r : (ssize_t)i;
}

int segment_seal(const char *dir, uint32_t no, struct key_map *map)
{
	struct key_row *list;
	char path[PATH_MAX_LEN];
	size_t n = 0, i = 0;
	struct buf wire;
	struct db d;
	int r;

	segment_path(path, dir, no);
	r = db_open(&d, path, schema_segment, schema_segment_version);
	if (r < 0)
		return r;
	list = key_map_sorted(map, &n);
	buf_init(&wire, (n + 1) * KEY_ENTRY_LEN);
	r = list ? db_run(db_stmt(&d, STMT_begin)) : -ENOMEM;
	if (r == 0)
		r = db_run(db_stmt(&d, STMT_clear_keys));
	while (r == 0 && i < n) {
		ssize_t taken = put_keys(&d, list + i, n - i, &wire);

		if (taken < 0)
			r = (int)taken;
		else
			i += (size_t)taken;
	}
	if (r == 0)
		r = db_run(db_stmt(&d, STMT_commit));
	if (r == 0)
		r = db_exec(&d, "PRAGMA wal_checkpoint(TRUNCATE)");
	free(list);
	buf_clear(&wire);
	db_close(&d);
	return r;
}
