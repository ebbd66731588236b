/*
 * What was typed: a command of the table, its options, and the words that are left. Options may stand
 * anywhere; in commands that take a flow every word that is no option of the command belongs to the flow, so iptables
 * flags (-p -s --dport ...) pass through untouched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/why.h"

/* X(ID, name, value or NULL, help, everywhere: every command has it) */
#define OPTIONS(X)										\
	X(COLLECTOR, "collector", "URL", "ask this collector (else LASTHOP_COLLECTOR, else http://127.0.0.1:9470)", true) \
	X(JSON, "json", NULL, "print the answer as JSON", true)					\
	X(ASCII, "ascii", NULL, "only ASCII signs", true)					\
	X(COLOR, "color", "WHEN", "auto, always or never", true)				\
	X(HELP, "help", NULL, "say how the command is used", true)				\
	X(SINCE, "since", "TIME", "start of the window (15m)", false)				\
	X(UNTIL, "until", "TIME", "end of the window (now)", false)				\
	X(AT, "at", "TIME", "a window around this instant: from 15 minutes before to 1 minute after", false) \
	X(BRIEF, "brief", NULL, "only the line that answers", false)				\
	X(DETAIL, "detail", NULL, "every step of every hop", false)				\
	X(EXPECT, "expect", "VERDICT", "exit 1 unless this is the verdict", false)		\
	X(ON, "on", "HOST,...", "these hosts, or all (all)", false)				\
	X(FOR, "for", "TIME", "how long (60s)", false)						\
	X(RATE, "rate", "N/s", "packets a second, at most, per host (100/s)", false)		\
	X(DRY_RUN, "dry-run", NULL, "show what would be armed, arm nothing", false)		\
	X(ALL, "all", NULL, "all leases", false)						\
	X(FORMAT, "format", "save", "as iptables-save prints it", false)			\
	X(FAMILY, "family", "FAMILY", "ipv4 or ipv6 tables only", false)			\
	X(BACKEND, "backend", "BACKEND", "legacy, nft, native or ipset only", false)		\
	X(NETNS, "netns", "NAME", "watch this network namespace", false)			\
	X(HOT, "hot", NULL, "the hottest only", false)						\
	X(NEVER, "never", NULL, "those that were not hit", false)				\
	X(GROUP, "group", NULL, "only how many went which way to which end", false)		\
	X(PATCH, "patch", NULL, "-p: the rules themselves", false)				\
	X(LIMIT, "limit", "N", "-n: at most so many (50)", false)				\
	X(STAT, "stat", NULL, "only how much", false)						\
	X(EXIT_CODE, "exit-code", NULL, "exit 1 if they differ", false)			\
	X(FOLLOW, "follow", NULL, "go on as it happens, until Ctrl-C or --for", false)

enum option {
#define X(id, name, value, help, everywhere) OPTION_##id,
	OPTIONS(X)
#undef X
	OPTION_COUNT
};
#define OPTION_BIT(id) (UINT32_C(1) << OPTION_##id)

struct cli;

struct command {
	const char *name;          /* "where", "trace start" */
	int (*run)(struct cli *c); /* returns the exit status */
	const char *words;         /* what follows: "FLOW", "HOST[@TIME]" */
	bool takes_flow;
	int words_min, words_max; /* flows: words_max is 0, no limit */
	uint32_t options;         /* OPTION_BIT() of what it takes beside the general ones */
	const char *help;         /* one line */
	const char *more;         /* some lines with examples; NULL none */
};

enum { ARGS_WORDS_MAX = 256 };

struct args {
	const struct command *command;         /* NULL: none was typed */
	const char *value[OPTION_COUNT];       /* NULL: not given; "" for those without a value */
	const char *words[ARGS_WORDS_MAX + 1]; /* NULL at the end */
	int word_count;
};

/* table ends with a NULL name. -EINVAL with why, or -ENOENT when the command is not in it. */
int args_parse(struct args *a, const struct command *table, int argc, const char *const argv[],
	       struct why *why);

const char *option_name(enum option o);
/* Usage of one command, and of all. */
void args_print_command(FILE *out, const struct command *c);
void args_print_all(FILE *out, const struct command *table);
/* A completion script for bash. */
void args_print_bash(FILE *out, const struct command *table);
