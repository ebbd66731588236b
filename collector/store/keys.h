/*
 * Keys: what a journey is found by. 64 bits each, in one space:
 *
 *   fingerprint   the fingerprint itself
 *   flow          32 bits of a hash of protocol and both addresses (equal for both directions), then the port of the lower
 *                 address and the port of the higher one; ICMP: id and type. A pair of addresses is a range of them.
 *   address       32 bits of a hash of the address, then zeros and the protocol. An address is a range of them: who asks
 *                 for the ICMP errors that a gateway got must not look through all that it translated.
 *   end           a hash of the minute or so in which it was, for journeys that may be a packet's last: what the fleet
 *                 discards is found without a look at what arrives
 *
 * A found row is a candidate: its journey is compared with the question.
 */
#pragma once

#include <pthread.h>

#include "common/flow.h"
#include "common/journey.h"

enum {
	KEYS_MAX = 2 + 3 * (TUPLES_MAX + 1),
	KEY_ENTRY_LEN = 8 + 4, /* on disk: key and row, big-endian */
};

struct key_range {
	uint64_t from, to;
};

/* at: the journey's wall time. */
size_t keys_of(const struct journey *j, struct wall_ns at, uint64_t keys[static KEYS_MAX]);
size_t keys_of_tuple(const struct tuple *t, uint64_t keys[static 3]);
/* The narrowest range that holds every journey of the flow; false when the flow names no address. */
bool keys_of_flow(const struct flow *f, struct key_range *r);

/*
 * May the packet have ended in this journey? The kernel said that it freed it, or nobody saw it get through the last hook of
 * its way.
 */
bool journey_may_end(const struct journey *j);
/* Which of the spans of time that ends are found by holds t. */
int64_t end_slot(struct wall_ns t);
uint64_t end_key(int64_t slot);

/* The open segment's keys in memory, until its index is on disk. Locked inside. */
struct key_map;

struct key_map *key_map_new(void);
void key_map_free(struct key_map *m);
int key_map_add(struct key_map *m, const uint64_t *keys, size_t n, uint32_t row);
/* Rows of the range, newest first, each once in a run; at most max. Returns how many there are. */
size_t key_map_find(struct key_map *m, const struct key_range *r, uint32_t *rows, size_t max);

struct key_row {
	uint64_t key;
	uint32_t row;
};

/* All entries by key, then row; the caller frees them. NULL without memory. */
struct key_row *key_map_sorted(struct key_map *m, size_t *count);
