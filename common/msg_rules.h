/*
 * The rules of policy routing in a facts record, to protobuf and back. For msg_record.c and msg_decode.c only.
 */
#pragma once

#include "common/buf.h"
#include "common/record.h"
#include "proto/lasthop.pb-c.h"

/* Fills m's rules with memory of the arena and borrowed text. 0, -ENOMEM, or -EINVAL for what a decoder would refuse. */
int msg_rules_encode(struct arena *a, Pb__Facts *m, const struct facts *f);
/* 0, -ENOMEM, or -EPROTO. f's rules live in the arena. */
int msg_rules_decode(struct arena *a, struct facts *f, const Pb__Facts *m);
