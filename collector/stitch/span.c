#include "collector/stitch/span.h"

#include <string.h>

#include "common/content.h"
#include "common/journey.h"

/* One that a span may speak of, and its name. */
struct named {
	uint64_t host;
	enum span_whose whose;
	uint8_t family;
	const char *table;
};

static bool is_whose(const struct stored_table *e, enum span_whose whose)
{
	switch (e->backend) {
	case BACKEND_LEGACY:
		return whose == SPAN_LEGACY;
	case BACKEND_NFT:
		return whose == SPAN_NFT || whose == SPAN_NFTABLES;
	case BACKEND_NATIVE:
		return whose == SPAN_NATIVE || whose == SPAN_NFTABLES;
	default:
		return false;
	}
}

static bool is_of(const struct stored_table *e, const struct named *n)
{
	return e->host == n->host && e->family == n->family && is_whose(e, n->whose) &&
	       !strcmp(e->table, n->table);
}

/* A table that iptables-nft can print no more goes on as a native one: then it was not gone. */
static bool is_handed_over(const struct fleet *f, const struct stored_table *gone,
			   const struct named *n)
{
	for (size_t i = 0; i < f->table_count; i++) {
		const struct stored_table *e = &f->tables[i].entry;

		if (is_of(e, n) && !content_id_none(&e->content) && e->from.v <= gone->from.v &&
		    (!e->until.v || e->until.v > gone->from.v))
			return true;
	}
	return false;
}

/* When it was still seen for the last time. The next read may have been of another backend's name for it. */
static struct wall_ns last_of(const struct stored_table *e, const struct stored_table *next)
{
	return next && next->from_min.v > e->last.v ? next->from_min : e->last;
}

/* 2, for a moment between the two reads. */
static void between(struct span *s, struct fleet *f, struct fleet_table *old,
		    struct fleet_table *new)
{
	uint64_t instance = old ? fleet_instance(f, old) : 0;

	if (new->entry.commits == 1)
		return;
	s->others = true;
	s->remade |= !instance || instance != fleet_instance(f, new);
}

/* Takes into account what stood from the read `old` (NULL: there is none before) to the read `t` and while t stood. */
static void add(struct span *s, struct fleet *f, struct fleet_table *old, struct fleet_table *t,
		const struct fleet_table *next, const struct wall_ns window[static 2])
{
	struct wall_ns before = old ? last_of(&old->entry, &t->entry) : t->entry.from_min;
	struct wall_ns last = last_of(&t->entry, next ? &next->entry : NULL);

	if (before.v < window[1].v && t->entry.from.v > window[0].v)
		between(s, f, old, t);
	if (before.v >= window[1].v || (next && next->entry.from.v <= window[0].v))
		return;
	if (!next && last.v < window[1].v) { /* 3 */
		s->others = s->remade = true;
		s->unchecked |= !t->entry.until.v;
	}
	if (content_id_none(&t->entry.content)) {
		s->unread = true;
	} else if (t->entry.torn || s->count == SPAN_TABLES_MAX || !fleet_usable(f, t)) {
		s->others = s->remade = s->unread = true;
	} else {
		s->tables[s->count++] = t;
	}
}

void span_of(struct span *s, struct fleet *f, uint64_t host, enum span_whose whose, uint8_t family,
	     const char *table, struct wall_ns from, struct wall_ns until)
{
	const struct wall_ns window[2] = { from, until };
	const struct named name = { host, whose, family, table };
	struct fleet_table *old = NULL, *t = NULL;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i <= f->table_count; i++) {
		struct fleet_table *next = i < f->table_count ? &f->tables[i] : NULL;

		if (next &&
		    (!is_of(&next->entry, &name) || (content_id_none(&next->entry.content) &&
						     is_handed_over(f, &next->entry, &name))))
			continue;
		if (t)
			add(s, f, old, t, next, window);
		old = t;
		t = next;
	}
}
