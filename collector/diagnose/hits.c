/*
 * Records come in the order of their readings. Each names rules by their numbers in a content; a content is turned once
 * into a list that leads from its rules to ours. The hour before the window is read, too: there stands a baseline, from
 * which the counters themselves follow.
 */
#include "collector/diagnose/hits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const int64_t BASELINE_NS = 65LL * 60 * NS_PER_S;
enum { SCRATCH_MAX = 192 << 20 };

static const int64_t SLACK_NS = NS_PER_S; /* of a host's clock against ours, between two records */

struct rule_key {
	uint64_t hash; /* of chain and text */
	uint64_t copy; /* how many such rules stand before it */
};

struct known_rule {
	UT_hash_handle hh;
	struct rule_key key;
	size_t hit;
};

/* A content's rules as ours: those of its chains one after the other, each with its policy behind. */
struct content_map {
	UT_hash_handle hh;
	struct content_id id;
	bool usable; /* there is a text */
	struct chain_place {
		UT_hash_handle hh;
		const char *name;
		uint32_t rules, first;
	} * places, *by_name;
	size_t *hits; /* NO_HIT where there is no policy */
};

#define NO_HIT SIZE_MAX

/* One table being put together. */
struct making {
	struct hits_table *t;
	struct known_rule *known;
	struct content_map *contents;
	size_t cap, gap_cap;
	bool based; /* a whole baseline has been read */
	uint32_t base_parts;
};

struct loading {
	struct hits *h;
	struct reader *r;
	struct arena *arena, scratch; /* scratch: while a content is being mapped */
	struct making *tables;
	int error;
};

/* --- rules ------------------------------------------------------------------------------------------------------- */

static struct hit *hit_new(struct loading *l, struct making *m)
{
	struct hits_table *t = m->t;
	struct hit *bigger;

	if (t->count == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		bigger = arena_alloc(l->arena, m->cap * sizeof(*bigger));
		if (!bigger) {
			l->error = -ENOMEM;
			return NULL;
		}
		if (t->count)
			memcpy(bigger, t->list, t->count * sizeof(*bigger));
		t->list = bigger;
	}
	memset(&t->list[t->count], 0, sizeof(t->list[0]));
	return &t->list[t->count++];
}

/* The rule with this text in this chain; `copy` such stand before it. Makes it; newest: it stands in the newest content. */
static size_t hit_of(struct loading *l, struct making *m, const char *chain, const char *text,
		     size_t len, uint32_t number, struct rule_key key, bool newest)
{
	struct known_rule *k;
	struct hit *h;

	HASH_FIND(hh, m->known, &key, sizeof(key), k);
	if (k)
		return k->hit;
	k = arena_alloc(l->arena, sizeof(*k));
	h = k ? hit_new(l, m) : NULL;
	if (!h) {
		l->error = -ENOMEM;
		return 0;
	}
	h->chain = arena_strndup(l->arena, chain, strlen(chain));
	h->text = text ? arena_strndup(l->arena, text, len) : NULL;
	h->rule = number;
	h->gone = !newest;
	if (!h->chain || (text && !h->text))
		l->error = -ENOMEM;
	k->key = key;
	k->hit = m->t->count - 1;
	HASH_ADD(hh, m->known, key, sizeof(k->key), k);
	return k->hit;
}

static uint64_t hash_rule(const char *chain, const char *text, size_t len)
{
	return XXH3_64bits_withSeed(text, len, XXH3_64bits(chain, strlen(chain)));
}

struct copy_count {
	UT_hash_handle hh;
	uint64_t hash, count;
};

static size_t policy_hit(struct loading *l, struct making *m, const struct chain *c, bool newest)
{
	struct rule_key key = { .hash = hash_rule(c->name, "-P", 2), .copy = UINT64_MAX };
	char text[CHAIN_NAME_MAX + 32];
	int len = snprintf(text, sizeof(text), "-P %s %s", c->name, c->policy);

	return hit_of(l, m, c->name, text, (size_t)len, 0, key, newest);
}

static void map_chain(struct loading *l, struct making *m, struct content_map *map,
		      const struct chain_place *p, const struct chain *c,
		      struct copy_count **copies, bool newest)
{
	struct copy_count *seen;

	for (uint32_t i = 0; i < c->rule_count && l->error == 0; i++) {
		const struct rule_text *t = &c->rules[i];
		struct rule_key key = { .hash = hash_rule(c->name, t->text, t->len) };

		HASH_FIND(hh, *copies, &key.hash, sizeof(key.hash), seen);
		if (!seen) {
			seen = arena_alloc(&l->scratch, sizeof(*seen));
			if (!seen) {
				l->error = -ENOMEM;
				return;
			}
			seen->hash = key.hash;
			HASH_ADD(hh, *copies, hash, sizeof(seen->hash), seen);
		}
		key.copy = seen->count++;
		map->hits[p->first + i] =
			hit_of(l, m, c->name, t->text, t->len, i + 1, key, newest);
	}
	map->hits[p->first + c->rule_count] =
		strcmp(c->policy, "-") != 0 ? policy_hit(l, m, c, newest) : NO_HIT;
}

static int map_rules(struct loading *l, struct making *m, struct content_map *map,
		     const struct table *t, bool newest)
{
	struct copy_count *copies = NULL;
	uint32_t at = 0;

	map->places = arena_alloc(l->arena, (t->chain_count + 1) * sizeof(*map->places));
	if (!map->places)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->chain_count; i++) {
		struct chain_place *p = &map->places[i];

		*p = (struct chain_place){ .name = arena_strndup(l->arena, t->chains[i].name,
								 strlen(t->chains[i].name)),
					   .rules = t->chains[i].rule_count,
					   .first = at };
		at += p->rules + 1;
		if (!p->name)
			return -ENOMEM;
		HASH_ADD_KEYPTR(hh, map->by_name, p->name, strlen(p->name), p);
	}
	map->hits = arena_alloc(l->arena, ((size_t)at + 1) * sizeof(*map->hits));
	if (!map->hits)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->chain_count && l->error == 0; i++)
		map_chain(l, m, map, &map->places[i], &t->chains[i], &copies, newest);
	HASH_CLEAR(hh, copies);
	return l->error;
}

static struct content_map *content_of(struct loading *l, struct making *m,
				      const struct content_id *id, bool newest)
{
	struct content_map *map;
	struct table parsed;
	const char *text;
	size_t len;

	HASH_FIND(hh, m->contents, id, sizeof(*id), map);
	if (map)
		return map;
	map = arena_alloc(l->arena, sizeof(*map));
	if (!map) {
		l->error = -ENOMEM;
		return NULL;
	}
	map->id = *id;
	HASH_ADD(hh, m->contents, id, sizeof(map->id), map);
	if (reader_content(l->r, id, &l->scratch, &text, &len) == 0 &&
	    table_parse_as(&parsed, m->t->entry.backend, text, len) == 0) {
		map->usable = true;
		if (map_rules(l, m, map, &parsed, newest) < 0)
			l->error = -ENOMEM;
		table_clear(&parsed);
	}
	arena_reset(&l->scratch);
	return map;
}

static struct hit *hit_of_entry(struct loading *l, struct making *m, struct content_map *map,
				const struct counter_entry *e)
{
	struct rule_key key;
	struct chain_place *p;
	size_t i;

	if (map->usable) {
		HASH_FIND(hh, map->by_name, e->chain, strlen(e->chain), p);
		if (!p || e->rule > p->rules)
			return NULL;
		i = map->hits[p->first + (e->rule ? e->rule - 1 : p->rules)];
		return i == NO_HIT ? NULL : &m->t->list[i];
	}
	/* The text has not come: all that is known of the rule is its number in this content. */
	key.hash = hash_rule(e->chain, (const char *)&map->id, sizeof(map->id));
	key.copy = (UINT64_C(1) << 32) + e->rule;
	i = hit_of(l, m, e->chain, NULL, 0, e->rule, key,
		   !memcmp(&map->id, &m->t->entry.content, sizeof(map->id)));
	return l->error ? NULL : &m->t->list[i];
}

/* --- time -------------------------------------------------------------------------------------------------------- */

static int64_t bucket_start(const struct hits *h, int i)
{
	return h->since.v + (h->until.v - h->since.v) / HITS_BUCKETS * i;
}

/* What of a span lies in bucket i; the outer ones are as wide as the span goes. */
static int64_t overlap(const struct hits *h, int i, int64_t from, int64_t until)
{
	int64_t start = i == 0 ? INT64_MIN : bucket_start(h, i);
	int64_t end = i == HITS_BUCKETS - 1 ? INT64_MAX : bucket_start(h, i + 1);

	start = start > from ? start : from;
	end = end < until ? end : until;
	return end > start ? end - start : 0;
}

static void gap_add(struct loading *l, struct making *m, int64_t from, int64_t until)
{
	struct hits_table *t = m->t;

	if (t->gap_count == m->gap_cap) {
		size_t cap = m->gap_cap ? m->gap_cap * 2 : 8;
		struct hits_span *bigger = arena_alloc(l->arena, cap * sizeof(*bigger));

		if (!bigger) {
			l->error = -ENOMEM;
			return;
		}
		if (t->gap_count)
			memcpy(bigger, t->gaps, t->gap_count * sizeof(*bigger));
		t->gaps = bigger;
		m->gap_cap = cap;
	}
	t->gaps[t->gap_count++] = (struct hits_span){ { from }, { until } };
}

/* The record says what happened from since to at; readings go on from the record before, or there is a gap. */
static void cover(struct loading *l, struct making *m, const struct stored_counters *c, bool told)
{
	struct hits_table *t = m->t;
	int64_t from = c->since.v;

	if (t->last.v && from > t->last.v + SLACK_NS) {
		if (from > l->h->since.v)
			gap_add(l, m, t->last.v > l->h->since.v ? t->last.v : l->h->since.v, from);
		m->based = false;
	}
	if (t->last.v && from < t->last.v)
		from = t->last.v;
	if (from < l->h->since.v)
		from = told && c->before.v < l->h->since.v && c->before.v > from ? c->before.v
										 : l->h->since.v;
	if (c->at.v > l->h->since.v) {
		if (!t->first.v)
			t->first.v = from;
		if (c->at.v > from) {
			t->measured += c->at.v - from;
			for (int i = 0; i < HITS_BUCKETS; i++)
				t->covered[i] += overlap(l->h, i, from, c->at.v);
		}
	}
	if (c->at.v > t->last.v)
		t->last = c->at;
}

static void count(struct loading *l, struct hit *hit, const struct stored_counters *c,
		  const struct counter_entry *e)
{
	int64_t len = c->at.v - c->before.v;

	hit->packets += e->packets;
	hit->bytes += e->bytes;
	hit->at_least |= e->mark == COUNTER_RESET;
	hit->at_most |= e->mark == COUNTER_NEW;
	if (!e->packets)
		return;
	hit->last = c->at;
	if (!hit->trend)
		hit->trend = arena_alloc(l->arena, HITS_BUCKETS * sizeof(*hit->trend));
	if (!hit->trend) {
		l->error = -ENOMEM;
		return;
	}
	for (int i = 0; i < HITS_BUCKETS && len > 0; i++)
		hit->trend[i] += (double)e->packets *
				 (double)overlap(l->h, i, c->before.v, c->at.v) / (double)len;
}

static void base(struct making *m, const struct stored_counters *c)
{
	if (c->c.part == 0) {
		m->base_parts = 0;
		for (size_t i = 0; i < m->t->count; i++) {
			m->t->list[i].uncounted = false;
			m->t->list[i].total_known = true;
			m->t->list[i].total_packets = m->t->list[i].total_bytes = 0;
		}
	}
	if (c->c.part == m->base_parts)
		m->base_parts++;
	m->based = m->base_parts == c->c.parts;
}

static void total(struct hit *hit, const struct counter_entry *e, bool baseline)
{
	hit->uncounted = e->mark == COUNTER_UNCOUNTED;
	if (e->mark == COUNTER_RESET)
		hit->total_known = false;
	if (e->mark == COUNTER_NEW)
		hit->total_known = true;
	if (baseline || e->mark == COUNTER_NEW)
		hit->total_packets = hit->total_bytes = 0;
	hit->total_packets += e->packets;
	hit->total_bytes += e->bytes;
}

/* --- records ----------------------------------------------------------------------------------------------------- */

static struct making *table_of(struct loading *l, const struct counters *c)
{
	for (size_t i = 0; i < l->h->table_count; i++) {
		const struct stored_table *t = &l->h->tables[i].entry;

		if (t->backend == c->backend && t->family == c->family &&
		    strcmp(t->table, c->table) == 0)
			return &l->tables[i];
	}
	return NULL;
}

static bool on_counters(void *arg, const struct stored_counters *c)
{
	struct loading *l = arg;
	struct making *m = table_of(l, &c->c);
	bool counts = !c->c.baseline && c->at.v > l->h->since.v && c->before.v < l->h->until.v;
	struct content_map *map;

	if (!m)
		return true;
	map = content_of(l, m, &c->c.content, false);
	if (!map || l->error < 0)
		return false;
	cover(l, m, c, c->c.count > 0);
	if (c->c.baseline)
		base(m, c);
	if (counts)
		m->t->lost += c->c.lost;
	for (uint32_t i = 0; i < c->c.count && l->error == 0; i++) {
		const struct counter_entry *e = &c->c.entries[i];
		struct hit *hit = hit_of_entry(l, m, map, e);

		if (!hit)
			continue;
		if (counts)
			count(l, hit, c, e);
		total(hit, e, c->c.baseline);
	}
	return l->error == 0;
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

static bool is_wanted(const struct hits_which *w, const struct stored_table *t)
{
	return t->backend != BACKEND_IPSET && (w->backend < 0 || t->backend == w->backend) &&
	       (w->family < 0 || t->family == w->family) &&
	       (!w->table || strcmp(w->table, t->table) == 0);
}

/* The newest content of each table that there was in the window. */
static int choose(struct loading *l, uint64_t host, const struct hits_which *which)
{
	struct stored_table *list = NULL;
	size_t count = 0;
	int r = reader_tables(l->r, host, l->h->since, l->h->until, l->arena, &list, &count);

	if (r < 0)
		return r;
	l->h->tables = arena_alloc(l->arena, (count + 1) * sizeof(*l->h->tables));
	l->tables = arena_alloc(l->arena, (count + 1) * sizeof(*l->tables));
	if (!l->h->tables || !l->tables)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		static const struct content_id none;
		bool gone = !memcmp(&list[i].content, &none, sizeof(none));
		struct counters key = { .backend = list[i].backend,
					.family = list[i].family,
					.table = list[i].table };
		struct making *m;

		if (!is_wanted(which, &list[i]))
			continue;
		m = table_of(l, &key);
		if (m)
			m->t->gone = gone;
		if (gone)
			continue;
		if (!m) {
			m = &l->tables[l->h->table_count];
			m->t = &l->h->tables[l->h->table_count++];
		}
		m->t->entry = list[i];
	}
	return 0;
}

static void making_clear(struct making *m)
{
	struct content_map *map, *next;

	HASH_CLEAR(hh, m->known);
	HASH_ITER(hh, m->contents, map, next) {
		HASH_CLEAR(hh, map->by_name);
		HASH_DEL(m->contents, map);
	}
}

int hits_load(struct hits *h, struct reader *r, uint64_t host, const struct hits_which *which,
	      struct wall_ns since, struct wall_ns until, struct arena *arena)
{
	struct loading l = { .h = h, .r = r, .arena = arena };
	struct wall_ns before = { since.v - BASELINE_NS };
	int ret;

	*h = (struct hits){ .since = since, .until = until };
	arena_init(&l.scratch, SCRATCH_MAX);
	l.error = choose(&l, host, which);
	for (size_t i = 0; i < h->table_count && l.error == 0; i++) {
		struct making *m = &l.tables[i];
		struct content_map *map = content_of(&l, m, &m->t->entry.content, true);

		m->t->usable = map && map->usable;
	}
	if (l.error == 0) {
		ret = reader_counters(r, host, before, until, on_counters, &l);
		if (l.error == 0)
			l.error = ret;
	}
	for (size_t i = 0; i < h->table_count; i++) {
		struct hits_table *t = &h->tables[i];

		for (size_t k = 0; k < t->count; k++) {
			t->list[k].gone |= t->gone;
			t->list[k].total_known &= l.tables[i].based;
		}
		making_clear(&l.tables[i]);
	}
	arena_free(&l.scratch);
	return l.error;
}
