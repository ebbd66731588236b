/*
 * The answer of `where` as a screen. Its first line alone answers; the path below shows how it came to
 * that, and the footer why, since when, and on what evidence.
 */
#pragma once

#include "collector/cli/draw.h"

/* The line that answers. */
void answer_headline(struct screen *s, const json_t *answer, const struct view *v);
/* The hop where it died: the last of died_at's host; NULL none. */
const json_t *answer_dead_hop(const json_t *answer);
/* All of it, the headline included. */
void answer_draw(struct screen *s, const json_t *answer, const struct view *v);
/* The exit status that the answer means (enum status); expect: a verdict, or NULL. */
int answer_status(const json_t *answer, const char *expect);
