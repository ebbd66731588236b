/*
 * One reading of a host's counters, as the helper hands it over in a memfd.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/helper/ipc.h"
#include "agent/source/ruleset.h"

struct counted_table {
	uint8_t backend, family;
	const char *name;
	uint32_t chain_count, value_count;
	const struct counters_chain *chains; /* their values, one after the other: */
	const struct counters_value *values;
};

struct counted {
	void *map; /* owned; NULL: none */
	size_t size;
	uint32_t count;
	struct counted_table tables[RULESET_TABLES_MAX];
};

/* Maps and checks what is in fd, which is closed. 0, -EBADMSG when it does not add up, -errno. */
int counted_open(struct counted *c, int fd);
/* The same for bytes that the caller keeps, aligned to 8. */
int counted_parse(struct counted *c, const void *p, size_t size);
void counted_clear(struct counted *c);
