#include "collector/diagnose/delta.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct making {
	struct delta *d;
	size_t cap;
	struct arena *arena;
};

/* What stands in one place: a chain's rules, or what stands in none. */
struct listing {
	const struct rule_text *list;
	uint32_t count;
};

static int put(struct making *m, const char *chain, bool added, uint32_t number,
	       const struct rule_text *t)
{
	struct delta *d = m->d;

	if (d->count == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct delta_line *bigger = arena_alloc(m->arena, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		if (d->count)
			memcpy(bigger, d->lines, d->count * sizeof(*bigger));
		d->lines = bigger;
		m->cap = cap;
	}
	d->lines[d->count++] = (struct delta_line){
		.chain = chain, .added = added, .number = number, .text = t->text, .len = t->len
	};
	d->added += added;
	d->removed += !added;
	return 0;
}

static bool same(const struct rule_text *a, const struct rule_text *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

/* --- pairs ------------------------------------------------------------------------------------------------------- */

struct copy_key {
	uint64_t hash, copy; /* how many such came before */
};

struct seen {
	UT_hash_handle hh;
	struct copy_key key;
	uint64_t copies; /* at the first of each text */
	uint32_t at;
};

static uint64_t hash_text(const struct rule_text *t)
{
	return XXH3_64bits(t->text, t->len);
}

/* The copy of text t that is looked at: counts up. NULL: no memory. */
static struct seen *count_copy(struct seen **counts, const struct rule_text *t, struct arena *arena)
{
	uint64_t hash = hash_text(t);
	struct seen *s;

	HASH_FIND(hh, *counts, &hash, sizeof(hash), s);
	if (!s) {
		s = arena_alloc(arena, sizeof(*s));
		if (!s)
			return NULL;
		memset(s, 0, sizeof(*s));
		s->key.hash = hash;
		HASH_ADD(hh, *counts, key.hash, sizeof(hash), s);
	}
	return s;
}

/* pair[i]: where rule i of `older` stands in `newer`; UINT32_MAX nowhere. */
static int pair_up(uint32_t *pair, struct listing older, struct listing newer, struct arena *arena)
{
	struct seen *list = NULL, *counts = NULL, *again = NULL, *s, *c;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < newer.count; i++) {
		c = count_copy(&counts, &newer.list[i], arena);
		s = c ? arena_alloc(arena, sizeof(*s)) : NULL;
		if (!s) {
			r = -ENOMEM;
			break;
		}
		memset(s, 0, sizeof(*s));
		s->key = (struct copy_key){ c->key.hash, c->copies++ };
		s->at = i;
		HASH_ADD(hh, list, key, sizeof(s->key), s);
	}
	for (uint32_t i = 0; r == 0 && i < older.count; i++) {
		struct copy_key key;

		c = count_copy(&again, &older.list[i], arena);
		if (!c) {
			r = -ENOMEM;
			break;
		}
		key = (struct copy_key){ c->key.hash, c->copies++ };
		HASH_FIND(hh, list, &key, sizeof(key), s);
		pair[i] = s && same(&older.list[i], &newer.list[s->at]) ? s->at : UINT32_MAX;
	}
	HASH_CLEAR(hh, list);
	HASH_CLEAR(hh, counts);
	HASH_CLEAR(hh, again);
	return r;
}

/* Leaves the longest run of pairs whose ends rise; the others become UINT32_MAX. */
static int keep_rising(uint32_t *pair, uint32_t n, struct arena *arena)
{
	uint32_t *tail = arena_alloc(arena, ((size_t)n + 1) * sizeof(*tail)); /* of each length */
	uint32_t *before = arena_alloc(arena, ((size_t)n + 1) * sizeof(*before)), length = 0, keep;

	if (!tail || !before)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t low = 0, high = length;

		if (pair[i] == UINT32_MAX)
			continue;
		while (low < high) {
			uint32_t mid = low + (high - low) / 2;

			if (pair[tail[mid]] < pair[i])
				low = mid + 1;
			else
				high = mid;
		}
		before[i] = low ? tail[low - 1] : UINT32_MAX;
		tail[low] = i;
		if (low == length)
			length++;
	}
	keep = length ? tail[length - 1] : UINT32_MAX;
	for (uint32_t i = n; i-- > 0;) {
		if (i == keep)
			keep = before[i];
		else
			pair[i] = UINT32_MAX;
	}
	return 0;
}

static int compare(struct making *m, const char *chain, struct listing older, struct listing newer)
{
	uint32_t head = 0, tail = 0, i = 0, k = 0, *pair;
	uint32_t least = older.count < newer.count ? older.count : newer.count;
	int r;

	while (head < least && same(&older.list[head], &newer.list[head]))
		head++;
	while (tail < least - head &&
	       same(&older.list[older.count - 1 - tail], &newer.list[newer.count - 1 - tail]))
		tail++;
	if (head + tail == older.count && head + tail == newer.count)
		return 0;
	older = (struct listing){ older.list + head, older.count - head - tail };
	newer = (struct listing){ newer.list + head, newer.count - head - tail };
	pair = arena_alloc(m->arena, ((size_t)older.count + 1) * sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	r = pair_up(pair, older, newer, m->arena);
	if (r == 0)
		r = keep_rising(pair, older.count, m->arena);
	while (r == 0 && (i < older.count || k < newer.count)) {
		if (i < older.count && pair[i] == UINT32_MAX) {
			r = put(m, chain, false, chain ? head + i + 1 : 0, &older.list[i]);
			i++;
		} else if (k < newer.count && (i == older.count || k < pair[i])) {
			r = put(m, chain, true, chain ? head + k + 1 : 0, &newer.list[k]);
			k++;
		} else {
			i++;
			k++;
		}
	}
	return r;
}

/* --- tables -------------------------------------------------------------------------------------------------------- */

/* The line that makes the chain, or its policy. */
static int declaration(struct rule_text *out, const struct table *t, const struct chain *c,
		       struct arena *arena)
{
	char line[CHAIN_NAME_MAX + 32];
	int len;

	if (c->base.len) {
		*out = c->base;
		return 0;
	}
	if (t->native)
		len = snprintf(line, sizeof(line), "chain %s", c->name);
	else if (!strcmp(c->policy, "-"))
		len = snprintf(line, sizeof(line), "-N %s", c->name);
	else
		len = snprintf(line, sizeof(line), "-P %s %s", c->name, c->policy);
	out->text = arena_strndup(arena, line, (size_t)len);
	out->len = (uint32_t)len;
	return out->text ? 0 : -ENOMEM;
}

static int compare_chains(struct making *m, const struct table *older, const struct chain *a,
			  const struct table *newer, const struct chain *b)
{
	const char *name = b ? b->name : a->name;
	struct rule_text went = { 0 }, came = { 0 };
	int r = 0;

	if (a)
		r = declaration(&went, older, a, m->arena);
	if (r == 0 && b)
		r = declaration(&came, newer, b, m->arena);
	if (r == 0 && a && (!b || !same(&went, &came)))
		r = put(m, name, false, 0, &went);
	if (r == 0 && b && (!a || !same(&went, &came)))
		r = put(m, name, true, 0, &came);
	if (r < 0)
		return r;
	return compare(m, name,
		       a ? (struct listing){ a->rules, a->rule_count } : (struct listing){ 0 },
		       b ? (struct listing){ b->rules, b->rule_count } : (struct listing){ 0 });
}

struct named {
	UT_hash_handle hh;
	const struct chain *chain;
	bool met;
};

static int index_chains(struct named **out, const struct table *t, struct arena *arena)
{
	for (uint32_t i = 0; t && i < t->chain_count; i++) {
		struct named *n = arena_alloc(arena, sizeof(*n));

		if (!n)
			return -ENOMEM;
		*n = (struct named){ .chain = &t->chains[i] };
		HASH_ADD_KEYPTR(hh, *out, n->chain->name, strlen(n->chain->name), n);
	}
	return 0;
}

/* The lines of nft's text that are no chain's, and not the table's braces. */
static int other_lines(struct listing *out, const struct table *t, struct arena *arena)
{
	const char *at = t ? t->text : NULL, *end = t ? t->text + strlen(t->text) : NULL;
	struct rule_text *list;
	uint32_t lines = 0, n = 0;
	bool in_chain = false;

	for (const char *p = at; p && p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	list = arena_alloc(arena, ((size_t)lines + 2) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; at && at < end; i++) {
		const char *next = memchr(at, '\n', (size_t)(end - at)), *stop = next ?: end;
		size_t len = (size_t)(stop - at);

		if (!in_chain && len > 7 && !memcmp(at, "\tchain ", 7))
			in_chain = true;
		else if (in_chain && len == 2 && !memcmp(at, "\t}", 2))
			in_chain = false;
		else if (!in_chain && i > 0 && len > 1 && at[0] == '\t')
			list[n++] = (struct rule_text){ at + 1, (uint32_t)len - 1 };
		at = next ? next + 1 : end;
	}
	*out = (struct listing){ list, n };
	return 0;
}

static int compare_tables(struct making *m, const struct table *older, const struct table *newer,
			  const char *chain, struct named **before)
{
	struct named *n;
	int r = 0;

	for (uint32_t i = 0; r == 0 && newer && i < newer->chain_count; i++) {
		const struct chain *b = &newer->chains[i];

		HASH_FIND_STR(*before, b->name, n);
		if (n)
			n->met = true;
		if (!chain || !strcmp(chain, b->name))
			r = compare_chains(m, older, n ? n->chain : NULL, newer, b);
	}
	for (n = *before; r == 0 && n; n = n->hh.next)
		if (!n->met && (!chain || !strcmp(chain, n->chain->name)))
			r = compare_chains(m, older, n->chain, newer, NULL);
	return r;
}

int delta_make(struct delta *d, const struct table *older, const struct table *newer,
	       const char *chain, struct arena *arena)
{
	struct making m = { .d = d, .arena = arena };
	struct listing a = { 0 }, b = { 0 };
	struct named *before = NULL;
	int r;

	*d = (struct delta){ 0 };
	r = index_chains(&before, older, arena);
	if (r == 0)
		r = compare_tables(&m, older, newer, chain, &before);
	HASH_CLEAR(hh, before);
	if (r == 0 && !chain && ((older && older->native) || (newer && newer->native))) {
		r = other_lines(&a, older, arena);
		if (r == 0)
			r = other_lines(&b, newer, arena);
		if (r == 0)
			r = compare(&m, NULL, a, b);
	}
	return r;
}
