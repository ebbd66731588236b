/*
 * How pieces of messages become protobuf, and the records that share no names. For msg_encode.c and msg_record.c only.
 * What is made lives in the arena; text and bytes are borrowed.
 */
#pragma once

#include <string.h>

#include "common/buf.h"
#include "common/msg.h"
#include "proto/lasthop.pb-c.h"

static inline ProtobufCBinaryData bytes(const void *p, size_t n)
{
	return (ProtobufCBinaryData){ .len = n, .data = (uint8_t *)p };
}

static inline ProtobufCBinaryData addr(const struct addr *a)
{
	return bytes(a->b, a->family == 4 ? 4 : a->family == 6 ? 16 : 0);
}

static inline ProtobufCBinaryData text(const char *s)
{
	return bytes(s, s ? strlen(s) : 0);
}

/* The decoder refuses longer text, and a batch that it refuses would be sent again and again. */
static inline bool fits(const char *s, size_t max)
{
	return !s || strlen(s) <= max;
}

static inline bool tuple_fits(const struct tuple *t)
{
	return (t->src.family == 4 || t->src.family == 6) && t->src.family == t->dst.family;
}

static inline Pb__Tuple *tuple(struct arena *a, const struct tuple *t)
{
	Pb__Tuple *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	pb__tuple__init(m);
	m->src = addr(&t->src);
	m->dst = addr(&t->dst);
	m->sport = t->sport;
	m->dport = t->dport;
	m->proto = t->proto;
	return m;
}

static inline bool pointers(struct arena *a, void *list, size_t n)
{
	void **p = arena_alloc(a, (n ? n : 1) * sizeof(*p));

	memcpy(list, &p, sizeof(p));
	return p;
}

/* One element of a repeated message field, made and appended. */
#define ADD(arena, list, count, type, init)                                                        \
	({                                                                                         \
		type *element_ = arena_alloc(arena, sizeof(*element_));                            \
		if (element_) {                                                                    \
			init(element_);                                                            \
			(list)[(count)++] = element_;                                              \
		}                                                                                  \
		element_;                                                                          \
	})

/* Makes the oneof member `field` of *out and leaves m pointing at it. */
#define MEMBER(out, Case, field, type, init)                                                       \
	({                                                                                         \
		type *member_ = arena_alloc(a, sizeof(*member_));                                  \
		if (member_) {                                                                     \
			init(member_);                                                             \
			(out)->is_case = Case;                                                     \
			(out)->field = member_;                                                    \
		}                                                                                  \
		member_;                                                                           \
	})

/* 0 or -ENOMEM. */
int msg_patterns_encode(struct arena *a, Pb__Pattern ***list, size_t *n, const struct pattern *from,
			uint32_t count);
/* Any but a journey. 0, -ENOMEM, or -EINVAL for what a decoder would refuse. */
int msg_record_encode(struct arena *a, Pb__Record *out, const struct record *r);
