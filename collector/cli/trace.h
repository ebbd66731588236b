/*
 * `trace start|stop|list`: permission to trace certain packets on certain hosts until a deadline.
 */
#pragma once

#include "collector/cli/cli.h"
#include "collector/cli/draw.h"

/* What a lease asks for; text points into the arguments. */
struct lease_ask {
	const char *flow, *on; /* on: "all" or names with commas between */
	int64_t for_ms, rate;
	bool dry_run;
};

/* --for, --rate, --on, --dry-run. STATUS_ANSWER or STATUS_USAGE, which was explained. */
int trace_options(const struct cli *c, struct lease_ask *ask);
/* Asks for the lease. *answer is the caller's. */
int trace_request(struct cli *c, const struct lease_ask *ask, json_t **answer);
/* Is every host of the answer armed? */
bool trace_armed(const json_t *answer);
/* "lease 4f21: gw armed, fw refused (why) · ends 06:54:10" */
void trace_draw(struct screen *s, const json_t *lease, const struct view *v);
