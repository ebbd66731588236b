/*
 * Instants and spans as people type and read them. What is typed without a zone is in the terminal's.
 */
#pragma once

#include <stdbool.h>

#include "common/clock.h"
#include "common/why.h"

/*
 * RFC 3339, "YYYY-MM-DD [HH:MM[:SS]]", "HH:MM[:SS]" (the most recent one that is past), "now", "yesterday" (this time
 * the day before), or "15m", "2h", "3d" ago. -EINVAL with why.
 */
int when_parse(struct wall_ns *t, const char *text, struct wall_ns now, struct why *why);
/* "500ms", "30s", "2m", "1h", "3d". -EINVAL. */
int when_parse_span(int64_t *ns, const char *text);
/* RFC 3339 only, as our JSON has it. */
bool when_parse_rfc3339(struct wall_ns *t, const char *text);

enum { WHEN_TEXT_MAX = 64 };
/* "06:52:07" in the terminal's zone, with the date when that is not today; with milliseconds on request. */
void when_print(struct wall_ns t, struct wall_ns now, bool ms, char text[static WHEN_TEXT_MAX]);
/* The zone's name at t: "UTC", "CET". */
void when_zone(struct wall_ns t, char text[static WHEN_TEXT_MAX]);
/* "0.4 s", "41 s", "3 min", "2 h", "5 d". */
void when_print_span(int64_t ns, char text[static WHEN_TEXT_MAX]);
