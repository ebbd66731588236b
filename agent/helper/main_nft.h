/*
 * The reader of nftables' rules, `lasthop-helper --dump nft`: a short-lived process, because it asks other programs.
 */
#pragma once

/*
 * Writes every nftables table that exists here, but ours, to stdout, a file, as struct ruleset_part and text, each followed
 * by one with its rules' handles. Exit status.
 */
int dump_nft_main(void);
