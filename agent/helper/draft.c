/*
 * Each function adds one expression. When memory is out the draft goes on as if nothing had
 * happened, and the batch, which remembers, is never sent.
 */
#include "agent/helper/draft.h"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>

#include "common/journey.h"

static struct nftnl_expr *expr(struct draft *d, const char *name)
{
	struct nftnl_expr *e = d->rule ? nftnl_expr_alloc(name) : NULL;

	if (!e) {
		probe_failed(d->b);
		return NULL;
	}
	nftnl_rule_add_expr(d->rule, e);
	return e;
}

struct draft draft_begin(struct probe_batch *b, const char *chain)
{
	struct draft d = { .b = b, .rule = nftnl_rule_alloc() };

	if (!d.rule) {
		probe_failed(b);
		return d;
	}
	nftnl_rule_set_u32(d.rule, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(d.rule, NFTNL_RULE_TABLE, PROBE_TABLE);
	nftnl_rule_set_str(d.rule, NFTNL_RULE_CHAIN, chain);
	return d;
}

void draft_end(struct draft *d)
{
	char room[MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *nlh;

	if (!d->rule)
		return;
	nlh = probe_message(d->b, room, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	nftnl_rule_nlmsg_build_payload(nlh, d->rule);
	probe_add(d->b, nlh);
	nftnl_rule_free(d->rule);
	d->rule = NULL;
}

void draft_payload(struct draft *d, uint32_t reg, uint32_t base, uint32_t offset, uint32_t len)
{
	struct nftnl_expr *e = expr(d, "payload");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
}

void draft_meta(struct draft *d, uint32_t reg, uint32_t key)
{
	struct nftnl_expr *e = expr(d, "meta");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
}

void draft_ct(struct draft *d, uint32_t reg, uint32_t key)
{
	struct nftnl_expr *e = expr(d, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
}

void draft_ct_status(struct draft *d, uint32_t reg)
{
	struct nftnl_expr *e = expr(d, "ct");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_STATUS);
}

void draft_mask(struct draft *d, uint32_t reg, const void *mask, uint32_t len)
{
	static const uint8_t zero[16];
	struct nftnl_expr *e = expr(d, "bitwise");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, len);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero, len);
}

void draft_cmp(struct draft *d, uint32_t reg, uint32_t op, const void *value, uint32_t len)
{
	struct nftnl_expr *e = expr(d, "cmp");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, value, len);
}

void draft_cmp8(struct draft *d, uint32_t reg, uint32_t op, uint8_t value)
{
	draft_cmp(d, reg, op, &value, sizeof(value));
}

void draft_lookup(struct draft *d, uint32_t reg, const char *set)
{
	struct nftnl_expr *e = expr(d, "lookup");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, reg);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

void draft_limit(struct draft *d, uint32_t rate)
{
	const uint32_t least_burst = 5;
	struct nftnl_expr *e = expr(d, "limit");

	if (!e)
		return;
	nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_RATE, rate);
	nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_UNIT, 1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_BURST, rate > least_burst ? rate : least_burst);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(e, NFTNL_EXPR_LIMIT_FLAGS, 0);
}

void draft_counter(struct draft *d, char letter, uint64_t id)
{
	struct nftnl_expr *e = expr(d, "objref");
	char name[PROBE_NAME_MAX];

	if (!e)
		return;
	probe_name(name, letter, id);
	nftnl_expr_set_u32(e, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	nftnl_expr_set_str(e, NFTNL_EXPR_OBJREF_IMM_NAME, name);
}

void draft_trace(struct draft *d)
{
	struct nftnl_expr *value = expr(d, "immediate"), *e = expr(d, "meta");
	const uint8_t on = 1;

	if (!value || !e)
		return;
	nftnl_expr_set_u32(value, NFTNL_EXPR_IMM_DREG, REG);
	nftnl_expr_set(value, NFTNL_EXPR_IMM_DATA, &on, sizeof(on));
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_NFTRACE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, REG);
}

void draft_hash(struct draft *d, uint32_t reg, uint32_t len, uint32_t modulus, uint32_t seed)
{
	struct nftnl_expr *e = expr(d, "hash");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SREG, reg);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_DREG, REG_SCRATCH);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_LEN, len);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_MODULUS, modulus);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SEED, seed);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS);
}

void draft_verdict(struct draft *d, int verdict, const char *chain)
{
	struct nftnl_expr *e = expr(d, "immediate");

	if (!e)
		return;
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	if (chain)
		nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}
