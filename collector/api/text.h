/*
 * Values of ours as JSON.
 */
#pragma once

#include <jansson.h>

#include "common/clock.h"

/* RFC 3339; 0: null. */
json_t *time_json(struct wall_ns t);
/* Text that an agent sent: it may be anything. NULL and "": null. */
json_t *text_json(const char *text);
