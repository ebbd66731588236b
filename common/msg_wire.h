/*
 * Protobuf's wire format, written from the end of a buffer to its front: so a length is known when it is put before what it
 * counts. Fields come in falling order. *at is the first byte that was written; there must be room before it.
 */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static inline void wire_varint(uint8_t **at, uint64_t v)
{
	uint8_t *p;

	if (v < 0x80) {
		*--*at = (uint8_t)v;
		return;
	}
	p = *at -= (70 - __builtin_clzll(v)) / 7;
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p = (uint8_t)v;
}

static inline void wire_tag(uint8_t **at, uint32_t field, enum wire_type type)
{
	wire_varint(at, field << 3 | (uint32_t)type);
}

/* What was written since `end` becomes the payload of a field. */
static inline void wire_wrap(uint8_t **at, const uint8_t *end, uint32_t field)
{
	wire_varint(at, (uint64_t)(end - *at));
	wire_tag(at, field, WIRE_BYTES);
}

static inline void wire_raw(uint8_t **at, const void *p, size_t len)
{
	*at -= len;
	memcpy(*at, p, len);
}

static inline void wire_le32(uint8_t **at, uint32_t v)
{
	v = htole32(v);
	wire_raw(at, &v, sizeof(v));
}

/* Fields; a zero is not written, as proto3 has it. */

static inline void wire_uint(uint8_t **at, uint32_t field, uint64_t v)
{
	if (!v)
		return;
	wire_varint(at, v);
	wire_tag(at, field, WIRE_VARINT);
}

static inline void wire_fixed32(uint8_t **at, uint32_t field, uint32_t v)
{
	if (!v)
		return;
	wire_le32(at, v);
	wire_tag(at, field, WIRE_32);
}

static inline void wire_fixed64(uint8_t **at, uint32_t field, uint64_t v)
{
	if (!v)
		return;
	v = htole64(v);
	wire_raw(at, &v, sizeof(v));
	wire_tag(at, field, WIRE_64);
}

static inline void wire_bytes(uint8_t **at, uint32_t field, const void *p, size_t len)
{
	if (!len)
		return;
	wire_raw(at, p, len);
	wire_varint(at, len);
	wire_tag(at, field, WIRE_BYTES);
}
