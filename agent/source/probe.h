/*
 * The names that our own nftables table bears, known to the helper that makes it and to the source that
 * reads its trace events.
 */
#pragma once

#include <stdint.h>

#include "common/journey.h"

#define PROBE_TABLE "lasthop"

/* Where a checkpoint stands in its hook. */
int32_t checkpoint_priority(enum checkpoint c);
