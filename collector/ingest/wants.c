#include "collector/ingest/wants.h"

#include <errno.h>
#include <string.h>

#include "common/content.h"

enum {
	WANTED_MAX = 2048
}; /* beyond it the oldest question is forgotten: its Have comes with the next Hello */

static struct wanted *wanted_find(struct session *s, const struct content_id *id)
{
	uint32_t i;

	for (i = 0; i < s->wanted_count; i++)
		if (!memcmp(&s->wanted[i].id, id, sizeof(*id)))
			return &s->wanted[i];
	return NULL;
}

static void wanted_drop(struct session *s, struct wanted *w)
{
	size_t at = (size_t)(w - s->wanted);

	memmove(w, w + 1, (s->wanted_count - at - 1) * sizeof(*w));
	s->wanted_count--;
}

static int wanted_add(struct session *s, const struct content_id *id)
{
	if (s->wanted_count == WANTED_MAX)
		wanted_drop(s, s->wanted);
	if (s->wanted_count == s->wanted_cap) {
		uint32_t cap = s->wanted_cap ? 2 * s->wanted_cap : 8;
		struct wanted *w = realloc(s->wanted, cap * sizeof(*w));

		if (!w)
			return -ENOMEM;
		s->wanted = w;
		s->wanted_cap = cap;
	}
	s->wanted[s->wanted_count++] = (struct wanted){ .id = *id };
	return 0;
}

/* Nothing is being assembled any more. */
static void wants_put_down(struct session *s)
{
	s->ingest->content_bytes -= s->parcel.total;
	parcel_clear(&s->parcel);
}

/* Keeps of ids, in place, what is missing and not asked for yet, and asks for it. */
static int wants_ask(struct session *s, struct msg_ids *ids)
{
	struct msg m = { .kind = MSG_NEED };
	uint32_t i, kept = 0;
	int r;

	for (i = 0; i < ids->count; i++) {
		const struct content_id *id = &ids->ids[i];

		if (content_id_none(id) || wanted_find(s, id) ||
		    store_has_content(s->ingest->store, id))
			continue;
		r = wanted_add(s, id);
		if (r < 0)
			return r;
		ids->ids[kept++] = *id;
	}
	if (kept == 0)
		return 0;
	m.need.count = kept;
	m.need.ids = ids->ids;
	return session_send(s, &m);
}

int wants_of_have(struct session *s, const struct msg_ids *have)
{
	struct msg_ids ids = *have;

	return wants_ask(s, &ids);
}

int wants_of_batch(struct session *s, const struct msg_batch *b)
{
	struct msg_ids ids = { 0 };
	uint32_t i, count = 0;

	for (i = 0; i < b->count; i++)
		count += b->records[i].kind == RECORD_RULESET ? 2 : 0;
	if (count == 0)
		return 0;
	ids.ids = arena_alloc(&s->ingest->arena, count * sizeof(*ids.ids));
	if (!ids.ids)
		return -ENOMEM;
	for (i = 0; i < b->count; i++) {
		if (b->records[i].kind != RECORD_RULESET)
			continue;
		ids.ids[ids.count++] = b->records[i].ruleset.content;
		ids.ids[ids.count++] = b->records[i].ruleset.handles;
	}
	return wants_ask(s, &ids);
}

/* A new content begins: was it asked for, and is there room for it? */
static bool wants_room(struct session *s, const struct msg_part *part)
{
	struct wanted *w = wanted_find(s, &part->id);

	if (w && part->total <= CONTENT_BYTES_MAX - s->ingest->content_bytes)
		return true;
	s->skipping = part->id;
	if (w)
		w->again = true;
	return false;
}

static int wants_done(struct session *s)
{
	struct wanted *w = wanted_find(s, &s->parcel.id);
	int r;

	r = store_put_content(s->ingest->store, &s->parcel.id, (const char *)s->parcel.text.p,
			      s->parcel.text.len);
	wants_put_down(s);
	if (r < 0 && w)
		w->again = true; /* the store is in trouble: this content is not lost by it */
	else if (w)
		wanted_drop(s, w);
	return 0;
}

int wants_part(struct session *s, const struct msg_part *part)
{
	int r;

	if (part->offset == 0) {
		wants_put_down(s);
		memset(&s->skipping, 0, sizeof(s->skipping));
		if (part->total == 0 || part->total > CONTENT_MAX)
			return -EPROTO;
		if (!wants_room(s, part))
			return 0;
		s->ingest->content_bytes += part->total;
		s->parcel.total =
			part->total; /* counted from here on, also if parcel_add() fails */
	} else if (!memcmp(&s->skipping, &part->id, sizeof(part->id))) {
		return 0;
	}
	r = parcel_add(&s->parcel, part);
	return r > 0 ? wants_done(s) : r;
}

void wants_again(struct session *s)
{
	struct msg m = { .kind = MSG_NEED };
	struct content_id id;
	uint32_t i;

	if (s->state != SESSION_WELCOMED || s->parcel.total > 0 ||
	    s->ingest->content_bytes > CONTENT_BYTES_MAX / 2)
		return;
	for (i = 0; i < s->wanted_count; i++) {
		if (!s->wanted[i].again)
			continue;
		s->wanted[i].again = false;
		id = s->wanted[i].id;
		m.need.count = 1;
		m.need.ids = &id;
		session_send(s, &m);
		return; /* one at a time: they did not fit together */
	}
}

void wants_clear(struct session *s)
{
	wants_put_down(s);
	free(s->wanted);
	s->wanted = NULL;
	s->wanted_count = s->wanted_cap = 0;
}
