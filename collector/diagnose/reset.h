/*
 * Resets that a host on the way makes in somebody else's name, as firewalls and filters of contents do: no rule of ours to see says so.
 */
#pragma once

#include "collector/diagnose/ruling.h"

/* Appends a cause for each watched host that sent one, unless its rules rejected a packet: that is told as such. */
void reset_causes(json_t *causes, const struct inquiry *q, const struct ruling *r);
