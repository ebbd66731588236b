/*
 * Causes: the plain reasons that the evidence of a ruling shows, most telling first, each with that evidence.
 */
#pragma once

#include "collector/diagnose/ruling.h"

/* An array of cause objects as `where` prints them; a new reference, NULL without memory. */
json_t *causes_of(const struct inquiry *q, const struct ruling *r);
