/*
 * One SQLite connection with its prepared statements: the only file that opens databases.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/store/stmts.h"

struct db {
	sqlite3 *sql;                    /* owned */
	sqlite3_stmt *stmts[STMT_COUNT]; /* owned; prepared at first use */
};

/*
 * Opens or creates for writing, at version `version`: steps[n] leads from version n to n + 1. -EPROTONOSUPPORT: a newer
 * lasthop wrote it.
 */
int db_open(struct db *d, const char *path, const char *const *steps, int version);
/* Opens an existing file for reading only. */
int db_open_reader(struct db *d, const char *path);
void db_close(struct db *d);

/* The statement, reset and without bindings; NULL when it cannot be prepared. */
sqlite3_stmt *db_stmt(struct db *d, enum stmt_id id);
/*
 * Goes to the next row. False: there is none, and the statement is reset; *r is 0, or -errno where it could not be read. Who leaves
 * before resets it.
 */
bool db_row(sqlite3_stmt *s, int *r);
/* Runs a statement that returns no rows, and resets it. 0 or -errno. */
int db_run(sqlite3_stmt *s);
int db_exec(struct db *d, const char *sql);
/* SQLite's result as -errno: -ENOSPC for a full disk, -EBADMSG for corruption, -EIO else. */
int db_error(int code);

void db_bind_text(sqlite3_stmt *s, int i,
		  const char *text); /* NULL binds NULL; the text must stay until the step */
void db_bind_blob(sqlite3_stmt *s, int i, const void *p, size_t len);
