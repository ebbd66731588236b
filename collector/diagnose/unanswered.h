/*
 * Number 4a of fate.h: a SYN got through INPUT, and its host's TCP said nothing. The kernel throws it away without a word where the
 * listening socket's queue is full, and where no route leads back to its sender.
 */
#pragma once

#include "collector/diagnose/fate.h"

#define NO_ANSWER "NO_ANSWER"
#define NO_ROUTE_BACK "NO_ROUTE_BACK"

/* 4a: true when it is known that the host's TCP took the packet and did not answer. */
bool fate_unanswered(struct fate *f, const struct inquiry *q, const struct conversation *c);
/* Is it known that the host at which the packet arrived has no route for an answer? */
bool has_no_way_back(const struct inquiry *q, const struct hop *h);
