#include "common/msg_names.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)XXH3_64bits(key, len))
#include <uthash.h>

#include "common/limits.h"
#include "common/msg_wire.h"

enum { HEAP_MAX = 4 << 20, BATCH_NAMES = 3, HEAD_MAX = 8 };

struct msg_name {
	UT_hash_handle hh;
	uint32_t index; /* from 1: 0 is "" */
	uint32_t len;
	char text[];
};

void msg_names_init(struct msg_names *n)
{
	*n = (struct msg_names){ 0 };
	buf_init(&n->packed, FRAME_INFLATED_MAX);
	arena_init(&n->heap, HEAP_MAX);
}

static int add(struct msg_names *n, const char *s, size_t len, struct msg_name **out)
{
	uint8_t head[HEAD_MAX], *at = head + sizeof(head);
	struct msg_name *name;
	int r;

	if (n->count == BATCH_NAMES_MAX)
		return -E2BIG;
	name = arena_alloc(&n->heap, sizeof(*name) + len + 1);
	if (!name)
		return -ENOMEM;
	memcpy(name->text, s, len + 1);
	name->len = (uint32_t)len;
	wire_varint(&at, len);
	wire_tag(&at, BATCH_NAMES, WIRE_BYTES);
	r = buf_add(&n->packed, at, (size_t)(head + sizeof(head) - at));
	if (r == 0)
		r = buf_add(&n->packed, s, len);
	if (r < 0)
		return -ENOMEM;
	name->index = ++n->count;
	HASH_ADD_KEYPTR(hh, n->by_text, name->text, len, name);
	*out = name;
	return 0;
}

int msg_names_index(struct msg_names *n, const char *s, size_t max, uint32_t *index)
{
	uintptr_t slot = ((uintptr_t)s >> 3 ^ (uintptr_t)s >> 9) % MSG_NAMES_RECENT;
	struct msg_name *name;
	size_t len;
	int r;

	*index = 0;
	if (!s || !s[0])
		return 0;
	if (n->recent[slot].at == s && n->recent[slot].name->len <= max &&
	    strcmp(n->recent[slot].name->text, s) == 0) {
		*index = n->recent[slot].name->index;
		return 0;
	}
	len = strlen(s);
	if (len > max)
		return -EINVAL;
	HASH_FIND(hh, n->by_text, s, len, name);
	if (!name) {
		r = add(n, s, len, &name);
		if (r < 0)
			return r;
	}
	n->recent[slot].at = s;
	n->recent[slot].name = name;
	*index = name->index;
	return 0;
}

void msg_names_reset(struct msg_names *n)
{
	HASH_CLEAR(hh, n->by_text);
	n->by_text = NULL;
	n->count = 0;
	n->packed.len = 0;
	memset(n->recent, 0, sizeof(n->recent));
	arena_reset(&n->heap);
}

void msg_names_clear(struct msg_names *n)
{
	msg_names_reset(n);
	buf_clear(&n->packed);
	arena_free(&n->heap);
}
