/*
 * One rule of the probe table while it is being written.
 */
#pragma once

#include <stdint.h>

#include <linux/netfilter/nf_tables.h>

#include "agent/helper/probe_batch.h"

struct nftnl_rule;

/* Where values are loaded; keys of several fields grow upwards from REG. */
enum { REG = NFT_REG32_00, REG_SCRATCH = NFT_REG32_15 };

/* Bases of payload. */
enum { L3 = NFT_PAYLOAD_NETWORK_HEADER, L4 = NFT_PAYLOAD_TRANSPORT_HEADER };

struct draft {
	struct probe_batch *b;   /* borrowed */
	struct nftnl_rule *rule; /* owned; NULL when memory is out, which the batch knows */
};

/* An empty rule at the end of chain. */
struct draft draft_begin(struct probe_batch *b, const char *chain);
/* Adds the rule to its batch. */
void draft_end(struct draft *d);
/* Loads len bytes at offset of a header into registers. A packet without them does not match. */
void draft_payload(struct draft *d, uint32_t reg, uint32_t base, uint32_t offset, uint32_t len);
/* Loads NFT_META_*. */
void draft_meta(struct draft *d, uint32_t reg, uint32_t key);
/* Loads NFT_CT_* of the direction that began the connection. */
void draft_ct(struct draft *d, uint32_t reg, uint32_t key);
/* Loads the connection's IPS_* bits. */
void draft_ct_status(struct draft *d, uint32_t reg);
/* Keeps the bits of mask. */
void draft_mask(struct draft *d, uint32_t reg, const void *mask, uint32_t len);
/* Goes on if the register compares so (NFT_CMP_*). */
void draft_cmp(struct draft *d, uint32_t reg, uint32_t op, const void *value, uint32_t len);
void draft_cmp8(struct draft *d, uint32_t reg, uint32_t op, uint8_t value);
/* Goes on if the set has the key that begins at reg. */
void draft_lookup(struct draft *d, uint32_t reg, const char *set);
/* Goes on for rate packets a second. */
void draft_limit(struct draft *d, uint32_t rate);
/* Counts in the lease's counter 't' or 'r'. */
void draft_counter(struct draft *d, char letter, uint64_t id);
/* From here on the kernel traces the packet. */
void draft_trace(struct draft *d);
/* Puts 0..modulus-1 into REG_SCRATCH, by the content of len bytes from reg on. */
void draft_hash(struct draft *d, uint32_t reg, uint32_t len, uint32_t modulus, uint32_t seed);
/* Ends the rule: NFT_RETURN, or NFT_JUMP and NFT_GOTO to a chain of ours. */
void draft_verdict(struct draft *d, int verdict, const char *chain);
