/*
 * The reading half: connections of its own, read-only, one for the catalog and a few for the segments last asked.
 * A key finds candidates; each is compared with the question.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/store/internal.h"

enum {
	SEGMENTS_CACHED = 64,
	CANDIDATES_MAX = 200000, /* rows that one question looks at in a segment */
	SLOTS_MAX =
		100000, /* spans of time that one question looks up in a segment: eleven weeks */
};

/* A host's clock may be that far ahead of ours. */
static const int64_t AHEAD_NS = 3600LL * NS_PER_S;

struct cached {
	uint32_t no;
	struct db db;
	uint64_t used;
};

struct reader {
	struct store *store; /* borrowed */
	struct db catalog;
	struct cached cache[SEGMENTS_CACHED];
	uint64_t clock;
	uint32_t *rows; /* owned; CANDIDATES_MAX */
};

int reader_open(struct reader **out, struct store *s, struct why *why)
{
	struct reader *r = calloc(1, sizeof(*r));
	char path[PATH_MAX_LEN + 16];
	int ret;

	if (!r)
		return -ENOMEM;
	r->store = s;
	r->rows = malloc(CANDIDATES_MAX * sizeof(*r->rows));
	snprintf(path, sizeof(path), "%s/catalog.db", s->dir);
	ret = r->rows ? db_open_reader(&r->catalog, path) : -ENOMEM;
	if (ret < 0) {
		reader_close(r);
		return why_set(why, ret, "cannot read %s: %s", path, strerror(-ret));
	}
	*out = r;
	return 0;
}

void reader_close(struct reader *r)
{
	if (!r)
		return;
	for (int i = 0; i < SEGMENTS_CACHED; i++) {
		if (r->cache[i].db.sql)
			db_close(&r->cache[i].db);
	}
	if (r->catalog.sql)
		db_close(&r->catalog);
	free(r->rows);
	free(r);
}

bool reader_incomplete(const struct reader *r)
{
	bool rebuilding = false;

	pthread_mutex_lock(&r->store->lock);
	for (size_t i = 0; i < r->store->segment_count; i++)
		rebuilding |= r->store->segments[i].rebuilding;
	pthread_mutex_unlock(&r->store->lock);
	return rebuilding;
}

struct db *reader_segment_db(struct reader *r, uint32_t no)
{
	struct cached *victim = &r->cache[0];
	char path[PATH_MAX_LEN];

	for (int i = 0; i < SEGMENTS_CACHED; i++) {
		struct cached *c = &r->cache[i];

		if (c->db.sql && c->no == no) {
			c->used = ++r->clock;
			return &c->db;
		}
		if (!c->db.sql || c->used < victim->used)
			victim = c;
	}
	if (victim->db.sql)
		db_close(&victim->db);
	segment_path(path, r->store->dir, no);
	if (db_open_reader(&victim->db, path) < 0)
		return NULL;
	victim->no = no;
	victim->used = ++r->clock;
	return &victim->db;
}

int reader_segments(struct reader *r, struct arena *arena, struct known_segment **list, size_t *n)
{
	pthread_mutex_lock(&r->store->lock);
	*n = r->store->segment_count;
	*list = arena_alloc(arena, (*n + 1) * sizeof(**list));
	if (*list && *n)
		memcpy(*list, r->store->segments, *n * sizeof(**list));
	pthread_mutex_unlock(&r->store->lock);
	return *list ? 0 : -ENOMEM;
}

/* --- journeys ------------------------------------------------------------------------------------------------------ */

struct hunt {
	struct reader *r;
	const struct journey_query *q;
	struct arena *arena;
	struct stored_journey *list;
	size_t count, cap;
	bool cut;
};

static bool interface_fits(const char *wanted, bool negate, const char *have)
{
	size_t n = strlen(wanted);
	bool same;

	if (!n)
		return true;
	same = wanted[n - 1] == '+' ? !strncmp(wanted, have, n - 1) : !strcmp(wanted, have);
	return same != negate;
}

static bool flow_fits(const struct flow *f, const struct journey *j)
{
	if (!interface_fits(f->in_if, f->in_negate, j->in_if) ||
	    !interface_fits(f->out_if, f->out_negate, j->out_if))
		return false;
	for (uint8_t i = 0; i < j->tuple_count + (j->has_inner_tuple ? 1 : 0); i++) {
		const struct tuple *t = i < j->tuple_count ? &j->tuples[i] : &j->inner;
		struct tuple back = tuple_reverse(t);

		if (flow_has(f, t) || flow_has(f, &back))
			return true;
	}
	return false;
}

static bool fits(const struct journey_query *q, const struct journey *j)
{
	for (size_t i = 0; i < q->fp_count; i++) {
		if (q->fps[i] == j->fp)
			return true;
	}
	if (q->fp_count || (q->ends && !journey_may_end(j)))
		return false;
	return !q->flow || flow_fits(q->flow, j);
}

static bool host_fits(const struct journey_query *q, uint64_t host)
{
	for (size_t i = 0; i < q->host_count; i++) {
		if (q->hosts[i] == host)
			return true;
	}
	return q->host_count == 0;
}

/* Columns: host, t, offset, error, body, from `first` on. */
static int take(struct hunt *h, uint64_t row, sqlite3_stmt *s, int first)
{
	struct arena_mark before = arena_mark(h->arena);
	struct stored_journey *out;
	struct record rec;
	int64_t t = sqlite3_column_int64(s, first + 1);
	int r;

	if (t < h->q->since.v || t > h->q->until.v ||
	    !host_fits(h->q, (uint64_t)sqlite3_column_int64(s, first)))
		return 0;
	r = unpack(sqlite3_column_blob(s, first + 4), (size_t)sqlite3_column_bytes(s, first + 4),
		   h->arena, &rec);
	if (r == -ENOMEM) {
		h->cut = true;
		return -E2BIG;
	}
	if (r < 0 || rec.kind != RECORD_JOURNEY || !fits(h->q, &rec.journey)) {
		arena_rewind(h->arena, before);
		return 0;
	}
	if (h->count == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 64;
		struct stored_journey *list = arena_alloc(h->arena, cap * sizeof(*list));

		if (!list) {
			h->cut = true;
			return -E2BIG;
		}
		if (h->count)
			memcpy(list, h->list, h->count * sizeof(*list));
		h->list = list;
		h->cap = cap;
	}
	out = &h->list[h->count++];
	*out = (struct stored_journey){ .row = row,
					.host = (uint64_t)sqlite3_column_int64(s, first),
					.at = { t },
					.offset = sqlite3_column_int64(s, first + 2),
					.error = sqlite3_column_int64(s, first + 3),
					.j = rec.journey };
	return 0;
}

static uint64_t row_id(uint32_t no, uint32_t row)
{
	return (uint64_t)no << 32 | row;
}

static bool enough(struct hunt *h)
{
	if (!h->q->limit || h->count < h->q->limit)
		return false;
	h->cut = true;
	return true;
}

static int take_row(struct hunt *h, struct db *d, uint32_t no, uint32_t row)
{
	sqlite3_stmt *s;
	int r = 0;

	if (row_id(no, row) <= h->q->after_row)
		return 0;
	s = db_stmt(d, STMT_get_journey);
	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, row);
	if (sqlite3_step(s) == SQLITE_ROW)
		r = take(h, row_id(no, row), s, 0);
	sqlite3_reset(s);
	return r;
}

static int by_row_down(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return (a < b) - (a > b);
}

/* Appends the rows of an index's row that are in the range. When they do not fit, the newest half of all stays. */
static size_t add_rows(struct hunt *h, size_t n, const struct key_range *range, const uint8_t *wire,
		       size_t len)
{
	uint32_t *rows = h->r->rows;

	for (size_t at = 0; at + KEY_ENTRY_LEN <= len; at += KEY_ENTRY_LEN) {
		uint64_t key;
		uint32_t row;

		memcpy(&key, wire + at, sizeof(key));
		memcpy(&row, wire + at + sizeof(key), sizeof(row));
		key = be64toh(key);
		if (key < range->from || key > range->to)
			continue;
		if (n == CANDIDATES_MAX) {
			qsort(rows, n, sizeof(*rows), by_row_down);
			n /= 2;
			h->cut = true;
		}
		rows[n++] = be32toh(row);
	}
	return n;
}

/* The key's rows as the open segment's map has them; false when it has none, since it is sealed. */
static bool rows_of_map(struct hunt *h, uint32_t no, const struct key_range *range, size_t *n)
{
	struct store *s = h->r->store;
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->segment_count && !found; i++) {
		found = s->segments[i].no == no && s->segments[i].map;
		if (found)
			*n = key_map_find(s->segments[i].map, range, h->r->rows, CANDIDATES_MAX);
	}
	pthread_mutex_unlock(&s->lock);
	if (found && *n == CANDIDATES_MAX)
		h->cut = true;
	return found;
}

static int candidates(struct hunt *h, struct db *d, const struct known_segment *k,
		      const struct key_range *range, size_t *n)
{
	sqlite3_stmt *s;
	int r = 0;

	*n = 0;
	if (!k->sealed) {
		if (rows_of_map(h, k->no, range, n))
			return 0;
		/* Sealed just now: what we have read may be from before. */
		r = db_run(db_stmt(d, STMT_commit));
		if (r == 0)
			r = db_run(db_stmt(d, STMT_begin_reading));
		if (r < 0)
			return r;
	}
	s = db_stmt(d, STMT_find_keys);
	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)range->from);
	sqlite3_bind_int64(s, 2, (int64_t)range->to);
	while ((r = sqlite3_step(s)) == SQLITE_ROW)
		*n = add_rows(h, *n, range, sqlite3_column_blob(s, 0),
			      (size_t)sqlite3_column_bytes(s, 0));
	sqlite3_reset(s);
	return db_error(r);
}

static int hunt_range(struct hunt *h, struct db *d, const struct known_segment *k,
		      const struct key_range *range)
{
	uint32_t before = 0;
	size_t n;
	int r = candidates(h, d, k, range, &n);

	if (r == 0 && n)
		qsort(h->r->rows, n, sizeof(*h->r->rows), by_row_down);
	for (size_t i = 0; i < n && r == 0 && !enough(h); i++) {
		if (h->r->rows[i] != before)
			r = take_row(h, d, k->no, h->r->rows[i]);
		before = h->r->rows[i];
	}
	return r;
}

/* Slot by slot, the newest first: a window of the segment's own span, where that is known. */
static int hunt_ends(struct hunt *h, struct db *d, const struct known_segment *k)
{
	bool closed = k->sealed && k->t_max;
	int64_t now = wall_now().v + AHEAD_NS;
	int64_t first = closed && k->t_min > h->q->since.v ? k->t_min : h->q->since.v;
	int64_t bound = closed && k->t_max < now ? k->t_max : now;
	int64_t last = bound < h->q->until.v ? bound : h->q->until.v;
	int64_t newest = end_slot((struct wall_ns){ last }),
		oldest = end_slot((struct wall_ns){ first });
	int r = 0;

	if (newest - oldest >= SLOTS_MAX) {
		oldest = newest - SLOTS_MAX + 1;
		h->cut = true;
	}
	for (int64_t slot = newest; slot >= oldest && r == 0 && !enough(h); slot--) {
		struct key_range range = { end_key(slot), end_key(slot) };

		r = hunt_range(h, d, k, &range);
	}
	return r;
}

/* No address to go by: the newest rows of the window. */
static int hunt_all(struct hunt *h, struct db *d, const struct known_segment *k)
{
	sqlite3_stmt *s = db_stmt(d, STMT_scan_back);
	int64_t after = 0;
	size_t seen = 0;
	int r = 0;

	if (!s)
		return -EIO;
	if (h->q->after_row >> 32 == k->no)
		after = (int64_t)(uint32_t)h->q->after_row;
	sqlite3_bind_int64(s, 1, after);
	sqlite3_bind_int64(s, 2, h->q->since.v);
	sqlite3_bind_int64(s, 3, h->q->until.v);
	sqlite3_bind_int64(s, 4, CANDIDATES_MAX);
	while (r == 0 && !enough(h) && sqlite3_step(s) == SQLITE_ROW) {
		r = take(h, row_id(k->no, (uint32_t)sqlite3_column_int64(s, 0)), s, 1);
		seen++;
	}
	sqlite3_reset(s);
	if (seen == CANDIDATES_MAX)
		h->cut = true;
	return r;
}

static int hunt_in(struct hunt *h, struct db *d, const struct known_segment *k)
{
	const struct journey_query *q = h->q;
	struct key_range range;
	int r = 0;

	if (q->fp_count) {
		for (size_t i = 0; i < q->fp_count && r == 0; i++) {
			range.from = range.to = q->fps[i];
			r = hunt_range(h, d, k, &range);
		}
		return r;
	}
	if (q->flow && keys_of_flow(q->flow, &range))
		return hunt_range(h, d, k, &range);
	return q->ends ? hunt_ends(h, d, k) : hunt_all(h, d, k);
}

/* One transaction around all of a segment's rows: each alone would lock and look for news again. */
static int hunt_segment(struct hunt *h, const struct known_segment *k)
{
	struct db *d = reader_segment_db(h->r, k->no);
	int r, ended;

	if (!d)
		return 0; /* retention has just removed it */
	r = db_run(db_stmt(d, STMT_begin_reading));
	if (r < 0)
		return r;
	r = hunt_in(h, d, k);
	ended = db_run(db_stmt(d, STMT_commit));
	return r < 0 ? r : ended;
}

static int by_time(const void *pa, const void *pb)
{
	const struct stored_journey *a = pa, *b = pb;

	if (a->at.v != b->at.v)
		return a->at.v < b->at.v ? -1 : 1;
	return (a->row > b->row) - (a->row < b->row);
}

int reader_journeys(struct reader *r, const struct journey_query *q, struct arena *arena,
		    struct stored_journey **out, size_t *count, bool *cut)
{
	struct hunt h = { .r = r, .q = q, .arena = arena };
	struct known_segment *list;
	size_t n;
	int ret = 0;

	*out = NULL;
	*count = 0;
	*cut = false;
	ret = reader_segments(r, arena, &list, &n);
	if (ret < 0)
		return ret;
	for (size_t i = n; i-- > 0 && ret == 0 && !enough(&h);) {
		const struct known_segment *k = &list[i];

		if ((uint64_t)k->no < q->after_row >> 32)
			break;
		/* The open segment's span is the writer's; full ones have it. */
		if (i + 1 < n && k->t_max && (k->t_max < q->since.v || k->t_min > q->until.v))
			continue;
		ret = hunt_segment(&h, k);
	}
	if (ret == -E2BIG)
		ret = 0;
	if (h.count)
		qsort(h.list, h.count, sizeof(*h.list), by_time);
	*out = h.list;
	*count = h.count;
	*cut = h.cut;
	return ret;
}

/* --- the catalog --------------------------------------------------------------------------------------------------- */

/* An array in the arena that grows by doubling; *list moves. */
static void *grow(struct arena *a, void *list, size_t count, size_t *cap, size_t size)
{
	size_t next = *cap ? *cap * 2 : 16;
	uint8_t *bigger;

	if (count < *cap)
		return list;
	bigger = arena_alloc(a, next * size);
	if (bigger && count)
		memcpy(bigger, list, count * size);
	*cap = next;
	return bigger;
}

static const char *column_text(sqlite3_stmt *s, int i, struct arena *a)
{
	const void *p = sqlite3_column_text(s, i);

	return p ? arena_strndup(a, p, (size_t)sqlite3_column_bytes(s, i)) : NULL;
}

int reader_hosts(struct reader *r, struct arena *arena, struct stored_host **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_hosts);
	struct stored_host *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	while (sqlite3_step(s) == SQLITE_ROW) {
		list = grow(arena, list, n, &cap, sizeof(*list));
		if (!list)
			break;
		list[n++] = (struct stored_host){ .host = (uint64_t)sqlite3_column_int64(s, 0),
						  .agent = (uint64_t)sqlite3_column_int64(s, 1),
						  .id = column_text(s, 2, arena),
						  .first_seen = { sqlite3_column_int64(s, 3) },
						  .last_seen = { sqlite3_column_int64(s, 4) },
						  .retired = sqlite3_column_int(s, 5),
						  .checked = { sqlite3_column_int64(s, 6) } };
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return n && !list ? -ENOMEM : 0;
}

static void take_authors(struct stored_table *t, sqlite3_stmt *s, int column, struct arena *arena)
{
	const void *body = sqlite3_column_blob(s, column);
	struct record rec;

	if (!body || unpack(body, (size_t)sqlite3_column_bytes(s, column), arena, &rec) < 0 ||
	    rec.kind != RECORD_RULESET)
		return;
	t->author_count = rec.ruleset.author_count;
	t->authors = rec.ruleset.authors;
}

int reader_tables(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		  struct arena *arena, struct stored_table **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_tables);
	struct stored_table *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, since.v);
	sqlite3_bind_int64(s, 3, until.v);
	while (sqlite3_step(s) == SQLITE_ROW) {
		const void *content = sqlite3_column_blob(s, 4),
			   *handles = sqlite3_column_blob(s, 11);
		int64_t checked = sqlite3_column_int64(s, 10);
		struct stored_table *t;

		list = grow(arena, list, n, &cap, sizeof(*list));
		if (!list)
			break;
		t = &list[n++];
		*t = (struct stored_table){ .host = (uint64_t)sqlite3_column_int64(s, 0),
					    .backend = (uint8_t)sqlite3_column_int(s, 1),
					    .family = (uint8_t)sqlite3_column_int(s, 2),
					    .table = column_text(s, 3, arena),
					    .from_min = { sqlite3_column_int64(s, 5) },
					    .from = { sqlite3_column_int64(s, 6) },
					    .last = { sqlite3_column_int64(s, 7) },
					    .until = { sqlite3_column_int64(s, 8) },
					    .torn = sqlite3_column_int(s, 9),
					    .since = { sqlite3_column_int64(s, 12) },
					    .since_min = { sqlite3_column_int64(s, 13) } };
		if (content)
			memcpy(t->content.b, content, CONTENT_ID_LEN);
		if (handles)
			memcpy(t->handles.b, handles, CONTENT_ID_LEN);
		take_authors(t, s, 14, arena);
		if (!t->until.v && checked > t->last.v)
			t->last.v = checked;
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return n && !list ? -ENOMEM : 0;
}

int reader_content(struct reader *r, const struct content_id *id, struct arena *arena,
		   const char **text, size_t *len)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_content);
	int ret = -ENOENT;

	if (!s)
		return -EIO;
	db_bind_blob(s, 1, id->b, CONTENT_ID_LEN);
	if (sqlite3_step(s) == SQLITE_ROW) {
		*text = column_text(s, 0, arena);
		*len = (size_t)sqlite3_column_bytes(s, 0);
		ret = *text ? 0 : -ENOMEM;
	}
	sqlite3_reset(s);
	return ret;
}

/* The first column's packed record of the kind; resets s. */
static int one_record(sqlite3_stmt *s, enum record_kind kind, struct arena *arena,
		      struct record *out)
{
	int r = -ENOENT;

	if (sqlite3_step(s) == SQLITE_ROW) {
		r = unpack(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), arena,
			   out);
		if (r == 0 && out->kind != kind)
			r = -EPROTO;
	}
	sqlite3_reset(s);
	return r;
}

int reader_facts(struct reader *r, uint64_t host, struct wall_ns t, struct arena *arena,
		 struct facts *out)
{
	static const enum stmt_id tries[] = { STMT_get_facts, STMT_get_first_facts };
	struct record rec;
	int ret = -ENOENT;

	for (int i = 0; i < 2 && ret == -ENOENT; i++) {
		sqlite3_stmt *s = db_stmt(&r->catalog, tries[i]);

		if (!s)
			return -EIO;
		sqlite3_bind_int64(s, 1, (int64_t)host);
		if (i == 0)
			sqlite3_bind_int64(s, 2, t.v);
		ret = one_record(s, RECORD_FACTS, arena, &rec);
	}
	if (ret == 0)
		*out = rec.facts;
	return ret;
}

int reader_sources(struct reader *r, uint64_t host, struct arena *arena, struct sources *out)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_source);
	struct record rec;
	int ret;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	ret = one_record(s, RECORD_SOURCES, arena, &rec);
	if (ret == 0)
		*out = rec.sources;
	return ret;
}

int reader_stats(struct reader *r, uint64_t host, struct wall_ns since, struct arena *arena,
		 struct conntrack_stats *first, struct conntrack_stats *newest)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_stats);
	struct record rec;
	int ret;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	ret = one_record(s, RECORD_STATS, arena, &rec);
	if (ret < 0)
		return ret;
	*newest = rec.stats;
	s = db_stmt(&r->catalog, STMT_get_stats_at);
	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, since.v);
	ret = one_record(s, RECORD_STATS, arena, &rec);
	if (ret == 0)
		*first = rec.stats;
	return ret;
}

int reader_losses(struct reader *r, struct wall_ns since, struct wall_ns until, struct arena *arena,
		  struct stored_loss **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_losses);
	struct stored_loss *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, since.v);
	sqlite3_bind_int64(s, 2, until.v);
	while (sqlite3_step(s) == SQLITE_ROW) {
		list = grow(arena, list, n, &cap, sizeof(*list));
		if (!list)
			break;
		list[n++] = (struct stored_loss){ .host = (uint64_t)sqlite3_column_int64(s, 0),
						  .from = { sqlite3_column_int64(s, 1) },
						  .until = { sqlite3_column_int64(s, 2) },
						  .source = column_text(s, 3, arena),
						  .count_known =
							  sqlite3_column_type(s, 4) != SQLITE_NULL,
						  .count = (uint64_t)sqlite3_column_int64(s, 4) };
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return n && !list ? -ENOMEM : 0;
}

int reader_armings(struct reader *r, struct wall_ns since, struct wall_ns until,
		   struct arena *arena, struct stored_arming **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_armings);
	struct stored_arming *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, since.v);
	sqlite3_bind_int64(s, 2, until.v);
	while (sqlite3_step(s) == SQLITE_ROW) {
		struct record rec;

		if (unpack(sqlite3_column_blob(s, 7), (size_t)sqlite3_column_bytes(s, 7), arena,
			   &rec) < 0)
			continue;
		list = grow(arena, list, n, &cap, sizeof(*list));
		if (!list)
			break;
		list[n++] = (struct stored_arming){ .lease = (uint64_t)sqlite3_column_int64(s, 0),
						    .host = (uint64_t)sqlite3_column_int64(s, 1),
						    .from = { sqlite3_column_int64(s, 2) },
						    .until = { sqlite3_column_int64(s, 3) },
						    .modulus = (uint32_t)sqlite3_column_int64(s, 4),
						    .traced = (uint64_t)sqlite3_column_int64(s, 5),
						    .refused = (uint64_t)sqlite3_column_int64(s, 6),
						    .pattern_count = rec.lease.pattern_count,
						    .patterns = rec.lease.patterns };
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return n && !list ? -ENOMEM : 0;
}

int reader_leases(struct reader *r, struct wall_ns since, struct arena *arena,
		  struct store_lease **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(&r->catalog, STMT_get_leases);
	struct store_lease *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, since.v);
	while (sqlite3_step(s) == SQLITE_ROW) {
		list = grow(arena, list, n, &cap, sizeof(*list));
		if (!list)
			break;
		list[n++] = (struct store_lease){ .id = (uint64_t)sqlite3_column_int64(s, 0),
						  .from = { sqlite3_column_int64(s, 1) },
						  .until = { sqlite3_column_int64(s, 2) },
						  .flow = column_text(s, 3, arena),
						  .by = column_text(s, 4, arena),
						  .rate = (uint32_t)sqlite3_column_int64(s, 5),
						  .ended = sqlite3_column_int(s, 6) };
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return n && !list ? -ENOMEM : 0;
}

static bool conn_fits(const struct flow *f, const struct conn *c)
{
	struct tuple o = tuple_reverse(&c->orig), r = tuple_reverse(&c->reply);

	return flow_has(f, &c->orig) || flow_has(f, &o) || flow_has(f, &c->reply) ||
	       flow_has(f, &r);
}

int reader_conns(struct reader *r, const struct flow *flow, struct wall_ns since,
		 struct wall_ns until, size_t limit, struct arena *arena, struct stored_conn **out,
		 size_t *count)
{
	struct key_range range = { 0, 0 };
	bool keyed = keys_of_flow(flow, &range);
	sqlite3_stmt *s = db_stmt(&r->catalog, keyed ? STMT_find_conns : STMT_all_conns);
	struct stored_conn *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)range.from);
	sqlite3_bind_int64(s, 2, (int64_t)range.to);
	sqlite3_bind_int64(s, 3, since.v);
	sqlite3_bind_int64(s, 4, until.v);
	sqlite3_bind_int64(s, 5, CANDIDATES_MAX);
	while (n < limit && sqlite3_step(s) == SQLITE_ROW) {
		struct record rec;

		if (unpack(sqlite3_column_blob(s, 4), (size_t)sqlite3_column_bytes(s, 4), arena,
			   &rec) < 0 ||
		    rec.kind != RECORD_CONN)
			continue;
		if (!conn_fits(flow, &rec.conn))
			continue;
		list = grow(arena, list, n, &cap, sizeof(*list));
		if (!list)
			break;
		list[n++] = (struct stored_conn){ .host = (uint64_t)sqlite3_column_int64(s, 1),
						  .from = { sqlite3_column_int64(s, 2) },
						  .until = { sqlite3_column_int64(s, 3) },
						  .c = rec.conn };
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return n && !list ? -ENOMEM : 0;
}
