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
/* May any rule or policy of this table's text end a packet? */
bool statements_drop(const char *text, size_t len);
