#include "collector/stitch/embedded.h"

#include <errno.h>
#include <stdlib.h>

/* A router that gets no answer from a neighbour tells so after about three seconds. */
#define ERROR_NS (4LL * NS_PER_S)

struct packet_key {
	uint64_t key;
	uint32_t order; /* the newest conversation comes first */
	struct draft *draft;
	const struct path *path;
};

/* IPv4's id tells packets apart; IPv6 has none. */
static uint64_t key_of(uint8_t version, uint8_t proto, uint16_t len, uint16_t id)
{
	return (uint64_t)version << 40 | (uint64_t)proto << 32 | (uint64_t)len << 16 |
	       (version == 4 ? id : 0);
}

static int by_key(const void *pa, const void *pb)
{
	const struct packet_key *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

static void add_all(struct embedded *m, struct draft *d, struct path *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct journey *j = path_packet(list[i]);

		m->list[m->count] =
			(struct packet_key){ .key = key_of(j->ip_version, j->tuples[0].proto,
							   j->total_len, j->ip_id),
					     .order = (uint32_t)m->count,
					     .draft = d,
					     .path = list[i] };
		m->count++;
	}
}

static int look(struct embedded *m, const struct drafts *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++)
		n += all->list[i].conv.original_count + all->list[i].conv.reply_count;
	m->list = arena_alloc(all->arena, (n + 1) * sizeof(*m->list));
	if (!m->list)
		return -ENOMEM;
	for (size_t k = all->count; k-- > 0;) {
		const struct conversation *c = &all->list[k].conv;

		add_all(m, &all->list[k], c->original, c->original_count);
		add_all(m, &all->list[k], c->reply, c->reply_count);
	}
	qsort(m->list, m->count, sizeof(*m->list), by_key);
	m->ready = true;
	return 0;
}

/*
 * How long after p the error e, which embeds it, was made; -1: it embeds another packet. IPv6 has no id: then p must
 * have come from whom the error was sent to, as the error's maker saw it.
 */
static int64_t error_after(const struct stored_journey *e, const struct path *p)
{
	const struct journey *j = path_packet(p);

	if (j->ip_version != e->j.ip_version || j->total_len != e->j.inner_len ||
	    j->tuples[0].proto != e->j.inner_proto)
		return -1;
	if (j->ip_version == 4)
		return j->ip_id && j->ip_id == e->j.inner_id ? 0 : -1;
	for (size_t i = 0; i < p->hop_count; i++) {
		const struct stored_journey *sj = p->hops[i].sj;
		int64_t after = e->at.v - sj->at.v;

		if (sj->host == e->host && addr_equal(&sj->j.tuples[0].src, &e->j.tuples[0].dst) &&
		    after >= 0 && after < ERROR_NS)
			return after;
	}
	return -1;
}

/* The first with that key or a greater one. */
static size_t first_of(const struct embedded *m, uint64_t key)
{
	size_t low = 0, high = m->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->list[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int embedded_find(struct draft **of, struct embedded *m, const struct drafts *all,
		  const struct stored_journey *e)
{
	uint64_t key = key_of(e->j.ip_version, e->j.inner_proto, e->j.inner_len, e->j.inner_id);
	int64_t best_after = INT64_MAX;

	*of = NULL;
	if (!m->ready && look(m, all) < 0)
		return -ENOMEM;
	for (size_t i = first_of(m, key); i < m->count && m->list[i].key == key; i++) {
		int64_t after = error_after(e, m->list[i].path);

		if (after >= 0 && after < best_after) {
			best_after = after;
			*of = m->list[i].draft;
		}
	}
	return 0;
}
