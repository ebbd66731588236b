/*
 * Who stands elsewhere: the rule that made a packet end by the kernel's hand, on its way or in the way of what the kernel
 * needed. Each is what was seen; NULL: nothing, or it may be one of several.
 */
#pragma once

#include "collector/diagnose/fate.h"

/* The rule that gave it the TTL which then ended: the last one on its way. */
const struct fate *culprit_of_ttl(const struct inquiry *q, const struct fate *f);
/* Where the ICMP error died that should have told its sender how much the next link takes. */
const struct fate *culprit_of_mtu(const struct inquiry *q, const struct conversation *c,
				  const struct fate *f);
/* What dropped the question for the next hop's link address, or its answer (IPv6). */
const struct fate *culprit_of_neighbour(const struct inquiry *q, const struct fate *f);
