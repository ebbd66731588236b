/*
 * What the catalog answers a reader: hosts and what they told, tables and their contents, losses, leases, connections.
 */
#include <errno.h>
#include <string.h>

#include "collector/store/internal.h"

enum { CONNS_MAX = 200000 }; /* that one question looks at */

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
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_hosts);
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
	return cap && !list ? -ENOMEM : 0;
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
		take_body(t, s, 14, arena);
		/* Sets are read beside tables, and told one by one when they were found as before. */
		if (!t->until.v && checked > t->last.v && t->backend != BACKEND_IPSET)
			t->last.v = checked;
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return cap && !list ? -ENOMEM : 0;
}

int reader_content(struct reader *r, const struct content_id *id, struct arena *arena,
		   const char **text, size_t *len)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_content);
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

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, t.v);
	from->v = next->v = 0;
	if (sqlite3_step(s) == SQLITE_ROW) {
		from->v = sqlite3_column_int64(s, 0);
		next->v = sqlite3_column_int64(s, 1);
	}
	sqlite3_reset(s);
	return 0;
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
	return cap && !list ? -ENOMEM : 0;
}

int reader_armings(struct reader *r, struct wall_ns since, struct wall_ns until,
		   struct arena *arena, struct stored_arming **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_armings);
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
	return cap && !list ? -ENOMEM : 0;
}

int reader_leases(struct reader *r, struct wall_ns since, struct arena *arena,
		  struct store_lease **out, size_t *count)
{
	sqlite3_stmt *s = db_stmt(reader_catalog(r), STMT_get_leases);
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
	return cap && !list ? -ENOMEM : 0;
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
	struct stored_conn *list = NULL;
	size_t n = 0, cap = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)range.from);
	sqlite3_bind_int64(s, 2, (int64_t)range.to);
	sqlite3_bind_int64(s, 3, since.v);
	sqlite3_bind_int64(s, 4, until.v);
	sqlite3_bind_int64(s, 5, CONNS_MAX);
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
						  .told = { sqlite3_column_int64(s, 5) },
						  .c = rec.conn };
	}
	sqlite3_reset(s);
	*out = list;
	*count = n;
	return cap && !list ? -ENOMEM : 0;
}
