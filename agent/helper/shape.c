/*
 * A pattern's fixed fields, laid out as the kernel's registers hold them.
 */
#include "agent/helper/shape.h"

#include <string.h>

struct shape shape_of(const struct pattern *p)
{
	struct shape s = {
		.family = p->family,
		.src_len = p->src.len,
		.dst_len = p->dst.len,
		.icmp_id = p->icmp_id,
	};

	s.has[FIELD_PROTO] = p->proto != 0;
	s.has[FIELD_SRC] = p->src.len != 0;
	s.has[FIELD_DST] = p->dst.len != 0;
	s.has[FIELD_SPORT] = p->sport != 0;
	s.has[FIELD_DPORT] = p->dport != 0;
	return s;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
	return a->family == b->family && a->src_len == b->src_len && a->dst_len == b->dst_len &&
	       a->icmp_id == b->icmp_id && memcmp(a->has, b->has, sizeof(a->has)) == 0;
}

uint32_t shapes_of(struct shape shapes[static PATTERNS_MAX], const struct pattern *patterns,
		   uint32_t count)
{
	uint32_t i, k, n = 0;

	for (i = 0; i < count; i++) {
		struct shape s = shape_of(&patterns[i]);

		for (k = 0; k < n; k++)
			if (shape_equal(&shapes[k], &s))
				break;
		if (k == n)
			shapes[n++] = s;
	}
	return n;
}

uint32_t shape_field_len(const struct shape *s, enum field f)
{
	switch (f) {
	case FIELD_PROTO:
		return 1;
	case FIELD_SRC:
	case FIELD_DST:
		return s->family == 4 ? 4 : 16;
	default:
		return 2;
	}
}

uint32_t shape_field_room(const struct shape *s, enum field f)
{
	return (shape_field_len(s, f) + SHAPE_WORD - 1) / SHAPE_WORD * SHAPE_WORD;
}

uint32_t shape_key_len(const struct shape *s)
{
	uint32_t len = 0;
	int f;

	for (f = 0; f < FIELD_COUNT; f++)
		if (s->has[f])
			len += shape_field_room(s, f);
	return len;
}

bool shape_field_mask(const struct shape *s, enum field f, uint8_t mask[static 16])
{
	uint32_t bits = f == FIELD_SRC ? s->src_len : s->dst_len;
	uint32_t i, len = shape_field_len(s, f);

	if ((f != FIELD_SRC && f != FIELD_DST) || bits >= len * 8)
		return false;
	for (i = 0; i < len; i++) {
		uint32_t here = bits > i * 8 ? bits - i * 8 : 0;

		mask[i] = here >= 8 ? 0xff : (uint8_t)(0xff00 >> here);
	}
	return true;
}

static void put_addr(uint8_t *to, const struct shape *s, enum field f, const struct addr *a)
{
	uint8_t mask[16];
	uint32_t i, len = shape_field_len(s, f);

	memcpy(to, a->b, len);
	if (shape_field_mask(s, f, mask))
		for (i = 0; i < len; i++)
			to[i] &= mask[i];
}

static void put_be16(uint8_t *to, uint16_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

void shape_field(const struct shape *s, const struct pattern *p, enum field f,
		 uint8_t value[static 16])
{
	switch (f) {
	case FIELD_PROTO:
		value[0] = p->proto;
		break;
	case FIELD_SRC:
		put_addr(value, s, f, &p->src.addr);
		break;
	case FIELD_DST:
		put_addr(value, s, f, &p->dst.addr);
		break;
	case FIELD_SPORT:
		put_be16(value, p->sport);
		break;
	case FIELD_DPORT:
		put_be16(value, p->dport);
		break;
	case FIELD_COUNT:
		break;
	}
}

uint32_t shape_key(const struct shape *s, const struct pattern *p,
		   uint8_t key[static SHAPE_KEY_MAX])
{
	uint8_t value[16];
	uint32_t at = 0;
	int f;

	memset(key, 0, SHAPE_KEY_MAX);
	for (f = 0; f < FIELD_COUNT; f++) {
		if (!s->has[f])
			continue;
		shape_field(s, p, (enum field)f, value);
		memcpy(key + at, value, shape_field_len(s, (enum field)f));
		at += shape_field_room(s, (enum field)f);
	}
	return at;
}
