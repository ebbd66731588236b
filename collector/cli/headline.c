/*
 * The line that answers: the verdict, and where it fell.
 */
#include "collector/cli/answer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "collector/cli/field.h"
#include "collector/cli/when.h"

static void upper(char *text)
{
	for (; *text; text++)
		*text = (char)toupper((unsigned char)*text);
}

/* Of the direction that the answer is about. */
static const json_t *last_hop(const json_t *answer)
{
	const json_t *hops = json_object_get(answer, "hops");
	const char *way = field_text(answer, "direction");

	for (size_t i = json_array_size(hops); way && i > 0; i--) {
		if (field_is(json_array_get(hops, i - 1), "direction", way))
			return json_array_get(hops, i - 1);
	}
	return NULL;
}

const json_t *answer_dead_hop(const json_t *answer)
{
	const json_t *hops = json_object_get(answer, "hops");
	const char *host = field_text(json_object_get(answer, "died_at"), "host");

	const char *way = field_text(answer, "direction");

	for (size_t i = json_array_size(hops); host && way && i > 0; i--) {
		const json_t *hop = json_array_get(hops, i - 1);

		if (field_is(hop, "host", host) && field_is(hop, "direction", way))
			return hop;
	}
	return NULL;
}

/* What the admin wrote into the rule, where it fits into the line. */
static void put_comment(struct screen *s, const json_t *died)
{
	char comment[DRAW_NAME_MAX];

	if (!draw_comment(comment, field_text(died, "rule_text")))
		return;
	if (s->column + 4 + screen_width_of(s, comment) > SCREEN_COLUMNS)
		return;
	screen_putf(s, STYLE_PLAIN, "  \"%s\"", comment);
}

static void head_dropped(struct screen *s, const json_t *died)
{
	draw_at(s, died);
	put_comment(s, died);
}

/* What a client program reports when it gets this answer. */
static const char *seen_by_client(const char *with)
{
	if (!with)
		return NULL;
	if (strstr(with, "reset") || strstr(with, "port-unreach"))
		return "connection refused";
	if (strstr(with, "host-unreach") || strstr(with, "addr-unreach") ||
	    strstr(with, "no-route"))
		return "no route to host";
	if (strstr(with, "net-unreach"))
		return "network is unreachable";
	return NULL;
}

/* Nobody watches who said so; the hop before him is not accused. */
static bool head_answered(struct screen *s, const json_t *died)
{
	const char *by = field_text(died, "answered_by");

	if (by)
		screen_putf(s, STYLE_BOLD, " by %s, behind %s", by,
			    field_text(died, "host") ?: "?");
	return by;
}

static void head_rejected(struct screen *s, const json_t *answer, const json_t *died)
{
	const char *with = field_text(died, "reject_with"), *seen = seen_by_client(with);

	if (!head_answered(s, died))
		draw_at(s, died);
	if (with)
		screen_putf(s, STYLE_PLAIN, " (%s)", with);
	if (seen && !field_is(answer, "direction", "reply"))
		screen_putf(s, STYLE_PLAIN, ": the client sees \"%s\"", seen);
}

static void head_discarded(struct screen *s, const json_t *died)
{
	if (!head_answered(s, died))
		screen_putf(s, STYLE_BOLD, " at %s by the kernel", field_text(died, "host") ?: "?");
	if (field_text(died, "reason"))
		screen_putf(s, STYLE_PLAIN, ": %s", field_text(died, "reason"));
}

static void head_refused(struct screen *s, const json_t *answer, const json_t *died)
{
	const json_t *hop = answer_dead_hop(answer);
	const json_t *flow = json_object_get(answer, "flow"),
		     *tuple = json_object_get(hop, "tuple_out"); /* behind a REDIRECT */
	const char *proto = field_text(flow, "proto");
	const json_t *port;

	if (!json_is_object(tuple))
		tuple = json_object_get(hop, "tuple_in");
	port = json_object_get(json_is_object(tuple) ? tuple : flow, "dport");
	if (!head_answered(s, died))
		screen_putf(s, STYLE_BOLD, " at %s", field_text(died, "host") ?: "?");
	screen_putf(s, STYLE_PLAIN, ": nobody listens on %s", proto ?: "it");
	if (json_is_integer(port))
		screen_putf(s, STYLE_PLAIN, " %d", (int)json_integer_value(port));
}

static void head_lost(struct screen *s, const json_t *answer, const json_t *died,
		      const struct view *v)
{
	const char *next = json_string_value(json_array_get(json_object_get(died, "between"), 1));
	const json_t *hop = answer_dead_hop(answer);
	char time[WHEN_TEXT_MAX];
	struct wall_ns at;

	screen_putf(s, STYLE_BOLD, " after %s", field_text(died, "host") ?: "?");
	if (field_text(hop, "out") && field_time(hop, "at", &at)) {
		when_print(at, v->now, true, time);
		screen_putf(s, STYLE_PLAIN, " (left %s %s)", field_text(hop, "out"), time);
	}
	if (next)
		screen_putf(s, STYLE_PLAIN,
			    "; %s is up and saw nothing: wire, route, or a firewall nobody watches",
			    next);
}

static void head_left(struct screen *s, const json_t *answer)
{
	const json_t *hop = last_hop(answer);
	const char *out = field_text(hop, "out");

	screen_putf(s, STYLE_BOLD, " %s", field_text(hop, "host") ?: "?");
	if (out)
		screen_putf(s, STYLE_BOLD, " by %s", out);
	screen_put(s, STYLE_PLAIN,
		   field_true(answer, "reply_seen") ? ", reply seen"
						    : ": nobody watches what follows");
}

/* "DNAT+MASQUERADE" of the request's hops. */
static void put_nat_kinds(struct screen *s, const json_t *answer)
{
	const json_t *hop, *nat;
	const char *lead = ", ";
	char kind[32];
	size_t i, k;

	json_array_foreach(json_object_get(answer, "hops"), i, hop) {
		if (field_is(hop, "direction", "reply"))
			continue;
		json_array_foreach(json_object_get(hop, "nat"), k, nat) {
			snprintf(kind, sizeof(kind), "%s", field_text(nat, "kind") ?: "nat");
			upper(kind);
			screen_putf(s, STYLE_PLAIN, "%s%s", lead, kind);
			lead = "+";
		}
	}
}

static void head_delivered(struct screen *s, const json_t *answer)
{
	const json_t *hop, *hops = json_object_get(answer, "hops"), *end = NULL, *there = NULL;
	struct wall_ns first = { 0 }, last = { 0 };
	char far[DRAW_NAME_MAX];
	size_t i, forth = 0;

	json_array_foreach(hops, i, hop) {
		if (field_is(hop, "direction", "reply") != field_is(answer, "direction", "reply"))
			continue;
		end = hop;
		if (field_is(hop, "outcome", "delivered"))
			there = hop;
		if (forth++ == 0)
			(void)field_time(hop, "at", &first);
		(void)field_time(hop, "at", &last);
	}
	/* That it arrived an answer may have told: then the last hop is not where that was. */
	if (json_is_object(json_object_get(end, "tuple_out")))
		end = json_object_get(end, "tuple_out");
	draw_endpoint(far, end, field_text(json_object_get(answer, "flow"), "proto"), "dst");
	screen_putf(s, STYLE_BOLD, " to %s", field_text(there, "host") ?: far);
	screen_put(s, STYLE_PLAIN,
		   field_true(answer, "reply_seen") ? ", reply seen" : ", no reply seen");
	screen_putf(s, STYLE_PLAIN, " · %zu %s", forth, forth == 1 ? "hop" : "hops");
	put_nat_kinds(s, answer);
	if (there && forth > 1 && first.v && last.v >= first.v &&
	    field_is(answer, "confidence", "observed"))
		screen_putf(s, STYLE_PLAIN, " · %.2f ms", (double)(last.v - first.v) / NS_PER_MS);
}

/* "1/2 hosts silent (fw-2)" and what was lost: what the answer could not look at. */
static void put_gaps(struct screen *s, const json_t *answer)
{
	const json_t *coverage = json_object_get(answer, "coverage"),
		     *silent = json_object_get(coverage, "silent");
	int64_t asked = field_number(coverage, "asked");
	const json_t *name;
	size_t i;

	if (asked == 0) {
		screen_put(s, STYLE_PLAIN, " · no host to ask");
		return;
	}
	if (json_array_size(silent) > 0) {
		screen_putf(s, STYLE_PLAIN, " · %zu/%d hosts silent (", json_array_size(silent),
			    (int)asked);
		json_array_foreach(silent, i, name) {
			if (i == 3) {
				screen_put(s, STYLE_PLAIN, ", …");
				break;
			}
			if (json_is_object(name))
				name = json_object_get(name, "id");
			screen_putf(s, STYLE_PLAIN, "%s%s", i ? ", " : "",
				    json_string_value(name) ?: "?");
		}
		screen_put(s, STYLE_PLAIN, ")");
	}
	if (json_array_size(json_object_get(coverage, "late")) > 0)
		screen_put(s, STYLE_PLAIN, " · evidence is still on its way");
	if (json_array_size(json_object_get(answer, "losses")) > 0)
		screen_put(s, STYLE_PLAIN, " · evidence was lost");
}

static void head_no_evidence(struct screen *s, const json_t *answer)
{
	const json_t *window = json_object_get(answer, "window");
	struct wall_ns since, until;
	char span[WHEN_TEXT_MAX];

	screen_put(s, STYLE_BOLD, "? NO EVIDENCE");
	screen_put(s, STYLE_PLAIN, ": no host traced it");
	if (field_time(window, "since", &since) && field_time(window, "until", &until)) {
		when_print_span(until.v - since.v, span);
		screen_putf(s, STYLE_PLAIN, " in %s", span);
	}
	put_gaps(s, answer);
}

static void headline(struct screen *s, const json_t *answer, const struct view *v)
{
	const char *verdict = field_text(answer, "verdict") ?: "unknown";
	const json_t *died = json_object_get(answer, "died_at");
	bool good = strcmp(verdict, "delivered") == 0, unsure = strcmp(verdict, "lost") == 0;
	char name[32];

	if (strcmp(verdict, "unknown") == 0) {
		if (field_number(answer, "matched") == 0) {
			head_no_evidence(s, answer);
			return;
		}
		screen_put(s, STYLE_BOLD, "? UNKNOWN");
		screen_putf(s, STYLE_PLAIN, ": %s",
			    field_text(answer, "reason") ?: "the evidence does not tell");
		return;
	}
	snprintf(name, sizeof(name), "%s", verdict);
	upper(name);
	screen_putf(s, STYLE_BOLD, "%s %s%s",
		    good                           ? "✓"
		    : unsure                       ? "?"
		    : strcmp(verdict, "left") == 0 ? "→"
						   : "✗",
		    field_is(answer, "direction", "reply") && !good ? "REPLY " : "", name);
	if (good)
		head_delivered(s, answer);
	else if (strcmp(verdict, "dropped") == 0)
		head_dropped(s, died);
	else if (strcmp(verdict, "rejected") == 0)
		head_rejected(s, answer, died);
	else if (strcmp(verdict, "discarded") == 0)
		head_discarded(s, died);
	else if (strcmp(verdict, "refused") == 0)
		head_refused(s, answer, died);
	else if (unsure)
		head_lost(s, answer, died, v);
	else if (strcmp(verdict, "left") == 0)
		head_left(s, answer);
	if (field_true(answer, "partial"))
		screen_put(s, STYLE_PLAIN, " (some of its packets)");
}

void answer_headline(struct screen *s, const json_t *answer, const struct view *v)
{
	headline(s, answer, v);
	screen_end(s, 2);
}
