/*
 * Number 3, 6a and 6b of fate.h: what the kernel itself says of a packet that it freed.
 */
#pragma once

#include "collector/diagnose/fate.h"

/* 3: true when the kernel's own word decides. s: the last that a table told; NULL nothing. */
bool fate_by_kernel(struct fate *f, const struct inquiry *q, const struct step *s);
/* 6a: kernels do not say that a route swallowed it; the route does. */
bool fate_by_route(struct fate *f, const struct inquiry *q);
/* 6b: nor that nobody took it from a queue; rules that hand such packets to one do. */
bool fate_by_queue(struct fate *f, const struct inquiry *q);
