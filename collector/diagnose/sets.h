/*
 * Ipsets in rules: was a packet in the set that a rule names, at that moment? Three answers, and never one from members that may
 * have been others by then.
 */
#pragma once

#include "collector/diagnose/resolve.h"
#include "common/ipset.h"

/* Where a rule met the packet. */
struct set_place {
	const struct inquiry *q;
	const struct hop *hop;
	const struct tuple *tuple;
	enum hook hook;
	struct wall_ns at;
	bool kernel_time; /* else it may have been somewhat earlier */
};

/* What is known of one of a rule's sets. */
struct set_word {
	enum set_answer answer;           /* does the match hold? */
	const char *why;                  /* UNKNOWN: in words; else NULL */
	const struct stored_table *table; /* whose members decided; NULL: nobody's */
	const struct ipset *set;          /* its members */
	struct set_found found;
	/* The member of a list that has the entry, as found.list names it; NULL: no list. */
	const struct stored_table *member;
};

void set_ask(struct set_word *w, const struct set_place *p, const struct rule_set *use);
/* All sets that the rule matches by: NO if one does not hold, YES if all do. */
enum set_answer sets_ask(const struct set_place *p, const struct rule *r);
