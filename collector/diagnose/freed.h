/*
 * Number 3 and 6a of fate.h: what the kernel itself says of a packet that it freed.
 */
#pragma once

#include "collector/diagnose/fate.h"

/* 3: true when the kernel's own word decides. s: the last that a table told; NULL nothing. */
bool fate_by_kernel(struct fate *f, const struct inquiry *q, const struct step *s);
/* 6a: kernels do not say that a route swallowed it; the route does. */
bool fate_by_route(struct fate *f, const struct inquiry *q);
