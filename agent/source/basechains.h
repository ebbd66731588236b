/*
 * Where the base chains of nftables stand: a trace event names its chain, but neither hook nor priority. They are read from the
 * tables' texts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/journey.h"

enum { BASECHAINS_MAX = 4096 };

struct basechain {
	uint8_t family, hook; /* enum family, enum hook */
	int32_t priority;
	char table[TABLE_NAME_MAX + 1], chain[CHAIN_NAME_MAX + 1];
};

struct basechains {
	struct basechain *list; /* owned */
	uint32_t count, cap;
};

/* Adds those of one table's text, of backend NFT or NATIVE. 0 or -ENOMEM. */
int basechains_add(struct basechains *b, enum backend backend, uint8_t family, const char *table,
		   const char *text, size_t len);
/* NULL: it is no base chain, or not known. */
const struct basechain *basechains_find(const struct basechains *b, uint8_t family,
					const char *table, const char *chain);
void basechains_clear(struct basechains *b);
