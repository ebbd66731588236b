/*
 * The host's interfaces, addresses, routes and forwarding, as rtnetlink tells them. Notifications only say that
 * something changed; the whole is then dumped anew, over the same socket, which needs no privilege.
 */
#pragma once

#include "agent/source/source.h"

enum { FACTS_LINKS_MAX = 1024, FACTS_ADDRS_MAX = 2048, FACTS_ROUTES_MAX = 3072 };

/*
 * Asks for everything; a dump that is under way begins anew. The answer comes through sink.facts, from
 * source_drain(). 0 or -errno.
 */
int host_dump(struct source *s);
/* Is an answer still to come? */
bool host_dumping(const struct source *s);
