/*
 * The screen of `path --group`: a line for each way and end, and one flow that had it.
 */
#pragma once

#include "collector/cli/draw.h"

void groups_draw(struct screen *s, const json_t *answer, const struct view *v);
/* The exit status that the answer means (enum status). */
int groups_status(const json_t *answer);
