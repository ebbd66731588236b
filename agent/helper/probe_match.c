/*
 * Two ways to ask whether a packet has what a pattern fixes: its fields, concatenated, are looked up in a set of keys, or
 * compared one by one. Fields that nft could not name in a set are always compared.
 */
#include "agent/helper/probe_match.h"

#include <arpa/inet.h>
#include <netinet/in.h> /* before the kernel's, which know how to follow it */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>

void match_family(struct draft *d, uint8_t family)
{
	draft_meta(d, REG, NFT_META_NFPROTO);
	draft_cmp8(d, REG, NFT_CMP_EQ, family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
}

void match_proto(struct draft *d, uint8_t proto)
{
	draft_meta(d, REG, NFT_META_L4PROTO);
	draft_cmp8(d, REG, NFT_CMP_EQ, proto);
}

void match_icmp_error(struct draft *d, uint8_t family)
{
	match_proto(d, family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	match_family(d, family);
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

void match_shape(struct probe_batch *b, const char *chain, const struct shape *s, const char *set,
		 bool backward, int verdict, const char *target)
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

static void load(struct draft *d, const struct shape *s, enum field f, enum form form)
{
	switch (form) {
	case FORM_HEADER:
		load_header(d, s, f, REG);
		break;
	case FORM_HEADER_BACK:
		load_header(d, s, swapped(f), REG);
		break;
	case FORM_EMBEDDED:
		load_embedded(d, s, f, REG);
		break;
	case FORM_EMBEDDED_BACK:
		load_embedded(d, s, swapped(f), REG);
		break;
	case FORM_ORIGIN:
	case FORM_ORIGIN_OF_ERROR:
		load_origin(d, s, f, REG);
		break;
	}
}

static void begin(struct draft *d, const struct shape *s, const struct pattern *p, enum form form)
{
	switch (form) {
	case FORM_HEADER:
	case FORM_HEADER_BACK:
		break;
	case FORM_EMBEDDED:
	case FORM_EMBEDDED_BACK:
		begin_embedded(d, s);
		break;
	case FORM_ORIGIN:
	case FORM_ORIGIN_OF_ERROR:
		begin_origin(d, s, p, form);
		break;
	}
}

void match_pattern(struct probe_batch *b, const char *chain, const struct pattern *p,
		   enum form form, const char *until, int verdict, const char *target)
{
	/* What few other packets have comes first. */
	static const enum field src_first[FIELD_COUNT] = { FIELD_SRC, FIELD_DST, FIELD_SPORT,
							   FIELD_DPORT, FIELD_PROTO };
	static const enum field dst_first[FIELD_COUNT] = { FIELD_DST, FIELD_SRC, FIELD_SPORT,
							   FIELD_DPORT, FIELD_PROTO };
	const enum field *order = p->dst.len > p->src.len ? dst_first : src_first;
	struct draft d = draft_begin(b, chain);
	struct shape s = shape_of(p);
	uint8_t mask[16], value[16];
	int i;

	begin(&d, &s, p, form);
	for (i = 0; i < FIELD_COUNT; i++) {
		uint32_t len = shape_field_len(&s, order[i]);

		if (!compares(&s, order[i], form))
			continue;
		load(&d, &s, order[i], form);
		if (shape_field_mask(&s, order[i], mask))
			draft_mask(&d, REG, mask, len);
		shape_field(&s, p, order[i], value);
		draft_cmp(&d, REG, NFT_CMP_EQ, value, len);
	}
	if (form == FORM_HEADER || form == FORM_HEADER_BACK) {
		match_family(&d, s.family);
		if (s.icmp_id) {
			draft_payload(&d, REG, L4, 4, 2);
			match_icmp_id(&d, s.icmp_id);
		}
	}
	draft_meta(&d, REG, NFT_META_NFPROTO);
	draft_lookup(&d, REG, until);
	draft_verdict(&d, verdict, target);
	draft_end(&d);
}
