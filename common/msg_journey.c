/*
 * Journeys are nearly all that is packed while packets are traced, so they are written at once, without structs of protobuf-c
 * in between. The bytes are those that protobuf-c would write: fields in the order of their numbers, zeros left out.
 */
#include "common/msg_journey.h"

#include <endian.h>
#include <errno.h>

#include "common/msg_pieces.h"
#include "common/msg_wire.h"

/* The numbers of lasthop.proto. */
enum { BATCH_RECORDS = 2, RECORD_HOST_AT = 1, RECORD_JOURNEY_AT = 2 };
enum { TUPLE_SRC = 1, TUPLE_DST, TUPLE_SPORT, TUPLE_DPORT, TUPLE_PROTO };
enum { INNER_WHAT = 1, INNER_LEN, INNER_ID, INNER_TUPLE };
enum {
	J_AT = 1,
	J_TRACE_ID,
	J_FP,
	J_FP_LONG,
	J_IP,
	J_IP_ID,
	J_TCP,
	J_TCP_SEQ,
	J_TCP_ACK,
	J_ICMP,
	J_INNER,
	J_IN_IF,
	J_OUT_IF,
	J_SRC_MAC,
	J_MARK,
	J_CUT,
	J_TUPLES,
	J_STEP_WHAT,
	J_STEP_AT,
	J_STEP_TABLE,
	J_STEP_CHAIN,
	J_STEP_NUMBER,
	J_STEP_HANDLE,
	J_STEP_PREFIX,
	J_DST_MAC,
	J_ETHER,
};

/* The names of all steps, and which columns have anything to say. */
struct named {
	uint32_t in_if, out_if;
	uint32_t table[STEPS_MAX], chain[STEPS_MAX], prefix[STEPS_MAX];
	bool handles, prefixes;
};

static int name_all(struct named *to, struct msg_names *names, const struct journey *j)
{
	int r = msg_names_index(names, j->in_if, IFNAME_MAX, &to->in_if);

	if (r == 0)
		r = msg_names_index(names, j->out_if, IFNAME_MAX, &to->out_if);
	to->handles = to->prefixes = false;
	for (size_t i = 0; i < j->step_count && r == 0; i++) {
		const struct step *s = &j->steps[i];

		r = msg_names_index(names, s->table, TABLE_NAME_MAX, &to->table[i]);
		if (r == 0)
			r = msg_names_index(names, s->chain, CHAIN_NAME_MAX, &to->chain[i]);
		if (r == 0)
			r = msg_names_index(names, s->prefix, LOG_PREFIX_MAX, &to->prefix[i]);
		to->handles |= s->handle != 0;
		to->prefixes |= to->prefix[i] != 0;
	}
	return r;
}

static void put_tuple(uint8_t **at, uint32_t field, const struct tuple *t)
{
	const uint8_t *end = *at;
	size_t len = t->src.family == 4 ? 4 : 16;

	wire_uint(at, TUPLE_PROTO, t->proto);
	wire_uint(at, TUPLE_DPORT, t->dport);
	wire_uint(at, TUPLE_SPORT, t->sport);
	wire_bytes(at, TUPLE_DST, t->dst.b, len);
	wire_bytes(at, TUPLE_SRC, t->src.b, len);
	wire_wrap(at, end, field);
}

static void put_inner(uint8_t **at, const struct journey *j)
{
	const uint8_t *end = *at;

	if (j->has_inner_tuple)
		put_tuple(at, INNER_TUPLE, &j->inner);
	wire_uint(at, INNER_ID, j->inner_id);
	wire_uint(at, INNER_LEN, j->inner_len);
	wire_uint(at, INNER_WHAT,
		  (uint32_t)j->has_inner << 16 | (uint32_t)j->inner_proto << 8 | j->inner_ttl);
	wire_wrap(at, end, J_INNER);
}

static void put_column(uint8_t **at, uint32_t field, const uint32_t *list, size_t n)
{
	const uint8_t *end = *at;

	for (size_t i = n; i-- > 0;)
		wire_varint(at, list[i]);
	wire_wrap(at, end, field);
}

static void put_handles(uint8_t **at, const struct journey *j)
{
	const uint8_t *end = *at;

	for (size_t i = j->step_count; i-- > 0;)
		wire_varint(at, j->steps[i].handle);
	wire_wrap(at, end, J_STEP_HANDLE);
}

static void put_numbers(uint8_t **at, const struct journey *j)
{
	const uint8_t *end = *at;

	for (size_t i = j->step_count; i-- > 0;)
		wire_varint(at, j->steps[i].number);
	wire_wrap(at, end, J_STEP_NUMBER);
}

/* Each as the difference to the one before, with its sign in the lowest bit. */
static void put_times(uint8_t **at, const struct journey *j)
{
	const uint8_t *end = *at;

	for (size_t i = j->step_count; i-- > 0;) {
		uint64_t before = (uint64_t)(i > 0 ? j->steps[i - 1].at.v : j->at.v);
		uint64_t d = (uint64_t)j->steps[i].at.v - before;

		wire_varint(at, d << 1 ^ (d >> 63 ? UINT64_MAX : 0));
	}
	wire_wrap(at, end, J_STEP_AT);
}

static void put_whats(uint8_t **at, const struct journey *j)
{
	const uint8_t *end = *at;

	for (size_t i = j->step_count; i-- > 0;) {
		const struct step *s = &j->steps[i];

		wire_le32(at, (uint32_t)(s->hook | s->backend << 3 | s->family << 5 |
					 s->label << 8 | s->verdict << 11 | s->checkpoint << 15 |
					 s->kernel_time << 19 | s->tuple << 20) |
				      (uint32_t)s->ttl << 24);
	}
	wire_wrap(at, end, J_STEP_WHAT);
}

static void put_steps(uint8_t **at, const struct journey *j, const struct named *named)
{
	size_t n = j->step_count;

	if (n == 0)
		return;
	if (named->prefixes)
		put_column(at, J_STEP_PREFIX, named->prefix, n);
	if (named->handles)
		put_handles(at, j);
	put_numbers(at, j);
	put_column(at, J_STEP_CHAIN, named->chain, n);
	put_column(at, J_STEP_TABLE, named->table, n);
	put_times(at, j);
	put_whats(at, j);
}

static void put_mac(uint8_t **at, uint32_t field, const uint8_t mac[static 6])
{
	static const uint8_t none[6];

	if (memcmp(mac, none, sizeof(none)) != 0)
		wire_bytes(at, field, mac, sizeof(none));
}

static void put_journey(uint8_t **at, const struct journey *j, const struct named *named)
{
	const uint8_t *end = *at;

	wire_uint(at, J_ETHER, (uint32_t)j->ether.type << 12 | j->ether.vlan);
	put_mac(at, J_DST_MAC, j->ether.dst);
	put_steps(at, j, named);
	for (size_t i = j->tuple_count; i-- > 0;)
		put_tuple(at, J_TUPLES, &j->tuples[i]);
	wire_uint(at, J_CUT, j->cut);
	wire_uint(at, J_MARK, j->mark);
	put_mac(at, J_SRC_MAC, j->ether.src);
	wire_uint(at, J_OUT_IF, named->out_if);
	wire_uint(at, J_IN_IF, named->in_if);
	if (j->is_icmp_error)
		put_inner(at, j);
	wire_uint(at, J_ICMP,
		  (uint32_t)j->icmp_type << 24 | (uint32_t)j->icmp_code << 16 | j->icmp_seq);
	wire_fixed32(at, J_TCP_ACK, j->tcp_ack);
	wire_fixed32(at, J_TCP_SEQ, j->tcp_seq);
	wire_uint(at, J_TCP, (uint32_t)j->tcp_flags << 16 | j->tcp_window);
	wire_uint(at, J_IP_ID, j->ip_id);
	wire_uint(at, J_IP, (uint32_t)j->ip_version << 16 | j->total_len);
	wire_fixed64(at, J_FP_LONG, j->fp_long);
	wire_fixed64(at, J_FP, j->fp);
	wire_fixed32(at, J_TRACE_ID, j->trace_id);
	wire_fixed64(at, J_AT, (uint64_t)j->at.v);
	wire_wrap(at, end, RECORD_JOURNEY_AT);
}

int msg_journey_pack(uint8_t room[static MSG_JOURNEY_MAX], struct msg_names *names, uint32_t host,
		     const struct journey *j)
{
	uint8_t *const end = room + MSG_JOURNEY_MAX, *at = end;
	struct named named;
	int r;

	if (j->tuple_count == 0 || j->tuple_count > TUPLES_MAX || j->step_count > STEPS_MAX ||
	    j->ether.vlan >= VLAN_COUNT)
		return -EINVAL;
	if (j->is_icmp_error && j->has_inner_tuple && !tuple_fits(&j->inner))
		return -EINVAL;
	for (uint8_t i = 0; i < j->tuple_count; i++)
		if (!tuple_fits(&j->tuples[i]))
			return -EINVAL;
	r = name_all(&named, names, j);
	if (r < 0)
		return r;
	put_journey(&at, j, &named);
	wire_uint(&at, RECORD_HOST_AT, host);
	wire_wrap(&at, end, BATCH_RECORDS);
	return (int)(end - at);
}
