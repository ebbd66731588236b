#include "collector/cli/trace.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/cli/field.h"
#include "collector/cli/http.h"
#include "collector/cli/when.h"

enum { RATE_DEFAULT = 100, FOR_DEFAULT_MS = 60000, PATH_BYTES = 1024 };

/* "100/s" or "100". */
static bool parse_rate(int64_t *rate, const char *text)
{
	char *end;

	errno = 0;
	*rate = strtol(text, &end, 10);
	return isdigit((unsigned char)*text) && !errno &&
	       (*end == '\0' || strcmp(end, "/s") == 0) && *rate > 0 && *rate <= LEASE_RATE_MAX;
}

int trace_options(const struct cli *c, struct lease_ask *ask)
{
	const char *span = c->args.value[OPTION_FOR], *rate = c->args.value[OPTION_RATE];
	int64_t ns = (int64_t)FOR_DEFAULT_MS * NS_PER_MS;

	*ask = (struct lease_ask){ .on = c->args.value[OPTION_ON],
				   .rate = RATE_DEFAULT,
				   .dry_run = c->args.value[OPTION_DRY_RUN] };
	if (!ask->on)
		ask->on = "all";
	if (span && (when_parse_span(&ns, span) < 0 || ns < NS_PER_MS))
		return cli_usage(c, "--for takes a time such as 30s or 2m");
	if (ns > (int64_t)LEASE_SECONDS_MAX * NS_PER_S)
		return cli_usage(c, "--for is at most 15m: leases are short");
	if (rate && !parse_rate(&ask->rate, rate))
		return cli_usage(c,
				 "--rate takes packets a second, such as 100/s; at most 10000/s");
	ask->for_ms = ns / NS_PER_MS;
	return STATUS_ANSWER;
}

static json_t *on_list(const char *on)
{
	json_t *list = json_array();

	for (const char *p = on; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");

		if (len)
			json_array_append_new(list, json_stringn(p, len));
		p += len;
	}
	return list;
}

int trace_request(struct cli *c, const struct lease_ask *ask, json_t **answer)
{
	json_t *body = json_object();
	int status;

	json_object_set_new(body, "flow", json_string(ask->flow));
	json_object_set_new(body, "on", on_list(ask->on));
	json_object_set_new(body, "for_ms", json_integer(ask->for_ms));
	json_object_set_new(body, "rate", json_integer(ask->rate));
	json_object_set_new(body, "dry_run", json_boolean(ask->dry_run));
	status = cli_ask(c, "POST", "/api/v1/trace", body, answer);
	json_decref(body);
	return status;
}

bool trace_armed(const json_t *answer)
{
	const json_t *host, *hosts = json_object_get(answer, "hosts");
	size_t i;

	json_array_foreach(hosts, i, host)
		if (!field_is(host, "state", "armed"))
			return false;
	return json_array_size(hosts) > 0;
}

void trace_draw(struct screen *s, const json_t *lease, const struct view *v)
{
	const json_t *host, *pattern, *hosts = json_object_get(lease, "hosts");
	const char *id = field_text(lease, "lease") ?: field_text(lease, "id");
	char text[WHEN_TEXT_MAX];
	struct wall_ns until;
	size_t i, k;

	if (id)
		screen_putf(s, STYLE_BOLD, "lease %s:", id);
	else
		screen_put(s, STYLE_BOLD, "no lease (dry run):");
	if (field_text(lease, "flow"))
		screen_putf(s, STYLE_PLAIN, " %s ·", field_text(lease, "flow"));
	json_array_foreach(hosts, i, host) {
		bool good = field_is(host, "state", "armed");

		screen_putf(s, STYLE_PLAIN, "%s%s ", i ? ", " : " ", field_text(host, "id") ?: "?");
		screen_put(s, good || !id ? STYLE_PLAIN : STYLE_BAD,
			   field_text(host, "state") ?: "?");
		if (field_text(host, "why"))
			screen_putf(s, STYLE_PLAIN, " (%s)", field_text(host, "why"));
	}
	if (json_array_size(hosts) == 0)
		screen_put(s, STYLE_PLAIN, " no host");
	if (field_time(lease, "until", &until)) {
		when_print(until, v->now, false, text);
		screen_putf(s, STYLE_PLAIN, " · ends %s", text);
	}
	screen_end(s, 2);
	json_array_foreach(hosts, i, host) {
		json_array_foreach(json_object_get(host, "patterns"), k, pattern) {
			screen_putf(s, STYLE_GREY, "  %s  %s", field_text(host, "id") ?: "?",
				    json_string_value(pattern) ?: "?");
			screen_end(s, 6);
		}
	}
}

int cmd_trace_start(struct cli *c)
{
	struct view view = { .now = c->now };
	struct lease_ask ask;
	json_t *answer = NULL;
	char *flow = NULL;
	int status = trace_options(c, &ask);

	if (status == STATUS_ANSWER)
		status = cli_check_flow(c);
	if (status != STATUS_ANSWER)
		return status;
	flow = cli_flow_text(c);
	ask.flow = flow ?: "";
	status = trace_request(c, &ask, &answer);
	if (status == STATUS_ANSWER) {
		if (c->args.value[OPTION_JSON]) {
			cli_show_json(answer, false);
		} else {
			trace_draw(&c->screen, answer, &view);
			cli_show(c);
		}
		if (!ask.dry_run && !trace_armed(answer))
			status = cli_fail(STATUS_TROUBLE, "not every host is armed",
					  json_array_size(json_object_get(answer, "hosts"))
						  ? NULL
						  : "lasthop hosts");
	}
	json_decref(answer);
	free(flow);
	return status;
}

int cmd_trace_stop(struct cli *c)
{
	bool all = c->args.value[OPTION_ALL];
	json_t *answer = NULL;
	struct buf path;
	int status;

	if (all == (c->args.word_count == 1))
		return cli_usage(c, "trace stop takes a lease's ID or --all");
	buf_init(&path, PATH_BYTES);
	(void)buf_addf(&path, "/api/v1/trace/");
	(void)http_add_encoded(&path, all ? "all" : c->args.words[0]);
	if (buf_add(&path, "", 1) < 0)
		status = cli_usage(c, "that is no lease's ID");
	else
		status = cli_ask(c, "DELETE", (const char *)path.p, NULL, &answer);
	if (status == STATUS_ANSWER && c->args.value[OPTION_JSON])
		cli_show_json(answer, false);
	json_decref(answer);
	buf_clear(&path);
	return status;
}

int cmd_trace_list(struct cli *c)
{
	struct view view = { .now = c->now };
	json_t *answer = NULL;
	int status = cli_ask(c, "GET", "/api/v1/trace", NULL, &answer);
	const json_t *lease;
	size_t i;

	if (status != STATUS_ANSWER)
		return status;
	if (c->args.value[OPTION_JSON]) {
		cli_show_json(answer, false);
	} else {
		json_array_foreach(json_object_get(answer, "leases"), i, lease)
			trace_draw(&c->screen, lease, &view);
		cli_show(c);
	}
	json_decref(answer);
	return status;
}
