/*
 * What a step was: the rule, policy or return behind the number that the kernel printed, read from the table as it
 * stood at that moment.
 */
#pragma once

#include "collector/diagnose/diagnose.h"
#include "collector/stitch/path.h"

/* One question being answered. */
struct inquiry {
	const struct where_ask *ask;
	struct fleet *fleet;
	struct arena *arena;
	struct where_need *need;
	struct wall_ns
		whole_from; /* of packets before that, journeys may be left out (0: of none) */
	struct suspects_memo *memo; /* suspects.h; NULL: nothing is remembered */
};

enum resolved_kind {
	RESOLVED_UNKNOWN,
	RESOLVED_RULE,
	RESOLVED_POLICY,
	RESOLVED_RETURN,
	RESOLVED_CHECKPOINT,
	RESOLVED_LOG,
	RESOLVED_KERNEL
};

struct resolved {
	enum resolved_kind kind;
	uint32_t number;                  /* the rule's position; 0: not known, or none */
	const char *text;                 /* of the rule, or "-P CHAIN POLICY"; NULL unknown */
	struct rule rule;                 /* kind RULE: its parsed text */
	bool is_jump;                     /* its target is a chain of the table */
	char policy[16];                  /* kind POLICY */
	const struct stored_table *table; /* the content it was read in; NULL none */
	const char *chain;                /* kind LOG: of the rule that logged it; NULL not known */
	bool sure;                        /* that content was read before and after the step */
	bool unchecked; /* one more read of the host's tables would make it sure */
	const char *
		reason; /* why kind or number is not known: "ruleset-changed", "no-ruleset", "ruleset-mismatch" */
	bool may_drop; /* RULESET_CHANGED: under at least one content the packet ended here */
};

/* The answer would be firmer if the host told once more how its tables stand. */
void need_read(const struct inquiry *q, uint64_t host);
void resolve_step(struct resolved *out, const struct inquiry *q, const struct hop *h,
		  const struct step *s);
/* What the step did with the packet, as far as rule or verdict tell. */
enum step_verdict resolved_verdict(const struct resolved *r, const struct step *s);
/* What the step's table is of: a trace of nftables does not tell which program made it. */
enum backend resolved_backend(const struct resolved *r, const struct step *s);
/* The target in the words of iptables; NULL unknown. */
const char *resolved_target(const struct resolved *r);
