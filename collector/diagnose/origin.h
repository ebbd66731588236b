/*
 * The origin of a rule: the change that brought it. A later change of the same table that left it alone is not its origin.
 */
#pragma once

#include "collector/diagnose/resolve.h"

struct origin_of_rule {
	struct wall_ns since,
		before; /* first read that showed it, last one that did not; 0: it stood before the first read */
	const struct stored_table *by; /* whose authors brought it; NULL: not known */
};

/*
 * Walks back through the contents of t's table as long as one with this rule (number 0: the policy; text as in struct
 * resolved) in this chain follows the other, at most ORIGIN_MAX of them; beyond, the rule is older than what is told. Contents are
 * aligned by what they have in common at their beginning and end; where copies of the rule came or went so that nobody can
 * say which one it is, or a content is not known, it is not told who brought it.
 */
enum { ORIGIN_MAX = 48 };
void origin_find(struct origin_of_rule *out, const struct inquiry *q, const struct stored_table *t,
		 const char *chain, uint32_t number, const char *text);
