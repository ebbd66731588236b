/*
 * The screens of `drops`: places with their flows, and one line for each as it happens.
 */
#pragma once

#include "collector/cli/draw.h"

void drops_draw(struct screen *s, const json_t *answer, const struct view *v);
/* One of an answer's "drops". */
void drops_line(struct screen *s, const json_t *drop, const struct view *v);
