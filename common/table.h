/*
 * The text of one table, as iptables-save prints it, cut into chains and rules. What rule 3 of FORWARD
 * is, is asked here and nowhere else.
 */
#pragma once

#include "common/addr.h"
#include "common/journey.h"

struct rule_text {
	const char *text; /* "-A FORWARD -p tcp -j ACCEPT"; borrowed from the table */
	uint32_t len;
};

struct chain {
	char name[CHAIN_NAME_MAX + 1];
	char policy[16];       /* "ACCEPT", "DROP"; "-" for user chains */
	uint8_t hook;          /* enum hook, of nft's base chains; HOOK_NONE */
	bool nat;              /* of nft's type nat */
	struct rule_text base; /* nft: "type filter hook input ..."; len 0: no base chain */
	uint32_t rule_count;
	struct rule_text *rules; /* rules[n - 1] is rule n */
};

struct table {
	char name[TABLE_NAME_MAX + 1];
	bool native; /* nft's text */
	uint32_t chain_count;
	struct chain *chains; /* in the text's order */
	char *text;           /* owned, as given */
};

/* Parses text[0..len). 0, -EBADMSG for what is not iptables-save text of one table, -ENOMEM. */
int table_parse(struct table *t, const char *text, size_t len);
/*
 * The same for what `nft list table` prints. A rule's text is its line; the policy of a chain at a hook is "accept" or "drop".
 */
int table_parse_nft(struct table *t, const char *text, size_t len);
/* By the backend that the text is of. */
int table_parse_as(struct table *t, enum backend backend, const char *text, size_t len);
void table_clear(struct table *t);
const struct chain *table_chain(const struct table *t, const char *chain);
/* Rule number of chain, 1-based; NULL when there is none (the policy or the end of a user chain). */
const struct rule_text *chain_rule(const struct chain *c, uint32_t number);
/* For those who cut a text: its next rule; *cap: for how many there is room. 0 or -ENOMEM. */
int chain_add_rule(struct chain *c, uint32_t *cap, const char *text, size_t len);

/* The same for what `ipset save` prints of one set: its lines are the rules of one chain. */
int table_parse_set(struct table *t, const char *text, size_t len);

enum { RULE_ARGS_MAX = 128, RULE_SETS_MAX = 4, SET_FLAGS_MAX = 6 };

/* An ipset that a rule names: -m set --match-set, or what -j SET adds to, removes from or maps by. */
struct rule_set {
	char name[SET_NAME_MAX + 1];
	uint8_t count;   /* of src, dst */
	uint8_t sources; /* bit i: the i-th is src */
	bool negate;
	bool vague;  /* options that ask for more than membership */
	bool target; /* of -j SET */
};

/* What a rule's text says, as far as NAT, targets and addresses go; everything else is in `other`. */
struct rule {
	struct rule_prefix {
		struct prefix prefix;
		bool negate;
	} src, dst; /* len 0: any */
	uint8_t proto;
	bool proto_negate; /* 0: any */
	struct {
		uint16_t from, to;
	} sports[16], dports[16];
	uint8_t sport_count, dport_count;
	bool sport_negate, dport_negate; /* 0: any */
	char in_if[IFNAME_MAX + 2], out_if[IFNAME_MAX + 2];
	bool in_negate, out_negate;
	bool other;  /* there are matches that the fields above do not hold */
	bool unread; /* ... and neither do sets */
	struct rule_set sets[RULE_SETS_MAX];
	uint8_t set_count;
	char comment[257];
	char target[CHAIN_NAME_MAX + 1]; /* "" when the rule has none */
	bool is_goto;
	char reject_with[32]; /* REJECT */
	/* NFLOG: */
	uint16_t log_group;
	char log_prefix[LOG_PREFIX_MAX + 1];
	/* DNAT, SNAT, NETMAP, REDIRECT, MASQUERADE: "--to-destination", "--to-source", "--to", "--to-ports". */
	struct addr to_from, to_until;        /* family 0: none */
	uint16_t to_port_from, to_port_until; /* 0: none */
	struct prefix to_net;                 /* NETMAP */
};

/* Splits and reads one rule's text. -EBADMSG when its quoting is broken. */
int rule_parse(struct rule *r, const char *text, size_t len);
/* Fills r->to_* of "10.0.0.1-10.0.0.9:80-90", "[2001:db8::1]:80", ":80" and the like, as far as it can be read. */
void rule_translation(struct rule *r, const char *text);
/* Does the target end the table for a packet that matched? LOG, MARK and the like do not; a chain's name does not. */
bool target_is_terminal(const char *target);
