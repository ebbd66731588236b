/*
 * The reading half: connections of its own, read-only, one for the catalog and a few for the segments last asked.
 * A key finds candidates; each is compared with the question.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/store/internal.h"
#include "common/fingerprint.h"

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

struct db *reader_catalog(struct reader *r)
{
	return &r->catalog;
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

int reader_segment_db(struct reader *r, uint32_t no, struct db **out)
{
	struct cached *victim = &r->cache[0];
	char path[PATH_MAX_LEN];
	int ret;

	*out = NULL;
	for (int i = 0; i < SEGMENTS_CACHED; i++) {
		struct cached *c = &r->cache[i];

		if (c->db.sql && c->no == no) {
			c->used = ++r->clock;
			*out = &c->db;
			return 0;
		}
		if (!c->db.sql || c->used < victim->used)
			victim = c;
	}
	if (victim->db.sql)
		db_close(&victim->db);
	segment_path(path, r->store->dir, no);
	ret = db_open_reader(&victim->db, path);
	if (ret < 0)
		return ret == -ENOENT && access(path, F_OK) != 0 ? 0 : ret;
	victim->no = no;
	victim->used = ++r->clock;
	*out = &victim->db;
	return 0;
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
	size_t count, cap, examined;
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
	if (q->fp_count)
		return bsearch(&j->fp, q->fps, q->fp_count, sizeof(*q->fps), fingerprint_cmp) !=
		       NULL;
	if ((q->ends && !journey_may_end(j)))
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
	if ((!h->q->limit || h->count < h->q->limit) &&
	    (!h->q->examine || h->examined < h->q->examine))
		return false;
	h->cut = true;
	return true;
}

static int take_row(struct hunt *h, struct db *d, uint32_t no, uint32_t row)
{
	sqlite3_stmt *s;
	int r = 0;

	if (row_id(no, row) <= h->q->after_row ||
	    (h->q->skip && h->q->skip(h->q->skip_arg, row_id(no, row))))
		return 0;
	s = db_stmt(d, STMT_get_journey);
	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, row);
	h->examined++;
	if (db_row(s, &r))
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
	while (db_row(s, &r))
		*n = add_rows(h, *n, range, sqlite3_column_blob(s, 0),
			      (size_t)sqlite3_column_bytes(s, 0));
	return r;
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
		if (r == -EBADMSG && k->damaged)
			r = 0; /* what of it can be read is found, and a loss tells the rest */
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
	while (r == 0 && !enough(h) && db_row(s, &r)) {
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
	struct db *d;
	int r = reader_segment_db(h->r, k->no, &d), ended;

	if (r < 0 || !d)
		return r;
	r = db_run(db_stmt(d, STMT_begin_reading));
	if (r < 0)
		return r;
	r = hunt_in(h, d, k);
	ended = db_run(db_stmt(d, STMT_commit));
	return r < 0 ? r : ended;
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
		if (ret == -EBADMSG && k->damaged)
			ret = 0;
	}
	if (ret == -E2BIG)
		ret = 0;
	if (h.count)
		qsort(h.list, h.count, sizeof(*h.list), stored_journey_cmp);
	*out = h.list;
	*count = h.count;
	*cut = h.cut;
	return ret;
}
