/*
 * See keys.h. The map is chained by the upper half of a key, so that a pair of addresses is one chain.
 */
#include "collector/store/keys.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	FIRST_BITS = 12,
	DIGITS = 12,    /* bytes of a row and a key */
	SLOT_BITS = 36, /* 2^36 ns: 69 s */
};

struct entry {
	uint64_t key;
	uint32_t row, next; /* next: index + 1 */
};

struct key_map {
	pthread_mutex_t lock;
	uint32_t *heads;    /* owned; index + 1 of the newest */
	struct entry *list; /* owned */
	uint32_t count, cap, bits;
};

static uint64_t addr_key(const struct addr *a)
{
	return (uint64_t)(XXH3_64bits(a->b, a->family == 4 ? 4 : 16) >> 32) << 32;
}

static uint64_t pair_key(const struct addr *a, const struct addr *b, uint8_t proto)
{
	uint8_t bytes[33];

	memcpy(bytes, a->b, 16);
	memcpy(bytes + 16, b->b, 16);
	bytes[32] = proto;
	return (uint64_t)(uint32_t)XXH3_64bits(bytes, sizeof(bytes)) << 32;
}

static uint64_t flow_key(const struct tuple *t)
{
	struct tuple back = tuple_reverse(t);
	int order = addr_cmp(&t->src, &t->dst);
	const struct tuple *first = order > 0 || (order == 0 && t->sport > back.sport) ? &back : t;

	return pair_key(&first->src, &first->dst, t->proto) | (uint64_t)first->sport << 16 |
	       first->dport;
}

size_t keys_of_tuple(const struct tuple *t, uint64_t keys[static 3])
{
	keys[0] = flow_key(t);
	keys[1] = addr_key(&t->src) | t->proto;
	keys[2] = addr_key(&t->dst) | t->proto;
	return 3;
}

bool journey_may_end(const struct journey *j)
{
	bool through = false;

	for (uint16_t i = 0; i < j->step_count; i++) {
		const struct step *s = &j->steps[i];

		if (s->label == LABEL_KERNEL)
			return true;
		through |= s->label == LABEL_CHECKPOINT && (s->checkpoint == CHECKPOINT_IN_LAST ||
							    s->checkpoint == CHECKPOINT_POST_LAST);
	}
	return !through;
}

int64_t end_slot(struct wall_ns t)
{
	return t.v >> SLOT_BITS;
}

/* Spread like the others: the map is chained by the upper half. */
uint64_t end_key(int64_t slot)
{
	return XXH3_64bits(&slot, sizeof(slot)) | UINT32_MAX;
}

static size_t add_once(uint64_t *keys, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++) {
		if (keys[i] == key)
			return n;
	}
	keys[n] = key;
	return n + 1;
}

size_t keys_of(const struct journey *j, struct wall_ns at, uint64_t keys[static KEYS_MAX])
{
	uint64_t three[3];
	size_t n = 0;

	if (j->fp)
		keys[n++] = j->fp;
	for (uint8_t i = 0; i < j->tuple_count + (j->has_inner_tuple ? 1 : 0); i++) {
		keys_of_tuple(i < j->tuple_count ? &j->tuples[i] : &j->inner, three);
		for (int k = 0; k < 3; k++)
			n = add_once(keys, n, three[k]);
	}
	if (journey_may_end(j))
		keys[n++] = end_key(end_slot(at));
	return n;
}

static bool exact(const struct flow_prefix *p)
{
	return !p->negate && p->prefix.len == (p->prefix.addr.family == 4 ? 32 : 128);
}

bool keys_of_flow(const struct flow *f, struct key_range *r)
{
	if (exact(&f->src) && exact(&f->dst) && f->proto && !f->proto_negate) {
		struct tuple t = { f->src.prefix.addr, f->dst.prefix.addr, f->sport.from,
				   f->dport.from, f->proto };
		bool one = f->sport.from && f->sport.from == f->sport.to && f->dport.from &&
			   f->dport.from == f->dport.to && !f->sport.negate && !f->dport.negate &&
			   proto_has_ports(f->proto);

		r->from = flow_key(&t);
		r->to = r->from;
		if (!one) {
			r->from &= ~(uint64_t)UINT32_MAX;
			r->to = r->from | UINT32_MAX;
		}
		return true;
	}
	if (exact(&f->src))
		r->from = addr_key(&f->src.prefix.addr);
	else if (exact(&f->dst))
		r->from = addr_key(&f->dst.prefix.addr);
	else
		return false;
	r->to = r->from | UINT8_MAX;
	if (f->proto && !f->proto_negate)
		r->from = r->to = r->from | f->proto;
	return true;
}

/* --- the map ------------------------------------------------------------------------------------------------- */

static uint32_t bucket(const struct key_map *m, uint64_t key)
{
	return (uint32_t)((key >> 32) * UINT32_C(0x9e3779b1)) >> (32 - m->bits);
}

static int rehash(struct key_map *m)
{
	uint32_t bits = m->bits ? m->bits + 2 : FIRST_BITS;
	uint32_t *heads = calloc((size_t)1 << bits, sizeof(*heads));

	if (!heads)
		return -ENOMEM;
	free(m->heads);
	m->heads = heads;
	m->bits = bits;
	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t b = bucket(m, m->list[i].key);

		m->list[i].next = heads[b];
		heads[b] = i + 1;
	}
	return 0;
}

struct key_map *key_map_new(void)
{
	struct key_map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	if (rehash(m) < 0) {
		free(m);
		return NULL;
	}
	return m;
}

void key_map_free(struct key_map *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m->heads);
	free(m->list);
	free(m);
}

static int grow(struct key_map *m)
{
	uint32_t cap = m->cap ? m->cap * 2 : 1024;
	struct entry *list = realloc(m->list, (size_t)cap * sizeof(*list));

	if (!list)
		return -ENOMEM;
	m->list = list;
	m->cap = cap;
	return m->cap > (uint32_t)1 << m->bits ? rehash(m) : 0;
}

int key_map_add(struct key_map *m, const uint64_t *keys, size_t n, uint32_t row)
{
	int r = 0;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < n && r == 0; i++) {
		uint32_t b;

		if (m->count == m->cap)
			r = grow(m);
		if (r < 0)
			break;
		b = bucket(m, keys[i]);
		m->list[m->count] = (struct entry){ keys[i], row, m->heads[b] };
		m->heads[b] = ++m->count;
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

size_t key_map_find(struct key_map *m, const struct key_range *r, uint32_t *rows, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&m->lock);
	for (uint32_t i = m->heads[bucket(m, r->from)]; i && n < max; i = m->list[i - 1].next) {
		const struct entry *e = &m->list[i - 1];

		if (e->key >= r->from && e->key <= r->to && (n == 0 || rows[n - 1] != e->row))
			rows[n++] = e->row;
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}

static bool rows_ascend(const struct key_row *list, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (list[i].row < list[i - 1].row)
			return false;
	}
	return true;
}

/* Byte `digit` of (row, key), lowest first; the key's sign as SQLite sorts it. */
static uint8_t digit_of(const struct key_row *e, int digit)
{
	if (digit < 4)
		return (uint8_t)(e->row >> 8 * digit);
	return (uint8_t)(e->key >> 8 * (digit - 4)) ^ (digit == DIGITS - 1 ? 0x80 : 0);
}

/* Radix sort by key, then row: millions of entries are several times faster so than compared. Takes list, returns it or NULL. */
static struct key_row *sort(struct key_row *list, size_t n)
{
	struct key_row *other = malloc((n + 1) * sizeof(*other));

	/* Rows are usually in order already: only what a rebuild found is not. */
	for (int digit = rows_ascend(list, n) ? 4 : 0; other && digit < DIGITS; digit++) {
		size_t at[256] = { 0 }, sum = 0;
		struct key_row *sorted = other;

		for (size_t i = 0; i < n; i++)
			at[digit_of(&list[i], digit)]++;
		if (n == 0 || at[digit_of(&list[0], digit)] == n)
			continue; /* the same in all */
		for (int v = 0; v < 256; v++) {
			size_t count = at[v];

			at[v] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			sorted[at[digit_of(&list[i], digit)]++] = list[i];
		other = list;
		list = sorted;
	}
	if (!other) {
		free(list);
		return NULL;
	}
	free(other);
	return list;
}

struct key_row *key_map_sorted(struct key_map *m, size_t *count)
{
	struct key_row *out;

	pthread_mutex_lock(&m->lock);
	*count = m->count;
	out = malloc(((size_t)m->count + 1) * sizeof(*out));
	for (uint32_t i = 0; out && i < m->count; i++)
		out[i] = (struct key_row){ m->list[i].key, m->list[i].row };
	pthread_mutex_unlock(&m->lock);
	return out ? sort(out, *count) : NULL;
}
