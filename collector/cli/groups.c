/*
 * Each group is a line: how many flows of all that match, by which hosts, and how that ended. The next one names the place of a
 * death, and a flow to ask `where` about.
 */
#include "collector/cli/groups.h"

#include <ctype.h>
#include <stdio.h>

#include "collector/cli/cli.h"
#include "collector/cli/field.h"

enum { SHARE_WIDTH = 5, FLOWS_WIDTH = 7 };

/* "✗ DROPPED": a cross for what died, an arrow for what left, a question mark for what is not known. */
static void put_verdict(struct screen *s, const json_t *group)
{
	const char *verdict = field_text(group, "verdict") ?: "unknown";
	bool dead = json_is_object(json_object_get(group, "died_at"));
	bool fine = field_is(group, "verdict", "delivered"),
	     left = field_is(group, "verdict", "left");
	enum style style = dead ? STYLE_BAD : fine || left ? STYLE_PLAIN : STYLE_BOLD;

	screen_putf(s, style, "  %s ", dead ? "✗" : fine ? "✓" : left ? "→" : "?");
	for (; *verdict; verdict++)
		screen_putf(s, style, "%c", toupper((unsigned char)*verdict));
}

static void put_way(struct screen *s, const json_t *group)
{
	const json_t *way = json_object_get(group, "way"), *hop, *nat;
	size_t i, k;

	json_array_foreach(way, i, hop) {
		screen_put(s, STYLE_GREY, i ? " → " : "");
		if (field_true(hop, "stranger"))
			screen_put(s, STYLE_GREY, "(somebody) → ");
		screen_putf(s, STYLE_BOLD, "%s", field_text(hop, "host") ?: "?");
		json_array_foreach(json_object_get(hop, "nat"), k, nat)
			screen_putf(s, STYLE_CHANGED, " ⇄ %s", json_string_value(nat) ?: "nat");
	}
	if (json_array_size(way) == 0)
		screen_put(s, STYLE_GREY, "nobody saw its way");
}

static void put_example(struct screen *s, const json_t *flow)
{
	const char *proto = field_text(flow, "proto") ?: "?";
	char src[DRAW_NAME_MAX], dst[DRAW_NAME_MAX];

	draw_endpoint(src, flow, proto, "src");
	draw_endpoint(dst, flow, proto, "dst");
	screen_putf(s, STYLE_GREY, "e.g. lasthop where %s %s %s", proto, src, dst);
}

static void draw_group(struct screen *s, const json_t *group)
{
	const json_t *died = json_object_get(group, "died_at");
	double share = json_number_value(json_object_get(group, "share"));
	char place[DRAW_NAME_MAX];

	/* One of ten thousand is not none. */
	if (share < 0.005)
		screen_putf(s, STYLE_BOLD, "%*s", SHARE_WIDTH, "<1%");
	else
		screen_putf(s, STYLE_BOLD, "%*.0f%%", SHARE_WIDTH - 1, share * 100);
	screen_putf(s, STYLE_PLAIN, " %*lld %s  ", FLOWS_WIDTH,
		    (long long)field_number(group, "flows"),
		    field_number(group, "flows") == 1 ? "flow " : "flows");
	put_way(s, group);
	put_verdict(s, group);
	if (field_is(group, "direction", "reply"))
		screen_put(s, STYLE_PLAIN, " (the reply)");
	screen_end(s, SHARE_WIDTH + FLOWS_WIDTH + 9);
	screen_column(s, SHARE_WIDTH + FLOWS_WIDTH + 9);
	if (json_is_object(died)) {
		if (field_text(died, "table"))
			draw_place(place, died);
		else
			snprintf(place, sizeof(place), "%.200s", field_text(died, "reason") ?: "");
		screen_putf(s, STYLE_BOLD, "%s%s", place, place[0] ? "  " : "");
		if (field_text(died, "rule_text")) {
			draw_rule(s, field_text(died, "rule_text"), true);
			screen_end(s, SHARE_WIDTH + FLOWS_WIDTH + 11);
			screen_column(s, SHARE_WIDTH + FLOWS_WIDTH + 9);
		}
	}
	put_example(s, json_object_get(group, "example"));
	screen_end(s, SHARE_WIDTH + FLOWS_WIDTH + 11);
}

static void draw_footer(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *coverage = json_object_get(answer, "coverage");
	long long losses = (long long)json_array_size(json_object_get(answer, "losses")) +
			   field_number(answer, "losses_omitted");

	if (field_number(answer, "omitted") > 0) {
		screen_putf(s, STYLE_GREY, "  (%lld more ways and ends, of fewer flows each)",
			    (long long)field_number(answer, "omitted"));
		screen_end(s, 4);
	}
	screen_putf(s, STYLE_PLAIN, "  proof  %lld flows · %lld/%lld hosts answer",
		    (long long)field_number(answer, "matched"),
		    (long long)field_number(coverage, "answering"),
		    (long long)field_number(coverage, "asked"));
	if (losses)
		screen_putf(s, STYLE_BAD, " · %lld losses of evidence in the window", losses);
	if (field_true(answer, "cut"))
		screen_put(s, STYLE_BAD,
			   " · more matched than was looked at: these are the newest");
	screen_end(s, 9);
	draw_window(s, answer, v, 9);
}

void groups_draw(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *groups = json_object_get(answer, "groups"), *group;
	size_t i;

	if (json_array_size(groups) == 0) {
		screen_put(s, STYLE_BOLD, "? no packet of such a flow was seen in the window");
		screen_end(s, 2);
	}
	json_array_foreach(groups, i, group)
		draw_group(s, group);
	screen_end(s, 0);
	draw_footer(s, answer, v);
}

int groups_status(const json_t *answer)
{
	const json_t *groups = json_object_get(answer, "groups"), *group;
	const json_t *coverage = json_object_get(answer, "coverage");
	bool known = true;
	size_t i;

	json_array_foreach(groups, i, group)
		known = known && !field_is(group, "verdict", "unknown");
	if (json_array_size(groups) > 0)
		return known && !field_true(answer, "provisional") ? STATUS_ANSWER : STATUS_TROUBLE;
	return field_number(coverage, "answering") == field_number(coverage, "asked") &&
			       json_array_size(json_object_get(answer, "losses")) == 0
		       ? STATUS_NOTHING
		       : STATUS_TROUBLE;
}
