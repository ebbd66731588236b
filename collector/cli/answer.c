#include "collector/cli/answer.h"

#include <stdio.h>
#include <string.h>

#include "collector/cli/cli.h"
#include "collector/cli/field.h"
#include "collector/cli/when.h"

enum {
	UNSURE_MS = 1000, /* of when a change was: more is told */
	ABOUT_COLUMN = 20,
	FOOT_COLUMN = 9,
	OTHERS_SHOWN = 3,
	LOSSES_SHOWN = 3,
	MISSING_SHOWN = 4
};

static const char *flow_proto(const json_t *answer)
{
	return field_text(json_object_get(answer, "flow"), "proto");
}

static bool complete(const json_t *answer)
{
	const json_t *coverage = json_object_get(answer, "coverage");
	int64_t asked = field_number(coverage, "asked");

	return asked > 0 && field_number(coverage, "answering") == asked &&
	       json_array_size(json_object_get(coverage, "late")) == 0 &&
	       json_array_size(json_object_get(answer, "losses")) == 0;
}

int answer_status(const json_t *answer, const char *expect)
{
	bool unknown = !field_text(answer, "verdict") || field_is(answer, "verdict", "unknown");

	if (expect)
		return field_is(answer, "verdict", expect) ? STATUS_ANSWER : STATUS_NOTHING;
	if (!unknown)
		return STATUS_ANSWER;
	return field_number(answer, "matched") == 0 && complete(answer) ? STATUS_NOTHING
									: STATUS_TROUBLE;
}

static void put_flow(struct screen *s, const json_t *flow)
{
	const char *proto = field_text(flow, "proto");
	char src[DRAW_NAME_MAX], dst[DRAW_NAME_MAX];

	draw_endpoint(src, flow, proto, "src");
	draw_endpoint(dst, flow, proto, "dst");
	screen_putf(s, STYLE_PLAIN, "%s %s → %s", proto ?: "any", src, dst);
}

/* "tcp a → b · 3 SYN, no reply · last 06:52:07 (41 s ago)" */
static void draw_subject(struct screen *s, const json_t *answer, const struct view *v)
{
	int64_t packets = field_number(answer, "packets");
	const char *kind = field_text(answer, "kind");
	char text[WHEN_TEXT_MAX], ago[WHEN_TEXT_MAX];
	struct wall_ns last;

	if (!json_is_object(json_object_get(answer, "flow")))
		return;
	screen_put(s, STYLE_PLAIN, "  ");
	put_flow(s, json_object_get(answer, "flow"));
	if (packets > 0)
		screen_putf(s, STYLE_PLAIN, " · %lld %s%s", (long long)packets,
			    kind
				    ?: packets == 1 ? "packet"
						    : "packets",
			    field_true(answer, "reply_seen") ? "" : ", no reply");
	if (field_time(answer, "last", &last)) {
		when_print(last, v->now, false, text);
		when_print_span(v->now.v - last.v, ago);
		screen_putf(s, STYLE_PLAIN, " · last %s", text);
		if (s->column + screen_width_of(s, ago) + strlen(" ( ago)") <= SCREEN_COLUMNS)
			screen_putf(s, STYLE_PLAIN, " (%s ago)", ago);
	}
	screen_end(s, 4);
}

/* Packets of the flow came there, if not those that the answer is about. */
static bool others_arrived(const json_t *answer)
{
	return field_true(answer, "partial") || field_true(answer, "reply_seen");
}

static void draw_unwatched(struct screen *s, const json_t *answer, const char *position)
{
	bool arrived = field_is(answer, "verdict", "delivered") ||
		       field_is(answer, "verdict", "left") || others_arrived(answer);
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "unwatched"), i, one) {
		if (!field_is(one, "position", position))
			continue;
		screen_putf(s, STYLE_GREY, "  ○  %s", field_text(one, "addr") ?: "?");
		screen_column(s, ABOUT_COLUMN);
		screen_put(s, STYLE_GREY, "no agent");
		if (*position == 'l' && !arrived && !field_is(answer, "direction", "reply"))
			screen_put(s, STYLE_GREY,
				   field_is(answer, "verdict", "lost") ? ", not seen there"
								       : ", not reached");
		screen_end(s, ABOUT_COLUMN);
		if (*position == 'f' && json_array_size(json_object_get(answer, "hops"))) {
			screen_put(s, STYLE_GREY, "  │");
			screen_end(s, 0);
		}
	}
}

static bool has_unwatched(const json_t *answer, const char *position)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "unwatched"), i, one)
		if (field_is(one, "position", position))
			return true;
	return false;
}

/* A request that died on its way through a host never reached its destination, whoever that is. */
static void draw_unreached(struct screen *s, const json_t *answer)
{
	const json_t *died = json_object_get(answer, "died_at"), *hop = answer_dead_hop(answer);
	const json_t *between = json_object_get(died, "between"),
		     *tuple = json_object_get(hop, "tuple_out");
	char end[DRAW_NAME_MAX];

	if (field_is(answer, "direction", "reply") || has_unwatched(answer, "last") || !hop ||
	    others_arrived(answer))
		return;
	if (!field_text(hop, "out") || field_is(answer, "verdict", "delivered") ||
	    field_is(answer, "verdict", "refused"))
		return;
	if (!json_is_object(tuple))
		tuple = json_object_get(hop, "tuple_in");
	draw_endpoint(end, tuple, flow_proto(answer), "dst");
	screen_end(s, 0);
	screen_putf(s, STYLE_GREY, "  ○  %s", json_string_value(json_array_get(between, 1)) ?: end);
	screen_column(s, ABOUT_COLUMN);
	if (json_is_string(json_array_get(between, 1)))
		screen_putf(s, STYLE_GREY, "%s never arrived there", end);
	else
		screen_put(s, STYLE_GREY, "never reached");
	screen_end(s, ABOUT_COLUMN);
}

static void draw_hop_name(struct screen *s, const json_t *hop)
{
	const char *in = field_text(hop, "in"), *out = field_text(hop, "out");

	screen_putf(s, STYLE_PLAIN, "  ●  %s", field_text(hop, "host") ?: "?");
	screen_column(s, ABOUT_COLUMN);
	if (in)
		screen_putf(s, STYLE_PLAIN, "in %s", in);
	if (out)
		screen_putf(s, STYLE_PLAIN, "%sout %s", in ? ", " : "", out);
	if (draw_tracked(hop))
		screen_put(s, STYLE_PLAIN, "known by connection tracking alone");
	else if (!in && !out)
		screen_put(s, STYLE_PLAIN, "on this host");
	if (field_is(hop, "outcome", "delivered"))
		screen_put(s, STYLE_PLAIN, ", delivered");
	else if (draw_ended(hop))
		screen_putf(s, STYLE_PLAIN, ", %s", field_text(hop, "outcome"));
	if (field_text(hop, "link") && !field_is(hop, "link_confidence", "sure"))
		screen_putf(s, STYLE_GREY, " (%s by %s)",
			    field_text(hop, "link_confidence") ?: "joined",
			    field_text(hop, "link"));
	screen_end(s, ABOUT_COLUMN);
}

/* A death that no rule made ends the hop's steps with a line of its own. */
static void draw_kernel_end(struct screen *s, const json_t *died)
{
	bool kernel = field_is(died, "kind", "kernel"), socket = field_is(died, "kind", "socket");

	if (!kernel && !socket)
		return;
	screen_put(s, STYLE_PLAIN, "  ✗");
	screen_column(s, ABOUT_COLUMN);
	screen_put(s, STYLE_PLAIN, kernel ? "✗ the kernel: " : "✗ no socket: ");
	screen_put(s, STYLE_BAD, field_text(died, "reason") ?: "why is not known");
	screen_end(s, ABOUT_COLUMN);
}

/* Rounds of a loop after the first one are one line: is this hop in one? */
static bool in_later_round(const json_t *answer, size_t hop)
{
	const json_t *loop = json_object_get(answer, "loop");
	size_t count = json_array_size(json_object_get(loop, "hosts")), first;
	int64_t rounds = field_number(loop, "rounds");

	if (!field_is(loop, "by", "packet") || rounds <= 0)
		return false;
	first = (size_t)field_number(loop, "hop") + count;
	return hop >= first && hop < first + count * (size_t)rounds;
}

static void draw_rounds(struct screen *s, const json_t *answer)
{
	const json_t *loop = json_object_get(answer, "loop"),
		     *hosts = json_object_get(loop, "hosts"), *host;
	int64_t rounds = field_number(loop, "rounds");
	size_t i;

	screen_putf(s, STYLE_BAD, "  ↻  %lld more %s of", (long long)rounds,
		    rounds == 1 ? "round" : "rounds");
	json_array_foreach(hosts, i, host)
		screen_putf(s, STYLE_BAD, "%s %s", i ? "," : "", json_string_value(host) ?: "?");
	screen_end(s, 5);
}

static void draw_path(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *hop, *hops = json_object_get(answer, "hops"), *before = NULL;
	char src[DRAW_NAME_MAX], dst[DRAW_NAME_MAX];
	size_t i;

	if (json_array_size(hops) == 0 && !has_unwatched(answer, "first") &&
	    !has_unwatched(answer, "last"))
		return;
	screen_end(s, 0);
	draw_unwatched(s, answer, "first");
	json_array_foreach(hops, i, hop) {
		bool turned = field_is(hop, "direction", "reply") &&
			      !(before && field_is(before, "direction", "reply"));
		bool last = i + 1 == json_array_size(hops);

		if (!last && hop != answer_dead_hop(answer) && in_later_round(answer, i)) {
			if (!in_later_round(answer, i - 1))
				draw_rounds(s, answer);
			before = hop;
			continue;
		}
		if (turned) {
			const json_t *tuple = json_object_get(hop, "tuple_in");

			draw_endpoint(src, tuple, flow_proto(answer), "src");
			draw_endpoint(dst, tuple, flow_proto(answer), "dst");
			screen_putf(s, STYLE_PLAIN, "  ←  reply");
			screen_column(s, ABOUT_COLUMN);
			screen_putf(s, STYLE_PLAIN, "%s → %s", src, dst);
			screen_end(s, ABOUT_COLUMN);
		}
		draw_stranger(s, json_object_get(hop, "stranger"), "  ○  ", "  │");
		draw_hop_name(s, hop);
		draw_steps(s, hop, v, last && !draw_ended(hop) ? "     " : "  │  ");
		if (hop == answer_dead_hop(answer) && !draw_freed(hop))
			draw_kernel_end(s, json_object_get(answer, "died_at"));
		before = hop;
	}
	if (has_unwatched(answer, "last"))
		screen_end(s, 0);
	draw_unwatched(s, answer, "last");
	draw_unreached(s, answer);
}

static void foot(struct screen *s, const char *key)
{
	screen_putf(s, STYLE_BOLD, "  %s ", key);
	screen_column(s, FOOT_COLUMN);
}

/* What no cause explains: the kernel's reason, in words. That it was on the way back explains nothing. */
static bool draw_unexplained(struct screen *s, const json_t *answer)
{
	const json_t *cause;
	const char *told;
	size_t i;

	json_array_foreach(json_object_get(answer, "causes"), i, cause)
		if (!field_is(cause, "id", "return-path") ||
		    !field_is(answer, "direction", "reply"))
			return false;
	if (field_is(answer, "verdict", "unknown"))
		return false;
	told = field_text(answer, "reason")
		       ?: field_text(json_object_get(answer, "died_at"), "reason_text");
	if (!told)
		return false;
	foot(s, "why");
	screen_put(s, STYLE_PLAIN, told);
	screen_end(s, FOOT_COLUMN);
	return true;
}

/* The sentence has it already, as that of a route. */
static bool is_in(const json_t *culprit, const char *summary)
{
	const char *text = field_text(culprit, "rule_text");

	return text && strstr(summary, text);
}

static void draw_why(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *cause, *line;
	bool said = draw_unexplained(s, answer);
	size_t i, k;

	json_array_foreach(json_object_get(answer, "causes"), i, cause) {
		const json_t *culprit = json_object_get(cause, "culprit");
		char place[DRAW_NAME_MAX];

		if (!field_text(cause, "summary"))
			continue;
		foot(s, i == 0 && !said ? "why" : "");
		screen_put(s, STYLE_PLAIN, field_text(cause, "summary"));
		screen_end(s, FOOT_COLUMN);
		if (json_is_object(culprit) && !is_in(culprit, field_text(cause, "summary"))) {
			draw_place(place, culprit);
			foot(s, "");
			screen_putf(s, STYLE_PLAIN, "because of %s %s",
				    field_text(culprit, "host") ?: "", place);
			screen_end(s, FOOT_COLUMN);
		}
		if (!v->detail)
			continue;
		json_array_foreach(json_object_get(cause, "evidence"), k, line) {
			foot(s, "");
			screen_putf(s, STYLE_GREY, "· %s", json_string_value(line) ?: "");
			screen_end(s, FOOT_COLUMN + 2);
		}
	}
}

static void draw_since(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *died = json_object_get(answer, "died_at"),
		     *by = json_object_get(died, "changed_by");
	const char *program = field_text(by, "program"), *user = field_text(by, "user"),
		   *content = field_text(died, "content");
	char text[WHEN_TEXT_MAX], ago[WHEN_TEXT_MAX];
	const json_t *one;
	struct wall_ns at;
	size_t i;

	if (field_time(died, "since", &at)) {
		when_print(at, v->now, false, text);
		when_print_span(v->now.v - at.v, ago);
		foot(s, "since");
		screen_putf(s, STYLE_PLAIN, "%s (%s)", text, ago);
		if (field_number(died, "since_uncertainty_ms") > UNSURE_MS) {
			when_print_span(field_number(died, "since_uncertainty_ms") * NS_PER_MS,
					ago);
			screen_putf(s, STYLE_PLAIN, ", or up to %s before", ago);
		}
	} else if (field_time(died, "since_before", &at)) {
		when_print(at, v->now, false, text);
		foot(s, "since");
		screen_putf(s, STYLE_PLAIN, "before %s (it stood so at the first look)", text);
	} else {
		return;
	}
	if (user || program)
		screen_putf(s, STYLE_PLAIN, " · changed%s%s%s%s", user ? " by " : "", user ?: "",
			    program ? " with " : "", program ?: "");
	json_array_foreach(json_object_get(by, "one_of"), i, one)
		screen_putf(s, STYLE_PLAIN, "%s%s", i ? ", " : " · changed by one of ",
			    field_text(one, "program") ?: "?");
	if (content)
		screen_putf(s, STYLE_PLAIN, " · %.7s",
			    strncmp(content, "sha256:", 7) == 0 ? content + 7 : content);
	screen_end(s, FOOT_COLUMN);
}

static void draw_fix(struct screen *s, const json_t *answer)
{
	const json_t *cause, *line;
	size_t i, k;

	json_array_foreach(json_object_get(answer, "causes"), i, cause) {
		if (!field_true(cause, "fix_checked"))
			continue;
		json_array_foreach(json_object_get(cause, "fix"), k, line) {
			foot(s, k == 0 ? "fix" : "");
			screen_put(s, STYLE_PLAIN, json_string_value(line));
			screen_end(s, FOOT_COLUMN + 4);
		}
		return;
	}
}

static void draw_losses(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *losses = json_object_get(answer, "losses"), *loss;
	long long more = field_number(answer, "losses_omitted");
	size_t i;

	json_array_foreach(losses, i, loss) {
		foot(s, "");
		if (i == LOSSES_SHOWN && !v->detail) {
			screen_putf(s, STYLE_PLAIN, "… and %lld more losses",
				    more + (long long)(json_array_size(losses) - i));
			screen_end(s, FOOT_COLUMN);
			return;
		}
		screen_putf(s, STYLE_PLAIN, "%s ", field_text(loss, "host") ?: "?");
		draw_loss(s, loss, v);
		screen_end(s, FOOT_COLUMN);
	}
}

/* Sources that would have told more, had they run. */
static void draw_missing(struct screen *s, const json_t *missing)
{
	const json_t *m;
	size_t i;

	json_array_foreach(missing, i, m) {
		foot(s, i == 0 ? "missing" : "");
		if (i == MISSING_SHOWN && json_array_size(missing) > MISSING_SHOWN + 1) {
			screen_putf(s, STYLE_PLAIN, "and %zu more: lasthop hosts",
				    json_array_size(missing) - i);
			screen_end(s, FOOT_COLUMN);
			return;
		}
		screen_put(s, STYLE_PLAIN, field_text(m, "host") ?: "?");
		screen_putf(s, STYLE_PLAIN, " %s", field_text(m, "source") ?: "?");
		if (field_text(m, "why"))
			screen_putf(s, STYLE_PLAIN, ": %s", field_text(m, "why"));
		screen_end(s, FOOT_COLUMN);
	}
}

static void draw_proof(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *coverage = json_object_get(answer, "coverage"),
		     *losses = json_object_get(answer, "losses"), *silent;
	size_t i, steps = 0;
	const json_t *hop;

	json_array_foreach(json_object_get(answer, "hops"), i, hop)
		steps += json_array_size(json_object_get(hop, "steps"));
	foot(s, "proof");
	screen_put(s, STYLE_PLAIN, field_text(answer, "confidence") ?: "none");
	if (steps)
		screen_putf(s, STYLE_PLAIN, ": %zu trace %s", steps,
			    steps == 1 ? "event" : "events");
	screen_putf(s, STYLE_PLAIN, " · %d/%d hosts answer",
		    (int)field_number(coverage, "answering"), (int)field_number(coverage, "asked"));
	if (json_array_size(losses) == 0)
		screen_put(s, STYLE_PLAIN, ", 0 lost");
	if (field_true(answer, "provisional"))
		screen_put(s, STYLE_PLAIN, " · provisional: evidence may still be on its way");
	silent = json_object_get(coverage, "silent");
	if (json_array_size(silent) > 0) {
		screen_put(s, STYLE_PLAIN, " · silent:");
		json_array_foreach(silent, i, hop) {
			if (json_is_object(hop))
				hop = json_object_get(hop, "id");
			screen_putf(s, STYLE_PLAIN, " %s", json_string_value(hop) ?: "?");
		}
	}
	json_array_foreach(json_object_get(coverage, "late"), i, hop)
		screen_putf(s, STYLE_PLAIN, " · %s is %.1f s behind",
			    field_text(hop, "host") ?: "?",
			    (double)field_number(hop, "lag_ms") / 1000);
	if (field_true(answer, "cut"))
		screen_put(s, STYLE_BAD,
			   " · more matched than was looked at: the newest, and those that died");
	screen_end(s, FOOT_COLUMN);
	draw_missing(s, json_object_get(coverage, "missing"));
	draw_losses(s, answer, v);
}

static void draw_foot_window(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *window = json_object_get(answer, "window");
	char from[WHEN_TEXT_MAX], to[WHEN_TEXT_MAX], zone[WHEN_TEXT_MAX];
	struct wall_ns since, until;

	if (!field_time(window, "since", &since) || !field_time(window, "until", &until))
		return;
	when_print(since, v->now, false, from);
	when_print(until, v->now, false, to);
	when_zone(until, zone);
	foot(s, "window");
	screen_putf(s, STYLE_GREY, "%s – %s %s", from, to, zone);
	screen_end(s, FOOT_COLUMN);
}

static void draw_others(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *others = json_object_get(answer, "others"), *other;
	int64_t matched = field_number(answer, "matched");
	size_t i, shown = v->detail ? json_array_size(others) : OTHERS_SHOWN;
	int64_t rest;

	if (matched <= 1 && json_array_size(others) == 0)
		return;
	foot(s, "others");
	if (matched > 1)
		screen_putf(s, STYLE_PLAIN,
			    "%lld flows matched; shown is the one with the worst fate",
			    (long long)matched);
	else
		screen_put(s, STYLE_PLAIN, "earlier packets of it ended otherwise");
	screen_end(s, FOOT_COLUMN);
	json_array_foreach(others, i, other) {
		if (i == shown)
			break;
		foot(s, "");
		screen_put(s, STYLE_PLAIN,
			   field_is(other, "verdict", "delivered") ? "✓ "
			   : field_is(other, "verdict", "left")    ? "→ "
			   : field_is(other, "verdict", "unknown") ||
					   field_is(other, "verdict", "lost")
				   ? "? "
				   : "✗ ");
		put_flow(s, json_object_get(other, "flow"));
		screen_putf(s, STYLE_PLAIN, "  %s", field_text(other, "verdict") ?: "unknown");
		if (json_is_object(json_object_get(other, "died_at")))
			draw_at(s, json_object_get(other, "died_at"));
		screen_end(s, FOOT_COLUMN + 2);
	}
	rest = (int64_t)json_array_size(others) - (int64_t)i +
	       field_number(answer, "others_omitted");
	if (rest > 0) {
		foot(s, "");
		screen_putf(s, STYLE_PLAIN, "… and %lld more", (long long)rest);
		screen_end(s, FOOT_COLUMN);
	}
}

void answer_draw(struct screen *s, const json_t *answer, const struct view *v)
{
	bool nothing = field_number(answer, "matched") == 0;

	answer_headline(s, answer, v);
	if (!nothing) {
		draw_subject(s, answer, v);
		draw_path(s, answer, v);
	} else if (v->flow) {
		screen_putf(s, STYLE_PLAIN, "  → lasthop trace start %s --for 1m", v->flow);
		screen_end(s, 4);
		screen_put(s, STYLE_PLAIN, "    then send the traffic again and ask once more");
		screen_end(s, 4);
	}
	screen_end(s, 0);
	draw_why(s, answer, v);
	draw_since(s, answer, v);
	draw_fix(s, answer);
	draw_proof(s, answer, v);
	draw_foot_window(s, answer, v);
	draw_others(s, answer, v);
}
