/*
 * Entries travel as columns, since that is what packs; a chain's name travels once, as long as its entries stand
 * together.
 */
#include "common/msg_counters.h"

#include <errno.h>
#include <string.h>

static ProtobufCBinaryData bytes(const void *p, size_t n)
{
	return (ProtobufCBinaryData){ .len = n, .data = (uint8_t *)p };
}

static int encode_entries(struct arena *a, Pb__Counters *m, const struct counters *c)
{
	size_t n = c->count;
	bool marked = false;

	m->chains = arena_alloc(a, (n + 1) * sizeof(*m->chains));
	m->chain = arena_alloc(a, (n + 1) * sizeof(*m->chain));
	m->rule = arena_alloc(a, (n + 1) * sizeof(*m->rule));
	m->packets = arena_alloc(a, (n + 1) * sizeof(*m->packets));
	m->bytes = arena_alloc(a, (n + 1) * sizeof(*m->bytes));
	m->mark = arena_alloc(a, (n + 1) * sizeof(*m->mark));
	if (!m->chains || !m->chain || !m->rule || !m->packets || !m->bytes || !m->mark)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct counter_entry *e = &c->entries[i];

		if (strlen(e->chain) > CHAIN_NAME_MAX || e->mark >= COUNTER_MARK_COUNT)
			return -EINVAL;
		if (i == 0 || strcmp(e->chain, c->entries[i - 1].chain) != 0)
			m->chains[m->n_chains++] = bytes(e->chain, strlen(e->chain));
		m->chain[i] = (uint32_t)m->n_chains - 1;
		m->rule[i] = e->rule;
		m->packets[i] = e->packets;
		m->bytes[i] = e->bytes;
		m->mark[i] = e->mark;
		marked |= e->mark != 0;
	}
	m->n_chain = m->n_rule = m->n_packets = m->n_bytes = n;
	m->n_mark = marked ? n : 0;
	return 0;
}

int msg_counters_encode(struct arena *a, Pb__Counters *m, const struct counters *c)
{
	if (c->count > COUNTER_ENTRIES_MAX || c->part >= c->parts || c->parts > COUNTER_PARTS_MAX ||
	    strlen(c->table) > TABLE_NAME_MAX)
		return -EINVAL;
	m->since = c->since.v;
	m->before = c->before.v;
	m->at = c->at.v;
	m->backend = c->backend;
	m->family = c->family;
	m->table = bytes(c->table, strlen(c->table));
	m->content = bytes(c->content.b, CONTENT_ID_LEN);
	m->baseline = c->baseline;
	m->part = c->part;
	m->parts = c->parts;
	m->lost = c->lost;
	return encode_entries(a, m, c);
}

static const char *name(struct arena *a, const ProtobufCBinaryData *b, size_t max, int *error)
{
	const char *s;

	if (b->len > max || (b->len && memchr(b->data, '\0', b->len))) {
		*error = -EPROTO;
		return "";
	}
	s = arena_strndup(a, b->len ? (const char *)b->data : "", b->len);
	if (!s)
		*error = -ENOMEM;
	return s ? s : "";
}

static int decode_entries(struct arena *a, struct counters *c, const Pb__Counters *m)
{
	size_t n = m->n_chain;
	const char **chains;
	int error = 0;

	if (n > COUNTER_ENTRIES_MAX || m->n_chains > n || m->n_rule != n || m->n_packets != n ||
	    m->n_bytes != n || (m->n_mark && m->n_mark != n))
		return -EPROTO;
	chains = arena_alloc(a, (m->n_chains + 1) * sizeof(*chains));
	c->entries = arena_alloc(a, (n + 1) * sizeof(*c->entries));
	if (!chains || !c->entries)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_chains; i++)
		chains[i] = name(a, &m->chains[i], CHAIN_NAME_MAX, &error);
	for (size_t i = 0; i < n && error == 0; i++) {
		struct counter_entry *e = &c->entries[i];

		if (m->chain[i] >= m->n_chains || (m->n_mark && m->mark[i] >= COUNTER_MARK_COUNT))
			return -EPROTO;
		e->chain = chains[m->chain[i]];
		e->rule = m->rule[i];
		e->packets = m->packets[i];
		e->bytes = m->bytes[i];
		e->mark = m->n_mark ? (uint8_t)m->mark[i] : 0;
	}
	c->count = (uint32_t)n;
	return error;
}

int msg_counters_decode(struct arena *a, struct counters *c, const Pb__Counters *m)
{
	int error = 0;

	if (m->backend >= BACKEND_IPSET || m->family >= FAMILY_COUNT ||
	    m->content.len != CONTENT_ID_LEN || m->part >= m->parts || m->parts > COUNTER_PARTS_MAX)
		return -EPROTO;
	c->since.v = m->since;
	c->before.v = m->before;
	c->at.v = m->at;
	c->backend = (uint8_t)m->backend;
	c->family = (uint8_t)m->family;
	c->table = name(a, &m->table, TABLE_NAME_MAX, &error);
	memcpy(c->content.b, m->content.data, CONTENT_ID_LEN);
	c->baseline = m->baseline;
	c->part = m->part;
	c->parts = m->parts;
	c->lost = m->lost;
	return error ? error : decode_entries(a, c, m);
}
