/*
 * The writer's thread. It takes all jobs that wait, puts what belongs to the catalog there, commits, then the journeys
 * into the open segment, commits, and only then says so. A crash between the two is harmless: the batch comes
 * again and the catalog's mark skips its half.
 */
#include "collector/store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/must.h"

enum {
	ROWS_PER_COMMIT = 20000,
	RETRY_MS = 500,
};

static const uint64_t SEGMENT_ROWS = 1000000;
static const int64_t SEGMENT_NS = 3600LL * NS_PER_S;

void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->rows);
	free(j->keys);
	counter_rows_clear(&j->counters);
	buf_clear(&j->bytes);
	buf_clear(&j->others);
	free(j);
}

size_t job_bytes(const struct job *j)
{
	return sizeof(*j) + j->bytes.cap + j->others.cap + j->row_count * sizeof(*j->rows) +
	       counter_rows_bytes(&j->counters) + j->key_cap * sizeof(*j->keys);
}

/* --- segments ------------------------------------------------------------------------------------------------------ */

int store_put_segment(struct store *s, const struct known_segment *k, const char *state)
{
	sqlite3_stmt *q = db_stmt(&s->catalog, STMT_put_segment);

	if (!q)
		return -EIO;
	sqlite3_bind_int(q, 1, (int)k->no);
	db_bind_text(q, 2, state);
	sqlite3_bind_int64(q, 3, k->created);
	sqlite3_bind_int64(q, 4, k->t_min);
	sqlite3_bind_int64(q, 5, k->t_max);
	return db_run(q);
}

/* Under s->lock. */
struct known_segment *store_add_segment(struct store *s)
{
	struct known_segment *bigger =
		realloc(s->segments, (s->segment_count + 1) * sizeof(*bigger));

	if (!bigger)
		return NULL;
	s->segments = bigger;
	memset(&bigger[s->segment_count], 0, sizeof(*bigger));
	return &bigger[s->segment_count++];
}

/* All that was committed of each agent, into a segment that has just begun. */
static int write_marks(struct store *s, struct segment *next)
{
	int r = db_run(db_stmt(&next->db, STMT_begin));

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < AGENT_BUCKETS && r == 0; i++) {
		for (struct known_agent *k = s->agents[i]; k && r == 0; k = k->next) {
			struct origin o = { .agent = k->agent,
					    .epoch = k->done_epoch,
					    .seq = k->done };

			if (k->done_epoch)
				r = segment_mark(next, &o);
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		r = db_run(db_stmt(&next->db, STMT_commit));
	return r;
}

int store_begin_segment(struct store *s, struct segment *out, uint32_t no)
{
	int r = segment_open(out, s->dir, no);

	if (r < 0)
		return r;
	if (out->rows == 0)
		r = write_marks(s, out);
	if (r < 0) {
		key_map_free(out->map);
		segment_close(out);
	}
	return r;
}

/* The catalog's row comes first: a file that no row names would not be found again. */
int store_next_segment(struct store *s, uint32_t no)
{
	struct known_segment k = { .no = no, .created = wall_now().v };
	struct known_segment *place = NULL;
	struct segment next;
	int r;

	pthread_mutex_lock(&s->catalog_lock);
	r = store_put_segment(s, &k, "open");
	pthread_mutex_unlock(&s->catalog_lock);
	if (r == 0)
		r = store_begin_segment(s, &next, no);
	if (r < 0)
		return r;
	next.created = k.created;
	k.map = next.map;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->segment_count; i++) {
		if (s->segments[i].no == s->open.no) {
			s->segments[i].t_min = s->open.t_min;
			s->segments[i].t_max = s->open.t_max;
		}
	}
	place = store_add_segment(s);
	if (place)
		*place = k;
	pthread_cond_signal(&s->sealing);
	pthread_mutex_unlock(&s->lock);
	if (!place) {
		key_map_free(next.map);
		segment_close(&next);
		return -ENOMEM;
	}
	if (s->open.db.sql)
		segment_close(&s->open);
	s->open = next;
	return 0;
}

/* The open segment is damaged: what it still holds stays for readers, and writing goes on in a new one. */
static int leave_damaged(struct store *s)
{
	uint32_t no = s->open.no;
	int r = store_next_segment(s, no + 1);

	if (r == 0)
		store_damaged(s, no);
	return r;
}

/* The sealer may have found it out while it read the keys. */
static bool open_is_damaged(struct store *s)
{
	bool damaged;

	pthread_mutex_lock(&s->lock);
	damaged = s->segments[s->segment_count - 1].damaged;
	pthread_mutex_unlock(&s->lock);
	return damaged;
}

static int rotate(struct store *s)
{
	uint64_t rows = s->o.segment_rows ? s->o.segment_rows : SEGMENT_ROWS;
	int64_t age = s->o.segment_ns ? s->o.segment_ns : SEGMENT_NS;

	if (!open_is_damaged(s) && s->open.rows < rows && s->open.counters < rows &&
	    ((s->open.rows == 0 && s->open.counters == 0) || wall_now().v - s->open.created < age))
		return 0;
	return store_next_segment(s, s->open.no + 1);
}

/* --- the writer ---------------------------------------------------------------------------------------------------- */

static int write_catalog(struct store *s, struct job *list)
{
	struct arena arena;
	int r;

	arena_init(&arena, MSG_HEAP_MAX);
	pthread_mutex_lock(&s->catalog_lock);
	r = db_run(db_stmt(&s->catalog, STMT_begin));
	for (struct job *j = list; j && r == 0; j = j->next) {
		struct msg m;
		int has;

		if (!j->others.len)
			continue;
		has = catalog_has(&s->catalog, &j->origin);
		if (has != 0) {
			r = has < 0 ? has : 0;
			continue;
		}
		arena_reset(&arena);
		r = msg_decode(&m, j->others.p, j->others.len, &arena);
		must(r != -EPROTO); /* we packed it */
		for (uint32_t i = 0; r == 0 && i < m.batch.count; i++)
			r = catalog_apply(&s->catalog, s->catalog_packer, &j->origin,
					  &m.batch.records[i]);
		if (r == 0)
			r = catalog_mark(&s->catalog, &j->origin);
	}
	if (db_run(db_stmt(&s->catalog, r == 0 ? STMT_commit : STMT_rollback)) < 0 && r == 0)
		r = -EIO;
	pthread_mutex_unlock(&s->catalog_lock);
	arena_free(&arena);
	return r;
}

static int write_segment(struct store *s, struct job *list)
{
	uint64_t rows = s->open.rows, counters = s->open.counters;
	int r = db_run(db_stmt(&s->open.db, STMT_begin));

	for (struct job *j = list; j && r == 0; j = j->next) {
		for (uint32_t i = 0; i < j->row_count && r == 0; i++)
			r = segment_insert(&s->open, &j->rows[i], j->keys, j->bytes.p,
					   j->origin.offset, j->origin.error);
		if (r == 0)
			r = counter_rows_write(&j->counters, &s->open, &j->origin);
		if (r == 0)
			r = segment_mark(&s->open, &j->origin);
	}
	if (r == 0)
		r = db_run(db_stmt(&s->open.db, STMT_commit));
	if (r < 0) {
		/* Keys of rows that did not come to be find nothing; their numbers are used again. */
		db_run(db_stmt(&s->open.db, STMT_rollback));
		s->open.rows = rows;
		s->open.counters = counters;
	}
	return r;
}

static struct job *take_jobs(struct store *s, bool *stopping)
{
	struct job *list, *j;
	uint32_t rows = 0;

	pthread_mutex_lock(&s->lock);
	while (!s->first && !s->stopping)
		pthread_cond_wait(&s->work, &s->lock);
	list = s->first;
	for (j = list; j && j->next && rows + j->row_count < ROWS_PER_COMMIT; j = j->next)
		rows += j->row_count;
	if (j) {
		s->first = j->next;
		if (!s->first)
			s->last = &s->first;
		j->next = NULL;
	}
	*stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return list;
}

static void done_jobs(struct store *s, struct job *list)
{
	size_t bytes = 0;

	pthread_mutex_lock(&s->lock);
	for (struct job *j = list; j; j = j->next) {
		struct known_agent *k = store_agent_of(s, j->origin.agent);

		if (k) {
			k->done_epoch = j->origin.epoch;
			k->done = j->origin.seq;
		}
	}
	pthread_mutex_unlock(&s->lock);
	for (struct job *j = list, *next; j; j = next) {
		next = j->next;
		bytes += job_bytes(j);
		if (s->o.committed)
			s->o.committed(s->o.arg, j->origin.agent, j->origin.epoch, j->origin.seq);
		job_free(j);
	}
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= bytes;
	pthread_mutex_unlock(&s->lock);
}

void store_complain(struct store *s, int r)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "the store cannot be written (%s): nothing is acknowledged until it can",
		 strerror(-r));
	if (s->o.trouble)
		s->o.trouble(s->o.arg, text);
}

void store_lost(struct store *s, int64_t from, int64_t until)
{
	sqlite3_stmt *q;

	pthread_mutex_lock(&s->catalog_lock);
	q = db_stmt(&s->catalog, STMT_put_loss_of_all);
	if (q) {
		sqlite3_bind_int64(q, 1, from);
		sqlite3_bind_int64(q, 2, until);
		db_run(q);
	}
	pthread_mutex_unlock(&s->catalog_lock);
}

void store_damaged(struct store *s, uint32_t no)
{
	struct known_segment k = { .damaged = true };
	char text[160];

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->segment_count; i++) {
		if (s->segments[i].no != no)
			continue;
		k = s->segments[i];
		s->segments[i].damaged = true;
		s->segments[i].rebuilding = false; /* the loss tells what is missing */
	}
	pthread_mutex_unlock(&s->lock);
	if (k.damaged)
		return;
	pthread_mutex_lock(&s->catalog_lock);
	store_put_segment(s, &k, "damaged");
	pthread_mutex_unlock(&s->catalog_lock);
	store_lost(s, k.t_min ? k.t_min : k.created, k.t_max ? k.t_max : wall_now().v);
	snprintf(text, sizeof(text),
		 "segment %06u is damaged: what of it can be read stays, the rest is a loss", no);
	if (s->o.trouble)
		s->o.trouble(s->o.arg, text);
}

void *store_writer(void *arg)
{
	struct store *s = arg;
	bool stopping = false, troubled = false;
	struct job *list;

	while ((list = take_jobs(s, &stopping)) || !stopping) {
		int r;

		while (list && (r = write_catalog(s, list)) < 0) {
			store_complain(s, r);
			troubled = true;
			if (stopping)
				return NULL;
			usleep(RETRY_MS * 1000);
		}
		while (list && ((r = rotate(s)) < 0 || (r = write_segment(s, list)) < 0)) {
			store_complain(s, r);
			troubled = true;
			if (r == -EBADMSG && leave_damaged(s) == 0)
				continue;
			if (stopping)
				return NULL;
			usleep(RETRY_MS * 1000);
		}
		if (troubled && s->o.trouble)
			s->o.trouble(s->o.arg, NULL);
		troubled = false;
		done_jobs(s, list);
	}
	return NULL;
}
