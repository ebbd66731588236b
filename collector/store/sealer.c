/*
 * The sealer's thread: it rebuilds the keys of segments that were open when the collector ended, writes the index of
 * full ones, and unlinks the oldest when age or size asks for it.
 */
#include "collector/store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 500 };

static void set_state(struct store *s, const struct known_segment *k, const char *state)
{
	pthread_mutex_lock(&s->catalog_lock);
	store_put_segment(s, k, state);
	pthread_mutex_unlock(&s->catalog_lock);
}

/* The next segment that is full and not sealed; the open one is the last. */
static bool next_full(struct store *s, struct known_segment *out)
{
	for (size_t i = 0; i + 1 < s->segment_count; i++) {
		/* What could not be read whole gets no index: its answers stay marked incomplete. */
		if (!s->segments[i].sealed && !s->segments[i].rebuilding &&
		    !s->segments[i].damaged) {
			*out = s->segments[i];
			return true;
		}
	}
	return false;
}

static void finish_seal(struct store *s, struct known_segment *k)
{
	k->sealed = true;
	set_state(s, k, "sealed");
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->segment_count; i++) {
		if (s->segments[i].no != k->no)
			continue;
		/* Readers look a map up under this lock and keep none of it. */
		key_map_free(s->segments[i].map);
		s->segments[i].map = NULL;
		s->segments[i].sealed = true;
		s->segments[i].rebuilding = false;
	}
	pthread_mutex_unlock(&s->lock);
}

static uint64_t file_bytes(const char *dir, uint32_t no)
{
	char path[PATH_MAX_LEN];
	struct stat st;

	segment_path(path, dir, no);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void store_forget_segment(struct store *s, uint32_t no)
{
	sqlite3_stmt *q;
	size_t i = 0;

	pthread_mutex_lock(&s->lock);
	while (i < s->segment_count && s->segments[i].no != no)
		i++;
	if (i < s->segment_count) {
		key_map_free(s->segments[i].map);
		memmove(s->segments + i, s->segments + i + 1,
			(--s->segment_count - i) * sizeof(*s->segments));
	}
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&s->catalog_lock);
	q = db_stmt(&s->catalog, STMT_drop_segment);
	if (q) {
		sqlite3_bind_int(q, 1, (int)no);
		db_run(q);
	}
	pthread_mutex_unlock(&s->catalog_lock);
}

/* The file goes first: the row of one that is gone is taken away at the next start, if not now. */
static int drop_oldest(struct store *s)
{
	static const char *const suffixes[] = { "-wal", "-shm", "" };
	char path[PATH_MAX_LEN], file[PATH_MAX_LEN + 8];
	uint32_t no = s->segments[0].no;

	segment_path(path, s->dir, no);
	for (int i = 0; i < 3; i++) {
		snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
		if (unlink(file) < 0 && errno != ENOENT)
			return -errno;
	}
	store_forget_segment(s, no);
	return 0;
}

static void expire_catalog(struct store *s, int64_t before)
{
	static const enum stmt_id list[] = { STMT_expire_conn_keys, STMT_expire_conns,
					     STMT_expire_losses, STMT_expire_facts,
					     STMT_expire_stats };

	pthread_mutex_lock(&s->catalog_lock);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		sqlite3_stmt *q = db_stmt(&s->catalog, list[i]);

		if (q) {
			sqlite3_bind_int64(q, 1, before);
			db_run(q);
		}
	}
	pthread_mutex_unlock(&s->catalog_lock);
}

static void retain(struct store *s)
{
	int64_t now = wall_now().v;
	int r;

	for (;;) {
		uint64_t bytes = 0;
		bool drop = false;

		pthread_mutex_lock(&s->lock);
		for (size_t i = 0; s->o.keep_bytes && i < s->segment_count; i++)
			bytes += file_bytes(s->dir, s->segments[i].no);
		if (s->segment_count > 1 && (s->segments[0].sealed || s->segments[0].damaged))
			drop = (s->o.keep_bytes && bytes > s->o.keep_bytes) ||
			       (s->o.keep_ns && s->segments[0].t_max < now - s->o.keep_ns);
		pthread_mutex_unlock(&s->lock);
		r = drop ? drop_oldest(s) : -ENOENT;
		if (r < 0)
			break;
	}
	if (r != -ENOENT)
		store_complain(s, r);
	if (s->o.keep_ns)
		expire_catalog(s, now - s->o.keep_ns);
}

static void rebuild(struct store *s)
{
	for (size_t i = 0; i < s->segment_count; i++) {
		struct key_map *map = NULL;
		uint32_t no = 0;
		int r;

		pthread_mutex_lock(&s->lock);
		if (i < s->segment_count && s->segments[i].rebuilding) {
			map = s->segments[i].map;
			no = s->segments[i].no;
		}
		pthread_mutex_unlock(&s->lock);
		if (!map)
			continue;
		r = segment_rebuild(s->dir, no, map);
		if (r == -EBADMSG)
			store_damaged(s, no);
		else if (r < 0)
			store_complain(s, r);
		if (r < 0)
			continue;
		pthread_mutex_lock(&s->lock);
		s->segments[i].rebuilding = false;
		pthread_mutex_unlock(&s->lock);
	}
}

void *store_sealer(void *arg)
{
	struct store *s = arg;
	struct known_segment k;

	rebuild(s);
	for (;;) {
		struct timespec until;
		bool stop, full;
		int r;

		pthread_mutex_lock(&s->lock);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 10;
		full = next_full(s, &k);
		if (!full && !s->stopping)
			pthread_cond_timedwait(&s->sealing, &s->lock, &until);
		full = next_full(s, &k);
		stop = s->stopping;
		pthread_mutex_unlock(&s->lock);
		if (stop)
			return NULL;
		if (full) {
			r = segment_seal(s->dir, k.no, k.map);
			if (r == 0)
				finish_seal(s, &k);
			else if (r == -EBADMSG)
				store_damaged(s, k.no);
			else
				store_complain(s, r);
			if (r < 0)
				usleep(RETRY_MS * 1000);
		}
		retain(s);
	}
}
