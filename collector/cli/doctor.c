/*
 * Findings are made from two answers of the collector: how the hosts are, and what their rules counted in the last minute.
 * "trouble" is a finding that costs packets or answers now, "warning" one that may, "note" a choice of the administrator.
 */
#include "collector/cli/doctor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "collector/cli/cli.h"
#include "collector/cli/draw.h"
#include "collector/cli/field.h"
#include "collector/cli/when.h"
#include "common/buf.h"

enum {
	FULL_PERCENT = 95,  /* of conntrack's table */
	CLOCK_MS = 1000,    /* more than pings leave open */
	LAG_MS = 10000,     /* evidence that is later than this is late */
	LOG_RATE = 100,     /* packets a second that a rule without a limit may log */
	COUNTED_MIN_S = 10, /* a rate over less is a burst */
	COUNTED_S = 60,     /* is asked for */
	PATH_LEN_MAX = 4096,
};

/* What an answer lacks where a source does not run. */
static const struct {
	const char *source, *cost;
} costs[] = {
	{ "trace-legacy", "the way of packets through rules of iptables-legacy is not seen" },
	{ "trace-nft", "the way of packets through rules of nftables is not seen" },
	{ "drops", "packets that the kernel frees are seen only where they are traced" },
	{ "conntrack", "NAT is not undone, and connections are not known" },
	{ "ruleset", "rules have no text, and their history is not kept" },
	{ "counters", "rules that drop or log too much are not noticed" },
	{ "host", "interfaces, addresses and routes are not known" },
	{ "changes", "a change of rules is noticed late, and by whom is not known" },
	{ "audit", "who changed a rule may have no command line, and no user" },
	{ "namespaces", "some network namespaces are not watched" },
};

static const char *cost_of(const char *source)
{
	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		if (strcmp(costs[i].source, source) == 0)
			return costs[i].cost;
	}
	return NULL;
}

/* Takes text and evidence; NULL evidence is none. */
static void add(json_t *findings, const char *host, const char *level, const char *kind,
		json_t *text, const char *hint, json_t *evidence)
{
	json_array_append_new(findings, json_pack("{s:s,s:s,s:s,s:o,s:s?,s:o*}", "host", host,
						  "level", level, "kind", kind, "text", text,
						  "hint", hint, "evidence", evidence));
}

/* --- hosts --------------------------------------------------------------------------------------------------------- */

static void look_at_state(json_t *findings, const json_t *host, const char *id)
{
	const long long lag = field_number(host, "lag_ms");

	if (field_is(host, "state", "silent"))
		add(findings, id, "trouble", "silent",
		    json_string("its agent is silent: what happens there is not known"),
		    "is lasthop-agent running there, and does it reach the collector?",
		    json_pack("{s:O}", "from", json_object_get(host, "last_seen")));
	else if (field_is(host, "state", "ready") && lag > LAG_MS)
		add(findings, id, "warning", "late",
		    json_sprintf("its evidence comes %lld s late", lag / 1000), NULL,
		    json_pack("{s:I}", "lag_ms", (json_int_t)lag));
}

/* Answers do not rest on it, but logs, certificates and rules with a time do. */
static void look_at_clock(json_t *findings, const json_t *host, const char *id)
{
	const long long off = field_number(host, "clock_ms");

	if (off > -CLOCK_MS && off < CLOCK_MS)
		return;
	add(findings, id, "warning", "clock",
	    json_sprintf("its clock is %.1f s %s the collector's",
			 (double)(off < 0 ? -off : off) / 1000, off < 0 ? "behind" : "ahead of"),
	    "timedatectl timesync-status there, and where the collector runs",
	    json_pack("{s:I}", "clock_ms", (json_int_t)off));
}

static void look_at_sources(json_t *findings, const json_t *host, const char *id)
{
	const json_t *source;
	size_t i;

	json_array_foreach(json_object_get(host, "sources"), i, source) {
		const char *name = field_text(source, "name") ?: "?";
		const char *why = field_text(source, "why"), *cost = cost_of(name);
		bool failed = field_is(source, "state", "failed");

		if (!failed && !field_is(source, "state", "off"))
			continue;
		/* It is off where the kernel tracks no connections: nothing is missed. */
		if (!failed && strcmp(name, "conntrack") == 0)
			continue;
		add(findings, id, failed ? "warning" : "note", "source",
		    json_sprintf("%s is %s%s%s%s%s", name, failed ? "missing" : "off",
				 cost ? ": " : "", cost ?: "", why ? "; " : "", why ?: ""),
		    NULL, json_deep_copy(source));
	}
}

static bool earlier(const json_t *a, const json_t *b, const char *key)
{
	struct wall_ns s, t;

	return field_time(a, key, &s) && field_time(b, key, &t) && s.v < t.v;
}

static void look_at_loss(json_t *findings, const char *id, const json_t *losses, size_t first)
{
	const json_t *a = json_array_get(losses, first), *from = a, *until = a, *loss;
	const char *source = field_text(a, "source") ?: "?";
	bool known = true;
	long long sum = 0;
	size_t i;

	json_array_foreach(losses, i, loss) {
		if (!field_is(loss, "source", source))
			continue;
		if (i < first)
			return; /* told with an earlier one */
		known &= json_is_integer(json_object_get(loss, "count"));
		sum += field_number(loss, "count");
		from = earlier(loss, from, "from") ? loss : from;
		until = earlier(until, loss, "until") ? loss : until;
	}
	add(findings, id, "warning", "loss",
	    known     ? json_sprintf("lost %lld events of %s", sum, source)
	    : sum > 0 ? json_sprintf("lost more than %lld events of %s", sum, source)
		      : json_sprintf("lost an unknown number of events of %s", source),
	    NULL,
	    json_pack("{s:s,s:o,s:O,s:O}", "source", source, "count",
		      known ? json_integer(sum) : json_null(), "from",
		      json_object_get(from, "from"), "until", json_object_get(until, "until")));
}

static void look_at_conntrack(json_t *findings, const char *id, const json_t *o)
{
	const json_t *grew = json_object_get(o, "grew");
	const long long count = field_number(o, "count"), max = field_number(o, "max");
	const long long failed = field_number(grew, "insert_failed");
	const long long drops = field_number(grew, "drop"),
			early = field_number(grew, "early_drop");

	if (max > 0 && (double)count * 100 >= (double)max * FULL_PERCENT)
		add(findings, id, "trouble", "conntrack-full",
		    json_sprintf(
			    "conntrack holds %lld of at most %lld connections: new ones will fail",
			    count, max),
		    "raise net.netfilter.nf_conntrack_max, or track less", json_deep_copy(o));
	if (failed > 0 || drops > 0 || early > 0)
		add(findings, id, "warning", "conntrack-loses",
		    json_sprintf(
			    "conntrack lately dropped %lld packets, failed to insert %lld connections "
			    "and ended %lld early",
			    drops, failed, early),
		    NULL, json_deep_copy(o));
}

void doctor_host(json_t *findings, const json_t *host)
{
	const json_t *losses = json_object_get(host, "losses");
	const char *id = field_text(host, "id") ?: "?";

	look_at_state(findings, host, id);
	look_at_clock(findings, host, id);
	look_at_sources(findings, host, id);
	look_at_conntrack(findings, id, json_object_get(host, "conntrack"));
	if (field_true(host, "mixed"))
		add(findings, id, "warning", "mixed",
		    json_string("rules of iptables-legacy and of nftables, packets meet both"),
		    "keep the rules in one of them",
		    json_pack("{s:O}", "backends", json_object_get(host, "backends")));
	for (size_t i = 0; i < json_array_size(losses); i++)
		look_at_loss(findings, id, losses, i);
}

/* --- counters ------------------------------------------------------------------------------------------------------ */

/* The next word of a rule as iptables-save quotes it; false at the end. */
static bool word_next(const char **p, const char **word, size_t *len)
{
	bool quoted = false;
	const char *at = *p;

	while (*at == ' ')
		at++;
	*word = at;
	for (; *at && (quoted || *at != ' '); at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '"')
			quoted = !quoted;
	}
	*len = (size_t)(at - *word);
	*p = at;
	return *len > 0;
}

static bool word_is(const char *word, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(word, text, len) == 0;
}

/* Does the rule log every packet that it matches? */
static bool logs_all(const char *text)
{
	const char *word, *last = "";
	size_t len, last_len = 0;
	bool logs = false;

	while (word_next(&text, &word, &len)) {
		if (word_is(last, last_len, "-m") &&
		    (word_is(word, len, "limit") || word_is(word, len, "hashlimit")))
			return false;
		if (word_is(last, last_len, "-j"))
			logs = word_is(word, len, "LOG") || word_is(word, len, "NFLOG");
		last = word;
		last_len = len;
	}
	return logs;
}

/* For how many seconds the rule's table was counted; less than 0: not at all. */
static double counted(const json_t *answer, const json_t *rule)
{
	static const char *const keys[] = { "backend", "family", "table" };
	const json_t *table;
	size_t i;

	json_array_foreach(json_object_get(answer, "tables"), i, table) {
		bool same = true;

		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			same = same && field_is(table, keys[k], field_text(rule, keys[k]) ?: "");
		if (same && !field_true(table, "gone"))
			return json_number_value(
				json_object_get(json_object_get(table, "read"), "seconds"));
	}
	return -1;
}

static void look_at_rule(json_t *findings, const json_t *answer, const json_t *rule)
{
	const char *text = field_text(rule, "rule_text");
	double rate = json_number_value(json_object_get(rule, "packets_per_s"));
	double seconds = counted(answer, rule);

	/* nft's own rules are worded in another way; "at most" is no proof. */
	if (!text || field_is(rule, "backend", "native") || !field_is(rule, "kind", "rule") ||
	    field_true(rule, "gone") || field_true(rule, "at_most"))
		return;
	if (!logs_all(text) || rate <= LOG_RATE || seconds < COUNTED_MIN_S)
		return;
	add(findings, field_text(answer, "host") ?: "?", "warning", "log-overload",
	    json_sprintf("a log rule without a limit at %s%s/%s %lld: %.0f packets/s",
			 field_is(rule, "family", "ipv6") ? "ipv6 " : "",
			 field_text(rule, "table") ?: "?", field_text(rule, "chain") ?: "?",
			 (long long)field_number(rule, "rule"), rate),
	    "add -m limit --limit 5/min to it",
	    json_pack("{s:s,s:f,s:f}", "rule_text", text, "packets_per_s", rate, "seconds",
		      seconds));
}

bool doctor_counters(json_t *findings, const json_t *answer)
{
	const json_t *one;
	bool all = true;
	size_t i;

	json_array_foreach(json_object_get(answer, "rules"), i, one)
		look_at_rule(findings, answer, one);
	json_array_foreach(json_object_get(answer, "tables"), i, one)
		all = all && (field_true(one, "gone") ||
			      json_number_value(json_object_get(json_object_get(one, "read"),
								"seconds")) >= COUNTED_MIN_S);
	return all;
}

/* --- the screen ---------------------------------------------------------------------------------------------------- */

static void draw_finding(struct screen *s, const json_t *f, const struct view *v)
{
	bool trouble = field_is(f, "level", "trouble"), note = field_is(f, "level", "note");
	char text[WHEN_TEXT_MAX];
	struct wall_ns from;

	screen_putf(s,
		    trouble ? STYLE_BAD
		    : note  ? STYLE_GREY
			    : STYLE_PLAIN,
		    "  %s %s",
		    trouble ? "✗"
		    : note  ? "-"
			    : "!",
		    field_text(f, "text") ?: "?");
	if (field_time(json_object_get(f, "evidence"), "from", &from)) {
		when_print(from, v->now, false, text);
		screen_putf(s, STYLE_GREY, ", since %s", text);
	}
	if (field_text(f, "hint"))
		screen_putf(s, STYLE_GREY, " → %s", field_text(f, "hint"));
	screen_end(s, 4);
}

/* Draws {hosts: [{id, counted}], findings: [...]}. */
static void draw_doctor(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *host, *f;
	size_t i, k;

	json_array_foreach(json_object_get(answer, "hosts"), i, host) {
		const char *id = field_text(host, "id") ?: "?";
		bool any = false;

		screen_put(s, STYLE_BOLD, id);
		screen_end(s, 2);
		json_array_foreach(json_object_get(answer, "findings"), k, f) {
			if (!field_is(f, "host", id))
				continue;
			draw_finding(s, f, v);
			any = true;
		}
		if (!field_true(host, "counted"))
			screen_put(s, STYLE_GREY,
				   "  ? what its rules count was not read for long enough");
		else if (!any)
			screen_put(s, STYLE_GREY, "  nothing found");
		else
			continue;
		screen_end(s, 4);
	}
}

/* --- the command --------------------------------------------------------------------------------------------------- */

/* The rules that counted something in the last minute. */
static int ask_counters(struct cli *c, const char *id, json_t **answer)
{
	struct buf path;

	buf_init(&path, PATH_LEN_MAX);
	(void)buf_addf(&path, "/api/v1/counters");
	cli_query(&path, "host", id);
	cli_query(&path, "only", "moved");
	cli_query_number(&path, "since", c->now.v - COUNTED_S * (int64_t)NS_PER_S);
	return cli_get(c, &path, answer);
}

static bool counters_told(const json_t *host)
{
	const json_t *source;
	size_t i;

	json_array_foreach(json_object_get(host, "sources"), i, source)
		if (field_is(source, "name", "counters"))
			return field_is(source, "state", "on");
	return false;
}

static void examine(struct cli *c, const json_t *host, json_t *answer)
{
	json_t *findings = json_object_get(answer, "findings"), *counters = NULL;
	const char *id = field_text(host, "id") ?: "?";
	bool counted = false;

	doctor_host(findings, host);
	if (field_is(host, "state", "ready") && counters_told(host) &&
	    ask_counters(c, id, &counters) == STATUS_ANSWER)
		counted = doctor_counters(findings, counters);
	json_array_append_new(json_object_get(answer, "hosts"),
			      json_pack("{s:s,s:O?,s:b}", "id", id, "state",
					json_object_get(host, "state"), "counted", counted));
	json_decref(counters);
}

static bool is_meant(const json_t *host, const char *name)
{
	if (!name)
		return !field_is(host, "state", "retired");
	return field_is(host, "id", name) || field_is(host, "agent", name);
}

static int status_of(const json_t *answer)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "findings"), i, one)
		if (!field_is(one, "level", "note"))
			return STATUS_ANSWER;
	json_array_foreach(json_object_get(answer, "hosts"), i, one)
		if (!field_true(one, "counted"))
			return STATUS_TROUBLE;
	return STATUS_NOTHING;
}

int cmd_doctor(struct cli *c)
{
	const char *name = c->args.word_count > 0 ? c->args.words[0] : NULL;
	struct view view = { .now = c->now };
	json_t *hosts = NULL, *answer = NULL, *host;
	int status = cli_ask(c, "GET", "/api/v1/hosts", NULL, &hosts);
	size_t i;

	if (status != STATUS_ANSWER)
		return status;
	answer = json_pack("{s:[],s:[]}", "hosts", "findings");
	json_array_foreach(json_object_get(hosts, "hosts"), i, host)
		if (is_meant(host, name))
			examine(c, host, answer);
	if (json_array_size(json_object_get(answer, "hosts")) == 0) {
		status =
			name ? cli_fail(STATUS_USAGE, "there is no such host", "lasthop hosts")
			     : cli_fail(
				       STATUS_NOTHING, "no agent has reached this collector yet",
				       "lasthop-agent --id NAME --collector HOST:PORT --state DIR");
	} else {
		status = status_of(answer);
		if (c->args.value[OPTION_JSON]) {
			cli_show_json(answer, false);
		} else {
			draw_doctor(&c->screen, answer, &view);
			cli_show(c);
		}
	}
	json_decref(answer);
	json_decref(hosts);
	return status;
}
