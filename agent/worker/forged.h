/*
 * Log prefixes that read like a trace. A rule that logs to group 0 (NFLOG, nft's `log group 0`)
 * writes its prefix where the kernel writes "TRACE: table:chain:rule:1 ", and may so name a rule that the packet never met. The texts of the host's tables tell which prefixes stand: a line like
 * one of them is kept as what it surely is, a line of the log.
 *
 * A genuine trace of that very rule is then taken for a log line, too: too little is claimed, never too much.
 */
#pragma once

#include "agent/source/prefix.h"
#include "agent/source/source.h"

enum { FORGED_MAX = 32, FORGED_TEXT_MAX = 96 };

struct forged {
	struct forged_list {
		uint32_t count;
		bool many; /* more than fit: no trace is believed */
		struct trace_prefix list[FORGED_MAX];
	} now, before; /* in the newest read, and in the one before: lines may be on their way */
};

/* A new read of the tables begins. */
void forged_begin(struct forged *f);
/* Takes the prefixes in the text of one table, however it is quoted. */
void forged_add(struct forged *f, const char *text, size_t len);
/* Does a standing prefix read like this step of a trace? */
bool forged_like(const struct forged *f, const struct step *s);
/* Makes a step of a trace what such a line surely is: a line of the log, with text as its prefix. */
void forged_to_log(struct trace_event *e, char text[static FORGED_TEXT_MAX]);
