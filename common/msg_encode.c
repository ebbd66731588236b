/*
 * From plain structs to protobuf: the exact inverse of msg_decode.c. Records are packed one by one into a batch, which
 * keeps the table of names that its journeys share; how a journey is packed is in msg_journey.c.
 */
#include "common/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/msg_journey.h"
#include "common/msg_pieces.h"
#include "common/msg_wire.h"

enum { SCRATCH_MAX = 4 << 20 };

struct batch {
	struct buf records; /* packed, each with its tag */
	struct msg_names names;
	struct arena scratch; /* Pb structs of one record */
	uint32_t count;
};

/* --- batches ----------------------------------------------------------------------------------------------- */

int batch_new(struct batch **out)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	buf_init(&b->records, FRAME_INFLATED_MAX);
	msg_names_init(&b->names);
	arena_init(&b->scratch, SCRATCH_MAX);
	*out = b;
	return 0;
}

/* Room for one more record of this size, together with the names. */
static bool has_room(const struct batch *b, size_t size)
{
	return size + b->names.packed.len + 32 <= b->records.max - b->records.len;
}

static int add_journey(struct batch *b, const struct record *r)
{
	uint8_t room[MSG_JOURNEY_MAX];
	int size = msg_journey_pack(room, &b->names, r->host, &r->journey);

	if (size < 0)
		return size;
	if (!has_room(b, (size_t)size))
		return -E2BIG;
	return buf_add(&b->records, room + sizeof(room) - size, (size_t)size);
}

static int add_other(struct batch *b, const struct record *r)
{
	Pb__Record m = PB__RECORD__INIT;
	Pb__Record *list[1] = { &m };
	Pb__Batch one = PB__BATCH__INIT;
	size_t size;
	uint8_t *to;
	int ret;

	arena_reset(&b->scratch);
	m.host = r->host;
	ret = msg_record_encode(&b->scratch, &m, r);
	if (ret < 0)
		return ret;
	/* A Batch of one record packs to that record with its tag: repeated fields may stand anywhere. */
	one.records = list;
	one.n_records = 1;
	size = pb__batch__get_packed_size(&one);
	if (!has_room(b, size))
		return -E2BIG;
	to = buf_extend(&b->records, size);
	if (!to)
		return -ENOMEM;
	pb__batch__pack(&one, to);
	return 0;
}

int batch_add(struct batch *b, const struct record *r)
{
	int ret;

	if (b->count == BATCH_RECORDS_MAX)
		return -E2BIG;
	if (r->host >= HOSTS_PER_AGENT)
		return -EINVAL;
	ret = r->kind == RECORD_JOURNEY ? add_journey(b, r) : add_other(b, r);
	if (ret == 0)
		b->count++;
	return ret;
}

size_t batch_size(const struct batch *b)
{
	return b->records.len + b->names.packed.len;
}

uint32_t batch_count(const struct batch *b)
{
	return b->count;
}

static void batch_reset(struct batch *b)
{
	msg_names_reset(&b->names);
	b->records.len = 0;
	b->count = 0;
	arena_reset(&b->scratch);
}

int batch_end(struct batch *b, uint64_t seq, struct buf *out)
{
	enum { BATCH_SEQ = 1, MESSAGE_BATCH = 2 };
	const struct buf *names = &b->names.packed;
	uint8_t head[32], *at = head + sizeof(head);
	size_t start = out->len;
	int r;

	wire_uint(&at, BATCH_SEQ, seq);
	wire_varint(&at, (size_t)(head + sizeof(head) - at) + b->records.len + names->len);
	wire_tag(&at, MESSAGE_BATCH, WIRE_BYTES);
	r = buf_add(out, at, (size_t)(head + sizeof(head) - at));
	if (r == 0)
		r = buf_add(out, b->records.p, b->records.len);
	if (r == 0)
		r = buf_add(out, names->p, names->len);
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
	msg_names_clear(&b->names);
	arena_free(&b->scratch);
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
