/*
 * The screen of `nat`: one line per connection and gateway.
 */
#pragma once

#include "collector/cli/draw.h"

void nat_draw(struct screen *s, const json_t *answer, const struct view *v);
