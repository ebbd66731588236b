/*
 * Full disks, I/O errors and damaged files, made by a VFS between SQLite and the disk and by writing into files: what was
 * acknowledged stays, nothing else is acknowledged, readers go on, and work resumes by itself.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "tests/unit/collector_store/bench.h"

/* --- a disk that fails on command --------------------------------------------------------------------------------- */

struct faulty {
	atomic_int countdown; /* this many writes and syncs still work; < 0: all do */
	atomic_int failures;  /* so many fail then, one after another */
	atomic_int code;      /* what they answer */
	atomic_int fired;
	atomic_int reads; /* this many reads still work, one fails; < 0: all do */
};

struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real;
};

static struct faulty disk = { .reads = -1 };
static sqlite3_vfs faulty_vfs;
static sqlite3_io_methods methods;

static sqlite3_file *real(sqlite3_file *f)
{
	return ((struct faulty_file *)f)->real;
}

static int fault(void)
{
	int left = atomic_load(&disk.countdown);

	if (left < 0 || atomic_fetch_sub(&disk.countdown, 1) > 0)
		return SQLITE_OK;
	atomic_fetch_add(&disk.fired, 1);
	if (atomic_fetch_sub(&disk.failures, 1) > 1)
		atomic_store(&disk.countdown, 0);
	else
		atomic_store(&disk.countdown, -1);
	return atomic_load(&disk.code);
}

static int f_close(sqlite3_file *f)
{
	return real(f)->pMethods->xClose(real(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	if (atomic_load(&disk.reads) >= 0 && atomic_fetch_sub(&disk.reads, 1) == 0)
		return SQLITE_IOERR_READ;
	return real(f)->pMethods->xRead(real(f), p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int r = fault();

	return r == SQLITE_OK ? real(f)->pMethods->xWrite(real(f), p, n, at) : r;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real(f)->pMethods->xTruncate(real(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
	int r = fault();

	if (r == SQLITE_FULL)
		r = SQLITE_IOERR_FSYNC;
	return r == SQLITE_OK ? real(f)->pMethods->xSync(real(f), flags) : r;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real(f)->pMethods->xFileSize(real(f), size);
}

static int f_lock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xLock(real(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
	return real(f)->pMethods->xUnlock(real(f), level);
}

static int f_reserved(sqlite3_file *f, int *out)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int f_traits(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
	real(f)->pMethods->xShmBarrier(real(f));
}

static int f_shm_unmap(sqlite3_file *f, int delete)
{
	return real(f)->pMethods->xShmUnmap(real(f), delete);
}

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct faulty_file *file = (struct faulty_file *)f;
	sqlite3_vfs *below = v->pAppData;
	int r;

	file->real = (sqlite3_file *)(file + 1);
	r = below->xOpen(below, name, file->real, flags, out);
	file->base.pMethods = r == SQLITE_OK ? &methods : NULL;
	return r;
}

/* Version 2: no memory mapping, every page goes through f_read(). */
static void disk_install(void)
{
	sqlite3_vfs *below = sqlite3_vfs_find(NULL);

	methods = (sqlite3_io_methods){
		.iVersion = 2,
		.xClose = f_close,
		.xRead = f_read,
		.xWrite = f_write,
		.xTruncate = f_truncate,
		.xSync = f_sync,
		.xFileSize = f_size,
		.xLock = f_lock,
		.xUnlock = f_unlock,
		.xCheckReservedLock = f_reserved,
		.xFileControl = f_control,
		.xSectorSize = f_sector,
		.xDeviceCharacteristics = f_traits,
		.xShmMap = f_shm_map,
		.xShmLock = f_shm_lock,
		.xShmBarrier = f_shm_barrier,
		.xShmUnmap = f_shm_unmap,
	};
	faulty_vfs = *below;
	faulty_vfs.zName = "faulty";
	faulty_vfs.szOsFile = below->szOsFile + (int)sizeof(struct faulty_file);
	faulty_vfs.pAppData = below;
	faulty_vfs.xOpen = vfs_open;
	assert_int_equal(sqlite3_vfs_register(&faulty_vfs, 1), SQLITE_OK);
}

static void disk_fails(int after, int times, int code)
{
	atomic_store(&disk.fired, 0);
	atomic_store(&disk.code, code);
	atomic_store(&disk.failures, times);
	atomic_store(&disk.countdown, after);
}

static void disk_works(void)
{
	atomic_store(&disk.countdown, -1);
}

/* --- the store's words --------------------------------------------------------------------------------------------- */

struct said {
	atomic_int damaged, unwritable, well;
};

static struct said said;

static void trouble(void *arg, const char *text)
{
	(void)arg;
	if (!text)
		atomic_fetch_add(&said.well, 1);
	else if (strstr(text, "damaged"))
		atomic_fetch_add(&said.damaged, 1);
	else
		atomic_fetch_add(&said.unwritable, 1);
}

static void begin(struct bench *b)
{
	memset(&said, 0, sizeof(said));
	disk_works();
	b->o.trouble = trouble;
	open_store(b, 1);
}

/* One by one: a segment ends with the batch that fills it. */
static void put_each(struct bench *b, uint64_t from, uint64_t until)
{
	for (uint64_t seq = from; seq <= until; seq++) {
		put_batch(b, seq);
		wait_for(b, seq);
	}
}

static void shut(struct bench *b)
{
	store_close(b->store);
	b->store = NULL;
}

static void the_nth_write_fails(struct bench *b, int code)
{
	uint64_t seq = 0;
	int fired = 0;

	b->o.segment_rows = 170;
	begin(b);
	for (int n = 0; n < 24; n += 2) {
		disk_fails(n, 1, code);
		put_batch(b, ++seq);
		put_batch(b, ++seq);
		wait_for(b, seq);
		fired += atomic_load(&disk.fired);
		disk_works();
	}
	assert_true(fired >= 5);
	each_is_found_once(b, seq);
	shut(b);
	open_store(b, 1);
	assert_int_equal(b->agent.seq, seq);
	each_is_found_once(b, seq);
}

static void a_write_may_fail_anywhere(void **state)
{
	the_nth_write_fails(*state, SQLITE_IOERR_WRITE);
}

static void the_disk_may_be_full_anywhere(void **state)
{
	the_nth_write_fails(*state, SQLITE_FULL);
}

static void a_full_disk_stops_acks_not_answers(void **state)
{
	struct bench *b = *state;

	begin(b);
	put_each(b, 1, 10);
	disk_fails(0, 1000000, SQLITE_FULL);
	put_batch(b, 11);
	for (int i = 0; i < 3000 && !atomic_load(&said.unwritable); i++)
		usleep(1000);
	assert_true(atomic_load(&said.unwritable) > 0);
	usleep(100000);
	assert_int_equal(acked(b), 10);
	each_is_found_once(b, 10);
	disk_works();
	wait_for(b, 11);
	for (int i = 0; i < 3000 && !atomic_load(&said.well); i++)
		usleep(1000);
	assert_true(atomic_load(&said.well) > 0);
	each_is_found_once(b, 11);
}

/* Overwrites the file's pages from `page` on, the first one (its header) apart. */
static void damage(struct bench *b, uint32_t no, long page, long pages)
{
	char path[160], junk[8192];
	int fd;

	snprintf(path, sizeof(path), "%s/segments/%06u.db", b->dir, no);
	memset(junk, 0xa5, sizeof(junk));
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (long i = 0; i < pages; i++)
		assert_int_equal(pwrite(fd, junk, sizeof(junk), (page + i) * (long)sizeof(junk)),
				 sizeof(junk));
	close(fd);
}

static void catalog_exec(struct bench *b, const char *sql)
{
	char path[160];
	sqlite3 *d;

	snprintf(path, sizeof(path), "%s/catalog.db", b->dir);
	assert_int_equal(sqlite3_open(path, &d), SQLITE_OK);
	assert_int_equal(sqlite3_exec(d, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(d);
}

static size_t store_losses(struct bench *b)
{
	struct stored_loss *list;
	struct reader *r;
	struct arena a;
	size_t n, of_store = 0;

	arena_init(&a, 1 << 20);
	assert_int_equal(reader_open(&r, b->store, NULL), 0);
	assert_int_equal(reader_losses(r, (struct wall_ns){ 0 }, (struct wall_ns){ INT64_MAX }, &a,
				       &list, &n),
			 0);
	for (size_t i = 0; i < n; i++)
		of_store += !strcmp(list[i].source, "store");
	reader_close(r);
	arena_free(&a);
	return of_store;
}

/* A segment that is full and damaged: later ones are sealed all the same, and it is said which time it concerns. */
static void a_damaged_segment_blocks_no_other(void **state)
{
	struct bench *b = *state;

	b->o.segment_rows = 400;
	begin(b);
	put_each(b, 1, 40);
	shut(b);
	catalog_exec(b, "UPDATE segment SET state='full' WHERE no IN (1, 2)");
	damage(b, 1, 6, 4);
	begin(b);
	for (int i = 0; i < 5000 && !atomic_load(&said.damaged); i++)
		usleep(1000);
	assert_int_equal(atomic_load(&said.damaged), 1);
	assert_int_equal(store_losses(b), 2); /* one for each host */
	assert_int_equal(b->agent.seq, 40);
	for (uint64_t n = 400; n < 40 * BATCH; n += 150)
		assert_int_equal(found(b, n, 2), 1);
	put_each(b, 41, 60);
	assert_int_equal(found(b, 60 * BATCH - 1, 2), 1);
	shut(b);

	/* It is known by now: nothing is said or counted again. */
	begin(b);
	assert_int_equal(found(b, 60 * BATCH - 1, 2), 1);
	assert_int_equal(store_losses(b), 2);
	assert_int_equal(atomic_load(&said.damaged), 0);
}

static void a_damaged_newest_segment_is_left_behind(void **state)
{
	struct bench *b = *state;

	b->o.segment_rows = 1000;
	begin(b);
	put_each(b, 1, 30);
	shut(b);
	damage(b, 2, 1, 12);
	begin(b);
	assert_true(atomic_load(&said.damaged) > 0);
	assert_true(store_losses(b) > 0);
	assert_int_equal(found(b, 5, 2), 1); /* of the segment before */
	put_each(b, b->agent.seq + 1, 35);
	assert_int_equal(found(b, 35 * BATCH - 1, 2), 1);
}

static void a_segment_without_file_is_forgotten(void **state)
{
	struct bench *b = *state;
	char path[160];

	b->o.segment_rows = 400;
	begin(b);
	put_each(b, 1, 20);
	shut(b);
	snprintf(path, sizeof(path), "%s/segments/000001.db", b->dir);
	assert_int_equal(unlink(path), 0);
	begin(b);
	assert_int_equal(found(b, 0, 2), 0);
	assert_int_equal(found(b, 20 * BATCH - 1, 2), 1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(b->agent.seq, 20);
}

enum { MANY = 3000 };

static int count_hosts(struct reader *r, struct arena *a, size_t *n)
{
	struct stored_host *list;

	return reader_hosts(r, a, &list, n);
}

static int count_losses(struct reader *r, struct arena *a, size_t *n)
{
	struct stored_loss *list;

	return reader_losses(r, (struct wall_ns){ 0 }, (struct wall_ns){ INT64_MAX }, a, &list, n);
}

static int count_leases(struct reader *r, struct arena *a, size_t *n)
{
	struct store_lease *list;

	return reader_leases(r, (struct wall_ns){ 0 }, a, &list, n);
}

static int count_tables(struct reader *r, struct arena *a, size_t *n)
{
	struct stored_table *list;

	return reader_tables(r, 0, (struct wall_ns){ 0 }, (struct wall_ns){ INT64_MAX }, a, &list,
			     n);
}

static int count_journeys(struct reader *r, struct arena *a, size_t *n)
{
	struct journey_query q = { .until = { INT64_MAX }, .limit = 10 * MANY };
	struct stored_journey *list;
	bool cut;

	return reader_journeys(r, &q, a, &list, n, &cut);
}

/* With each read failing once: an answer is whole, or none. */
static void whole_or_none(struct bench *b, int (*ask)(struct reader *, struct arena *, size_t *),
			  size_t all)
{
	bool failed = true;

	for (int reads = 0; failed; reads++) {
		struct reader *r;
		struct arena a;
		size_t n = 0;
		int ret;

		arena_init(&a, 64 << 20);
		assert_int_equal(reader_open(&r, b->store, NULL), 0);
		while (reader_incomplete(r))
			usleep(1000);
		atomic_store(&disk.reads, reads);
		ret = ask(r, &a, &n);
		failed = atomic_exchange(&disk.reads, -1) < 0;
		if (ret == 0)
			assert_int_equal(n, all);
		reader_close(r);
		arena_free(&a);
		assert_true(failed ? ret < 0 || reads == 0 : ret == 0);
		assert_true(reads > 0 || failed); /* it reads from the disk at all */
	}
}

static void what_cannot_be_read_is_not_left_out(void **state)
{
	struct bench *b = *state;

	begin(b);
	put_each(b, 1, MANY / BATCH);
	shut(b);
	catalog_exec(
		b,
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
		" INSERT INTO loss(host, \"from\", until, source, count)"
		" SELECT 1, i, i, 'a source with a long name', i FROM n;"
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2998)"
		" INSERT INTO host(name, agent, first_seen, last_seen) SELECT 'a host with a long name' || i, 1, i, i FROM n;"
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
		" INSERT INTO table_history(host, backend, family, name, from_min, \"from\", last, until, torn)"
		" SELECT 1, 0, 1, 'a table with a long name' || i, i, i, i, 0, 0 FROM n;"
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
		" INSERT INTO lease SELECT i, i, i, '-p tcp --dport 443', 'somebody', 1, 0 FROM n");
	begin(b);
	whole_or_none(b, count_losses, MANY);
	whole_or_none(b, count_hosts, MANY);
	whole_or_none(b, count_tables, MANY);
	whole_or_none(b, count_leases, MANY);
	whole_or_none(b, count_journeys, MANY);
}

/* A crash just after a segment was begun: what earlier ones acknowledged is known all the same. */
static void an_empty_newest_segment_has_its_marks(void **state)
{
	struct bench *b = *state;

	begin(b);
	put_each(b, 1, 5);
	shut(b);
	catalog_exec(b, "INSERT INTO segment VALUES(2, 'open', 1, 0, 0)");
	begin(b);
	assert_int_equal(b->agent.seq, 5);
	shut(b);
	begin(b);
	assert_int_equal(b->agent.seq, 5);
	each_is_found_once(b, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
		T(a_write_may_fail_anywhere),
		T(the_disk_may_be_full_anywhere),
		T(a_full_disk_stops_acks_not_answers),
		T(a_damaged_segment_blocks_no_other),
		T(a_damaged_newest_segment_is_left_behind),
		T(a_segment_without_file_is_forgotten),
		T(an_empty_newest_segment_has_its_marks),
		T(what_cannot_be_read_is_not_left_out),
	};

	disk_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
