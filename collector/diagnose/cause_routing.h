/*
 * Causes that lie in a host's routing: no route, the reverse path filter, no forwarding; with the rule, route or setting, where it
 * is known.
 */
#pragma once

#include "collector/diagnose/ruling.h"

/* Appends the cause of f if it is one of those. Its evidence (borrowed), or NULL: it is another one. */
json_t *cause_of_routing(json_t *causes, const struct inquiry *q, const struct fate *f,
			 const char *host);
/* What of its routing says that an answer to what came to h has no way. */
void cause_of_no_way_back(json_t *evidence, const struct inquiry *q, const struct hop *h);
