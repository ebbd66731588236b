/*
 * Journeys to protobuf. For msg_encode.c only.
 */
#pragma once

#include "common/journey.h"
#include "common/msg_names.h"

/* Room for the longest journey: 256 steps of 44 bytes, and less than 1 KiB of all else. */
enum { MSG_JOURNEY_MAX = 44 * STEPS_MAX + 1024 };

/*
 * Packs j as one of a Batch's records, with its tag, into the end of room. Its size, or -errno as msg_names_index(); -EINVAL also
 * for what a decoder would refuse.
 */
int msg_journey_pack(uint8_t room[static MSG_JOURNEY_MAX], struct msg_names *names, uint32_t host,
		     const struct journey *j);
