/*
 * Redelivered batches are kept out by marks; within one batch every change is written so that doing it twice is
 * doing it once.
 */
#include "collector/store/catalog.h"

#include <errno.h>
#include <string.h>

#include "collector/store/keys.h"
#include "common/content.h"

static int64_t wall(const struct origin *o, struct boot_ns t)
{
	return t.v ? t.v + o->offset : 0;
}

static int body_of(struct packer *p, const struct record *r, struct buf *b)
{
	buf_init(b, FRAME_INFLATED_MAX);
	return pack(p, r, b);
}

/* Who changed it, and in how many steps, goes with the row that the change began. */
static int put_table(struct packer *p, sqlite3_stmt *s, const struct record *rec)
{
	struct buf b = { 0 };
	int r = 0;

	if (rec->ruleset.author_count > 0 || rec->ruleset.commits > 0)
		r = body_of(p, rec, &b);
	if (r == 0 && b.len > 0)
		db_bind_blob(s, 12, b.p, b.len);
	if (r == 0)
		r = db_run(s);
	buf_clear(&b);
	return r;
}

static void bind_place(sqlite3_stmt *s, uint64_t host, const struct ruleset_fact *f)
{
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int(s, 2, f->backend);
	sqlite3_bind_int(s, 3, f->family);
	db_bind_text(s, 4, f->table);
}

/* What the history says of a table up to now, and how a fact compares with it. */
struct standing {
	bool have, same_text, same; /* same: the handles, too */
	int64_t id, last, since, since_min;
};

static bool equals(const void *stored, const struct content_id *id)
{
	return stored ? !memcmp(stored, id->b, CONTENT_ID_LEN) : content_id_none(id);
}

static int find_standing(struct standing *t, struct db *d, uint64_t host,
			 const struct ruleset_fact *f)
{
	sqlite3_stmt *s = db_stmt(d, STMT_get_table);
	int r = 0;

	*t = (struct standing){ 0 };
	if (!s)
		return -EIO;
	bind_place(s, host, f);
	if (!db_row(s, &r))
		return r;
	t->have = true;
	t->id = sqlite3_column_int64(s, 0);
	t->last = sqlite3_column_int64(s, 2);
	t->same_text = equals(sqlite3_column_blob(s, 1), &f->content);
	t->same = t->same_text && equals(sqlite3_column_blob(s, 4), &f->handles);
	t->since = sqlite3_column_int64(s, 5);
	t->since_min = sqlite3_column_int64(s, 6);
	sqlite3_reset(s);
	return 0;
}

static int apply_ruleset(struct db *d, struct packer *p, const struct origin *o, uint64_t host,
			 const struct record *rec)
{
	const struct ruleset_fact *f = &rec->ruleset;
	int64_t at = wall(o, f->read_at), before = wall(o, f->before);
	bool no_handles = content_id_none(&f->handles), gone = content_id_none(&f->content);
	struct standing was;
	sqlite3_stmt *s;
	int r = find_standing(&was, d, host, f);

	if (r < 0 || (gone && !was.have))
		return r;
	if (was.same) {
		s = db_stmt(d, STMT_extend_table);
		sqlite3_bind_int64(s, 1, was.id);
		sqlite3_bind_int64(s, 2, at);
		return db_run(s);
	}
	if (was.have) {
		/* The agent may have been away: then all that is known is its last read. */
		if (!before)
			before = was.last;
		s = db_stmt(d, STMT_close_table);
		if (!s)
			return -EIO;
		sqlite3_bind_int64(s, 1, was.id);
		sqlite3_bind_int64(s, 2, at);
		sqlite3_bind_int64(s, 3, before);
		r = db_run(s);
		if (r < 0)
			return r;
	}
	s = db_stmt(d, STMT_put_table);
	if (!s)
		return -EIO;
	bind_place(s, host, f);
	db_bind_blob(s, 5, gone ? NULL : f->content.b, CONTENT_ID_LEN);
	sqlite3_bind_int64(s, 6, before);
	sqlite3_bind_int64(s, 7, at);
	sqlite3_bind_int(s, 8, f->torn);
	db_bind_blob(s, 9, no_handles ? NULL : f->handles.b, CONTENT_ID_LEN);
	sqlite3_bind_int64(s, 10, was.same_text ? was.since : at);
	sqlite3_bind_int64(s, 11, was.same_text ? was.since_min : before);
	return put_table(p, s, rec);
}

static int put_body(struct db *d, struct packer *p, enum stmt_id id, uint64_t host, int64_t t,
		    const struct record *rec)
{
	sqlite3_stmt *s;
	const bool timed = id == STMT_put_facts || id == STMT_put_stats;
	struct buf b;
	int r = body_of(p, rec, &b);

	s = r == 0 ? db_stmt(d, id) : NULL;
	if (s) {
		sqlite3_bind_int64(s, 1, (int64_t)host);
		if (timed)
			sqlite3_bind_int64(s, 2, t);
		db_bind_blob(s, timed ? 3 : 2, b.p, b.len);
		r = db_run(s);
	} else if (r == 0) {
		r = -EIO;
	}
	buf_clear(&b);
	return r;
}

static int apply_loss(struct db *d, const struct origin *o, uint64_t host, const struct loss *l)
{
	sqlite3_stmt *s = db_stmt(d, STMT_put_loss);

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, wall(o, l->from));
	sqlite3_bind_int64(s, 3, wall(o, l->until));
	db_bind_text(s, 4, l->source);
	if (l->count_known)
		sqlite3_bind_int64(s, 5, (int64_t)l->count);
	return db_run(s);
}

/* --- leases ---------------------------------------------------------------------------------------------------- */

static bool same_patterns(const void *body, size_t len, const struct lease_fact *l)
{
	struct record was;
	struct arena a;
	bool same = false;

	arena_init(&a, 1 << 20);
	if (unpack(body, len, &a, &was) == 0 && was.kind == RECORD_LEASE) {
		same = was.lease.pattern_count == l->pattern_count &&
		       was.lease.modulus == l->modulus;
		for (uint32_t i = 0; same && i < l->pattern_count; i++)
			same = pattern_equal(&was.lease.patterns[i], &l->patterns[i]);
	}
	arena_free(&a);
	return same;
}

static int close_arming(struct db *d, int64_t id, int64_t at)
{
	sqlite3_stmt *s = db_stmt(d, STMT_close_arming);

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_int64(s, 2, at);
	return db_run(s);
}

static int apply_lease(struct db *d, struct packer *p, const struct origin *o, uint64_t host,
		       const struct record *rec)
{
	const struct lease_fact *l = &rec->lease;
	int64_t at = wall(o, l->at), id = 0;
	sqlite3_stmt *s = db_stmt(d, STMT_get_arming);
	bool open = false, same = false;
	struct buf b;
	int r = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, (int64_t)l->id);
	if (db_row(s, &r)) {
		open = true;
		id = sqlite3_column_int64(s, 0);
		same = same_patterns(sqlite3_column_blob(s, 2), (size_t)sqlite3_column_bytes(s, 2),
				     l);
		sqlite3_reset(s);
	}
	if (open) {
		s = db_stmt(d, STMT_count_arming);
		if (!s)
			return -EIO;
		sqlite3_bind_int64(s, 1, id);
		sqlite3_bind_int64(s, 2, (int64_t)l->traced);
		sqlite3_bind_int64(s, 3, (int64_t)l->refused);
		r = db_run(s);
	}
	if (r == 0 && open && (l->state != LEASE_ARMED || !same))
		r = close_arming(d, id, at);
	if (r < 0 || l->state != LEASE_ARMED || (open && same))
		return r;
	r = body_of(p, rec, &b);
	s = r == 0 ? db_stmt(d, STMT_put_arming) : NULL;
	if (s) {
		sqlite3_bind_int64(s, 1, (int64_t)l->id);
		sqlite3_bind_int64(s, 2, (int64_t)host);
		sqlite3_bind_int64(s, 3, at);
		sqlite3_bind_int64(s, 4, l->modulus);
		sqlite3_bind_int64(s, 5, (int64_t)l->traced);
		sqlite3_bind_int64(s, 6, (int64_t)l->refused);
		db_bind_blob(s, 7, b.p, b.len);
		r = db_run(s);
	}
	buf_clear(&b);
	return r;
}

/* --- connections ----------------------------------------------------------------------------------------------- */

static bool same_conn(const void *body, size_t len, const struct conn *c)
{
	struct record was;
	struct arena a;
	bool same = false;

	arena_init(&a, 1 << 20);
	if (unpack(body, len, &a, &was) == 0 && was.kind == RECORD_CONN)
		same = tuple_equal(&was.conn.orig, &c->orig) && was.conn.zone == c->zone;
	arena_free(&a);
	return same;
}

static int put_conn_keys(struct db *d, int64_t id, const struct conn *c)
{
	uint64_t keys[6];
	size_t n = keys_of_tuple(&c->orig, keys);
	int r = 0;

	n += keys_of_tuple(&c->reply, keys + n);
	for (size_t i = 0; i < n && r == 0; i++) {
		sqlite3_stmt *s = db_stmt(d, STMT_put_conn_key);

		if (!s)
			return -EIO;
		sqlite3_bind_int64(s, 1, (int64_t)keys[i]);
		sqlite3_bind_int64(s, 2, id);
		r = db_run(s);
	}
	return r;
}

static int apply_conn(struct db *d, struct packer *p, const struct origin *o, uint64_t host,
		      const struct record *rec)
{
	const struct conn *c = &rec->conn;
	int64_t at = wall(o, c->at), id = 0;
	sqlite3_stmt *s = db_stmt(d, STMT_get_conn);
	struct buf b;
	int r = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	sqlite3_bind_int64(s, 2, c->id);
	while (!id && db_row(s, &r)) {
		if (same_conn(sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1), c))
			id = sqlite3_column_int64(s, 0);
	}
	sqlite3_reset(s);
	if (r < 0)
		return r;
	if (c->event == CONN_DESTROY) {
		s = id ? db_stmt(d, STMT_close_conn) : NULL;
		if (!s)
			return 0; /* it began before anybody listened */
		sqlite3_bind_int64(s, 1, id);
		sqlite3_bind_int64(s, 2, at);
		return db_run(s);
	}
	r = body_of(p, rec, &b);
	s = r == 0 ? db_stmt(d, id ? STMT_refresh_conn : STMT_put_conn) : NULL;
	if (!s) {
		buf_clear(&b);
		return r < 0 ? r : -EIO;
	}
	if (id) {
		sqlite3_bind_int64(s, 1, id);
		db_bind_blob(s, 2, b.p, b.len);
		sqlite3_bind_int64(s, 3, at);
	} else {
		sqlite3_bind_int64(s, 1, (int64_t)host);
		sqlite3_bind_int64(s, 2, c->id);
		sqlite3_bind_int64(s, 3, at);
		db_bind_blob(s, 4, b.p, b.len);
	}
	r = db_run(s);
	if (r == 0 && !id)
		r = put_conn_keys(d, sqlite3_last_insert_rowid(d->sql), c);
	buf_clear(&b);
	return r;
}

/* Clocks are measured again and again: the same instant may come out a little otherwise. */
static const int64_t CLOCK_SLACK_NS = 100LL * NS_PER_MS;

/* What was not told of since a reading of the whole table began is not in it any more. */
static int apply_stats(struct db *d, struct packer *p, const struct origin *o, uint64_t host,
		       const struct record *rec)
{
	int64_t whole = wall(o, rec->stats.whole_from);
	sqlite3_stmt *s = rec->stats.whole_from.v ? db_stmt(d, STMT_end_untold_conns) : NULL;
	int r = 0;

	if (rec->stats.whole_from.v && !s)
		return -EIO;
	if (s) {
		sqlite3_bind_int64(s, 1, (int64_t)host);
		sqlite3_bind_int64(s, 2, whole);
		sqlite3_bind_int64(s, 3, whole - CLOCK_SLACK_NS);
		r = db_run(s);
	}
	return r < 0 ? r : put_body(d, p, STMT_put_stats, host, wall(o, rec->stats.at), rec);
}

/* The host's namespace has gone: nothing of it is in force any more. */
static int apply_ended(struct db *d, const struct origin *o, uint64_t host, const struct ended *e)
{
	static const enum stmt_id ends[] = { STMT_end_host, STMT_end_tables, STMT_end_conns,
					     STMT_close_armings };
	int r = 0;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && r == 0; i++) {
		sqlite3_stmt *s = db_stmt(d, ends[i]);

		if (!s)
			return -EIO;
		sqlite3_bind_int64(s, 1, (int64_t)host);
		sqlite3_bind_int64(s, 2, wall(o, e->at));
		r = db_run(s);
	}
	return r;
}

/* Who tells its sources is there, whatever was said of it before. */
static int apply_sources(struct db *d, struct packer *p, uint64_t host, const struct record *r)
{
	sqlite3_stmt *s = db_stmt(d, STMT_begin_host);
	int ret;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)host);
	ret = db_run(s);
	return ret < 0 ? ret : put_body(d, p, STMT_put_source, host, 0, r);
}

int catalog_apply(struct db *d, struct packer *p, const struct origin *o, const struct record *r)
{
	sqlite3_stmt *s;
	uint64_t host;

	if (r->host >= o->host_count)
		return 0; /* no such host in its Hello: ingest has refused it */
	host = o->hosts[r->host];
	switch (r->kind) {
	case RECORD_CONN:
		return apply_conn(d, p, o, host, r);
	case RECORD_RULESET:
		return apply_ruleset(d, p, o, host, r);
	case RECORD_RULESET_CHECKED:
		s = db_stmt(d, STMT_check_host);
		if (!s)
			return -EIO;
		sqlite3_bind_int64(s, 1, (int64_t)host);
		sqlite3_bind_int64(s, 2, wall(o, r->checked.at));
		return db_run(s);
	case RECORD_FACTS:
		return put_body(d, p, STMT_put_facts, host, wall(o, r->facts.at), r);
	case RECORD_SOURCES:
		return apply_sources(d, p, host, r);
	case RECORD_LOSS:
		return apply_loss(d, o, host, &r->loss);
	case RECORD_LEASE:
		return apply_lease(d, p, o, host, r);
	case RECORD_ENDED:
		return apply_ended(d, o, host, &r->ended);
	case RECORD_STATS:
		return apply_stats(d, p, o, host, r);
	default:
		return 0;
	}
}

int catalog_has(struct db *d, const struct origin *o)
{
	sqlite3_stmt *s = db_stmt(d, STMT_get_mark);
	int has = 0;

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)o->agent);
	if (db_row(s, &has)) {
		uint64_t epoch = (uint64_t)sqlite3_column_int64(s, 0),
			 seq = (uint64_t)sqlite3_column_int64(s, 1);

		has = epoch > o->epoch || (epoch == o->epoch && seq >= o->seq);
		sqlite3_reset(s);
	}
	return has;
}

int catalog_mark(struct db *d, const struct origin *o)
{
	sqlite3_stmt *s = db_stmt(d, STMT_put_mark);

	if (!s)
		return -EIO;
	sqlite3_bind_int64(s, 1, (int64_t)o->agent);
	sqlite3_bind_int64(s, 2, (int64_t)o->epoch);
	sqlite3_bind_int64(s, 3, (int64_t)o->seq);
	return db_run(s);
}
