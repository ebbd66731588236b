/*
 * `hosts`: who watches, how far behind, with which sources, and what was lost.
 */
#pragma once

#include "collector/cli/draw.h"

void hosts_draw(struct screen *s, const json_t *answer, const struct view *v);
