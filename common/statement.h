/*
 * What a rule of `nft list` does in the end, in the words that iptables has for it.
 */
#pragma once

#include "common/table.h"

/*
 * Fills r->target ("ACCEPT", "DROP", "REJECT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "QUEUE", "RETURN", or the chain of a jump or
 * goto), r->is_goto, r->reject_with and r->comment; everything else of a native rule counts as r->other. *jump: the target
 * is a chain. A rule without an end of its own has no target.
 */
void statement_parse(struct rule *r, bool *jump, const char *text, size_t len);
/*
 * The same, and of a translation what a plan can use: addresses, ports, protocol and interfaces that must be so, and r->to_*. What
 * maps and sets say is left open.
 */
void statement_translation(struct rule *r, bool *jump, const char *text, size_t len);

/* How a rule may end a packet that it matches, in whatever order its words are. */
struct statement_ends {
	bool drops;   /* it drops or rejects, or an element of its verdict map does */
	bool unclear; /* something else than its text decides: a named map, a program (queue), synproxy, another firewall's extension */
	bool always; /* it has no match: every packet that comes here meets its verdict, and none goes on */
	bool counted; /* it has a counter of its own */
};

struct statement_ends statement_ends(const char *text, size_t len);

/* What a rule logs to a group of NFLOG; the prefix is borrowed from its text, and not ended. */
struct log_words {
	uint16_t group;
	const char *prefix;
	size_t prefix_len;
};

/* False: it does not log, or to the kernel's own log. */
bool statement_log(struct log_words *out, const char *text, size_t len);
/* The next chain that it jumps or goes to from *at on, in maps, too. False: there is none. */
bool statement_jump(const char **at, const char *end, char chain[static CHAIN_NAME_MAX + 1]);
