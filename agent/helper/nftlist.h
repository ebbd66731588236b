/*
 * What nftables has in the calling thread's namespace, without its rules' contents: tables, and the handles of their rules chain by
 * chain, in order. Nothing is asked where nf_tables is not loaded, since asking would load it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

/* Each table is two parts of a ruleset's memfd, beside those of ten legacy tables. */
enum { NFT_TABLES_MAX = 120, NFT_NAME_MAX = 256 };

struct nft_table {
	uint8_t nfproto;
	char name[NFT_NAME_MAX];
	uint64_t handle; /* of the table: one that is made anew has another; 0: not told */
	struct buf
		handles; /* "table HANDLE", then for each chain "chain NAME" and a line for each rule's handle; nftlist_handles() fills it */
};

struct nftlist {
	struct nft_table *tables; /* owned; without our own */
	uint32_t count;
	uint32_t left_out; /* more than we hold, or with names that are not readable */
};

/*
 * May a table of this name be asked of nft, which takes its arguments for a line of its language? Over netlink names may be made
 * of any letters, and would be read as other commands. Also bounded as ours are.
 */
bool nft_readable(const char *name);

/* Does the kernel have nf_tables loaded? */
bool nft_present(void);
/* The number that every change of any table raises; 0 where nf_tables is not loaded. 0 or -errno. */
int nft_generation(uint32_t *out);
/* 0 or -errno. */
int nftlist_read(struct nftlist *l);
/* Reads the handles of all tables. 0 or -errno. */
int nftlist_handles(struct nftlist *l);
void nftlist_clear(struct nftlist *l);
