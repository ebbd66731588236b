/*
 * `rules log` and `rules diff`: a change is a line, its rules below it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/field.h"
#include "collector/cli/source.h"
#include "collector/cli/when.h"

enum { QUERY_MAX = 4096, CONTENT_SHOWN = 7, UNSURE_MS = 1000 };

/* --- questions ---------------------------------------------------------------------------------------------------- */

/* "TABLE[/CHAIN]", the options of tables, and the end of the question. */
static int ask(struct cli *c, struct buf *query, const char *place, json_t **answer)
{
	char table[TABLE_NAME_MAX + 1];
	const char *slash = place ? strchr(place, '/') : NULL;
	int len = slash ? (int)(slash - place) : place ? (int)strlen(place) : 0;

	if (place && (len == 0 || len > TABLE_NAME_MAX))
		return cli_usage(c, "TABLE is missing or too long");
	if (place) {
		snprintf(table, sizeof(table), "%.*s", len, place);
		cli_query(query, "table", table);
	}
	if (slash && slash[1])
		cli_query(query, "chain", slash + 1);
	cli_query_tables(c, query);
	return cli_get(c, query, answer);
}

static int ask_log(struct cli *c, json_t **answer)
{
	struct buf query;
	int status;

	buf_init(&query, QUERY_MAX);
	(void)buf_addf(&query, "/api/v1/rules/log");
	cli_query(&query, "host", c->args.words[0]);
	if (c->args.value[OPTION_SINCE])
		cli_query_number(&query, "since", c->since.v);
	if (c->until_given)
		cli_query_number(&query, "until", c->until.v);
	if (c->args.value[OPTION_PATCH])
		cli_query(&query, "patch", "1");
	if (c->args.value[OPTION_LIMIT])
		cli_query(&query, "limit", c->args.value[OPTION_LIMIT]);
	status = ask(c, &query, c->args.word_count > 1 ? c->args.words[1] : NULL, answer);
	buf_clear(&query);
	return status;
}

static int ask_diff(struct cli *c, json_t **answer)
{
	struct source a, b;
	struct buf query;
	int status = source_parse(&a, c, c->args.words[0]);

	if (status == STATUS_ANSWER)
		status = source_parse(&b, c, c->args.words[1]);
	if (status != STATUS_ANSWER)
		return status;
	buf_init(&query, QUERY_MAX);
	(void)buf_addf(&query, "/api/v1/rules/diff");
	source_query(&query, &a, "a", "a_at");
	source_query(&query, &b, "b", "b_at");
	status = ask(c, &query, c->args.word_count > 2 ? c->args.words[2] : NULL, answer);
	buf_clear(&query);
	return status;
}

/* --- screens ------------------------------------------------------------------------------------------------------ */

/* "filter", "ipv6 nat", "nft ipv4 filter", "native inet fw". */
static void put_table(struct screen *s, const json_t *o)
{
	const char *family = field_text(o, "family") ?: "?";
	bool legacy = field_is(o, "backend", "legacy");

	if (!legacy)
		screen_putf(s, STYLE_PLAIN, "%s ", field_text(o, "backend") ?: "?");
	if (!legacy || strcmp(family, "ipv4") != 0)
		screen_putf(s, STYLE_PLAIN, "%s ", family);
	screen_put(s, STYLE_BOLD, field_text(o, "table") ?: "?");
}

static void put_amount(struct screen *s, const json_t *o)
{
	const char *unknown = field_text(o, "unknown");

	if (unknown)
		screen_putf(s, STYLE_BAD, " %s", unknown);
	else
		screen_putf(s, STYLE_PLAIN, s->utf8 ? " +%lld −%lld" : " +%lld -%lld",
			    (long long)field_number(o, "added"),
			    (long long)field_number(o, "removed"));
	if (field_true(o, "torn") && field_is(o, "backend", "ipset"))
		screen_put(s, STYLE_GREY, " it changes by itself");
	else if (field_true(o, "torn"))
		screen_put(s, STYLE_BAD, " torn: it changed while it was read");
}

static void put_chains(struct screen *s, const json_t *o)
{
	const json_t *chains = json_object_get(o, "chains"), *chain;
	size_t i;

	json_array_foreach(chains, i, chain) {
		if (i == 4) {
			screen_putf(s, STYLE_GREY, " and %zu more", json_array_size(chains) - i);
			return;
		}
		screen_putf(s, STYLE_GREY, "%s%s", i ? ", " : "  ",
			    json_string_value(chain) ?: "?");
	}
}

static void draw_patch(struct screen *s, const json_t *o)
{
	const char *before = NULL;
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(o, "patch"), i, line) {
		const char *chain = field_text(line, "chain"), *text = field_text(line, "text");
		bool added = field_is(line, "op", "+");
		enum style style = added ? STYLE_CHANGED : STYLE_BAD;
		json_int_t number = field_number(line, "rule");

		if (chain && (!before || strcmp(before, chain) != 0)) {
			screen_putf(s, STYLE_BOLD, "  %s", chain);
			screen_end(s, 4);
		}
		before = chain;
		screen_putf(s, style, s->utf8 && !added ? "−" : added ? "+" : "-");
		if (number)
			screen_putf(s, STYLE_GREY, " %4lld  ", (long long)number);
		else
			screen_put(s, STYLE_GREY, "       ");
		screen_put(s, style, text ? field_rule(text, chain) : "");
		screen_end(s, 8);
	}
	if (field_number(o, "patch_omitted") > 0) {
		screen_putf(s, STYLE_GREY, "       %lld more lines",
			    (long long)field_number(o, "patch_omitted"));
		screen_end(s, 8);
	}
}

static void put_author(struct screen *s, const json_t *by)
{
	const char *user = field_text(by, "user"), *program = field_text(by, "program"),
		   *command = field_text(by, "command");
	const json_t *one_of = json_object_get(by, "one_of"), *one;
	size_t i;

	json_array_foreach(one_of, i, one)
		screen_putf(s, STYLE_PLAIN, "%s%s", i ? ", " : "one of ",
			    field_text(one, "program") ?: "?");
	if (json_array_size(one_of) > 0)
		return;
	if (!user && !program)
		screen_put(s, STYLE_GREY, "author not known");
	else
		screen_putf(s, STYLE_PLAIN, "%s%s%s", user ?: "", user && program ? "  " : "",
			    command ?: program ?: "");
}

static void draw_change(struct cli *c, const char *host, const json_t *o)
{
	const char *content = field_text(o, "content"), *kind = field_text(o, "kind") ?: "?";
	json_int_t unsure = field_number(o, "since_uncertainty_ms");
	char text[WHEN_TEXT_MAX], span[WHEN_TEXT_MAX];
	struct screen *s = &c->screen;
	struct wall_ns at;

	if (content && strncmp(content, "sha256:", 7) == 0)
		content += 7;
	screen_putf(s, STYLE_CHANGED, "%.*s", CONTENT_SHOWN, content ?: "-------");
	screen_putf(s, STYLE_PLAIN, " %s", host);
	if (field_time(o, "at", &at)) {
		when_print(at, c->now, false, text);
		screen_putf(s, STYLE_PLAIN, " %s%s", unsure > UNSURE_MS ? "~" : "", text);
	}
	if (unsure > UNSURE_MS) {
		when_print_span((int64_t)unsure * NS_PER_MS, span);
		screen_putf(s, STYLE_GREY, " (up to %s before)", span);
	}
	screen_put(s, STYLE_PLAIN, "  ");
	if (strcmp(kind, "first") == 0)
		screen_put(s, STYLE_GREY, "it stood so at the first look");
	else
		put_author(s, json_object_get(o, "changed_by"));
	screen_put(s, STYLE_PLAIN, "  ");
	put_table(s, o);
	if (strcmp(kind, "deleted") == 0 && field_is(o, "backend", "ipset"))
		screen_put(s, STYLE_PLAIN, " gone, or named by no rule");
	else if (strcmp(kind, "changed") != 0 && strcmp(kind, "first") != 0)
		screen_putf(s, STYLE_PLAIN, " %s", kind);
	put_amount(s, o);
	put_chains(s, o);
	screen_end(s, 8);
	draw_patch(s, o);
}

static int show_log(struct cli *c, const json_t *answer)
{
	const json_t *changes = json_object_get(answer, "changes"), *o;
	const char *host = field_text(answer, "host") ?: "?";
	char text[WHEN_TEXT_MAX], message[2 * WHEN_TEXT_MAX + 160];
	struct wall_ns first;
	size_t i;

	json_array_foreach(changes, i, o)
		draw_change(c, host, o);
	if (field_true(answer, "cut")) {
		screen_put(&c->screen, STYLE_GREY,
			   "older changes are not shown: -n N, or --until TIME");
		screen_end(&c->screen, 0);
	}
	if (i > 0) {
		cli_show(c);
		return STATUS_ANSWER;
	}
	if (!field_time(answer, "first", &first))
		return cli_fail(STATUS_TROUBLE, "no table of this host was ever read",
				"lasthop hosts");
	when_print(first, c->now, false, text);
	snprintf(message, sizeof(message),
		 "no such change in that window; its tables are read since %s", text);
	return cli_fail(STATUS_NOTHING, message, "lasthop rules log HOST --since 30d");
}

static bool is_known(const json_t *answer)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(answer, "tables"), i, o)
		if (field_text(o, "unknown"))
			return false;
	return true;
}

static void show_diff(struct cli *c, const json_t *answer)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(answer, "tables"), i, o) {
		screen_put(&c->screen, STYLE_PLAIN, " ");
		put_table(&c->screen, o);
		if (json_is_null(json_object_get(o, "a")))
			screen_put(&c->screen, STYLE_PLAIN, " only in B");
		else if (json_is_null(json_object_get(o, "b")))
			screen_put(&c->screen, STYLE_PLAIN, " only in A");
		put_amount(&c->screen, o);
		if (c->args.value[OPTION_STAT])
			put_chains(&c->screen, o);
		screen_end(&c->screen, 4);
		if (!c->args.value[OPTION_STAT])
			draw_patch(&c->screen, o);
	}
	cli_show(c);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

int cmd_rules_log(struct cli *c)
{
	json_t *answer = NULL;
	int status = ask_log(c, &answer);

	if (status == STATUS_ANSWER && c->args.value[OPTION_JSON])
		cli_show_json(answer, false);
	else if (status == STATUS_ANSWER)
		status = show_log(c, answer);
	json_decref(answer);
	return status;
}

int cmd_rules_diff(struct cli *c)
{
	json_t *answer = NULL;
	int status = ask_diff(c, &answer);

	if (status == STATUS_ANSWER && c->args.value[OPTION_JSON])
		cli_show_json(answer, false);
	else if (status == STATUS_ANSWER)
		show_diff(c, answer);
	if (status == STATUS_ANSWER && c->args.value[OPTION_EXIT_CODE] &&
	    !field_true(answer, "equal"))
		status = is_known(answer) ? STATUS_NOTHING : STATUS_TROUBLE;
	json_decref(answer);
	return status;
}
