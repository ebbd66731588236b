/*
 * A counters record, to protobuf and back. For msg_encode.c and msg_decode.c only.
 */
#pragma once

#include "common/buf.h"
#include "common/record.h"
#include "proto/lasthop.pb-c.h"

/* Fills m with memory of the arena and borrowed text. 0, -ENOMEM, or -EINVAL beyond limits.h. */
int msg_counters_encode(struct arena *a, Pb__Counters *m, const struct counters *c);
/* 0, -ENOMEM, or -EPROTO. What c points to lives in the arena. */
int msg_counters_decode(struct arena *a, struct counters *c, const Pb__Counters *m);
