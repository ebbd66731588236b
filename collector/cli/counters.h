/*
 * The screen of `counters`.
 */
#pragma once

#include "collector/cli/draw.h"

/* How much of each rule's place stands beside its number. */
struct counters_view {
	struct view view;
	bool table, chain; /* one was asked for: all rows are of it */
	bool idle;         /* those that were not hit */
	const char *host;
};

void counters_draw(struct screen *s, const json_t *answer, const struct counters_view *v);
