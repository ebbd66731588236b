/*
 * The way of a packet through the table. pre_first and out_first jump, for each lease, to its chain
 * s_ID; of a single lease its rules stand in them, which saves every packet the jump.
 *
 *   s_ID   compares the packet with the patterns, forward and backward, by its own headers; what
 *          matches goes to l_ID. A few patterns are compared one by one, in force while o_ID has
 *          elements; many are looked up in the sets m_ID_N.
 *   e_ID   the same by the headers that an ICMP error embeds; what matches goes to c_ID.
 *   k_ID   after conntrack, the same by the addresses that a translated connection began with (only
 *          where something translates); x_ID leaves out what s_ID and e_ID have had already.
 *   l_ID   lets TCP's SYN, FIN, RST and ICMP errors to c_ID, samples the others by content, and
 *          traces what is left up to the lease's rate; t_ID counts what is traced, r_ID what the
 *          rate refused.
 *   c_ID   traces control packets, up to a rate of their own.
 *
 * Every packet of the host passes the first of these, most of them without a match: what tells
 * strangers apart soonest stands first, and a rule that no packet of the lease can need is left out.
 *
 * Everything can be listed by nft and read back: a ruleset that somebody saves meanwhile must load
 * again. Nothing in here gives a verdict on a packet. An expression that cannot load its field ends
 * its rule only.
 */
#include "agent/helper/probe_rules.h"

#include <netinet/in.h> /* before the kernel's, which know how to follow it */
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "agent/helper/draft.h"
#include "agent/helper/probe_match.h"
#include "agent/helper/shape.h"
#include "common/journey.h"

enum { TCP_FIN_SYN_RST = 0x07 };

/* Up to here comparing patterns one by one costs a packet less than looking them up in sets. */
enum { COMPARED_MAX = 4 };

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

/* What a packet of the lease can be. */
static bool lease_has(const struct probe_lease *l, uint8_t family, uint8_t proto)
{
	uint32_t i;

	for (i = 0; i < l->pattern_count; i++)
		if (l->patterns[i].family == family &&
		    (l->patterns[i].proto == proto || l->patterns[i].proto == 0))
			return true;
	return false;
}

static bool lease_has_family(const struct probe_lease *l, uint8_t family)
{
	uint32_t i;

	for (i = 0; i < l->pattern_count; i++)
		if (l->patterns[i].family == family)
			return true;
	return false;
}

/* By the packet's own headers. */
static void add_headers(struct probe_batch *b, const char *chain, const struct probe_lease *l,
			const struct shape *shapes, uint32_t count, int verdict, const char *target)
{
	char set[PROBE_NAME_MAX], until[PROBE_NAME_MAX];
	uint32_t i;

	for (i = 0; i < count; i++) {
		set_name(set, l->id, i);
		match_shape(b, chain, &shapes[i], set, false, verdict, target);
		match_shape(b, chain, &shapes[i], set, true, verdict, target);
	}
	if (count > 0)
		return;
	probe_name(until, 'o', l->id);
	for (i = 0; i < l->pattern_count; i++) {
		match_pattern(b, chain, &l->patterns[i], FORM_HEADER, until, verdict, target);
		match_pattern(b, chain, &l->patterns[i], FORM_HEADER_BACK, until, verdict, target);
	}
}

/* By what an ICMP error embeds. */
static void add_embedded(struct probe_batch *b, const char *chain, const struct probe_lease *l,
			 int verdict, const char *target)
{
	char until[PROBE_NAME_MAX];
	uint32_t i;

	probe_name(until, 'o', l->id);
	for (i = 0; i < l->pattern_count; i++) {
		match_pattern(b, chain, &l->patterns[i], FORM_EMBEDDED, until, verdict, target);
		match_pattern(b, chain, &l->patterns[i], FORM_EMBEDDED_BACK, until, verdict,
			      target);
	}
}

/* Sends ICMP errors to a chain of their own. */
static void add_errors(struct probe_batch *b, const char *chain, uint8_t family, const char *target)
{
	struct draft d = draft_begin(b, chain);

	match_icmp_error(&d, family);
	draft_verdict(&d, NFT_GOTO, target);
	draft_end(&d);
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

static void add_control(struct probe_batch *b, const char *chain, const struct probe_lease *l,
			const char *control)
{
	const uint8_t flags = TCP_FIN_SYN_RST, none = 0;
	struct draft d;

	if (lease_has(l, 4, IPPROTO_TCP) || lease_has(l, 6, IPPROTO_TCP)) {
		d = draft_begin(b, chain);
		match_proto(&d, IPPROTO_TCP);
		draft_payload(&d, REG, L4, 13, 1);
		draft_mask(&d, REG, &flags, sizeof(flags));
		draft_cmp(&d, REG, NFT_CMP_NEQ, &none, sizeof(none));
		draft_verdict(&d, NFT_GOTO, control);
		draft_end(&d);
	}
	if (lease_has(l, 4, IPPROTO_ICMP))
		add_errors(b, chain, 4, control);
	if (lease_has(l, 6, IPPROTO_ICMPV6))
		add_errors(b, chain, 6, control);
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
	const uint32_t none = 0;
	uint32_t i, k, reg = REG;
	struct draft d;

	if (!lease_has(l, family, proto))
		return;
	d = draft_begin(b, chain);
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

/* The packets that are the lease's, by what stands in them. */
static void add_selection(struct probe_batch *b, const char *chain, const struct probe_lease *l,
			  const struct shape *shapes, uint32_t count)
{
	char sample[PROBE_NAME_MAX], embedded[PROBE_NAME_MAX];

	probe_name(sample, 'l', l->id);
	probe_name(embedded, 'e', l->id);
	add_headers(b, chain, l, shapes, count, NFT_GOTO, sample);
	if (lease_has_family(l, 4))
		add_errors(b, chain, 4, embedded);
	if (lease_has_family(l, 6))
		add_errors(b, chain, 6, embedded);
}

/* The same for connections whose packets bear other addresses than their first did. */
static void add_origins(struct probe_batch *b, const char *chain, const struct probe_lease *l)
{
	const uint32_t translated = IPS_SRC_NAT | IPS_DST_NAT, none = 0;
	char exclude[PROBE_NAME_MAX], until[PROBE_NAME_MAX];
	struct draft d = draft_begin(b, chain);
	uint32_t i;

	/* Of all others the headers have said everything. */
	draft_ct_status(&d, REG);
	draft_mask(&d, REG, &translated, sizeof(translated));
	draft_cmp(&d, REG, NFT_CMP_EQ, &none, sizeof(none));
	draft_verdict(&d, NFT_RETURN, NULL);
	draft_end(&d);
	probe_name(exclude, 'x', l->id);
	probe_name(until, 'o', l->id);
	for (i = 0; i < l->pattern_count; i++) {
		const struct pattern *p = &l->patterns[i];

		match_pattern(b, chain, p, FORM_ORIGIN, until, NFT_GOTO, exclude);
		if (p->src.len || p->dst.len)
			match_pattern(b, chain, p, FORM_ORIGIN_OF_ERROR, until, NFT_GOTO, exclude);
	}
}

/* What the headers have selected already is left out. */
static void add_exclusion(struct probe_batch *b, const struct probe_lease *l,
			  const struct shape *shapes, uint32_t count)
{
	char exclude[PROBE_NAME_MAX], sample[PROBE_NAME_MAX], control[PROBE_NAME_MAX];
	struct draft d;

	probe_name(exclude, 'x', l->id);
	probe_name(sample, 'l', l->id);
	probe_name(control, 'c', l->id);
	add_chain(b, exclude, HOOK_NONE, 0);
	add_headers(b, exclude, l, shapes, count, NFT_RETURN, NULL);
	add_embedded(b, exclude, l, NFT_RETURN, NULL);
	add_errors(b, exclude, 4, control);
	add_errors(b, exclude, 6, control);
	d = draft_begin(b, exclude);
	draft_verdict(&d, NFT_GOTO, sample);
	draft_end(&d);
}

/* The chains that trace what was selected, and what they name. */
static void add_tracing(struct probe_batch *b, const struct probe_lease *l,
			const struct shape *shapes, uint32_t count)
{
	char sample[PROBE_NAME_MAX], control[PROBE_NAME_MAX], embedded[PROBE_NAME_MAX],
		set[PROBE_NAME_MAX];
	uint32_t i;

	probe_name(embedded, 'e', l->id);
	probe_name(sample, 'l', l->id);
	probe_name(control, 'c', l->id);
	add_counter(b, 't', l->id);
	add_counter(b, 'r', l->id);
	add_chain(b, control, HOOK_NONE, 0);
	add_chain(b, sample, HOOK_NONE, 0);
	add_chain(b, embedded, HOOK_NONE, 0);
	add_switch(b, l);
	for (i = 0; i < count; i++) {
		set_name(set, l->id, i);
		add_patterns(b, l, &shapes[i], set);
	}
	add_trace(b, control, l);
	add_control(b, sample, l, control);
	if (l->modulus > 1) {
		add_sample(b, sample, l, 4, IPPROTO_TCP);
		add_sample(b, sample, l, 4, IPPROTO_UDP);
		add_sample(b, sample, l, 4, IPPROTO_ICMP);
		add_sample(b, sample, l, 6, IPPROTO_TCP);
		add_sample(b, sample, l, 6, IPPROTO_UDP);
		add_sample(b, sample, l, 6, IPPROTO_ICMPV6);
	}
	add_trace(b, sample, l);
	add_embedded(b, embedded, l, NFT_GOTO, control);
}

/* alone: it needs no chains between which the base chains would have to jump. */
static void add_lease(struct probe_batch *b, const struct probe_lease *l, bool origins, bool alone)
{
	const char *pre = checkpoint_name(CHECKPOINT_PRE_FIRST),
		   *pre_ct = checkpoint_name(CHECKPOINT_PRE_CT);
	const char *out = checkpoint_name(CHECKPOINT_OUT_FIRST),
		   *out_ct = checkpoint_name(CHECKPOINT_OUT_CT);
	char select[PROBE_NAME_MAX], origin[PROBE_NAME_MAX];
	struct shape shapes[PATTERNS_MAX];
	uint32_t count = 0;

	probe_name(select, 's', l->id);
	probe_name(origin, 'k', l->id);
	if (l->pattern_count > COMPARED_MAX)
		count = shapes_of(shapes, l->patterns, l->pattern_count);
	add_tracing(b, l, shapes, count);
	if (origins)
		add_exclusion(b, l, shapes, count);
	if (alone) {
		add_selection(b, pre, l, shapes, count);
		add_selection(b, out, l, shapes, count);
	} else {
		add_chain(b, select, HOOK_NONE, 0);
		add_selection(b, select, l, shapes, count);
		add_jump(b, pre, select);
		add_jump(b, out, select);
	}
	if (origins && alone) {
		add_origins(b, pre_ct, l);
		add_origins(b, out_ct, l);
	} else if (origins) {
		add_chain(b, origin, HOOK_NONE, 0);
		add_origins(b, origin, l);
		add_jump(b, pre_ct, origin);
		add_jump(b, out_ct, origin);
	}
}

void probe_rules(struct probe_batch *b, const struct probe_lease *leases, uint32_t count,
		 const struct probe_site *site)
{
	const struct {
		enum checkpoint id;
		bool wanted;
	} bases[] = {
		{ CHECKPOINT_PRE_FIRST, true },       { CHECKPOINT_OUT_FIRST, true },
		{ CHECKPOINT_IN_FIRST, true },        { CHECKPOINT_FWD_FIRST, site->forward },
		{ CHECKPOINT_IN_LAST, true },         { CHECKPOINT_POST_LAST, true },
		{ CHECKPOINT_PRE_CT, site->origins }, { CHECKPOINT_OUT_CT, site->origins },
	};
	uint32_t i;

	add_icmp_errors(b);
	for (i = 0; i < sizeof(bases) / sizeof(bases[0]); i++)
		if (bases[i].wanted)
			add_chain(b, checkpoint_name(bases[i].id), checkpoint_hook(bases[i].id),
				  checkpoint_priority(bases[i].id));
	for (i = 0; i < count; i++)
		add_lease(b, &leases[i], site->origins, count == 1);
}
