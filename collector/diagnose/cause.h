/*
 * Causes: the plain reasons that the evidence of a ruling shows, most telling first, each with that evidence.
 */
#pragma once

#include "collector/diagnose/ruling.h"
#include "collector/stitch/loop.h"

/* Did the packet that decided (or the one that is shown) go round? */
bool ruling_loops(struct loop *l, const struct inquiry *q, const struct ruling *r);
/* An array of cause objects as `where` prints them; a new reference, NULL without memory. */
json_t *causes_of(const struct inquiry *q, const struct ruling *r);
