/*
 * The way of a packet through the table. pre_first and out_first jump, for each lease, to its chain
 *
 *   s_ID   compares the packet with the patterns, forward and backward, by its own headers (sets
 *          m_ID_N) and by those that an ICMP error embeds (plain comparisons, in force while o_ID
 *          has elements); what matches goes to l_ID. After conntrack, k_ID does the same by the
 *          addresses that the connection began with, and x_ID leaves out what s_ID has had already.
 *   l_ID   lets TCP's SYN, FIN, RST and ICMP errors to c_ID, samples the others by content, and
 *          traces what is left up to the lease's rate; t_ID counts what is traced, r_ID what the
 *          rate refused.
 *   c_ID   traces control packets, up to a rate of their own.
 *
 * Everything can be listed by nft and read back: a ruleset that somebody saves meanwhile must load
 * again. Nothing in here gives a verdict on a packet. An expression that cannot load its field ends
 * its rule only.
 */
#include "agent/helper/probe_rules.h"

#include <errno.h>
#include <netinet/in.h> /* before the kernel's, which know how to follow it */
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "agent/helper/draft.h"
#include "agent/helper/shape.h"
#include "common/journey.h"

#define ICMP_ERRORS "icmp_errors"

enum { TCP_FIN_SYN_RST = 0x07 };

/*
 * Where a pattern's fields are looked for: what an ICMP error embeds, either way round; the origin
 * of the connection that it belongs to, or that it is an ICMP error about.
 */
enum form { FORM_EMBEDDED, FORM_EMBEDDED_BACK, FORM_ORIGIN, FORM_ORIGIN_OF_ERROR };

/* Types as nft knows them, so that `nft list` can print our sets; the kernel does not care. */
enum {
	TYPE_NFPROTO = 2,
	TYPE_IPADDR = 7,
	TYPE_IP6ADDR = 8,
	TYPE_PROTO = 12,
	TYPE_PORT = 13,
	TYPE_ICMP = 14,
	TYPE_BITS = 6
};

void probe_name(char name[static PROBE_NAME_MAX], char letter, uint64_t id)
{
	snprintf(name, PROBE_NAME_MAX, "%c_%" PRIx64, letter, id);
}

struct nlmsghdr *probe_message(struct probe_batch *b, void *room, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(room, type, NFPROTO_INET, flags, ++b->seq);
}

void probe_add(struct probe_batch *b, const struct nlmsghdr *nlh)
{
	int r = buf_add(&b->buf, nlh, nlh->nlmsg_len);

	if (r < 0 && b->error == 0)
		b->error = r;
}

void probe_failed(struct probe_batch *b)
{
	if (b->error == 0)
		b->error = -ENOMEM;
}

static void set_name(char name[static PROBE_NAME_MAX], uint64_t id, uint32_t shape)
{
	snprintf(name, PROBE_NAME_MAX, "m_%" PRIx64 "_%u", id, shape);
}

/* Objects, chains, sets. */

static void add_counter(struct probe_batch *b, char letter, uint64_t id)
{
	char room[MESSAGE_MAX] __attribute__((aligned(8))), name[PROBE_NAME_MAX];
	struct nftnl_obj *o = nftnl_obj_alloc();
	struct nlmsghdr *nlh;

	if (!o) {
		probe_failed(b);
		return;
	}
	probe_name(name, letter, id);
	nftnl_obj_set_u32(o, NFTNL_OBJ_FAMILY, NFPROTO_INET);
	nftnl_obj_set_str(o, NFTNL_OBJ_TABLE, PROBE_TABLE);
	nftnl_obj_set_str(o, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(o, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_PKTS, 0);
	nftnl_obj_set_u64(o, NFTNL_OBJ_CTR_BYTES, 0);
	nlh = probe_message(b, room, NFT_MSG_NEWOBJ, NLM_F_CREATE);
	nftnl_obj_nlmsg_build_payload(nlh, o);
	probe_add(b, nlh);
	nftnl_obj_free(o);
}

/* A base chain where hook is not HOOK_NONE. */
static void add_chain(struct probe_batch *b, const char *name, enum hook hook, int32_t priority)
{
	static const uint32_t numbers[HOOK_COUNT] = {
		[HOOK_PREROUTING] = NF_INET_PRE_ROUTING,   [HOOK_INPUT] = NF_INET_LOCAL_IN,
		[HOOK_FORWARD] = NF_INET_FORWARD,          [HOOK_OUTPUT] = NF_INET_LOCAL_OUT,
		[HOOK_POSTROUTING] = NF_INET_POST_ROUTING,
	};
	char room[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nlmsghdr *nlh;

	if (!c) {
		probe_failed(b);
		return;
	}
	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, PROBE_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	if (hook != HOOK_NONE) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, numbers[hook]);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	nlh = probe_message(b, room, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	nftnl_chain_nlmsg_build_payload(nlh, c);
	probe_add(b, nlh);
	nftnl_chain_free(c);
}

static struct nftnl_set *set_new(struct probe_batch *b, const char *name)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s) {
		probe_failed(b);
		return NULL;
	}
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_str(s, NFTNL_SET_TABLE, PROBE_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	return s;
}

static struct nftnl_set_elem *set_element(struct probe_batch *b, struct nftnl_set *s,
					  const void *key, uint32_t len)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (!e) {
		probe_failed(b);
		return NULL;
	}
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, len);
	nftnl_set_elem_add(s, e);
	return e;
}

static void set_add(struct probe_batch *b, struct nftnl_set *s)
{
	char room[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh;

	nftnl_set_set_u32(s, NFTNL_SET_ID, b->seq + 1); /* any number that is no other set's */
	nlh = probe_message(b, room, NFT_MSG_NEWSET, NLM_F_CREATE);
	nftnl_set_nlmsg_build_payload(nlh, s);
	probe_add(b, nlh);
	nlh = probe_message(b, room, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	nftnl_set_elems_nlmsg_build_payload(nlh, s);
	probe_add(b, nlh);
}

static void add_icmp_errors(struct probe_batch *b)
{
	static const uint8_t types[] = { 3, 4, 5, 11, 12 };
	struct nftnl_set *s = set_new(b, ICMP_ERRORS);
	uint32_t i;

	if (!s)
		return;
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_CONSTANT);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_ICMP);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sizeof(types[0]));
	for (i = 0; i < sizeof(types); i++)
		set_element(b, s, &types[i], sizeof(types[i]));
	set_add(b, s);
	nftnl_set_free(s);
}

static uint32_t key_type(const struct shape *s)
{
	uint32_t type = 0;
	int f;

	for (f = 0; f < FIELD_COUNT; f++) {
		if (!s->has[f])
			continue;
		type <<= TYPE_BITS;
		if (f == FIELD_PROTO)
			type |= TYPE_PROTO;
		else if (f == FIELD_SRC || f == FIELD_DST)
			type |= s->family == 4 ? TYPE_IPADDR : TYPE_IP6ADDR;
		else
			type |= TYPE_PORT;
	}
	return type;
}

static void add_patterns(struct probe_batch *b, const struct probe_lease *l,
			 const struct shape *shape, const char *name)
{
	struct nftnl_set *s = set_new(b, name);
	uint8_t keys[PATTERNS_MAX][SHAPE_KEY_MAX];
	uint32_t i, k, len = shape_key_len(shape), count = 0;

	if (!s)
		return;
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_TIMEOUT);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, key_type(shape));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, len);
	for (i = 0; i < l->pattern_count; i++) {
		struct shape of = shape_of(&l->patterns[i]);
		struct nftnl_set_elem *e;

		if (!shape_equal(&of, shape))
			continue;
		shape_key(shape, &l->patterns[i], keys[count]);
		for (k = 0; k < count; k++)
			if (memcmp(keys[k], keys[count], len) == 0)
				break;
		if (k < count)
			continue;
		e = set_element(b, s, keys[count++], len);
		if (e)
			nftnl_set_elem_set_u64(e, NFTNL_SET_ELEM_TIMEOUT, l->remaining_ms);
	}
	set_add(b, s);
	nftnl_set_free(s);
}

/* Both families, as long as the lease lasts: ends the rules that compare without a set. */
static void add_switch(struct probe_batch *b, const struct probe_lease *l)
{
	static const uint8_t families[] = { NFPROTO_IPV4, NFPROTO_IPV6 };
	char name[PROBE_NAME_MAX];
	struct nftnl_set_elem *e;
	struct nftnl_set *s;
	uint32_t i;

	probe_name(name, 'o', l->id);
	s = set_new(b, name);
	if (!s)
		return;
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_TIMEOUT);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_NFPROTO);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sizeof(families[0]));
	for (i = 0; i < sizeof(families); i++) {
		e = set_element(b, s, &families[i], sizeof(families[i]));
		if (e)
			nftnl_set_elem_set_u64(e, NFTNL_SET_ELEM_TIMEOUT, l->remaining_ms);
	}
	set_add(b, s);
	nftnl_set_free(s);
}

/* Matching. */

static void match_family(struct draft *d, uint8_t family)
{
	draft_meta(d, REG, NFT_META_NFPROTO);
	draft_cmp8(d, REG, NFT_CMP_EQ, family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

static void match_proto(struct draft *d, uint8_t proto)
{
	draft_meta(d, REG, NFT_META_L4PROTO);
	draft_cmp8(d, REG, NFT_CMP_EQ, proto);
}

static void match_icmp_error(struct draft *d, uint8_t family)
{
	match_family(d, family);
	match_proto(d, family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	draft_payload(d, REG, L4, 0, 1);
	if (family == 4) {
		draft_lookup(d, REG, ICMP_ERRORS);
	} else {
		draft_cmp8(d, REG, NFT_CMP_GTE, 1);
		draft_cmp8(d, REG, NFT_CMP_LTE, 4);
	}
}

static enum field swapped(enum field f)
{
	switch (f) {
	case FIELD_SRC:
		return FIELD_DST;
	case FIELD_DST:
		return FIELD_SRC;
	case FIELD_SPORT:
		return FIELD_DPORT;
	case FIELD_DPORT:
		return FIELD_SPORT;
	default:
		return f;
	}
}

static uint32_t addr_offset(uint8_t family, enum field f)
{
	if (family == 4)
		return f == FIELD_SRC ? 12 : 16;
	return f == FIELD_SRC ? 8 : 24;
}

static void load_header(struct draft *d, const struct shape *s, enum field f, uint32_t reg)
{
	switch (f) {
	case FIELD_PROTO:
		draft_meta(d, reg, NFT_META_L4PROTO);
		break;
	case FIELD_SRC:
	case FIELD_DST:
		draft_payload(d, reg, L3, addr_offset(s->family, f), shape_field_len(s, f));
		break;
	case FIELD_SPORT:
		draft_payload(d, reg, L4, 0, 2);
		break;
	case FIELD_DPORT:
		draft_payload(d, reg, L4, 2, 2);
		break;
	case FIELD_COUNT:
		break;
	}
}

/* The same of the header that an ICMP error embeds, behind its own 8 bytes. */
static void load_embedded(struct draft *d, const struct shape *s, enum field f, uint32_t reg)
{
	const uint32_t l3 = 8, l4 = l3 + (s->family == 4 ? 20 : 40);

	switch (f) {
	case FIELD_PROTO:
		draft_payload(d, reg, L4, l3 + (s->family == 4 ? 9 : 6), 1);
		break;
	case FIELD_SRC:
	case FIELD_DST:
		draft_payload(d, reg, L4, l3 + addr_offset(s->family, f), shape_field_len(s, f));
		break;
	case FIELD_SPORT:
		draft_payload(d, reg, L4, l4, 2);
		break;
	case FIELD_DPORT:
		draft_payload(d, reg, L4, l4 + 2, 2);
		break;
	case FIELD_COUNT:
		break;
	}
}

static void load_origin(struct draft *d, const struct shape *s, enum field f, uint32_t reg)
{
	switch (f) {
	case FIELD_PROTO:
		draft_ct(d, reg, NFT_CT_PROTOCOL);
		break;
	case FIELD_SRC:
		draft_ct(d, reg, s->family == 4 ? NFT_CT_SRC_IP : NFT_CT_SRC_IP6);
		break;
	case FIELD_DST:
		draft_ct(d, reg, s->family == 4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6);
		break;
	case FIELD_SPORT:
		draft_ct(d, reg, NFT_CT_PROTO_SRC);
		break;
	case FIELD_DPORT:
		draft_ct(d, reg, NFT_CT_PROTO_DST);
		break;
	case FIELD_COUNT:
		break;
	}
}

static void match_icmp_id(struct draft *d, uint16_t id)
{
	const uint16_t wanted = htons(id);

	draft_cmp(d, REG, NFT_CMP_EQ, &wanted, sizeof(wanted));
}

/* One rule: does the packet have one of the set's keys? */
static void add_match(struct probe_batch *b, const char *chain, const struct shape *s,
		      const char *set, bool backward, int verdict, const char *target)
{
	struct draft d = draft_begin(b, chain);
	uint8_t mask[16];
	uint32_t reg = REG;
	int f;

	match_family(&d, s->family);
	if (s->icmp_id) {
		draft_payload(&d, REG, L4, 4, 2);
		match_icmp_id(&d, s->icmp_id);
	}
	for (f = 0; f < FIELD_COUNT; f++) {
		if (!s->has[f])
			continue;
		load_header(&d, s, backward ? swapped((enum field)f) : (enum field)f, reg);
		if (shape_field_mask(s, (enum field)f, mask))
			draft_mask(&d, reg, mask, shape_field_len(s, (enum field)f));
		reg += shape_field_room(s, (enum field)f) / SHAPE_WORD;
	}
	draft_lookup(&d, REG, set);
	draft_verdict(&d, verdict, target);
	draft_end(&d);
}

static void begin_embedded(struct draft *d, const struct shape *s)
{
	match_icmp_error(d, s->family);
	if (s->family == 4) { /* a header without options, or the ports are elsewhere */
		draft_payload(d, REG, L4, 8, 1);
		draft_cmp8(d, REG, NFT_CMP_EQ, 0x45);
	}
	if (s->icmp_id) {
		draft_payload(d, REG, L4, 8 + (s->family == 4 ? 20 : 40) + 4, 2);
		match_icmp_id(d, s->icmp_id);
	}
}

static bool has_ports(const struct shape *s)
{
	return s->has[FIELD_SPORT] || s->has[FIELD_DPORT] || s->icmp_id;
}

/*
 * nft reads ports of a connection back only behind `meta l4proto`: they are left out where that is
 * ICMP.
 */
static void begin_origin(struct draft *d, const struct shape *s, const struct pattern *p,
			 enum form form)
{
	if (form == FORM_ORIGIN_OF_ERROR) {
		match_icmp_error(d, s->family);
		return;
	}
	match_family(d, s->family);
	if (has_ports(s))
		match_proto(d, p->proto);
	if (s->icmp_id) {
		draft_ct(d, REG, NFT_CT_PROTO_SRC); /* where conntrack keeps the id */
		match_icmp_id(d, s->icmp_id);
	}
}

static bool compares(const struct shape *s, enum field f, enum form form)
{
	if (!s->has[f])
		return false;
	if (form == FORM_ORIGIN_OF_ERROR)
		return f != FIELD_SPORT && f != FIELD_DPORT;
	return form != FORM_ORIGIN || f != FIELD_PROTO || !has_ports(s);
}

/*
 * One rule: does the pattern fit what stands at this place? Fields that nft could not name in a set
 * are compared singly.
 */
static void add_compare(struct probe_batch *b, const char *chain, const struct pattern *p,
			enum form form, const char *until, int verdict, const char *target)
{
	struct draft d = draft_begin(b, chain);
	const bool origin = form == FORM_ORIGIN || form == FORM_ORIGIN_OF_ERROR;
	struct shape s = shape_of(p);
	uint8_t mask[16], value[16];
	int f;

	if (origin)
		begin_origin(&d, &s, p, form);
	else
		begin_embedded(&d, &s);
	for (f = 0; f < FIELD_COUNT; f++) {
		uint32_t len = shape_field_len(&s, (enum field)f);

		if (!compares(&s, (enum field)f, form))
			continue;
		if (origin)
			load_origin(&d, &s, (enum field)f, REG);
		else
			load_embedded(&d, &s,
				      form == FORM_EMBEDDED ? (enum field)f
							    : swapped((enum field)f),
				      REG);
		if (shape_field_mask(&s, (enum field)f, mask))
			draft_mask(&d, REG, mask, len);
		shape_field(&s, p, (enum field)f, value);
		draft_cmp(&d, REG, NFT_CMP_EQ, value, len);
	}
	draft_meta(&d, REG, NFT_META_NFPROTO);
	draft_lookup(&d, REG, until);
	draft_verdict(&d, verdict, target);
	draft_end(&d);
}

/* All that can be told from the packet itself. */
static void add_headers(struct probe_batch *b, const char *chain, const struct probe_lease *l,
			const struct shape *shapes, uint32_t count, int verdict, const char *target)
{
	char set[PROBE_NAME_MAX], until[PROBE_NAME_MAX];
	uint32_t i;

	for (i = 0; i < count; i++) {
		set_name(set, l->id, i);
		add_match(b, chain, &shapes[i], set, false, verdict, target);
		add_match(b, chain, &shapes[i], set, true, verdict, target);
	}
	probe_name(until, 'o', l->id);
	for (i = 0; i < l->pattern_count; i++) {
		add_compare(b, chain, &l->patterns[i], FORM_EMBEDDED, until, verdict, target);
		add_compare(b, chain, &l->patterns[i], FORM_EMBEDDED_BACK, until, verdict, target);
	}
}

/* Tracing. */

static void add_trace(struct probe_batch *b, const char *chain, const struct probe_lease *l)
{
	struct draft d = draft_begin(b, chain);

	draft_limit(&d, l->rate);
	draft_counter(&d, 't', l->id);
	draft_trace(&d);
	draft_verdict(&d, NFT_RETURN, NULL);
	draft_end(&d);

	d = draft_begin(b, chain);
	draft_counter(&d, 'r', l->id);
	draft_end(&d);
}

static void add_control(struct probe_batch *b, const char *chain, const char *control)
{
	const uint8_t flags = TCP_FIN_SYN_RST, none = 0;
	struct draft d = draft_begin(b, chain);

	match_proto(&d, IPPROTO_TCP);
	draft_payload(&d, REG, L4, 13, 1);
	draft_mask(&d, REG, &flags, sizeof(flags));
	draft_cmp(&d, REG, NFT_CMP_NEQ, &none, sizeof(none));
	draft_verdict(&d, NFT_GOTO, control);
	draft_end(&d);

	d = draft_begin(b, chain);
	match_icmp_error(&d, 4);
	draft_verdict(&d, NFT_GOTO, control);
	draft_end(&d);

	d = draft_begin(b, chain);
	match_icmp_error(&d, 6);
	draft_verdict(&d, NFT_GOTO, control);
	draft_end(&d);
}

/* The same on every host that has the lease. */
static uint32_t sample_seed(uint64_t id)
{
	return ((uint32_t)(id ^ id >> 32) * UINT32_C(0x9e3779b1)) | 1;
}

/* Returns early with the packets of one protocol that the sample leaves out. */
static void add_sample(struct probe_batch *b, const char *chain, const struct probe_lease *l,
		       uint8_t family, uint8_t proto)
{
	static const struct {
		uint8_t proto;
		struct {
			uint32_t offset, len;
		} parts[2];
	} fields[] = {
		{ IPPROTO_TCP, { { 4, 8 }, { 12, 4 } } }, /* seq, ack; data offset, flags, window */
		{ IPPROTO_UDP, { { 4, 2 }, { 8, 4 } } },  /* length; payload */
		{ IPPROTO_ICMP, { { 0, 2 }, { 6, 2 } } }, /* type, code; sequence */
		{ IPPROTO_ICMPV6, { { 0, 2 }, { 6, 2 } } },
	};
	struct draft d = draft_begin(b, chain);
	const uint32_t none = 0;
	uint32_t i, k, reg = REG;

	match_family(&d, family);
	match_proto(&d, proto);
	if (family == 4)
		draft_payload(&d, reg, L3, 2, 4); /* total length, identification */
	else
		draft_payload(&d, reg, L3, 4, 2); /* payload length */
	reg++;
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].proto != proto)
			continue;
		for (k = 0; k < 2; k++) {
			draft_payload(&d, reg, L4, fields[i].parts[k].offset,
				      fields[i].parts[k].len);
			reg += (fields[i].parts[k].len + SHAPE_WORD - 1) / SHAPE_WORD;
		}
	}
	draft_hash(&d, REG, (reg - REG) * SHAPE_WORD, l->modulus, sample_seed(l->id));
	draft_cmp(&d, REG_SCRATCH, NFT_CMP_NEQ, &none, sizeof(none));
	draft_verdict(&d, NFT_RETURN, NULL);
	draft_end(&d);
}

static void add_jump(struct probe_batch *b, const char *chain, const char *target)
{
	struct draft d = draft_begin(b, chain);

	draft_verdict(&d, NFT_JUMP, target);
	draft_end(&d);
}

static void add_lease(struct probe_batch *b, const struct probe_lease *l, bool ct)
{
	char select[PROBE_NAME_MAX], chain[PROBE_NAME_MAX], control[PROBE_NAME_MAX],
		origin[PROBE_NAME_MAX], exclude[PROBE_NAME_MAX], set[PROBE_NAME_MAX],
		until[PROBE_NAME_MAX];
	struct shape shapes[PATTERNS_MAX];
	uint32_t i, count = shapes_of(shapes, l->patterns, l->pattern_count);
	struct draft d;

	probe_name(select, 's', l->id);
	probe_name(chain, 'l', l->id);
	probe_name(control, 'c', l->id);
	probe_name(origin, 'k', l->id);
	probe_name(exclude, 'x', l->id);
	probe_name(until, 'o', l->id);
	add_counter(b, 't', l->id);
	add_counter(b, 'r', l->id);
	add_chain(b, control, HOOK_NONE, 0);
	add_chain(b, chain, HOOK_NONE, 0);
	add_chain(b, select, HOOK_NONE, 0);

	add_trace(b, control, l);
	add_control(b, chain, control);
	if (l->modulus > 1) {
		add_sample(b, chain, l, 4, IPPROTO_TCP);
		add_sample(b, chain, l, 4, IPPROTO_UDP);
		add_sample(b, chain, l, 4, IPPROTO_ICMP);
		add_sample(b, chain, l, 6, IPPROTO_TCP);
		add_sample(b, chain, l, 6, IPPROTO_UDP);
		add_sample(b, chain, l, 6, IPPROTO_ICMPV6);
	}
	add_trace(b, chain, l);

	add_switch(b, l);
	for (i = 0; i < count; i++) {
		set_name(set, l->id, i);
		add_patterns(b, l, &shapes[i], set);
	}
	add_headers(b, select, l, shapes, count, NFT_GOTO, chain);
	add_jump(b, checkpoint_name(CHECKPOINT_PRE_FIRST), select);
	add_jump(b, checkpoint_name(CHECKPOINT_OUT_FIRST), select);
	if (!ct)
		return;

	add_chain(b, exclude, HOOK_NONE, 0);
	add_chain(b, origin, HOOK_NONE, 0);
	add_headers(b, exclude, l, shapes, count, NFT_RETURN, NULL);
	for (i = 0; i < l->pattern_count; i++) {
		const struct pattern *p = &l->patterns[i];

		add_compare(b, origin, p, FORM_ORIGIN, until, NFT_GOTO, exclude);
		if (p->src.len || p->dst.len)
			add_compare(b, origin, p, FORM_ORIGIN_OF_ERROR, until, NFT_GOTO, exclude);
	}
	d = draft_begin(b, exclude);
	draft_verdict(&d, NFT_GOTO, chain);
	draft_end(&d);
	add_jump(b, checkpoint_name(CHECKPOINT_PRE_CT), origin);
	add_jump(b, checkpoint_name(CHECKPOINT_OUT_CT), origin);
}

void probe_rules(struct probe_batch *b, const struct probe_lease *leases, uint32_t count, bool ct)
{
	static const struct {
		enum checkpoint id;
		bool ct;
	} bases[] = {
		{ CHECKPOINT_PRE_FIRST, false }, { CHECKPOINT_OUT_FIRST, false },
		{ CHECKPOINT_FWD_FIRST, false }, { CHECKPOINT_IN_FIRST, false },
		{ CHECKPOINT_IN_LAST, false },   { CHECKPOINT_POST_LAST, false },
		{ CHECKPOINT_PRE_CT, true },     { CHECKPOINT_OUT_CT, true },
	};
	uint32_t i;

	add_icmp_errors(b);
	for (i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		if (ct || !bases[i].ct)
			add_chain(b, checkpoint_name(bases[i].id), checkpoint_hook(bases[i].id),
				  checkpoint_priority(bases[i].id));
	for (i = 0; i < count; i++)
		add_lease(b, &leases[i], ct);
}
