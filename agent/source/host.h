/*
 * The host's interfaces, addresses, routes, rules of policy routing, forwarding and reverse path filters, as rtnetlink tells them. Notifications only say that
 * something changed; the whole is then dumped anew, over the same socket, which needs no privilege.
 */
#pragma once

#include "agent/source/source.h"

/*
 * Asks for everything; a dump that is under way begins anew. The answer comes through sink.facts, from
 * source_drain(). 0 or -errno.
 */
int host_dump(struct source *s);
/* Is an answer still to come? */
bool host_dumping(const struct source *s);
