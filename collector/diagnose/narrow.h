/*
 * Ends of one link that disagree about how large a packet may be: what the one may send, the other's driver throws away, and nobody
 * is told.
 */
#pragma once

#include "collector/diagnose/ruling.h"

/* Appends the cause of a packet that was lost (LOST) because it was larger than the interface behind the link takes. */
void narrow_cause(json_t *causes, const struct inquiry *q, const struct ruling *r);
