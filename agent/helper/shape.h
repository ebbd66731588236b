/*
 * A shape: which fields of a packet some patterns fix, and how many bits of them. Patterns of one
 * shape become the elements of one set, so that a packet is compared with all of them in one look.
 */
#pragma once

#include <stdbool.h>

#include "common/limits.h"
#include "common/pattern.h"

/* In the order in which they stand in a key. */
enum field { FIELD_PROTO, FIELD_SRC, FIELD_DST, FIELD_SPORT, FIELD_DPORT, FIELD_COUNT };

enum { SHAPE_KEY_MAX = 64, SHAPE_WORD = 4 }; /* the kernel's registers: 16 of 4 bytes */

struct shape {
	uint8_t family;           /* 4 or 6 */
	uint8_t src_len, dst_len; /* bits; 0: not fixed */
	uint16_t
		icmp_id; /* 0: any. Not part of the key: nft has no type for it that a set could bear */
	bool has[FIELD_COUNT];
};

struct shape shape_of(const struct pattern *p);
bool shape_equal(const struct shape *a, const struct shape *b);
/*
 * The different shapes of patterns[0..count), in order of appearance; count is at most
 * PATTERNS_MAX. Returns how many.
 */
uint32_t shapes_of(struct shape shapes[static PATTERNS_MAX], const struct pattern *patterns,
		   uint32_t count);

/* Bytes of a field in its packet (an address, a port ...), and of the registers that hold it. */
uint32_t shape_field_len(const struct shape *s, enum field f);
uint32_t shape_field_room(const struct shape *s, enum field f);
uint32_t shape_key_len(const struct shape *s);
/* The mask of an address field that is not fixed to its last bit; false: none is needed. */
bool shape_field_mask(const struct shape *s, enum field f, uint8_t mask[static 16]);
/* One field of p, masked: shape_field_len() bytes in network order. */
void shape_field(const struct shape *s, const struct pattern *p, enum field f,
		 uint8_t value[static 16]);
/*
 * p's key: its fixed fields, masked, each filled up with zeros to whole words. Returns
 * shape_key_len().
 */
uint32_t shape_key(const struct shape *s, const struct pattern *p,
		   uint8_t key[static SHAPE_KEY_MAX]);
