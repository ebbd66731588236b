/*
 * What nftables has in the calling thread's namespace, without its rules' contents: tables, and the handles of their rules chain by
 * chain, in order. Nothing is asked where nf_tables is not loaded, since asking would load it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

enum { NFT_TABLES_MAX = 256, NFT_NAME_MAX = 256 };

struct nft_table {
	uint8_t nfproto;
	char name[NFT_NAME_MAX];
	struct buf
		handles; /* "chain NAME", then a line for each rule's handle; nftlist_handles() fills it */
};

struct nftlist {
	struct nft_table *tables; /* owned; without our own */
	uint32_t count;
};

/* Does the kernel have nf_tables loaded? */
bool nft_present(void);
/* The number that every change of any table raises; 0 where nf_tables is not loaded. 0 or -errno. */
int nft_generation(uint32_t *out);
/* 0 or -errno. */
int nftlist_read(struct nftlist *l);
/* Reads the handles of all tables. 0 or -errno. */
int nftlist_handles(struct nftlist *l);
void nftlist_clear(struct nftlist *l);
