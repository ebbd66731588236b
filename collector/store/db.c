/*
 * WAL and synchronous=FULL: the only setting that keeps acknowledged rows in a power cut. One connection writes a
 * file and checkpoints it; readers only read (SQLite up to 3.51.2 can corrupt a database otherwise).
 */
#include "collector/store/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[STMT_COUNT] = {
#define X(name, sql) sql,
	STORE_STMTS(X)
#undef X
};

int db_error(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	default:
		return -EIO;
	}
}

int db_exec(struct db *d, const char *sql)
{
	return db_error(sqlite3_exec(d->sql, sql, NULL, NULL, NULL));
}

static int user_version(struct db *d, int *version)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(d->sql, "PRAGMA user_version", -1, &s, NULL);

	if (r != SQLITE_OK)
		return db_error(r);
	r = sqlite3_step(s);
	*version = r == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;
	sqlite3_finalize(s);
	return db_error(r);
}

static int harden(struct db *d)
{
	sqlite3_db_config(d->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(d->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_busy_timeout(d->sql, 5000);
	return 0;
}

/* Brings the file from version `have` to `version`, each step in a transaction of its own. */
static int upgrade(struct db *d, const char *const *steps, int have, int version)
{
	char pragma[64];
	int r = 0;

	while (r == 0 && have < version) {
		r = db_exec(d, "BEGIN IMMEDIATE");
		if (r == 0)
			r = db_exec(d, steps[have++]);
		snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d; COMMIT", have);
		if (r == 0)
			r = db_exec(d, pragma);
	}
	return r;
}

int db_open(struct db *d, const char *path, const char *const *steps, int version)
{
	int have = 0, r;

	memset(d, 0, sizeof(*d));
	r = db_error(
		sqlite3_open_v2(path, &d->sql,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				NULL));
	if (r == 0)
		r = harden(d);
	if (r == 0)
		r = db_exec(
			d,
			"PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			"PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY");
	if (r == 0)
		r = user_version(d, &have);
	if (r == 0 && have > version)
		r = -EPROTONOSUPPORT;
	if (r == 0)
		r = upgrade(d, steps, have, version);
	if (r < 0)
		db_close(d);
	return r;
}

int db_open_reader(struct db *d, const char *path)
{
	int r;

	memset(d, 0, sizeof(*d));
	r = db_error(
		sqlite3_open_v2(path, &d->sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0)
		r = harden(d);
	if (r == 0)
		r = db_exec(
			d,
			"PRAGMA query_only=1; PRAGMA cache_size=-4096; PRAGMA mmap_size=268435456");
	if (r < 0)
		db_close(d);
	return r;
}

void db_close(struct db *d)
{
	for (int i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(d->stmts[i]);
	sqlite3_close(d->sql);
	memset(d, 0, sizeof(*d));
}

sqlite3_stmt *db_stmt(struct db *d, enum stmt_id id)
{
	if (!d->stmts[id]) {
		if (sqlite3_prepare_v3(d->sql, texts[id], -1, SQLITE_PREPARE_PERSISTENT,
				       &d->stmts[id], NULL) != SQLITE_OK)
			return NULL;
		return d->stmts[id];
	}
	sqlite3_reset(d->stmts[id]);
	sqlite3_clear_bindings(d->stmts[id]);
	return d->stmts[id];
}

bool db_row(sqlite3_stmt *s, int *r)
{
	int step = sqlite3_step(s);

	if (step == SQLITE_ROW)
		return true;
	sqlite3_reset(s);
	*r = db_error(step);
	return false;
}

int db_run(sqlite3_stmt *s)
{
	int r;

	if (!s)
		return -EIO;
	r = sqlite3_step(s);
	sqlite3_reset(s);
	return db_error(r);
}

void db_bind_text(sqlite3_stmt *s, int i, const char *text)
{
	sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
}

void db_bind_blob(sqlite3_stmt *s, int i, const void *p, size_t len)
{
	if (p)
		sqlite3_bind_blob64(s, i, p, len, SQLITE_STATIC);
	else
		sqlite3_bind_null(s, i);
}
