/*
 * What every command of the CLI has at hand: what was typed, the terminal, the window of time, the
 * collector. An answer is JSON; it is printed as such, or drawn. The answer goes to stdout, everything else to stderr.
 */
#pragma once

#include <jansson.h>

#include "collector/cli/args.h"
#include "collector/cli/screen.h"
#include "common/clock.h"

struct http;

/* Exit statuses that scripts rely on. */
enum status {
	STATUS_ANSWER = 0,
	STATUS_NOTHING =
		1, /* nothing matched though nothing was missed; or another verdict than expected */
	STATUS_USAGE = 2,
	STATUS_TROUBLE = 3, /* no collector, unknown, incomplete */
};

struct cli {
	struct args args;
	const struct command *table;
	struct wall_ns now, since, until;
	struct wall_ns at; /* --at; 0: not given */
	bool until_given;
	bool terminal; /* stdout is one */
	struct screen screen;
	struct http *http; /* owned; opened by the first question */
};

/* Options that every command shares: colours, window. STATUS_ANSWER or STATUS_USAGE, which was explained. */
int cli_init(struct cli *c);
void cli_clear(struct cli *c);

/* "lasthop: ..." and, unless NULL, what to try next, on stderr. Returns status. */
int cli_fail(int status, const char *message, const char *hint);
/* Like cli_fail(STATUS_USAGE) with the command's usage as the hint. */
int cli_usage(const struct cli *c, const char *message);
/* Checks the words as a flow. STATUS_ANSWER or STATUS_USAGE, which was explained. */
int cli_check_flow(const struct cli *c);
/* The words as one text, for the collector; the caller frees it. */
char *cli_flow_text(const struct cli *c);

/* "&key=text", percent-encoded; the first is led by '?'. */
void cli_query(struct buf *path, const char *key, const char *text);
void cli_query_number(struct buf *path, const char *key, int64_t number);
/* What the options of the window say; of tables: family and backend. */
void cli_query_window(const struct cli *c, struct buf *path);
void cli_query_tables(const struct cli *c, struct buf *path);
/* Opens http to this URL instead of the one that was asked for. */
int cli_use(struct cli *c, const char *url);
/*
 * Asks the collector; *answer is the caller's. STATUS_ANSWER, or another after the trouble was explained: what the
 * collector said (4xx: STATUS_USAGE) or why there is no answer.
 */
int cli_ask(struct cli *c, const char *method, const char *path, json_t *body, json_t **answer);
/* The same with what the queries made of path, which is cleared. */
int cli_get(struct cli *c, struct buf *path, json_t **answer);
enum { ASK_MS = 30000 };

/* Writes the screen to stdout, through a pager where it does not fit a terminal, and empties it. */
void cli_show(struct cli *c);
/* Writes the screen to stdout at once and empties it. */
void cli_flush(struct cli *c);
/* The answer itself: pretty, or as one line. */
void cli_show_json(const json_t *answer, bool one_line);

int cmd_where(struct cli *c);
int cmd_path(struct cli *c);
int cmd_nat(struct cli *c);
int cmd_drops(struct cli *c);
int cmd_hosts(struct cli *c);
int cmd_trace_start(struct cli *c);
int cmd_trace_stop(struct cli *c);
int cmd_trace_list(struct cli *c);
int cmd_rules_show(struct cli *c);
int cmd_rules_log(struct cli *c);
int cmd_rules_diff(struct cli *c);
int cmd_here(struct cli *c);
int cmd_counters(struct cli *c);
int cmd_doctor(struct cli *c);
