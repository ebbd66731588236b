/*
 * Values of ours as JSON. What is not known is null.
 */
#pragma once

#include <jansson.h>

#include "common/addr.h"
#include "common/clock.h"

/* UTC, RFC 3339 with nine digits; null for 0. */
json_t *json_wall(struct wall_ns t);
/* Text of a host, which may be of any bytes: what is no UTF-8 becomes visible escapes. null for NULL or "". */
json_t *json_text(const char *text);
json_t *json_addr(const struct addr *a); /* null: of no family */
json_t *json_tuple(const struct tuple *t);
json_t *json_flow(const struct tuple *t); /* proto, src, sport, dst, dport; icmp_type and icmp_id */
/* Sets a key; a value that could not be made is null. */
void json_put(json_t *o, const char *key, json_t *value);
