/*
 * Counter deltas: rows of the segment in which they arrived, found by host and time through the only index that a
 * segment has while it is open. They are few: a host sends one row a table and read, or one a minute.
 */
#include "collector/store/counters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/internal.h"

/* --- writing ------------------------------------------------------------------------------------------------------- */

void counter_rows_init(struct counter_rows *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->bytes, 64 << 20);
}

int counter_rows_add(struct counter_rows *c, struct packer *p, uint64_t host, int64_t offset,
		     const struct record *r)
{
	const struct counters *was = &r->counters;
	struct record alone = *r;
	struct counter_row *row;
	int ret;

	if (c->count == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 16;
		struct counter_row *bigger = realloc(c->list, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->list = bigger;
		c->cap = cap;
	}
	row = &c->list[c->count];
	row->host = host;
	row->from = (was->since.v ? was->since.v : was->at.v) + offset;
	row->t = was->at.v + offset;
	row->body = (uint32_t)c->bytes.len;
	alone.host = 0;
	ret = pack(p, &alone, &c->bytes);
	row->body_len = (uint32_t)(c->bytes.len - row->body);
	if (ret == 0)
		c->count++;
	return ret;
}

size_t counter_rows_bytes(const struct counter_rows *c)
{
	return c->bytes.cap + c->cap * sizeof(*c->list);
}

void counter_rows_clear(struct counter_rows *c)
{
	free(c->list);
	buf_clear(&c->bytes);
	counter_rows_init(c);
}

static void widen(struct segment *s, int64_t from, int64_t until)
{
	if (!s->t_min || from < s->t_min)
		s->t_min = from;
	if (until > s->t_max)
		s->t_max = until;
}

int counter_rows_write(const struct counter_rows *c, struct segment *s, const struct origin *o)
{
	int r = 0;

	for (uint32_t i = 0; i < c->count && r == 0; i++) {
		const struct counter_row *row = &c->list[i];
		sqlite3_stmt *q = db_stmt(&s->db, STMT_put_counter);

		if (!q)
			return -EIO;
		sqlite3_bind_int64(q, 1, (int64_t)row->host);
		sqlite3_bind_int64(q, 2, row->from);
		sqlite3_bind_int64(q, 3, row->t);
		sqlite3_bind_int64(q, 4, o->offset);
		sqlite3_bind_int64(q, 5, o->error);
		db_bind_blob(q, 6, c->bytes.p + row->body, row->body_len);
		r = db_run(q);
		if (r < 0)
			break;
		s->counters++;
		widen(s, row->from, row->t);
	}
	return r;
}

int counter_rows_seen(struct segment *s)
{
	sqlite3_stmt *q = db_stmt(&s->db, STMT_last_counter);
	int r = q ? sqlite3_step(q) : -EIO;

	if (r != SQLITE_ROW)
		return r < 0 ? r : r == SQLITE_DONE ? -EIO : db_error(r);
	s->counters = (uint64_t)sqlite3_column_int64(q, 0);
	if (s->counters)
		widen(s, sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2));
	sqlite3_reset(q);
	return 0;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* Columns: from, t, offset, error, body. False: enough. */
static bool hand_over(sqlite3_stmt *s, uint64_t host, struct arena *arena, counters_take *take,
		      void *arg)
{
	struct arena_mark before = arena_mark(arena);
	struct stored_counters c = { .host = host,
				     .since = { sqlite3_column_int64(s, 0) },
				     .at = { sqlite3_column_int64(s, 1) },
				     .error = sqlite3_column_int64(s, 3) };
	int64_t offset = sqlite3_column_int64(s, 2);
	struct record rec;
	bool more = true;

	if (unpack(sqlite3_column_blob(s, 4), (size_t)sqlite3_column_bytes(s, 4), arena, &rec) ==
		    0 &&
	    rec.kind == RECORD_COUNTERS) {
		c.c = rec.counters;
		c.before.v = c.c.before.v ? c.c.before.v + offset : c.at.v;
		more = take(arg, &c);
	}
	arena_rewind(arena, before);
	return more;
}

static int read_segment(struct db *d, uint64_t host, struct wall_ns since, struct wall_ns until,
			struct arena *arena, counters_take *take, void *arg, bool *more)
{
	sqlite3_stmt *s = db_stmt(d, STMT_get_counters);
	int r = 0;

	if (!s)
		return 0; /* from before there were any */
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, since.v);
	sqlite3_bind_int64(s, 3, until.v);
	while (*more && db_row(s, &r))
		*more = hand_over(s, host, arena, take, arg);
	sqlite3_reset(s);
	return r;
}

int reader_counters(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		    counters_take *take, void *arg)
{
	struct known_segment *list;
	struct arena arena;
	bool more = true;
	size_t n = 0;
	int ret;

	arena_init(&arena, MSG_HEAP_MAX);
	ret = reader_segments(r, &arena, &list, &n);
	for (size_t i = 0; i < n && ret == 0 && more; i++) {
		const struct known_segment *k = &list[i];
		struct db *d;

		/* The open segment's span is the writer's; full ones have it. */
		if (i + 1 < n && k->t_max && (k->t_max < since.v || k->t_min > until.v))
			continue;
		ret = reader_segment_db(r, k->no, &d);
		if (ret == 0 && d)
			ret = read_segment(d, host, since, until, &arena, take, arg, &more);
		if (ret == -EBADMSG && k->damaged)
			ret = 0;
	}
	arena_free(&arena);
	return ret;
}
