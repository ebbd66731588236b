/*
 * `drops`: places with the most packets first; or, with --follow, a line for each flow as its packets end.
 */
#include "collector/cli/drops.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/cli/cli.h"
#include "collector/cli/field.h"
#include "collector/cli/when.h"

enum {
	QUERY_MAX = 64 << 10,
	POLL_MS = 300,
	LATE_S = 120, /* what arrives later than that is not followed */
	FLOWS_SHOWN = 3,
	MISSING_SHOWN = 4,
};

/* --- places -------------------------------------------------------------------------------------------------------- */

static bool is_death(const json_t *place)
{
	return json_is_object(json_object_get(place, "died_at"));
}

static const char *sign(const json_t *place)
{
	return is_death(place) ? "✗" : "-";
}

static void put_candidates(struct screen *s, const json_t *died)
{
	const json_t *hook, *list = json_object_get(died, "candidates");
	size_t i, n = json_array_size(list);

	json_array_foreach(json_object_get(died, "hooks"), i, hook)
		screen_putf(s, STYLE_PLAIN, "%s%s", i ? "|" : " in ",
			    json_string_value(hook) ?: "?");
	if (n)
		screen_putf(s, STYLE_PLAIN, ", one of %zu rule%s", n, n == 1 ? "" : "s");
}

/* "filter/INPUT rule 3  "comment"" (with a ? when it is only the likely one), or the kernel's reason with the interface. */
static void put_where(struct screen *s, const json_t *place)
{
	const json_t *died = json_object_get(place, "died_at");
	const json_t *candidates = json_object_get(died, "candidates"), *by = died;
	char text[DRAW_NAME_MAX];

	if (!field_text(died, "chain") && json_array_size(candidates) == 1)
		by = json_array_get(candidates, 0);
	if (field_text(by, "chain")) {
		draw_place(text, by);
		screen_putf(s, STYLE_BOLD, "%s%s", text, by == died ? "" : " ?");
		if (draw_comment(text, field_text(by, "rule_text")))
			screen_putf(s, STYLE_PLAIN, "  \"%s\"", text);
		return;
	}
	screen_put(s, STYLE_BOLD, field_text(place, "reason") ?: "reason not known");
	if (!is_death(place))
		screen_putf(s, STYLE_PLAIN, " (%s)", field_text(place, "class") ?: "?");
	if (field_text(place, "in"))
		screen_putf(s, STYLE_PLAIN, " on %s", field_text(place, "in"));
	put_candidates(s, died);
}

static void put_span(struct screen *s, const json_t *o, const struct view *v)
{
	char text[WHEN_TEXT_MAX], last[WHEN_TEXT_MAX] = "";
	struct wall_ns t;

	if (!field_time(o, "first", &t))
		return;
	when_print(t, v->now, false, text);
	if (field_time(o, "last", &t))
		when_print(t, v->now, false, last);
	screen_putf(s, STYLE_GREY, "  %s", text);
	if (*last && strcmp(last, text) != 0)
		screen_putf(s, STYLE_GREY, " – %s", last);
}

static void put_flow(struct screen *s, const json_t *o)
{
	const json_t *flow = json_object_get(o, "flow");
	const char *proto = field_text(flow, "proto");
	char end[DRAW_NAME_MAX];

	draw_endpoint(end, flow, proto, "src");
	screen_putf(s, STYLE_PLAIN, "%s → ", end);
	draw_endpoint(end, flow, proto, "dst");
	screen_putf(s, STYLE_PLAIN, "%s %s", end, proto ?: "?");
	if (field_text(o, "kind") && !field_is(o, "kind", proto ?: ""))
		screen_putf(s, STYLE_PLAIN, " %s", field_text(o, "kind"));
}

static void draw_place_lines(struct screen *s, const json_t *place, const struct view *v)
{
	const json_t *flows = json_object_get(place, "flows"), *flow;
	size_t i, n = json_array_size(flows);
	int64_t more = field_number(place, "flows_omitted");

	screen_putf(s, is_death(place) ? STYLE_BAD : STYLE_GREY, "%s ", sign(place));
	screen_putf(s, STYLE_BOLD, "%s  ", field_text(place, "host") ?: "?");
	put_where(s, place);
	screen_putf(s, STYLE_PLAIN, "  ×%lld", (long long)field_number(place, "packets"));
	put_span(s, place, v);
	screen_end(s, 6);
	if (field_text(place, "text") && !field_text(json_object_get(place, "died_at"), "chain")) {
		screen_putf(s, STYLE_GREY, "    %s", field_text(place, "text"));
		screen_end(s, 6);
	}
	json_array_foreach(flows, i, flow) {
		if (!v->detail && i == FLOWS_SHOWN && n + (size_t)more > FLOWS_SHOWN + 1)
			break;
		screen_put(s, STYLE_PLAIN, "    ");
		put_flow(s, flow);
		if (n > 1)
			screen_putf(s, STYLE_PLAIN, "  ×%lld",
				    (long long)field_number(flow, "packets"));
		screen_end(s, 6);
	}
	more += (int64_t)(n - i);
	if (more > 0) {
		screen_putf(s, STYLE_GREY, "    … and %lld more flows", (long long)more);
		screen_end(s, 6);
	}
}

/* What is no death, in one line: reason and packets, over all hosts. */
static void draw_rest(struct screen *s, const json_t *places)
{
	json_t *sums = json_object();
	const json_t *place;
	const char *reason, *lead = "- no deaths: ";
	json_t *sum;
	size_t i;

	json_array_foreach(places, i, place) {
		reason = field_text(place, "reason") ?: "?";
		if (!is_death(place))
			json_object_set_new(sums, reason,
					    json_integer(field_number(sums, reason) +
							 field_number(place, "packets")));
	}
	json_object_foreach(sums, reason, sum) {
		screen_putf(s, STYLE_GREY, "%s%s ×%lld", lead, reason,
			    (long long)json_integer_value(sum));
		lead = ", ";
	}
	if (*lead == ',') {
		screen_put(s, STYLE_GREY, " (--detail)");
		screen_end(s, 13);
	}
	json_decref(sums);
}

/* --- what else there is to know ------------------------------------------------------------------------------------ */

static void put_excess(struct screen *s, const json_t *one)
{
	const json_t *count = json_object_get(one, "count");

	if (json_is_integer(count))
		screen_putf(s, STYLE_PLAIN, "%lld more", (long long)json_integer_value(count));
	else
		screen_put(s, STYLE_PLAIN, "an unknown number more");
	if (field_text(one, "reason"))
		screen_putf(s, STYLE_PLAIN, " of %s", field_text(one, "reason"));
	screen_put(s, STYLE_PLAIN, ", not told one by one");
}

static void draw_excess(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *one;
	char text[WHEN_TEXT_MAX];
	struct wall_ns t;
	size_t i;

	json_array_foreach(json_object_get(answer, "excess"), i, one) {
		screen_putf(s, STYLE_BAD, "  excess   %s: ", field_text(one, "host") ?: "?");
		put_excess(s, one);
		if (field_time(one, "from", &t)) {
			when_print(t, v->now, false, text);
			screen_putf(s, STYLE_GREY, ", from %s", text);
		}
		screen_end(s, 11);
	}
}

static void draw_missing(struct screen *s, const json_t *missing)
{
	const json_t *m;
	size_t i, n = json_array_size(missing);

	json_array_foreach(missing, i, m) {
		screen_put(s, STYLE_BAD, i == 0 ? "  missing  " : "           ");
		if (i == MISSING_SHOWN && n > MISSING_SHOWN + 1) {
			screen_putf(s, STYLE_PLAIN, "and %zu more hosts: lasthop hosts", n - i);
			screen_end(s, 11);
			return;
		}
		screen_putf(s, STYLE_PLAIN, "%s does not tell what its kernel discards",
			    field_text(m, "host") ?: "?");
		if (field_text(m, "why"))
			screen_putf(s, STYLE_PLAIN, ": %s", field_text(m, "why"));
		screen_end(s, 11);
	}
}

static void draw_footer(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *coverage = json_object_get(answer, "coverage"), *silent, *one;
	size_t i;

	draw_excess(s, answer, v);
	draw_missing(s, json_object_get(coverage, "missing"));
	screen_putf(s, STYLE_PLAIN, "  proof    %lld/%lld hosts answer",
		    (long long)field_number(coverage, "answering"),
		    (long long)field_number(coverage, "asked"));
	silent = json_object_get(coverage, "silent");
	json_array_foreach(silent, i, one)
		screen_putf(s, STYLE_PLAIN, "%s%s",
			    i ? " " : " · silent: ", json_string_value(one) ?: "?");
	if (field_true(answer, "cut"))
		screen_put(s, STYLE_BAD, " · only the newest packets were looked at");
	if (field_number(answer, "omitted") > 0)
		screen_putf(s, STYLE_BAD, " · %lld packets of smaller flows are not shown",
			    (long long)field_number(answer, "omitted"));
	if (field_true(answer, "provisional"))
		screen_put(s, STYLE_PLAIN, " · provisional: evidence may still be on its way");
	screen_end(s, 11);
	draw_window(s, answer, v, 11);
}

/* --- the screens --------------------------------------------------------------------------------------------------- */

/* The line that answers. */
static void draw_headline(struct screen *s, const json_t *answer)
{
	const json_t *places = json_object_get(answer, "places"), *place, *first = NULL;
	int64_t packets = 0;
	size_t i, n = 0;

	json_array_foreach(places, i, place) {
		if (!is_death(place))
			continue;
		if (n++ == 0)
			first = place;
		packets += field_number(place, "packets");
	}
	if (n == 0) {
		screen_put(s, STYLE_BOLD,
			   json_array_size(json_object_get(answer, "excess"))
				   ? "? more was discarded than was told"
				   : "✓ nothing was seen to be discarded");
	} else {
		screen_putf(s, STYLE_BOLD, "✗ %lld packet%s", (long long)packets,
			    packets == 1 ? "" : "s");
		screen_putf(s, STYLE_PLAIN, " in %zu place%s; most: %s ", n, n == 1 ? "" : "s",
			    field_text(first, "host") ?: "?");
		put_where(s, first);
		screen_putf(s, STYLE_PLAIN, "  ×%lld", (long long)field_number(first, "packets"));
	}
	screen_end(s, 2);
}

void drops_draw(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *place;
	size_t i;

	draw_headline(s, answer);
	screen_end(s, 0);
	json_array_foreach(json_object_get(answer, "places"), i, place)
		if (v->detail || is_death(place))
			draw_place_lines(s, place, v);
	if (!v->detail)
		draw_rest(s, json_object_get(answer, "places"));
	if (i)
		screen_end(s, 0);
	draw_footer(s, answer, v);
}

/* "DROP", "REJECT", "DISCARD", "REFUSE"; what is no death in small letters. */
static void put_act(struct screen *s, const json_t *drop)
{
	static const struct {
		const char *class, *act;
	} acts[] = {
		{ "dropped", "DROP" },
		{ "rejected", "REJECT" },
		{ "discarded", "DISCARD" },
		{ "refused", "REFUSE" },
	};
	const char *class = field_text(drop, "class") ?: "?";

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		if (is_death(drop) && !strcmp(acts[i].class, class)) {
			screen_put(s, STYLE_BAD, acts[i].act);
			return;
		}
	screen_put(s, STYLE_PLAIN, class);
}

/* When, and where. */
static void begin_line(struct screen *s, const json_t *o, const char *time, const struct view *v)
{
	char text[WHEN_TEXT_MAX];
	struct wall_ns t;

	if (field_time(o, time, &t)) {
		when_print(t, v->now, true, text);
		screen_putf(s, STYLE_PLAIN, "%s ", text);
	}
	screen_putf(s, STYLE_BOLD, "%s ", field_text(o, "host") ?: "?");
}

void drops_line(struct screen *s, const json_t *drop, const struct view *v)
{
	begin_line(s, drop, "first", v);
	screen_putf(s, is_death(drop) ? STYLE_BAD : STYLE_GREY, "%s ", sign(drop));
	put_act(s, drop);
	screen_put(s, STYLE_PLAIN, " ");
	put_flow(s, drop);
	screen_put(s, STYLE_PLAIN, "  ");
	put_where(s, drop);
	if (field_number(drop, "packets") > 1)
		screen_putf(s, STYLE_PLAIN, "  ×%lld", (long long)field_number(drop, "packets"));
	screen_end(s, 4);
}

/* What was too much to be told one by one. */
static void excess_line(struct screen *s, const json_t *one, const struct view *v)
{
	begin_line(s, one, "until", v);
	screen_put(s, STYLE_BAD, "… ");
	put_excess(s, one);
	screen_end(s, 4);
}

/* --- the command --------------------------------------------------------------------------------------------------- */

static int check_hosts(const json_t *answer)
{
	const json_t *names = json_object_get(answer, "unknown_hosts");
	char message[128];

	if (json_array_size(names) == 0)
		return STATUS_ANSWER;
	snprintf(message, sizeof(message), "there is no host %.64s",
		 json_string_value(json_array_get(names, 0)) ?: "?");
	return cli_fail(STATUS_USAGE, message, "lasthop hosts");
}

/* follow: with what arrived after *row, which is moved on. */
static int ask_drops(struct cli *c, const char *flow, struct wall_ns since, uint64_t *row,
		     json_t **answer)
{
	struct buf query;
	int status;

	c->since = since;
	buf_init(&query, QUERY_MAX);
	(void)buf_addf(&query, "/api/v1/drops");
	if (flow)
		cli_query(&query, "flow", flow);
	if (c->args.value[OPTION_ON])
		cli_query(&query, "on", c->args.value[OPTION_ON]);
	if (row) {
		cli_query(&query, "follow", "1");
		cli_query_number(&query, "after", (int64_t)*row);
	}
	cli_query_window(c, &query);
	status = cli_get(c, &query, answer);
	if (status == STATUS_ANSWER)
		status = check_hosts(*answer);
	if (status == STATUS_ANSWER && row && json_is_integer(json_object_get(*answer, "next")))
		*row = (uint64_t)field_number(*answer, "next");
	return status;
}

/* Is it told for the first time? A host tells of one reason in the order of time. told: of each the last time; "host reason": text. */
static bool is_new_excess(json_t *told, const json_t *one)
{
	const char *until = field_text(one, "until"), *before;
	char key[256];

	snprintf(key, sizeof(key), "%s %s", field_text(one, "host") ?: "?",
		 field_text(one, "reason") ?: "");
	before = field_text(told, key);
	if (!until || (before && strcmp(before, until) >= 0))
		return false;
	json_object_set_new(told, key, json_string(until));
	return true;
}

static void show_new(struct cli *c, const json_t *answer, json_t *told)
{
	struct view view = { .now = wall_now() };
	const json_t *drop, *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "drops"), i, drop) {
		if (c->args.value[OPTION_JSON]) {
			cli_show_json(drop, true);
		} else {
			drops_line(&c->screen, drop, &view);
			cli_flush(c);
		}
	}
	json_array_foreach(json_object_get(answer, "excess"), i, one) {
		if (!is_new_excess(told, one))
			continue;
		if (c->args.value[OPTION_JSON]) {
			json_t *line = json_pack("{s:O}", "excess", one);

			cli_show_json(line, true);
			json_decref(line);
		} else {
			excess_line(&c->screen, one, &view);
			cli_flush(c);
		}
	}
}

/* Until Ctrl-C ends us, or --for is over. */
static int follow(struct cli *c, const char *flow)
{
	const char *text = c->args.value[OPTION_FOR];
	struct wall_ns started = wall_now();
	json_t *told;
	int status = STATUS_ANSWER;
	int64_t span = INT64_MAX;
	uint64_t row = 0;

	if (c->until_given)
		return cli_usage(c, "--follow goes on: there is no --until with it");
	if (text && (when_parse_span(&span, text) < 0 || span < NS_PER_MS))
		return cli_usage(c, "--for takes a time such as 30s or 2m");
	if (c->args.value[OPTION_SINCE])
		started = c->since;
	told = json_object();
	for (struct wall_ns begun = wall_now(), since = started; status == STATUS_ANSWER;) {
		bool last = wall_now().v - begun.v >= span;
		json_t *answer = NULL;

		status = ask_drops(c, flow, since, &row, &answer);
		if (status == STATUS_ANSWER)
			show_new(c, answer, told);
		json_decref(answer);
		if (last)
			break;
		since.v = wall_now().v - (int64_t)LATE_S * NS_PER_S;
		if (since.v < started.v)
			since = started;
		usleep(POLL_MS * 1000);
	}
	json_decref(told);
	return status;
}

static int status_of(const json_t *answer)
{
	const json_t *coverage = json_object_get(answer, "coverage"), *place;
	size_t i;

	json_array_foreach(json_object_get(answer, "places"), i, place)
		if (is_death(place))
			return STATUS_ANSWER;
	return field_number(coverage, "answering") == field_number(coverage, "asked") &&
			       json_array_size(json_object_get(coverage, "missing")) == 0 &&
			       json_array_size(json_object_get(answer, "losses")) == 0
		       ? STATUS_NOTHING
		       : STATUS_TROUBLE;
}

static int list(struct cli *c, const char *flow)
{
	struct view view = { .now = c->now, .detail = c->args.value[OPTION_DETAIL] };
	json_t *answer = NULL;
	int status = ask_drops(c, flow, c->since, NULL, &answer);

	if (status == STATUS_ANSWER) {
		if (c->args.value[OPTION_JSON]) {
			cli_show_json(answer, false);
		} else if (c->args.value[OPTION_BRIEF]) {
			c->screen.width = 0;
			draw_headline(&c->screen, answer);
			cli_show(c);
		} else {
			drops_draw(&c->screen, answer, &view);
			cli_show(c);
		}
		status = status_of(answer);
	}
	json_decref(answer);
	return status;
}

int cmd_drops(struct cli *c)
{
	int status = c->args.word_count ? cli_check_flow(c) : STATUS_ANSWER;
	char *flow = NULL;

	if (status != STATUS_ANSWER)
		return status;
	if (c->args.word_count) {
		flow = cli_flow_text(c);
		if (!flow)
			return STATUS_TROUBLE;
	}
	status = c->args.value[OPTION_FOLLOW] ? follow(c, flow) : list(c, flow);
	free(flow);
	return status;
}
