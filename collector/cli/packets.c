#include "collector/cli/packets.h"

#include <string.h>

#include "collector/cli/field.h"
#include "collector/cli/when.h"

static void put_outcome(struct screen *s, const json_t *journey)
{
	const char *outcome = draw_outcome(journey);

	if (!outcome)
		return;
	screen_put(s, STYLE_PLAIN, "  ");
	if (draw_ended(journey))
		screen_put(s, STYLE_BAD, "✗ ");
	else
		screen_put(s, STYLE_PLAIN, strcmp(outcome, "unknown") == 0 ? "? " : "✓ ");
	screen_put(s, draw_ended(journey) ? STYLE_BAD : STYLE_PLAIN, outcome);
}

void packets_draw(struct screen *s, const json_t *journey, const struct view *v)
{
	const char *in = field_text(journey, "in"), *out = field_text(journey, "out");
	const json_t *tuple = json_object_get(journey, "tuple_in");
	const char *proto = field_text(json_object_get(journey, "flow"), "proto");
	char text[WHEN_TEXT_MAX], src[DRAW_NAME_MAX], dst[DRAW_NAME_MAX];
	struct view below = *v;
	struct wall_ns at;

	draw_stranger(s, json_object_get(journey, "stranger"), "  ○  ", "    ");
	below.rules = true;
	below.at_shown = field_time(journey, "at", &at);
	if (below.at_shown) {
		when_print(at, v->now, true, text);
		screen_put(s, STYLE_BOLD, text);
	}
	screen_putf(s, STYLE_BOLD, "  %s", field_text(journey, "host") ?: "?");
	screen_putf(s, STYLE_PLAIN, "  %s", draw_tracked(journey) ? "(by connection tracking)"
						      : field_text(journey, "packet") ?: "packet");
	draw_endpoint(src, tuple, proto, "src");
	draw_endpoint(dst, tuple, proto, "dst");
	screen_putf(s, STYLE_PLAIN, "  %s → %s", src, dst);
	if (in || out)
		screen_putf(s, STYLE_GREY, "  %s → %s", in ?: "(here)", out ?: "(here)");
	put_outcome(s, journey);
	screen_end(s, 4);
	draw_steps(s, journey, &below, "    ");
}
