/*
 * What the catalog answers a reader: hosts and what they told, tables and their contents, losses, leases, connections.
 */
#include <errno.h>
#include <string.h>

#include "collector/store/internal.h"

enum { CONNS_MAX = 200000 }; /* that one question looks at */

/* What a question finds, in the arena. */
struct found {
	struct arena *arena;
	size_t size; /* of one */
	void *list;
	size_t count, cap;
};

/* One more; NULL when memory is out, which *r says. */
static void *found_add(struct found *f, int *r)
{
	size_t next = f->cap ? f->cap * 2 : 16;
	void *bigger;

	if (f->count == f->cap) {
		bigger = arena_alloc(f->arena, next * f->size);
		if (!bigger) {
			*r = -ENOMEM;
			return NULL;
		}
		if (f->count)
			memcpy(bigger, f->list, f->count * f->size);
		f->list = bigger;
		f->cap = next;
	}
	return (uint8_t *)f->list + f->count++ * f->size;
}

/* The same for the next row; NULL: there is none, or *r says what is wrong. */
static void *found_row(struct found *f, sqlite3_stmt *s, int *r)
{
	return db_row(s, r) ? found_add(f, r) : NULL;
}

static const char *column_text(sqlite3_stmt *s, int i, struct arena *a)
{
	const void *p = sqlite3_column_text(s, i);

	return p ? arena_strndup(a, p, (size_t)sqlite3_column_bytes(s, i)) : NULL;
}

int reader_hosts(struct reader *r, struct arena *arena, struct stored_host **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_hosts);
	struct found all = { .arena = arena, .size = sizeof(struct stored_host) };
	struct stored_host *one;
	int ret = 0;

	if (!s)
		return -EIO;
	while ((one = found_row(&all, s, &ret)))
		*one = (struct stored_host){ .host = (uint64_t)sqlite3_column_int64(s, 0),
					     .agent = (uint64_t)sqlite3_column_int64(s, 1),
					     .id = column_text(s, 2, arena),
					     .first_seen = { sqlite3_column_int64(s, 3) },
					     .last_seen = { sqlite3_column_int64(s, 4) },
					     .retired = sqlite3_column_int(s, 5),
					     .checked = { sqlite3_column_int64(s, 6) } };
	sqlite3_reset(s);
	*out = all.list;
	*count = all.count;
	return ret;
}

static void take_body(struct stored_table *t, sqlite3_stmt *s, int column, struct arena *arena)
{
	const void *body = sqlite3_column_blob(s, column);
	struct record rec;

	if (!body || unpack(body, (size_t)sqlite3_column_bytes(s, column), arena, &rec) < 0 ||
	    rec.kind != RECORD_RULESET)
		return;
	t->commits = rec.ruleset.commits;
	t->author_count = rec.ruleset.author_count;
	t->authors = rec.ruleset.authors;
}

int reader_tables(struct reader *r, uint64_t host, struct wall_ns since, struct wall_ns until,
		  struct arena *arena, struct stored_table **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_tables);
	struct found all = { .arena = arena, .size = sizeof(struct stored_table) };
	struct stored_table *t;
	int ret = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, since.v);
	sqlite3_bind_int64(s, 3, until.v);
	while ((t = found_row(&all, s, &ret))) {
		const void *content = sqlite3_column_blob(s, 4),
			   *handles = sqlite3_column_blob(s, 11);
		int64_t checked = sqlite3_column_int64(s, 10);

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
		take_body(t, s, 14, arena);
		/* Sets are read beside tables, and told one by one when they were found as before. */
		if (!t->until.v && checked > t->last.v && t->backend != BACKEND_IPSET)
			t->last.v = checked;
	}
	sqlite3_reset(s);
	*out = all.list;
	*count = all.count;
	return ret;
}

int reader_content(struct reader *r, const struct content_id *id, struct arena *arena,
		   const char **text, size_t *len)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_content);
	int ret = 0;

	if (!s)
		return -EIO;
	db_bind_blob(s, 1, id->b, CONTENT_ID_LEN);
	if (!db_row(s, &ret))
		return ret < 0 ? ret : -ENOENT;
	*text = column_text(s, 0, arena);
	*len = (size_t)sqlite3_column_bytes(s, 0);
	sqlite3_reset(s);
	return *text ? 0 : -ENOMEM;
}

/* The first column's packed record of the kind; resets s. */
static int one_record(sqlite3_stmt *s, enum record_kind kind, struct arena *arena,
		      struct record *out)
{
	int r = 0;

	if (!db_row(s, &r))
		return r < 0 ? r : -ENOENT;
	r = unpack(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0), arena, out);
	if (r == 0 && out->kind != kind)
		r = -EPROTO;
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
		sqlite3_stmt *s = db_stmt(reader_catalog(r), tries[i]);

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

int reader_facts_span(struct reader *r, uint64_t host, struct wall_ns t, struct wall_ns *from,
		      struct wall_ns *next)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_facts_span);
	int ret = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, t.v);
	from->v = next->v = 0;
	if (db_row(s, &ret)) {
		from->v = sqlite3_column_int64(s, 0);
		next->v = sqlite3_column_int64(s, 1);
		sqlite3_reset(s);
	}
	return ret;
}

int reader_sources(struct reader *r, uint64_t host, struct arena *arena, struct sources *out)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_source);
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
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_stats);
	struct record rec;
	int ret;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	ret = one_record(s, RECORD_STATS, arena, &rec);
	if (ret < 0)
		return ret;
	*newest = rec.stats;
	s = db_stmt(reader_catalog(r), STMT_get_stats_at);
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
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_losses);
	struct found all = { .arena = arena, .size = sizeof(struct stored_loss) };
	struct stored_loss *one;
	int ret = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, since.v);
	sqlite3_bind_int64(s, 2, until.v);
	while ((one = found_row(&all, s, &ret)))
		*one = (struct stored_loss){ .host = (uint64_t)sqlite3_column_int64(s, 0),
					     .from = { sqlite3_column_int64(s, 1) },
					     .until = { sqlite3_column_int64(s, 2) },
					     .source = column_text(s, 3, arena),
					     .count_known =
						     sqlite3_column_type(s, 4) != SQLITE_NULL,
					     .count = (uint64_t)sqlite3_column_int64(s, 4) };
	sqlite3_reset(s);
	*out = all.list;
	*count = all.count;
	return ret;
}

/* The record in that column. False: it is none, or *r says that memory is out. */
static bool row_record(sqlite3_stmt *s, int column, enum record_kind kind, struct arena *arena,
		       struct record *rec, int *r)
{
	int bad = unpack(sqlite3_column_blob(s, column), (size_t)sqlite3_column_bytes(s, column),
			 arena, rec);

	if (bad == -ENOMEM)
		*r = bad;
	return bad == 0 && rec->kind == kind;
}

int reader_armings(struct reader *r, struct wall_ns since, struct wall_ns until,
		   struct arena *arena, struct stored_arming **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_armings);
	struct found all = { .arena = arena, .size = sizeof(struct stored_arming) };
	int ret = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, since.v);
	sqlite3_bind_int64(s, 2, until.v);
	while (ret == 0 && db_row(s, &ret)) {
		struct stored_arming *one;
		struct record rec;

		if (!row_record(s, 7, RECORD_LEASE, arena, &rec, &ret))
			continue;
		one = found_add(&all, &ret);
		if (!one)
			break;
		*one = (struct stored_arming){ .lease = (uint64_t)sqlite3_column_int64(s, 0),
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
	*out = all.list;
	*count = all.count;
	return ret;
}

int reader_leases(struct reader *r, struct wall_ns since, struct arena *arena,
		  struct store_lease **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_leases);
	struct found all = { .arena = arena, .size = sizeof(struct store_lease) };
	struct store_lease *one;
	int ret = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, since.v);
	while ((one = found_row(&all, s, &ret)))
		*one = (struct store_lease){ .id = (uint64_t)sqlite3_column_int64(s, 0),
					     .from = { sqlite3_column_int64(s, 1) },
					     .until = { sqlite3_column_int64(s, 2) },
					     .flow = column_text(s, 3, arena),
					     .by = column_text(s, 4, arena),
					     .rate = (uint32_t)sqlite3_column_int64(s, 5),
					     .ended = sqlite3_column_int(s, 6) };
	sqlite3_reset(s);
	*out = all.list;
	*count = all.count;
	return ret;
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
	sqlite3_stmt *s = db_stmt(reader_catalog(r), keyed ? STMT_find_conns : STMT_all_conns);
	struct found all = { .arena = arena, .size = sizeof(struct stored_conn) };
	int ret = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)range.from);
	sqlite3_bind_int64(s, 2, (int64_t)range.to);
	sqlite3_bind_int64(s, 3, since.v);
	sqlite3_bind_int64(s, 4, until.v);
	sqlite3_bind_int64(s, 5, CONNS_MAX);
	while (all.count < limit && ret == 0 && db_row(s, &ret)) {
		struct stored_conn *one;
		struct record rec;

		if (!row_record(s, 4, RECORD_CONN, arena, &rec, &ret) ||
		    !conn_fits(flow, &rec.conn))
			continue;
		one = found_add(&all, &ret);
		if (!one)
			break;
		*one = (struct stored_conn){ .host = (uint64_t)sqlite3_column_int64(s, 1),
					     .from = { sqlite3_column_int64(s, 2) },
					     .until = { sqlite3_column_int64(s, 3) },
					     .told = { sqlite3_column_int64(s, 5) },
					     .c = rec.conn };
	}
	sqlite3_reset(s);
	*out = all.list;
	*count = all.count;
	return ret;
}
