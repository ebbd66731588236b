/*
 * Whether a rule of `nft list` can match a packet, as far as addresses, protocol, ports and interfaces tell: alone, in sets and
 * verdict maps, concatenated, named ones included where the table's text has their elements.
 */
#pragma once

#include "common/table.h"

struct nft_packet {
	uint8_t ip_version;
	const struct tuple *tuple;
	const char *in_if, *out_if; /* "" none, or not known */
};

struct nft_match {
	bool never;   /* it certainly does not match */
	bool certain; /* it does, and its verdict is met */
	/* Where a verdict map decided for certain: its element's verdict ("drop", "jump x"); borrowed. NULL: none did. */
	const char *verdict;
	size_t verdict_len;
};

struct nft_match nft_match(const struct table *t, const struct rule_text *rule,
			   const struct nft_packet *p);
