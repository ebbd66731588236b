/*
 * Each connection is a line: as its sender knows it, and since when; each gateway adds one with what it made of it, and by
 * which rule where a packet was traced.
 */
#include <stdlib.h>

#include "collector/cli/cli.h"
#include "collector/cli/draw.h"
#include "collector/cli/field.h"
#include "collector/cli/when.h"

enum { QUERY_MAX = 64 << 10, AROUND_NS = NS_PER_S };

/* A host on its way that says nothing now, and would not have told of its end; NULL: none. */
static const char *silent_on_way(const json_t *flow, const json_t *answer)
{
	const json_t *silent = json_object_get(json_object_get(answer, "coverage"), "silent");
	const json_t *hop, *name;
	size_t i, k;

	json_array_foreach(json_object_get(flow, "hops"), i, hop) {
		json_array_foreach(silent, k, name) {
			if (json_is_object(name))
				name = json_object_get(name, "id");
			if (json_string_value(name) &&
			    field_is(hop, "host", json_string_value(name)))
				return json_string_value(name);
		}
	}
	return NULL;
}

static void put_span(struct screen *s, const json_t *o, const json_t *answer, const struct view *v)
{
	const char *silent = silent_on_way(o, answer);
	char text[WHEN_TEXT_MAX];
	struct wall_ns t, told;

	if (field_time(o, "from", &t)) {
		when_print(t, v->now, false, text);
		screen_putf(s, STYLE_GREY, "   %s – ", text);
	}
	if (field_time(o, "last_known", &told)) {
		when_print(told, v->now, false, text);
		screen_putf(s, STYLE_GREY, "last known %s, gone by ", text);
	}
	if (field_time(o, "until", &t)) {
		when_print(t, v->now, false, text);
		screen_put(s, STYLE_GREY, text);
	} else if (silent) {
		screen_putf(s, STYLE_GREY, "not known: %s is silent", silent);
	} else {
		screen_put(s, STYLE_GREY, "now");
	}
}

static void put_hosts(struct screen *s, const json_t *list)
{
	const json_t *host;
	size_t i;

	json_array_foreach(list, i, host)
		screen_putf(s, STYLE_GREY, "%s%s", i ? ", " : " · seen by ",
			    json_string_value(host) ?: "?");
}

static void put_pair(struct screen *s, enum style style, const json_t *tuple, const char *proto)
{
	char end[DRAW_NAME_MAX];

	draw_endpoint(end, tuple, proto, "src");
	screen_putf(s, style, "%s → ", end);
	draw_endpoint(end, tuple, proto, "dst");
	screen_put(s, style, end);
}

static void draw_hop(struct screen *s, const json_t *hop, const char *proto)
{
	const json_t *nat = json_object_get(hop, "nat"), *one;
	size_t i;

	screen_putf(s, STYLE_PLAIN, "    %s", field_text(hop, "host") ?: "?");
	json_array_foreach(nat, i, one) {
		screen_putf(s, STYLE_PLAIN, "%s %s  ", i ? "," : "",
			    field_text(one, "kind") ?: "nat");
		screen_putf(s, STYLE_CHANGED, "%s → %s", field_text(one, "from") ?: "?",
			    field_text(one, "to") ?: "?");
	}
	screen_end(s, 8);
	json_array_foreach(nat, i, one) {
		if (!field_text(one, "rule_text"))
			continue;
		screen_put(s, STYLE_PLAIN, "      ");
		draw_rule(s, field_text(one, "rule_text"), false);
		screen_end(s, 8);
	}
	screen_put(s, STYLE_PLAIN, "    → ");
	put_pair(s, STYLE_PLAIN, json_object_get(hop, "tuple_out"), proto);
	screen_end(s, 8);
}

static void draw_flow(struct screen *s, const json_t *flow, const json_t *answer,
		      const struct view *v)
{
	const json_t *hops = json_object_get(flow, "hops"), *hop;
	const json_t *tuple = json_object_get(flow, "flow");
	const char *proto = field_text(tuple, "proto");
	size_t i;

	screen_putf(s, STYLE_PLAIN, "  %s ", proto ?: "?");
	put_pair(s, STYLE_BOLD, tuple, proto);
	put_span(s, flow, answer, v);
	if (field_text(flow, "state"))
		screen_putf(s, STYLE_GREY, " · %s", field_text(flow, "state"));
	if (json_array_size(hops) == 0)
		screen_put(s, STYLE_GREY, " · not translated");
	put_hosts(s, json_object_get(flow, "seen"));
	screen_end(s, 4);
	json_array_foreach(hops, i, hop)
		draw_hop(s, hop, proto);
	if (field_true(flow, "ambiguous")) {
		screen_put(s, STYLE_BAD,
			   "    ? other connections had the same addresses there at that time");
		screen_end(s, 6);
	}
}

static void draw_footer(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *loss;
	const json_t *coverage = json_object_get(answer, "coverage");
	size_t i, n = 0;

	if (field_number(answer, "omitted") > 0) {
		screen_putf(s, STYLE_GREY, "  (%lld more; name a port, or a smaller window)",
			    (long long)field_number(answer, "omitted"));
		screen_end(s, 4);
	}
	json_array_foreach(json_object_get(answer, "losses"), i, loss)
		n += field_is(loss, "source", "conntrack");
	screen_put(s, STYLE_PLAIN, "  proof  ");
	screen_putf(s, STYLE_PLAIN, "connection tracking · %lld/%lld hosts answer",
		    (long long)field_number(coverage, "answering"),
		    (long long)field_number(coverage, "asked"));
	if (n)
		screen_putf(s, STYLE_BAD, " · %zu gaps in what conntrack told: some may be missing",
			    n);
	if (field_true(answer, "cut"))
		screen_put(s, STYLE_BAD, " · more entries matched than were looked at");
	screen_end(s, 9);
	draw_window(s, answer, v, 9);
}

static void draw_nat(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *flows = json_object_get(answer, "flows"), *flow;
	size_t i;

	if (json_array_size(flows) == 0) {
		screen_put(s, STYLE_BOLD, "? no connection of it is known in the window");
		screen_end(s, 2);
	}
	json_array_foreach(flows, i, flow)
		draw_flow(s, flow, answer, v);
	screen_end(s, 0);
	draw_footer(s, answer, v);
}

static int status_of(const json_t *answer)
{
	const json_t *coverage = json_object_get(answer, "coverage");

	if (json_array_size(json_object_get(answer, "flows")) > 0)
		return STATUS_ANSWER;
	return field_number(coverage, "answering") == field_number(coverage, "asked") &&
			       json_array_size(json_object_get(answer, "losses")) == 0
		       ? STATUS_NOTHING
		       : STATUS_TROUBLE;
}

static int ask_nat(struct cli *c, const char *flow, json_t **answer)
{
	struct buf query;

	/* A translation is looked for at that very time, give or take the clocks. */
	if (c->at.v) {
		c->since.v = c->at.v - AROUND_NS;
		c->until.v = c->at.v + AROUND_NS;
	}
	buf_init(&query, QUERY_MAX);
	(void)buf_addf(&query, "/api/v1/nat");
	cli_query(&query, "flow", flow);
	cli_query_window(c, &query);
	return cli_get(c, &query, answer);
}

int cmd_nat(struct cli *c)
{
	struct view view = { .now = c->now };
	json_t *answer = NULL;
	char *flow = NULL;
	int status = cli_check_flow(c);

	if (status != STATUS_ANSWER)
		return status;
	flow = cli_flow_text(c);
	status = flow ? ask_nat(c, flow, &answer) : STATUS_TROUBLE;
	if (status == STATUS_ANSWER) {
		if (c->args.value[OPTION_JSON]) {
			cli_show_json(answer, false);
		} else {
			draw_nat(&c->screen, answer, &view);
			cli_show(c);
		}
		status = status_of(answer);
	}
	json_decref(answer);
	free(flow);
	return status;
}
