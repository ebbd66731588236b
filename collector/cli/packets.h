/*
 * Packets one by one, as `path` and `here` show them: a line that says which packet it was, then each
 * decision that it met.
 */
#pragma once

#include "collector/cli/draw.h"

/* One journey of /api/v1/journeys. */
void packets_draw(struct screen *s, const json_t *journey, const struct view *v);
