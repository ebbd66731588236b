/*
 * A ruleset as the helper hands it over: a memfd with the text of each table that exists. It stays the only copy of
 * those texts: it is mapped while it is read, and kept as a file descriptor otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

enum { RULESET_TABLES_MAX = 256 };

struct ruleset_table {
	uint8_t backend, family;
	bool handles; /* no text: the handles of the rules of the table before */
	bool torn;
	char name[TABLE_NAME_MAX + 1];
	size_t offset, len; /* of the text, in the memfd */
};

struct ruleset {
	int fd; /* owned; -1 none */
	size_t size;
	uint32_t count;
	struct ruleset_table tables[RULESET_TABLES_MAX];
};

/* Takes fd, which may be -1, and finds the tables in it. 0, or -EBADMSG when lengths or names do not add up. */
int ruleset_open(struct ruleset *r, int fd);
/* Maps text[0..r->size) of the memfd for reading; undo with ruleset_unmap(). NULL on failure. */
const char *ruleset_map(const struct ruleset *r);
void ruleset_unmap(const struct ruleset *r, const char *text);
/* Does any rule of the text use connection tracking, so that our `ct` expressions switch nothing on? */
bool text_uses_conntrack(const char *text, size_t len);
void ruleset_clear(struct ruleset *r);
