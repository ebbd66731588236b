/*
 * `where` and `path`: one question about a flow; the one answers with its fate, the other with every packet.
 */
#include <stdlib.h>
#include <string.h>

#include "collector/cli/answer.h"
#include "collector/cli/cli.h"
#include "collector/cli/field.h"
#include "collector/cli/groups.h"
#include "collector/cli/packets.h"

enum { QUERY_MAX = 64 << 10, PATH_PACKETS = 200 };

static int check_expect(const struct cli *c)
{
	static const char *const verdicts[] = {
		"delivered", "dropped", "rejected", "refused",
		"discarded", "lost",    "left",     "unknown",
	};
	const char *expect = c->args.value[OPTION_EXPECT];

	if (!expect)
		return STATUS_ANSWER;
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (strcmp(expect, verdicts[i]) == 0)
			return STATUS_ANSWER;
	return cli_usage(
		c,
		"--expect takes delivered, dropped, rejected, refused, discarded, lost, left or unknown");
}

/* Asks path?flow=...&since=...&until=... */
static int ask_flow(struct cli *c, const char *path, const char *flow, size_t limit,
		    json_t **answer)
{
	struct buf query;

	buf_init(&query, QUERY_MAX);
	(void)buf_addf(&query, "%s", path);
	cli_query(&query, "flow", flow);
	cli_query_window(c, &query);
	if (limit) {
		cli_query_number(&query, "limit", limit);
	}
	return cli_get(c, &query, answer);
}

static int show_where(struct cli *c, const json_t *answer, const char *flow)
{
	struct view view = { .now = c->now, .detail = c->args.value[OPTION_DETAIL], .flow = flow };

	if (c->args.value[OPTION_JSON]) {
		cli_show_json(answer, false);
	} else if (c->args.value[OPTION_BRIEF]) {
		c->screen.width = 0;
		answer_headline(&c->screen, answer, &view);
		cli_show(c);
	} else {
		answer_draw(&c->screen, answer, &view);
		cli_show(c);
	}
	return answer_status(answer, c->args.value[OPTION_EXPECT]);
}

int cmd_where(struct cli *c)
{
	json_t *answer = NULL;
	char *flow = NULL;
	int status = check_expect(c);

	if (status == STATUS_ANSWER)
		status = cli_check_flow(c);
	if (status != STATUS_ANSWER)
		return status;
	flow = cli_flow_text(c);
	status = flow ? ask_flow(c, "/api/v1/where", flow, 0, &answer) : STATUS_TROUBLE;
	if (status == STATUS_ANSWER)
		status = show_where(c, answer, flow);
	json_decref(answer);
	free(flow);
	return status;
}

static void show_path(struct cli *c, const json_t *where, const json_t *packets, const char *flow)
{
	struct view view = { .now = c->now, .detail = c->args.value[OPTION_DETAIL], .flow = flow };
	const json_t *list = json_object_get(packets, "journeys"), *journey;
	size_t i;

	answer_headline(&c->screen, where, &view);
	json_array_foreach(list, i, journey) {
		screen_end(&c->screen, 0);
		packets_draw(&c->screen, journey, &view);
	}
	if (json_array_size(list) == PATH_PACKETS) {
		screen_end(&c->screen, 0);
		screen_putf(&c->screen, STYLE_GREY,
			    "(%d packets; a smaller window, --since and --until, shows the others)",
			    PATH_PACKETS);
		screen_end(&c->screen, 0);
	}
	cli_show(c);
}

static int show_groups(struct cli *c, const json_t *answer)
{
	struct view view = { .now = c->now };

	if (c->args.value[OPTION_JSON]) {
		cli_show_json(answer, false);
	} else {
		groups_draw(&c->screen, answer, &view);
		cli_show(c);
	}
	return groups_status(answer);
}

static int ask_groups(struct cli *c, const char *flow)
{
	json_t *answer = NULL;
	int status = ask_flow(c, "/api/v1/groups", flow, 0, &answer);

	if (status == STATUS_ANSWER)
		status = show_groups(c, answer);
	json_decref(answer);
	return status;
}

int cmd_path(struct cli *c)
{
	json_t *where = NULL, *packets = NULL;
	int status = cli_check_flow(c);
	char *flow = NULL;

	if (status != STATUS_ANSWER)
		return status;
	flow = cli_flow_text(c);
	if (flow && c->args.value[OPTION_GROUP]) {
		status = ask_groups(c, flow);
		free(flow);
		return status;
	}
	status = flow ? ask_flow(c, "/api/v1/where", flow, 0, &where) : STATUS_TROUBLE;
	if (status == STATUS_ANSWER)
		status = ask_flow(c, "/api/v1/journeys", flow, PATH_PACKETS, &packets);
	if (status == STATUS_ANSWER) {
		if (c->args.value[OPTION_JSON])
			cli_show_json(packets, false);
		else
			show_path(c, where, packets, flow);
		status = answer_status(where, NULL);
	}
	json_decref(where);
	json_decref(packets);
	free(flow);
	return status;
}
