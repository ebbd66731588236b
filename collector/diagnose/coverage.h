/*
 * What an answer rests on: which hosts were asked, and what was lost of what they saw.
 */
#pragma once

#include "collector/diagnose/diagnose.h"
#include "collector/stitch/fleet.h"

/* {"asked", "answering", "silent": [host ...], "late": [{"host", "lag_ms"} ...], "missing": []} */
json_t *json_coverage(const struct where_ask *ask);
/* Has any host told that evidence of the window may be still on its way? */
bool coverage_late(const struct where_ask *ask);
/*
 * Sources of the hosts asked that do not run, though they would have told of such packets: [{"host", "source", "why"} ...], at most
 * 64. hops: only of hosts that are in it; NULL: of all.
 */
json_t *json_missing(const struct where_ask *ask, const struct fleet *f, const json_t *hops);
enum { LOSSES_MAX = 1000 };
/* Sets "losses" of an answer: those within the span by time, the newest LOSSES_MAX; "losses_omitted": how many there are before them. */
void json_put_losses(json_t *o, const struct fleet *f, struct wall_ns since, struct wall_ns until);
