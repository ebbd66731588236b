/*
 * What an answer rests on: which hosts were asked, and what was lost of what they saw.
 */
#pragma once

#include "collector/diagnose/diagnose.h"
#include "collector/stitch/fleet.h"

/* {"asked", "answering", "silent": [host ...]} */
json_t *json_coverage(const struct where_ask *ask);
/* The losses within a span. */
json_t *json_losses(const struct fleet *f, struct wall_ns since, struct wall_ns until);
