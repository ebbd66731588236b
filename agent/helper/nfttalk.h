/*
 * One conversation with nftables over netlink: reading only. Whoever begins it makes sure that nf_tables is loaded, since asking
 * would load it.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

enum { NFT_ASK_MAX = 1 << 10 };

struct nfttalk {
	int sock; /* owned; -1 none */
	uint32_t seq;
	char *answer; /* owned */
};

/* 0 or -errno. */
int nfttalk_open(struct nfttalk *t);
/* The start of a request (NFT_MSG_*) in room, NFT_ASK_MAX bytes. */
struct nlmsghdr *nfttalk_message(struct nfttalk *t, char *room, uint16_t type, uint16_t flags,
				 uint8_t nfproto);
/*
 * Sends it and hands each answer to cb(nlh, arg). 0; -EINTR: the ruleset changed under a dump; -ECANCELED: cb said
 * MNL_CB_ERROR; -errno.
 */
int nfttalk_ask(struct nfttalk *t, const struct nlmsghdr *nlh, mnl_cb_t cb, void *arg);
/* The number that every change of any table raises. 0 or -errno. */
int nfttalk_generation(struct nfttalk *t, uint32_t *out);
void nfttalk_close(struct nfttalk *t);
/* FAMILY_* of a table; FAMILY_NONE for what has no name with us. */
uint32_t nft_family(uint8_t nfproto);
