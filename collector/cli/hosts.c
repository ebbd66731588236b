#include "collector/cli/hosts.h"

#include "collector/cli/cli.h"
#include "collector/cli/field.h"
#include "collector/cli/when.h"

enum { NAME_MIN = 12, NAME_COLUMNS_MAX = 24, STATE_WIDTH = 12, LAG_WIDTH = 9 };

enum { CONNTRACK_PERCENT = 80 }; /* so full, and it is said */

static void draw_losses(struct screen *s, const json_t *host, const struct view *v)
{
	const json_t *loss;
	size_t i;

	json_array_foreach(json_object_get(host, "losses"), i, loss) {
		screen_put(s, STYLE_PLAIN, "  ! ");
		draw_loss(s, loss, v);
		screen_end(s, 4);
	}
}

static void draw_conntrack(struct screen *s, const json_t *host)
{
	const json_t *o = json_object_get(host, "conntrack");
	const long long count = field_number(o, "count"), max = field_number(o, "max");

	if (max <= 0 || (double)count * 100 < (double)max * CONNTRACK_PERCENT)
		return;
	screen_putf(s, STYLE_PLAIN, "  ! conntrack holds %lld of at most %lld connections", count,
		    max);
	screen_end(s, 4);
}

static void draw_sources(struct screen *s, const json_t *host)
{
	const char *lead = "";
	const json_t *source;
	size_t i;

	json_array_foreach(json_object_get(host, "sources"), i, source) {
		if (!field_is(source, "state", "on"))
			continue;
		screen_putf(s, STYLE_PLAIN, "%s%s", lead, field_text(source, "name") ?: "?");
		lead = " ";
	}
}

static bool same_trouble(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "state"), json_object_get(b, "state")) &&
	       json_equal(json_object_get(a, "why"), json_object_get(b, "why"));
}

/* The sources from list[from] on that are in the same state for the same reason; false: an earlier one stood for it. */
static bool draw_names(struct screen *s, const json_t *list, size_t from)
{
	const json_t *source, *first = json_array_get(list, from);
	const char *lead = "";
	size_t i;

	for (i = 0; i < from; i++)
		if (same_trouble(json_array_get(list, i), first))
			return false;
	screen_put(s, STYLE_GREY, "  - ");
	json_array_foreach(list, i, source) {
		if (!same_trouble(source, first))
			continue;
		screen_putf(s, STYLE_GREY, "%s%s", lead, field_text(source, "name") ?: "?");
		lead = ", ";
	}
	return true;
}

/* What does not run, and what that costs. */
static void draw_missing(struct screen *s, const json_t *host)
{
	const json_t *source, *list = json_object_get(host, "sources");
	size_t i;

	json_array_foreach(list, i, source) {
		if (field_is(source, "state", "on") || !draw_names(s, list, i))
			continue;
		screen_putf(s, STYLE_GREY, " %s", field_text(source, "state") ?: "off");
		if (field_text(source, "why"))
			screen_putf(s, STYLE_GREY, ": %s", field_text(source, "why"));
		screen_end(s, 4);
	}
}

void hosts_draw(struct screen *s, const json_t *answer, const struct view *v)
{
	const json_t *hosts = json_object_get(answer, "hosts"), *host;
	unsigned int name = NAME_MIN;
	size_t i;

	json_array_foreach(hosts, i, host) {
		unsigned int width = screen_width_of(s, field_text(host, "id"));

		name = width > name ? width : name;
	}
	name = name > NAME_COLUMNS_MAX ? NAME_COLUMNS_MAX : name;
	screen_put(s, STYLE_BOLD, "HOST");
	screen_column(s, name + 2);
	screen_put(s, STYLE_BOLD, "STATE");
	screen_column(s, name + 2 + STATE_WIDTH);
	screen_put(s, STYLE_BOLD, "LAG");
	screen_column(s, name + 2 + STATE_WIDTH + LAG_WIDTH);
	screen_put(s, STYLE_BOLD, "SOURCES");
	screen_end(s, 0);
	json_array_foreach(hosts, i, host) {
		const json_t *lag = json_object_get(host, "lag_ms");
		bool ready = field_is(host, "state", "ready");

		screen_put(s, STYLE_PLAIN, field_text(host, "id") ?: "?");
		if (s->column > name)
			screen_end(s, 2); /* a long name has a line of its own */
		screen_column(s, name + 2);
		screen_put(s, ready ? STYLE_PLAIN : STYLE_BAD, field_text(host, "state") ?: "?");
		screen_column(s, name + 2 + STATE_WIDTH);
		if (json_is_integer(lag))
			screen_putf(s, STYLE_PLAIN, "%lld ms", (long long)json_integer_value(lag));
		else
			screen_put(s, STYLE_GREY, "-");
		screen_column(s, name + 2 + STATE_WIDTH + LAG_WIDTH);
		draw_sources(s, host);
		screen_end(s, name + 2 + STATE_WIDTH + LAG_WIDTH);
		if (field_true(host, "mixed")) {
			screen_put(
				s, STYLE_PLAIN,
				"  ! mixed: rules of iptables-legacy and of nftables, packets meet both");
			screen_end(s, 4);
		}
		draw_missing(s, host);
		draw_conntrack(s, host);
		draw_losses(s, host, v);
	}
}

/* "ID STATE" lines, for scripts and completion. */
static void draw_brief(struct screen *s, const json_t *answer)
{
	const json_t *host;
	size_t i;

	json_array_foreach(json_object_get(answer, "hosts"), i, host) {
		screen_putf(s, STYLE_PLAIN, "%s %s", field_text(host, "id") ?: "?",
			    field_text(host, "state") ?: "?");
		screen_end(s, 0);
	}
}

int cmd_hosts(struct cli *c)
{
	struct view view = { .now = c->now };
	json_t *answer = NULL;
	int status = cli_ask(c, "GET", "/api/v1/hosts", NULL, &answer);

	if (status != STATUS_ANSWER)
		return status;
	if (c->args.value[OPTION_JSON]) {
		cli_show_json(answer, false);
	} else if (json_array_size(json_object_get(answer, "hosts")) == 0) {
		status = cli_fail(STATUS_NOTHING, "no agent has reached this collector yet",
				  "lasthop-agent --id NAME --collector HOST:PORT --state DIR");
	} else {
		if (c->args.value[OPTION_BRIEF])
			draw_brief(&c->screen, answer);
		else
			hosts_draw(&c->screen, answer, &view);
		cli_show(c);
	}
	json_decref(answer);
	return status;
}
