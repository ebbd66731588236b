/*
 * The door for writing: who an agent is, batches turned into rows and queued for the writer, small
 * catalog writes, opening and closing.
 */
#include "collector/store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/content.h"
#include "common/must.h"
#include "store_schema.h"

enum {
	QUEUE_MAX = 64 << 20, /* bytes that wait for the writer */
	CLONE_NS_FACTOR = 60,
};

/* --- agents ---------------------------------------------------------------------------------------------------- */

struct known_agent *store_agent_of(struct store *s, uint64_t agent)
{
	struct known_agent **at = &s->agents[agent % AGENT_BUCKETS];

	for (; *at; at = &(*at)->next) {
		if ((*at)->agent == agent)
			return *at;
	}
	*at = calloc(1, sizeof(**at));
	if (*at)
		(*at)->agent = agent;
	return *at;
}

static int one_agent(struct store *s, const struct msg_hello *h, struct store_agent *a,
		     struct why *why)
{
	int64_t now = wall_now().v;
	sqlite3_stmt *q = db_stmt(&s->catalog, STMT_get_agent);
	int r = 0;

	if (!q)
		return why_set(why, -EIO, "the catalog cannot be read");
	db_bind_text(q, 1, h->id);
	if (db_row(q, &r)) {
		const void *instance = sqlite3_column_blob(q, 1);
		bool same = instance && !memcmp(instance, h->instance, sizeof(h->instance));
		int64_t seen = sqlite3_column_int64(q, 3);

		if (!same && now - seen < (int64_t)CLONE_NS_FACTOR * NS_PER_S) {
			sqlite3_reset(q);
			return why_set(
				why, -EBUSY,
				"another instance of agent %s was heard of in the last minute: give this one an --id of its own",
				h->id);
		}
	}
	sqlite3_reset(q);
	if (r < 0)
		return why_set(why, r, "the catalog cannot be read");
	q = db_stmt(&s->catalog, STMT_put_agent);
	if (!q)
		return -EIO;
	db_bind_text(q, 1, h->id);
	db_bind_blob(q, 2, h->instance, sizeof(h->instance));
	sqlite3_bind_int64(q, 3, (int64_t)h->epoch);
	sqlite3_bind_int64(q, 4, now);
	r = db_run(q);
	if (r < 0)
		return why_set(why, r, "the catalog cannot be written");
	q = db_stmt(&s->catalog, STMT_get_agent);
	if (!q)
		return -EIO;
	db_bind_text(q, 1, h->id);
	if (sqlite3_step(q) == SQLITE_ROW)
		a->agent = (uint64_t)sqlite3_column_int64(q, 0);
	sqlite3_reset(q);
	return a->agent ? 0 : -EIO;
}

static int one_host(struct store *s, const struct msg_host *h, uint64_t agent, uint64_t *host)
{
	sqlite3_stmt *q = db_stmt(&s->catalog, STMT_put_host);
	int r;

	if (!q)
		return -EIO;
	db_bind_text(q, 1, h->id);
	sqlite3_bind_int64(q, 2, (int64_t)agent);
	sqlite3_bind_int64(q, 3, wall_now().v);
	sqlite3_bind_int(q, 4, h->gone);
	r = db_run(q);
	if (r < 0)
		return r;
	q = db_stmt(&s->catalog, STMT_get_host);
	if (!q)
		return -EIO;
	db_bind_text(q, 1, h->id);
	r = sqlite3_step(q) == SQLITE_ROW ? 0 : -EIO;
	*host = r == 0 ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
	sqlite3_reset(q);
	return r;
}

/* A new run of an agent: what the old one had armed is gone since it was last heard of. */
static int end_armings(struct store *s, uint64_t host, int64_t at)
{
	sqlite3_stmt *q = db_stmt(&s->catalog, STMT_close_armings);

	if (!q)
		return -EIO;
	sqlite3_bind_int64(q, 1, (int64_t)host);
	sqlite3_bind_int64(q, 2, at);
	return db_run(q);
}

int store_hello(struct store *s, const struct msg_hello *h, struct store_agent *a, struct why *why)
{
	struct known_agent *k;
	int64_t gone = a->heard.v ? a->heard.v : wall_now().v;
	bool restarted;
	int r;

	memset(a, 0, sizeof(*a));
	if (h->host_count > HOSTS_PER_AGENT)
		return why_set(why, -EINVAL, "too many hosts: at most %d", HOSTS_PER_AGENT);
	pthread_mutex_lock(&s->catalog_lock);
	r = db_run(db_stmt(&s->catalog, STMT_begin));
	if (r == 0) {
		r = one_agent(s, h, a, why);
		pthread_mutex_lock(&s->lock);
		k = store_agent_of(s, a->agent);
		restarted = k && k->epoch != h->epoch;
		pthread_mutex_unlock(&s->lock);
		for (uint32_t i = 0; i < h->host_count && r == 0; i++) {
			r = one_host(s, &h->hosts[i], a->agent, &a->hosts[i]);
			if (r == 0 && restarted)
				r = end_armings(s, a->hosts[i], gone);
		}
		if (db_run(db_stmt(&s->catalog, r == 0 ? STMT_commit : STMT_rollback)) < 0 &&
		    r == 0)
			r = -EIO;
	}
	pthread_mutex_unlock(&s->catalog_lock);
	if (r < 0)
		return r == -EBUSY
			       ? r
			       : why_set(why, r, "the store refused the Hello: %s", strerror(-r));

	pthread_mutex_lock(&s->lock);
	k = store_agent_of(s, a->agent);
	if (k) {
		k->run = h->epoch;
		a->epoch = k->done_epoch;
		a->seq = k->done;
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_hosts(struct store *s, struct store_agent *a, const struct msg_hosts *h)
{
	uint64_t hosts[HOSTS_PER_AGENT] = { 0 };
	int r;

	pthread_mutex_lock(&s->catalog_lock);
	r = db_run(db_stmt(&s->catalog, STMT_begin));
	if (r == 0) {
		for (uint32_t i = 0; i < h->count && r == 0; i++)
			r = one_host(s, &h->list[i], a->agent, &hosts[i]);
		if (db_run(db_stmt(&s->catalog, r == 0 ? STMT_commit : STMT_rollback)) < 0 &&
		    r == 0)
			r = -EIO;
	}
	pthread_mutex_unlock(&s->catalog_lock);
	if (r == 0)
		memcpy(a->hosts, hosts, sizeof(a->hosts));
	return r;
}

void store_offset(struct store *s, uint64_t agent, const struct clock_offset *o)
{
	struct known_agent *k;

	pthread_mutex_lock(&s->lock);
	k = store_agent_of(s, agent);
	if (k)
		k->offset = *o;
	pthread_mutex_unlock(&s->lock);
}

/* --- queueing ---------------------------------------------------------------------------------------------------- */

static int job_journey(struct job *j, struct packer *p, const struct store_agent *a,
		       const struct record *r)
{
	struct row *row = &j->rows[j->row_count];
	struct record alone = *r;
	int ret;

	if (j->key_cap - j->key_count < KEYS_MAX) {
		uint32_t cap = j->key_cap ? j->key_cap * 2 : 16 * KEYS_MAX;
		uint64_t *keys = realloc(j->keys, cap * sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		j->keys = keys;
		j->key_cap = cap;
	}
	row->host = a->hosts[r->host];
	row->t = r->journey.at.v + j->origin.offset;
	row->fp = r->journey.fp;
	row->tuple = r->journey.tuples[0];
	row->keys = j->key_count;
	row->key_count =
		(uint8_t)keys_of(&r->journey, (struct wall_ns){ row->t }, j->keys + j->key_count);
	j->key_count += row->key_count;
	row->body = (uint32_t)j->bytes.len;
	alone.host = 0;
	ret = pack(p, &alone, &j->bytes);
	row->body_len = (uint32_t)(j->bytes.len - row->body);
	if (ret == 0)
		j->row_count++;
	return ret;
}

static int job_new(struct job **out, struct store *s, const struct store_agent *a,
		   const struct msg_batch *b, const struct clock_offset *o, uint64_t epoch)
{
	struct job *j = calloc(1, sizeof(*j));
	struct batch *rest = NULL;
	int r = -ENOMEM;

	if (!j)
		return r;
	buf_init(&j->bytes, 64 << 20);
	buf_init(&j->others, FRAME_INFLATED_MAX);
	counter_rows_init(&j->counters);
	j->origin = (struct origin){ .agent = a->agent,
				     .epoch = epoch,
				     .seq = b->seq,
				     .offset = o->offset,
				     .error = o->error,
				     .host_count = HOSTS_PER_AGENT };
	memcpy(j->origin.hosts, a->hosts, sizeof(j->origin.hosts));
	j->rows = calloc(b->count ? b->count : 1, sizeof(*j->rows));
	if (!j->rows)
		goto out;
	r = 0;
	for (uint32_t i = 0; i < b->count && r == 0; i++) {
		const struct record *rec = &b->records[i];

		if (rec->host >= HOSTS_PER_AGENT || !a->hosts[rec->host])
			continue;
		if (rec->kind == RECORD_JOURNEY) {
			r = job_journey(j, s->packer, a, rec);
			continue;
		}
		if (rec->kind == RECORD_COUNTERS) {
			r = counter_rows_add(&j->counters, s->packer, a->hosts[rec->host],
					     o->offset, rec);
			continue;
		}
		if (!rest)
			r = batch_new(&rest);
		if (r == 0)
			r = batch_add(rest, rec);
	}
	if (r == 0 && rest)
		r = batch_end(rest, b->seq, &j->others);
out:
	batch_free(rest);
	if (r < 0) {
		job_free(j);
		return r;
	}
	*out = j;
	return 0;
}

bool store_room(const struct store *s)
{
	struct store *m = (struct store *)s;
	bool room;

	pthread_mutex_lock(&m->lock);
	room = m->queued_bytes < QUEUE_MAX / 2;
	pthread_mutex_unlock(&m->lock);
	return room;
}

int store_put(struct store *s, const struct store_agent *a, const struct msg_batch *b)
{
	struct clock_offset o = { 0 };
	struct known_agent *k;
	uint64_t run = 0, done = 0;
	bool full, known;
	struct job *j;
	int r;

	pthread_mutex_lock(&s->lock);
	k = store_agent_of(s, a->agent);
	full = !k || s->queued_bytes >= QUEUE_MAX;
	known = k && (k->epoch > k->run || (k->epoch == k->run && k->queued >= b->seq));
	if (k) {
		o = k->offset;
		run = k->run;
		done = k->done_epoch == run ? k->done : 0;
	}
	pthread_mutex_unlock(&s->lock);
	if (full)
		return -EAGAIN;
	if (known) { /* it will be acknowledged with what is queued, or was and may be again */
		if (s->o.committed && done >= b->seq)
			s->o.committed(s->o.arg, a->agent, run, done);
		return 0;
	}
	r = job_new(&j, s, a, b, &o, run);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	k->epoch = run;
	k->queued = b->seq;
	s->queued_bytes += job_bytes(j);
	*s->last = j;
	s->last = &j->next;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

bool store_has_content(struct store *s, const struct content_id *id)
{
	sqlite3_stmt *q;
	bool has = false;

	pthread_mutex_lock(&s->catalog_lock);
	q = db_stmt(&s->catalog, STMT_has_content);
	if (q) {
		db_bind_blob(q, 1, id->b, CONTENT_ID_LEN);
		has = sqlite3_step(q) == SQLITE_ROW;
		sqlite3_reset(q);
	}
	pthread_mutex_unlock(&s->catalog_lock);
	return has;
}

int store_put_content(struct store *s, const struct content_id *id, const char *text, size_t len)
{
	sqlite3_stmt *q;
	int r = -EIO;

	pthread_mutex_lock(&s->catalog_lock);
	q = db_stmt(&s->catalog, STMT_put_content);
	if (q) {
		db_bind_blob(q, 1, id->b, CONTENT_ID_LEN);
		sqlite3_bind_text64(q, 2, text, len, SQLITE_STATIC, SQLITE_UTF8);
		r = db_run(q);
	}
	pthread_mutex_unlock(&s->catalog_lock);
	return r;
}

int store_put_lease(struct store *s, const struct store_lease *l)
{
	sqlite3_stmt *q;
	int r = -EIO;

	pthread_mutex_lock(&s->catalog_lock);
	q = db_stmt(&s->catalog, STMT_put_lease);
	if (q) {
		sqlite3_bind_int64(q, 1, (int64_t)l->id);
		sqlite3_bind_int64(q, 2, l->from.v);
		sqlite3_bind_int64(q, 3, l->until.v);
		db_bind_text(q, 4, l->flow);
		db_bind_text(q, 5, l->by);
		sqlite3_bind_int64(q, 6, l->rate);
		sqlite3_bind_int(q, 7, l->ended);
		r = db_run(q);
	}
	pthread_mutex_unlock(&s->catalog_lock);
	return r;
}

/* --- opening ------------------------------------------------------------------------------------------------------- */

static int lock_dir(struct store *s, struct why *why)
{
	char path[PATH_MAX_LEN + 16];

	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make the store's directory %s: %s", s->dir,
			       strerror(errno));
	snprintf(path, sizeof(path), "%s/segments", s->dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return why_set(why, -errno, "cannot make %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/lock", s->dir);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return why_set(why, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return why_set(why, -EBUSY, "another collector uses the store %s", s->dir);
	return 0;
}

static bool has_file(const struct store *s, uint32_t no)
{
	char path[PATH_MAX_LEN];

	segment_path(path, s->dir, no);
	return access(path, F_OK) == 0;
}

/* Segments as the catalog lists them. A row whose file retention has unlinked is taken away. */
static int list_segments(struct store *s)
{
	sqlite3_stmt *q = db_stmt(&s->catalog, STMT_get_segments);
	int r = q ? 0 : -EIO, step = SQLITE_DONE;

	while (r == 0 && (step = sqlite3_step(q)) == SQLITE_ROW) {
		struct known_segment *k = store_add_segment(s);
		const char *state = (const char *)sqlite3_column_text(q, 1);

		if (!k || !state) {
			r = -ENOMEM;
			break;
		}
		k->no = (uint32_t)sqlite3_column_int(q, 0);
		k->sealed = !strcmp(state, "sealed");
		k->damaged = !strcmp(state, "damaged");
		k->created = sqlite3_column_int64(q, 2);
		k->t_min = sqlite3_column_int64(q, 3);
		k->t_max = sqlite3_column_int64(q, 4);
		if (!k->sealed) {
			k->rebuilding = true;
			k->map = key_map_new();
			r = k->map ? 0 : -ENOMEM;
		}
	}
	if (q)
		sqlite3_reset(q);
	if (r == 0)
		r = db_error(step);
	for (size_t i = 0; r == 0 && i + 1 < s->segment_count;) {
		if (has_file(s, s->segments[i].no)) {
			i++;
			continue;
		}
		store_forget_segment(s, s->segments[i].no);
	}
	return r;
}

static int marks_of(struct store *s, struct db *d, size_t *n)
{
	sqlite3_stmt *q = db_stmt(d, STMT_get_marks);
	int step = SQLITE_DONE;

	if (!q)
		return -EIO;
	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		struct known_agent *k = store_agent_of(s, (uint64_t)sqlite3_column_int64(q, 0));

		if (!k) {
			sqlite3_reset(q);
			return -ENOMEM;
		}
		k->epoch = k->done_epoch = (uint64_t)sqlite3_column_int64(q, 1);
		k->queued = k->done = (uint64_t)sqlite3_column_int64(q, 2);
		++*n;
	}
	sqlite3_reset(q);
	return db_error(step);
}

/* The newest segment that has any marks has all of them: a new one begins with a copy. */
static int load_marks(struct store *s)
{
	char path[PATH_MAX_LEN];
	size_t n = 0;

	for (size_t i = s->segment_count; i > 0 && n == 0; i--) {
		struct db d;
		int r;

		segment_path(path, s->dir, s->segments[i - 1].no);
		r = db_open_reader(&d, path);
		if (r == 0) {
			r = marks_of(s, &d, &n);
			db_close(&d);
		}
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}

/* A damaged file is kept under another name, with its journal, for who wants to save what is in it. */
static void move_aside(struct store *s, uint32_t no)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char path[PATH_MAX_LEN], from[PATH_MAX_LEN + 8], to[PATH_MAX_LEN + 24];

	segment_path(path, s->dir, no);
	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "%s%s", path, suffixes[i]);
		snprintf(to, sizeof(to), "%s.corrupt%s", path, suffixes[i]);
		rename(from, to);
	}
	if (s->o.trouble)
		s->o.trouble(s->o.arg, "the newest segment is damaged and was moved aside");
}

/* The newest segment goes on as the open one. */
static int load_segments(struct store *s)
{
	struct known_segment *newest;
	int r = list_segments(s);

	if (r == 0)
		r = load_marks(s);
	if (r < 0)
		return r;
	newest = s->segment_count ? &s->segments[s->segment_count - 1] : NULL;
	if (!newest || newest->sealed || newest->damaged)
		return store_next_segment(s, newest ? newest->no + 1 : 1);
	r = store_begin_segment(s, &s->open, newest->no);
	if (r == -EBADMSG) {
		move_aside(s, newest->no);
		store_lost(s, newest->created, wall_now().v);
		r = store_begin_segment(s, &s->open, newest->no);
	}
	if (r < 0)
		return r;
	key_map_free(s->open.map);
	s->open.map = newest->map;
	s->open.created = newest->created;
	return 0;
}

int store_open(struct store **out, const struct store_options *o, struct why *why)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[PATH_MAX_LEN + 16];
	int r;

	if (!s)
		return why_set(why, -ENOMEM, "out of memory");
	s->o = *o;
	s->lock_fd = -1;
	s->last = &s->first;
	snprintf(s->dir, sizeof(s->dir), "%s", o->dir);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->catalog_lock, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->sealing, NULL);
	r = lock_dir(s, why);
	if (r < 0)
		goto out;
	snprintf(path, sizeof(path), "%s/catalog.db", s->dir);
	r = db_open(&s->catalog, path, schema_catalog, schema_catalog_version);
	if (r == -EPROTONOSUPPORT)
		why_set(why, r,
			"%s was written by a newer lasthop: use that version, or another --store",
			path);
	else if (r == -EBADMSG)
		why_set(why, r,
			"%s is damaged: put back a copy of it, or move the whole directory aside to begin anew",
			path);
	else if (r < 0)
		why_set(why, r, "cannot open %s: %s", path, strerror(-r));
	if (r == 0)
		r = packer_new(&s->packer);
	if (r == 0)
		r = packer_new(&s->catalog_packer);
	if (r == 0) {
		r = load_segments(s);
		if (r < 0)
			why_set(why, r, "cannot open the segments of %s: %s", s->dir, strerror(-r));
	}
	if (r < 0)
		goto out;
	if (pthread_create(&s->writer, NULL, store_writer, s) != 0) {
		r = why_set(why, -EAGAIN, "cannot start the store's threads");
		goto out;
	}
	must(pthread_create(&s->sealer, NULL, store_sealer, s) == 0);
	*out = s;
	return 0;
out:
	s->stopping = true;
	store_close(s);
	return r;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->work);
	pthread_cond_broadcast(&s->sealing);
	pthread_mutex_unlock(&s->lock);
	if (s->writer)
		pthread_join(s->writer, NULL);
	if (s->sealer)
		pthread_join(s->sealer, NULL);
	while (s->first) {
		struct job *next = s->first->next;

		job_free(s->first);
		s->first = next;
	}
	if (s->open.db.sql)
		segment_close(&s->open);
	if (s->catalog.sql)
		db_close(&s->catalog);
	for (size_t i = 0; i < s->segment_count; i++)
		key_map_free(s->segments[i].map);
	free(s->segments);
	for (size_t i = 0; i < AGENT_BUCKETS; i++) {
		for (struct known_agent *k = s->agents[i], *next; k; k = next) {
			next = k->next;
			free(k);
		}
	}
	packer_free(s->packer);
	packer_free(s->catalog_packer);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->catalog_lock);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->sealing);
	free(s);
}
