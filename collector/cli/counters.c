/*
 * A rule is a line, hottest first; below stands what was read, and what was not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/cli.h"
#include "collector/cli/draw.h"
#include "collector/cli/field.h"
#include "collector/cli/when.h"

enum {
	QUERY_MAX = 4096,
	PLACE_MAX = 34, /* columns; longer places have a line of their own */
	RATE_WIDTH = 10,
	TREND_WIDTH = 10,
	HOT = 10,
	ROWS_MAX = 1000,
	STALE_S = 90, /* a quiet table speaks once a minute */
};

/* How much of each rule's place stands beside its number. */
struct counters_view {
	struct view view;
	bool table, chain; /* one was asked for: all rows are of it */
	bool idle;         /* those that were not hit */
	const char *host;
};

/* --- lines --------------------------------------------------------------------------------------------------------- */

static void put_place(char *text, size_t size, const json_t *rule, const struct counters_view *v)
{
	const char *family = field_text(rule, "family") ?: "?";
	int n = 0;

	if (!field_is(rule, "backend", "legacy"))
		n += snprintf(text, size, "%s ", field_text(rule, "backend") ?: "?");
	if (strcmp(family, "ipv4") != 0)
		n += snprintf(text + n, size - (size_t)n, "%s ", family);
	if (!v->table)
		n += snprintf(text + n, size - (size_t)n, "%s/", field_text(rule, "table") ?: "?");
	if (!v->chain)
		n += snprintf(text + n, size - (size_t)n, "%s ", field_text(rule, "chain") ?: "?");
	if (field_is(rule, "kind", "policy"))
		snprintf(text + n, size - (size_t)n, "policy");
	else if (field_true(rule, "gone"))
		snprintf(text + n, size - (size_t)n, "gone");
	else
		snprintf(text + n, size - (size_t)n, "%lld", (long long)field_number(rule, "rule"));
}

/* Three digits, and whether it may be more or less. */
static void put_rate(struct screen *s, const json_t *rule, const char *key)
{
	const json_t *value = json_object_get(rule, key);
	double rate = json_number_value(value);
	const char *sign = field_true(rule, "at_least")  ? (s->utf8 ? "≥" : ">")
			   : field_true(rule, "at_most") ? (s->utf8 ? "≤" : "<")
							 : "";
	char text[48];
	int digits = rate < 0.0995 ? 3 : rate < 99.95 ? 1 : 0;

	if (!json_is_number(value))
		snprintf(text, sizeof(text), "-");
	else if (rate >= 999999.5)
		snprintf(text, sizeof(text), "%s%.1fM", sign, rate / 1e6);
	else
		snprintf(text, sizeof(text), "%s%.*f", sign, digits, rate);
	screen_putf(s, STYLE_PLAIN, "%*s%s", RATE_WIDTH - (int)screen_width_of(s, text) - 1, "",
		    text);
	screen_put(s, STYLE_PLAIN, " ");
}

static void put_trend(struct screen *s, const json_t *rule)
{
	static const char *const high[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char low[] = "_.:-=+*#";
	const json_t *trend = json_object_get(rule, "trend"), *one;
	double most = 0;
	size_t i;

	json_array_foreach(trend, i, one)
		most = json_number_value(one) > most ? json_number_value(one) : most;
	json_array_foreach(trend, i, one) {
		int level = most > 0 ? (int)(json_number_value(one) / most * 7 + 0.5) : 0;

		if (!json_is_number(one))
			screen_put(s, STYLE_GREY, " ");
		else if (s->utf8)
			screen_put(s, STYLE_PLAIN, high[level]);
		else
			screen_putf(s, STYLE_PLAIN, "%c", low[level]);
	}
}

/* Its chain stands in front already. */
static const char *text_of(const json_t *rule)
{
	const char *text = field_text(rule, "rule_text");

	return text ? field_rule(text, field_text(rule, "chain")) : "(its text has not come)";
}

static void draw_moved(struct screen *s, const json_t *rule, unsigned int place,
		       const struct counters_view *v)
{
	char text[DRAW_NAME_MAX];
	unsigned int width, left = place + 2 * RATE_WIDTH + 2 + TREND_WIDTH;

	put_place(text, sizeof(text), rule, v);
	width = screen_width_of(s, text);
	screen_putf(s, STYLE_PLAIN, "%*s%s", width < place ? (int)(place - width) : 0, "", text);
	if (width > place) {
		screen_end(s, 2);
		screen_column(s, place);
	}
	put_rate(s, rule, "packets_per_s");
	put_rate(s, rule, "bytes_per_s");
	screen_column(s, place + 2 * RATE_WIDTH + 2);
	put_trend(s, rule);
	screen_column(s, left);
	screen_put(s, field_true(rule, "gone") ? STYLE_GREY : STYLE_PLAIN, text_of(rule));
	screen_end(s, left < 60 ? left : 4);
}

enum { SINCE_WIDTH = 21 };

static void draw_idle(struct screen *s, const json_t *rule, unsigned int place,
		      const struct counters_view *v)
{
	char text[DRAW_NAME_MAX], when[WHEN_TEXT_MAX];
	unsigned int width;
	struct wall_ns t;

	put_place(text, sizeof(text), rule, v);
	width = screen_width_of(s, text);
	screen_putf(s, STYLE_PLAIN, "%*s%s", width < place ? (int)(place - width) : 0, "", text);
	if (width > place)
		screen_end(s, 2);
	screen_column(s, place + 2);
	if (field_true(rule, "never_hit")) {
		screen_put(s, STYLE_BOLD, "since it was loaded");
	} else if (field_time(rule, "idle_since", &t)) {
		when_print(t, v->view.now, false, when);
		screen_putf(s, STYLE_PLAIN, "since %s", when);
	}
	screen_column(s, place + 2 + SINCE_WIDTH);
	screen_put(s, STYLE_PLAIN, text_of(rule));
	screen_end(s, place + 2 + SINCE_WIDTH);
}

static unsigned int place_width(const struct screen *s, const json_t *rules,
				const struct counters_view *v)
{
	unsigned int width = 4, one;
	char text[DRAW_NAME_MAX];
	const json_t *rule;
	size_t i;

	json_array_foreach(rules, i, rule) {
		put_place(text, sizeof(text), rule, v);
		one = screen_width_of(s, text);
		if (one <= PLACE_MAX && one > width)
			width = one;
	}
	return width;
}

static void draw_rules(struct screen *s, const json_t *rules, const struct counters_view *v)
{
	unsigned int place = place_width(s, rules, v);
	const json_t *rule;
	size_t i;

	screen_putf(s, STYLE_BOLD, "%*s", (int)place, "RULE");
	if (v->idle) {
		screen_column(s, place + 2);
		screen_put(s, STYLE_BOLD, "NOT HIT");
		screen_column(s, place + 2 + SINCE_WIDTH);
	} else {
		screen_putf(s, STYLE_BOLD, "%*s %*s", RATE_WIDTH - 1, "PKTS/s", RATE_WIDTH - 1,
			    "BYTES/s");
		screen_column(s, place + 2 * RATE_WIDTH + 2);
		screen_put(s, STYLE_BOLD, "TREND");
		screen_column(s, place + 2 * RATE_WIDTH + 2 + TREND_WIDTH);
	}
	screen_put(s, STYLE_BOLD, "RULE TEXT");
	screen_end(s, 0);
	json_array_foreach(rules, i, rule) {
		if (v->idle)
			draw_idle(s, rule, place, v);
		else
			draw_moved(s, rule, place, v);
	}
}

/* --- what it rests on ---------------------------------------------------------------------------------------------- */

static void put_time(struct screen *s, enum style style, const char *lead, struct wall_ns t,
		     const struct counters_view *v)
{
	char text[WHEN_TEXT_MAX];

	when_print(t, v->view.now, false, text);
	screen_putf(s, style, "%s%s", lead, text);
}

static void draw_gaps(struct screen *s, const json_t *table, const struct counters_view *v)
{
	const json_t *gap;
	struct wall_ns t;
	size_t i;

	json_array_foreach(json_object_get(table, "gaps"), i, gap) {
		screen_putf(s, STYLE_BAD, "  ! %s %s: nothing was read",
			    field_text(table, "family") ?: "?", field_text(table, "table") ?: "?");
		if (field_time(gap, "from", &t))
			put_time(s, STYLE_BAD, " from ", t, v);
		if (field_time(gap, "until", &t))
			put_time(s, STYLE_BAD, " to ", t, v);
		screen_end(s, 4);
	}
}

static void draw_table(struct screen *s, const json_t *table, const json_t *window,
		       const struct counters_view *v)
{
	const json_t *read = json_object_get(table, "read");
	struct wall_ns first, last, t;
	long long lost = field_number(table, "rules_lost");

	draw_gaps(s, table, v);
	if (!field_time(read, "first", &first) || !field_time(read, "last", &last)) {
		screen_putf(s, STYLE_BAD, "  ! %s %s: its counters were not read in the window",
			    field_text(table, "family") ?: "?", field_text(table, "table") ?: "?");
		screen_end(s, 4);
		return;
	}
	if (field_time(window, "since", &t) && first.v > t.v + (int64_t)STALE_S * NS_PER_S) {
		screen_putf(s, STYLE_GREY, "  - %s %s: first read",
			    field_text(table, "family") ?: "?", field_text(table, "table") ?: "?");
		put_time(s, STYLE_GREY, " at ", first, v);
		screen_end(s, 4);
	}
	if (field_time(window, "until", &t) && last.v < t.v - (int64_t)STALE_S * NS_PER_S) {
		screen_putf(s, STYLE_BAD, "  ! %s %s: not read", field_text(table, "family") ?: "?",
			    field_text(table, "table") ?: "?");
		put_time(s, STYLE_BAD, " after ", last, v);
		screen_end(s, 4);
	}
	if (lost > 0) {
		screen_putf(
			s, STYLE_GREY,
			"  - %s %s: %lld rule%s went; what they counted after the last reading is not known",
			field_text(table, "family") ?: "?", field_text(table, "table") ?: "?", lost,
			lost == 1 ? "" : "s");
		screen_end(s, 4);
	}
}

static void draw_footer(struct screen *s, const json_t *answer, const struct counters_view *v)
{
	const json_t *window = json_object_get(answer, "window"), *one;
	const json_t *source = json_object_get(answer, "source");
	struct wall_ns t;
	size_t i;

	if (field_number(answer, "omitted") > 0) {
		screen_putf(s, STYLE_GREY, "  (%lld more; name a table, or a chain)",
			    (long long)field_number(answer, "omitted"));
		screen_end(s, 4);
	}
	if (!field_is(source, "state", "on")) {
		screen_putf(s, STYLE_BAD, "  ! counters are %s on %s",
			    field_text(source, "state") ?: "off", v->host);
		if (field_text(source, "why"))
			screen_putf(s, STYLE_BAD, ": %s", field_text(source, "why"));
		screen_end(s, 4);
	}
	json_array_foreach(json_object_get(answer, "tables"), i, one)
		draw_table(s, one, window, v);
	json_array_foreach(json_object_get(answer, "losses"), i, one) {
		screen_putf(s, STYLE_BAD, "  ! records were lost (%s)",
			    field_text(one, "source") ?: "?");
		if (field_time(one, "from", &t))
			put_time(s, STYLE_BAD, " at ", t, v);
		screen_end(s, 4);
	}
	draw_window(s, answer, &v->view, 9);
}

static void draw_counters(struct screen *s, const json_t *answer, const struct counters_view *v)
{
	const json_t *rules = json_object_get(answer, "rules");

	if (json_array_size(rules) > 0) {
		draw_rules(s, rules, v);
	} else {
		screen_put(s, STYLE_BOLD,
			   v->idle ? "every rule was hit" : "no rule counted anything");
		screen_end(s, 2);
	}
	screen_end(s, 0);
	draw_footer(s, answer, v);
}

/* --- the command --------------------------------------------------------------------------------------------------- */

static int ask_counters(struct cli *c, json_t **answer)
{
	static const char *const names[] = { "host", "table", "chain" };
	const char *const *value = c->args.value;
	struct buf query;

	buf_init(&query, QUERY_MAX);
	(void)buf_addf(&query, "/api/v1/counters");
	for (int i = 0; i < c->args.word_count; i++)
		cli_query(&query, names[i], c->args.words[i]);
	cli_query_tables(c, &query);
	if (value[OPTION_NEVER])
		cli_query(&query, "only", "idle");
	else if (value[OPTION_HOT] || !value[OPTION_JSON])
		cli_query(&query, "only", "moved");
	if (value[OPTION_HOT] || !value[OPTION_JSON]) {
		cli_query_number(&query, "limit", value[OPTION_HOT] ? HOT : ROWS_MAX);
	}
	cli_query_window(c, &query);
	return cli_get(c, &query, answer);
}

/* Was any of the tables read? Only then "nothing" means something. */
static bool was_read(const json_t *answer)
{
	const json_t *table;
	struct wall_ns t;
	size_t i;

	json_array_foreach(json_object_get(answer, "tables"), i, table)
		if (field_time(json_object_get(table, "read"), "first", &t))
			return true;
	return false;
}

static int status_of(const json_t *answer)
{
	if (json_array_size(json_object_get(answer, "rules")) > 0)
		return STATUS_ANSWER;
	return was_read(answer) ? STATUS_NOTHING : STATUS_TROUBLE;
}

int cmd_counters(struct cli *c)
{
	struct counters_view v = { .view = { .now = c->now },
				   .table = c->args.word_count > 1,
				   .chain = c->args.word_count > 2,
				   .idle = c->args.value[OPTION_NEVER],
				   .host = c->args.words[0] };
	json_t *answer = NULL;
	int status;

	if (c->args.value[OPTION_HOT] && c->args.value[OPTION_NEVER])
		return cli_usage(c, "--hot and --never exclude each other");
	status = ask_counters(c, &answer);
	if (status != STATUS_ANSWER)
		return status;
	if (c->args.value[OPTION_JSON]) {
		cli_show_json(answer, false);
		status = status_of(answer);
	} else if (json_array_size(json_object_get(answer, "tables")) == 0) {
		status = cli_fail(STATUS_NOTHING,
				  "no such table of this host was there in that time",
				  "lasthop rules show HOST");
	} else {
		draw_counters(&c->screen, answer, &v);
		cli_show(c);
		status = status_of(answer);
	}
	json_decref(answer);
	return status;
}
