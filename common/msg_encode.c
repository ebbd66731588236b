/*
 * From plain structs to protobuf: the exact inverse of msg_decode.c. Records are packed one by one into a batch, which
 * keeps the table of names that its journeys share.
 */
#include "common/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "common/msg_pieces.h"

enum { SCRATCH_MAX = 4 << 20 };

struct name {
	UT_hash_handle hh;
	uint32_t index; /* from 1: 0 is "" */
	char text[];
};

struct batch {
	struct buf records;   /* packed, each with its tag */
	struct buf names;     /* likewise, in the order of their indexes */
	struct arena scratch; /* Pb structs of one record */
	struct arena name_heap;
	struct name *by_text;
	uint32_t count, name_count;
};

/* The index of a name in the batch, adding it; 0 for "". -EINVAL: longer than max. */
static int name_index(struct batch *b, const char *s, size_t max, uint32_t *index)
{
	Pb__Batch one = PB__BATCH__INIT;
	struct name *n;
	size_t len, size;
	uint8_t *to;
	ProtobufCBinaryData list[1];

	*index = 0;
	if (!s || !s[0])
		return 0;
	len = strlen(s);
	if (len > max)
		return -EINVAL;
	HASH_FIND(hh, b->by_text, s, len, n);
	if (!n) {
		if (b->name_count == BATCH_NAMES_MAX)
			return -E2BIG;
		n = arena_alloc(&b->name_heap, sizeof(*n) + len + 1);
		if (!n)
			return -ENOMEM;
		memcpy(n->text, s, len + 1);
		list[0] = bytes(n->text, len);
		one.names = list;
		one.n_names = 1;
		size = pb__batch__get_packed_size(&one);
		to = buf_extend(&b->names, size);
		if (!to)
			return -ENOMEM;
		pb__batch__pack(&one, to);
		n->index = ++b->name_count;
		HASH_ADD_KEYPTR(hh, b->by_text, n->text, len, n);
	}
	*index = n->index;
	return 0;
}

static int steps(struct batch *b, Pb__Journey *m, const struct journey *j)
{
	struct arena *a = &b->scratch;
	size_t n = j->step_count;
	bool handles = false, prefixes = false;
	int64_t before = j->at.v;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		handles |= j->steps[i].handle != 0;
		prefixes |= j->steps[i].prefix && j->steps[i].prefix[0];
	}
	m->step_what = arena_alloc(a, (n + 1) * sizeof(*m->step_what));
	m->step_at = arena_alloc(a, (n + 1) * sizeof(*m->step_at));
	m->step_table = arena_alloc(a, (n + 1) * sizeof(*m->step_table));
	m->step_chain = arena_alloc(a, (n + 1) * sizeof(*m->step_chain));
	m->step_number = arena_alloc(a, (n + 1) * sizeof(*m->step_number));
	m->step_handle = arena_alloc(a, (n + 1) * sizeof(*m->step_handle));
	m->step_prefix = arena_alloc(a, (n + 1) * sizeof(*m->step_prefix));
	if (!m->step_what || !m->step_at || !m->step_table || !m->step_chain || !m->step_number ||
	    !m->step_handle || !m->step_prefix)
		return -ENOMEM;
	m->n_step_what = m->n_step_at = m->n_step_table = m->n_step_chain = m->n_step_number = n;
	m->n_step_handle = handles ? n : 0;
	m->n_step_prefix = prefixes ? n : 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct step *s = &j->steps[i];

		m->step_what[i] =
			(uint32_t)(s->hook | s->backend << 3 | s->family << 5 | s->label << 8 |
				   s->verdict << 11 | s->checkpoint << 15 | s->kernel_time << 19 |
				   s->tuple << 20) |
			(uint32_t)s->ttl << 24;
		m->step_at[i] = s->at.v - before;
		before = s->at.v;
		r = name_index(b, s->table, TABLE_NAME_MAX, &m->step_table[i]);
		if (r == 0)
			r = name_index(b, s->chain, CHAIN_NAME_MAX, &m->step_chain[i]);
		if (r == 0)
			r = name_index(b, s->prefix, LOG_PREFIX_MAX, &m->step_prefix[i]);
		m->step_number[i] = s->number;
		m->step_handle[i] = s->handle;
	}
	return r;
}

static int journey(struct batch *b, Pb__Record *out, const struct journey *j)
{
	static const uint8_t none[6];
	struct arena *a = &b->scratch;
	Pb__Journey *m = arena_alloc(a, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	pb__journey__init(m);
	if (j->tuple_count == 0 || j->tuple_count > TUPLES_MAX || j->step_count > STEPS_MAX)
		return -EINVAL;
	if (!pointers(a, &m->tuples, TUPLES_MAX))
		return -ENOMEM;
	m->at = j->at.v;
	m->trace_id = j->trace_id;
	m->fp = j->fp;
	m->fp_long = j->fp_long;
	m->ip = (uint32_t)j->ip_version << 16 | j->total_len;
	m->ip_id = j->ip_id;
	m->tcp = (uint32_t)j->tcp_flags << 16 | j->tcp_window;
	m->tcp_seq = j->tcp_seq;
	m->tcp_ack = j->tcp_ack;
	m->icmp = (uint32_t)j->icmp_type << 24 | (uint32_t)j->icmp_code << 16 | j->icmp_seq;
	if (j->is_icmp_error) {
		m->inner = arena_alloc(a, sizeof(*m->inner));
		if (!m->inner)
			return -ENOMEM;
		pb__inner__init(m->inner);
		m->inner->what =
			(uint32_t)j->has_inner << 16 | (uint32_t)j->inner_proto << 8 | j->inner_ttl;
		m->inner->len = j->inner_len;
		m->inner->id = j->inner_id;
		if (j->has_inner_tuple) {
			if (!tuple_fits(&j->inner))
				return -EINVAL;
			m->inner->tuple = tuple(a, &j->inner);
			if (!m->inner->tuple)
				return -ENOMEM;
		}
	}
	r = name_index(b, j->in_if, IFNAME_MAX, &m->in_if);
	if (r == 0)
		r = name_index(b, j->out_if, IFNAME_MAX, &m->out_if);
	if (r < 0)
		return r;
	if (memcmp(j->ether.src, none, sizeof(none)))
		m->src_mac = bytes(j->ether.src, sizeof(j->ether.src));
	if (memcmp(j->ether.dst, none, sizeof(none)))
		m->dst_mac = bytes(j->ether.dst, sizeof(j->ether.dst));
	if (j->ether.vlan >= VLAN_COUNT)
		return -EINVAL;
	m->ether = (uint32_t)j->ether.type << 12 | j->ether.vlan;
	m->mark = j->mark;
	m->cut = j->cut;
	for (uint8_t i = 0; i < j->tuple_count; i++) {
		if (!tuple_fits(&j->tuples[i]))
			return -EINVAL;
		m->tuples[i] = tuple(a, &j->tuples[i]);
		if (!m->tuples[i])
			return -ENOMEM;
	}
	m->n_tuples = j->tuple_count;
	out->is_case = PB__RECORD__IS_JOURNEY;
	out->journey = m;
	return steps(b, m, j);
}

/* --- batches ----------------------------------------------------------------------------------------------- */

int batch_new(struct batch **out)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	buf_init(&b->records, FRAME_INFLATED_MAX);
	buf_init(&b->names, FRAME_INFLATED_MAX);
	arena_init(&b->scratch, SCRATCH_MAX);
	arena_init(&b->name_heap, SCRATCH_MAX);
	*out = b;
	return 0;
}

int batch_add(struct batch *b, const struct record *r)
{
	Pb__Record m = PB__RECORD__INIT;
	Pb__Record *list[1] = { &m };
	Pb__Batch one = PB__BATCH__INIT;
	size_t size;
	uint8_t *to;
	int ret;

	if (b->count == BATCH_RECORDS_MAX)
		return -E2BIG;
	if (r->host >= HOSTS_PER_AGENT)
		return -EINVAL;
	arena_reset(&b->scratch);
	m.host = r->host;
	ret = r->kind == RECORD_JOURNEY ? journey(b, &m, &r->journey)
					: msg_record_encode(&b->scratch, &m, r);
	if (ret < 0)
		return ret;
	/* A Batch of one record packs to that record with its tag: repeated fields may stand anywhere. */
	one.records = list;
	one.n_records = 1;
	size = pb__batch__get_packed_size(&one);
	if (size + b->names.len + 32 > b->records.max - b->records.len)
		return -E2BIG;
	to = buf_extend(&b->records, size);
	if (!to)
		return -ENOMEM;
	pb__batch__pack(&one, to);
	b->count++;
	return 0;
}

size_t batch_size(const struct batch *b)
{
	return b->records.len + b->names.len;
}

uint32_t batch_count(const struct batch *b)
{
	return b->count;
}

static void batch_reset(struct batch *b)
{
	HASH_CLEAR(hh, b->by_text);
	b->by_text = NULL;
	b->records.len = 0;
	b->names.len = 0;
	b->count = 0;
	b->name_count = 0;
	arena_reset(&b->name_heap);
	arena_reset(&b->scratch);
}

/* Tag and length of a submessage (wire type 2), as protobuf's varints. */
static size_t put_head(uint8_t *to, uint32_t field, size_t len)
{
	size_t n = 0;

	to[n++] = (uint8_t)(field << 3 | 2);
	while (len >= 0x80) {
		to[n++] = (uint8_t)(len | 0x80);
		len >>= 7;
	}
	to[n++] = (uint8_t)len;
	return n;
}

int batch_end(struct batch *b, uint64_t seq, struct buf *out)
{
	enum { MESSAGE_BATCH = 2 };
	Pb__Batch head = PB__BATCH__INIT;
	uint8_t tag[16], number[16];
	size_t tag_len, number_len, start = out->len;
	int r;

	head.seq = seq;
	number_len = pb__batch__pack(&head, number);
	tag_len = put_head(tag, MESSAGE_BATCH, number_len + b->records.len + b->names.len);
	r = buf_add(out, tag, tag_len);
	if (r == 0)
		r = buf_add(out, number, number_len);
	if (r == 0)
		r = buf_add(out, b->records.p, b->records.len);
	if (r == 0)
		r = buf_add(out, b->names.p, b->names.len);
	if (r < 0)
		out->len = start;
	batch_reset(b);
	return r;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	batch_reset(b);
	buf_clear(&b->records);
	buf_clear(&b->names);
	arena_free(&b->scratch);
	arena_free(&b->name_heap);
	free(b);
}

/* --- messages ---------------------------------------------------------------------------------------------- */

static int encode_batch(struct buf *out, const struct msg_batch *from)
{
	struct batch *b;
	int r = batch_new(&b);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < from->count && r == 0; i++)
		r = batch_add(b, &from->records[i]);
	if (r == 0)
		r = batch_end(b, from->seq, out);
	batch_free(b);
	return r;
}

static Pb__Ids *ids(struct arena *a, const struct msg_ids *from)
{
	Pb__Ids *m = arena_alloc(a, sizeof(*m));

	if (!m)
		return NULL;
	pb__ids__init(m);
	m->ids = arena_alloc(a, (from->count + 1) * sizeof(*m->ids));
	for (uint32_t i = 0; m->ids && i < from->count; i++)
		m->ids[m->n_ids++] = bytes(from->ids[i].b, CONTENT_ID_LEN);
	return m->ids ? m : NULL;
}

static int host_list(struct arena *a, Pb__Host ***to, size_t *n, const struct msg_host *list,
		     uint32_t count)
{
	if (!pointers(a, to, count))
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		Pb__Host *h = ADD(a, *to, *n, Pb__Host, pb__host__init);

		if (!h)
			return -ENOMEM;
		h->id = text(list[i].id);
		h->netns = text(list[i].netns);
		h->gone = list[i].gone;
	}
	return 0;
}

static int hello(struct arena *a, Pb__Message *out, const struct msg_hello *h)
{
	Pb__Hello *m = MEMBER(out, PB__MESSAGE__IS_HELLO, hello, Pb__Hello, pb__hello__init);

	if (!m)
		return -ENOMEM;
	m->id = text(h->id);
	m->version = text(h->version);
	m->epoch = h->epoch;
	m->instance = bytes(h->instance, sizeof(h->instance));
	m->boot_id = bytes(h->boot_id, sizeof(h->boot_id));
	m->boot = h->boot.v;
	m->wall = h->wall.v;
	m->allow_trace = h->allow_trace;
	return host_list(a, &m->hosts, &m->n_hosts, h->hosts, h->host_count);
}

static int message(struct arena *a, Pb__Message *out, const struct msg *from)
{
	switch (from->kind) {
	case MSG_HELLO:
		return hello(a, out, &from->hello);
	case MSG_HAVE:
		out->is_case = PB__MESSAGE__IS_HAVE;
		out->have = ids(a, &from->have);
		return out->have ? 0 : -ENOMEM;
	case MSG_NEED:
		out->is_case = PB__MESSAGE__IS_NEED;
		out->need = ids(a, &from->need);
		return out->need ? 0 : -ENOMEM;
	case MSG_PART: {
		Pb__Part *m = MEMBER(out, PB__MESSAGE__IS_PART, part, Pb__Part, pb__part__init);

		if (!m)
			return -ENOMEM;
		m->id = bytes(from->part.id.b, CONTENT_ID_LEN);
		m->offset = from->part.offset;
		m->total = from->part.total;
		m->data = bytes(from->part.data, from->part.len);
		return 0;
	}
	case MSG_PONG: {
		Pb__Pong *m = MEMBER(out, PB__MESSAGE__IS_PONG, pong, Pb__Pong, pb__pong__init);

		if (!m)
			return -ENOMEM;
		m->token = from->pong.token;
		m->boot = from->pong.boot.v;
		m->wall = from->pong.wall.v;
		m->oldest_unacked_ms = from->pong.oldest_unacked_ms;
		return 0;
	}
	case MSG_WELCOME: {
		Pb__Welcome *m = MEMBER(out, PB__MESSAGE__IS_WELCOME, welcome, Pb__Welcome,
					pb__welcome__init);

		if (!m)
			return -ENOMEM;
		m->epoch = from->welcome.epoch;
		m->seq = from->welcome.seq;
		m->refused = from->welcome.refused;
		m->why = text(from->welcome.why);
		m->backends = from->welcome.backends;
		return 0;
	}
	case MSG_ACK: {
		Pb__Ack *m = MEMBER(out, PB__MESSAGE__IS_ACK, ack, Pb__Ack, pb__ack__init);

		if (!m)
			return -ENOMEM;
		m->seq = from->ack;
		return 0;
	}
	case MSG_PING: {
		Pb__Ping *m = MEMBER(out, PB__MESSAGE__IS_PING, ping, Pb__Ping, pb__ping__init);

		if (!m)
			return -ENOMEM;
		m->token = from->ping.token;
		return 0;
	}
	case MSG_LEASE_START: {
		Pb__LeaseStart *m = MEMBER(out, PB__MESSAGE__IS_LEASE_START, lease_start,
					   Pb__LeaseStart, pb__lease_start__init);

		if (!m)
			return -ENOMEM;
		m->id = from->lease_start.id;
		m->host = from->lease_start.host;
		m->remaining_ms = from->lease_start.remaining_ms;
		m->rate = from->lease_start.rate;
		m->modulus = from->lease_start.modulus;
		return msg_patterns_encode(a, &m->patterns, &m->n_patterns,
					   from->lease_start.patterns,
					   from->lease_start.pattern_count);
	}
	case MSG_LEASE_STOP: {
		Pb__LeaseStop *m = MEMBER(out, PB__MESSAGE__IS_LEASE_STOP, lease_stop,
					  Pb__LeaseStop, pb__lease_stop__init);

		if (!m)
			return -ENOMEM;
		m->id = from->lease_stop.id;
		m->host = from->lease_stop.host;
		return 0;
	}
	case MSG_SNAPSHOT_NOW:
		return MEMBER(out, PB__MESSAGE__IS_SNAPSHOT_NOW, snapshot_now, Pb__SnapshotNow,
			      pb__snapshot_now__init)
			       ? 0
			       : -ENOMEM;
	case MSG_HOSTS: {
		Pb__Hosts *m =
			MEMBER(out, PB__MESSAGE__IS_HOSTS, hosts, Pb__Hosts, pb__hosts__init);

		return m ? host_list(a, &m->hosts, &m->n_hosts, from->hosts.list, from->hosts.count)
			 : -ENOMEM;
	}
	default:
		return -EINVAL;
	}
}

int msg_encode(struct buf *out, const struct msg *m)
{
	Pb__Message pb = PB__MESSAGE__INIT;
	struct arena scratch;
	uint8_t *to;
	int r;

	if (m->kind == MSG_RECORDS)
		return encode_batch(out, &m->batch);
	arena_init(&scratch, SCRATCH_MAX);
	r = message(&scratch, &pb, m);
	if (r == 0) {
		to = buf_extend(out, pb__message__get_packed_size(&pb));
		r = to ? 0 : -E2BIG;
		if (to)
			pb__message__pack(&pb, to);
	}
	arena_free(&scratch);
	return r;
}
