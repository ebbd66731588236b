/*
 * The plan of a lease: which packets its hosts must trace. A lease names the flow as its sender sees it; behind a NAT
 * gateway the same packets look different, so each translation that a host could make of the flow adds a
 * pattern. All hosts get the same patterns: nobody has to know which way the packets go.
 */
#pragma once

#include "common/flow.h"
#include "common/record.h"
#include "common/table.h"

enum { PLAN_NATS_MAX = 8 };

/* What the plan knows of one host; all borrowed. */
struct plan_host {
	const char *id;
	const struct facts *facts; /* NULL: not known */
	/* What translates ipv4 and ipv6, of each firewall that is there; NULL: no more. */
	const struct table *nat[2][PLAN_NATS_MAX];
	bool more; /* tables that found no room */
};

/*
 * Plans from the named patterns (at least one): patterns they become by rules and existing connections (breadth first: closest
 * translations first), then what they may have been before a translation. Every pattern keeps at least one address or
 * port, of the named flow or of its translation, and never becomes a match-all. *cut: there were more than
 * PATTERNS_MAX (the closest were kept), or rules that could not be read or found no room.
 */
int plan_patterns(const struct pattern *named, size_t named_count, const struct plan_host *hosts,
		  size_t host_count, const struct conn *conns, size_t conn_count,
		  struct pattern out[static PATTERNS_MAX], size_t *count, bool *cut);
