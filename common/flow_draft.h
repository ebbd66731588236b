/*
 * A flow while it is read: what its three readers (flow_parse.c, flow_paste.c) share.
 */
#pragma once

#include "common/flow.h"

enum { FLOW_WORDS_MAX = 256, FLOW_WORDS_TEXT_MAX = 8192 };

struct flow_words {
	int count;
	char *word[FLOW_WORDS_MAX];
	char text[FLOW_WORDS_TEXT_MAX];
};

struct flow_draft {
	struct flow *flow;
	struct why *why;
	const char *type_word; /* read when the protocol is known: its names depend on it */
	bool src, dst, sport, dport, proto, type, id, in, out; /* given already */
};

/* Each reads one word into its place. 0, or -EINVAL with why: it is no such thing, or was given before. */
int flow_set_proto(struct flow_draft *d, const char *word, bool negate);
int flow_set_addr(struct flow_draft *d, bool src, const char *word, bool negate);
int flow_set_port(struct flow_draft *d, bool src, const char *word, bool negate);
int flow_set_type(struct flow_draft *d, const char *word);
int flow_set_id(struct flow_draft *d, const char *word);
int flow_set_if(struct flow_draft *d, bool in, const char *word, bool negate);
/* "10.0.3.2", "10.0.3.2:443", "[2001:db8::1]:443", "*:443", tcpdump's "10.0.3.2.443" and "2001:db8::1.443". */
int flow_set_endpoint(struct flow_draft *d, bool src, const char *word);

/* -EINVAL: the word is wrong, since this was expected; `what` was given before (else it is now: 0). */
int flow_wrong(const struct flow_draft *d, const char *word, const char *expected);
int flow_once(const struct flow_draft *d, bool *given, const char *what, const char *word);

/* Reads a line of tcpdump, conntrack or the kernel's log. 1: it was one; 0: it is something else; -EINVAL with why. */
int flow_paste(struct flow_draft *d, struct flow_words *w);
