/*
 * What `lasthop-helper --arm FAMILY` reads from its stdin, a file: the rules that shall stand in raw
 * instead of all that stand there of this agent. Its descriptor 1 is the lock of iptables.
 */
#pragma once

#include <stdint.h>

#include "common/limits.h"
#include "common/pattern.h"

enum { ARM_RULES_MAX = LEASES_MAX * PATTERNS_MAX * 2, ARM_LOCK_MS = 2000 };

struct arm_rule {
	uint64_t lease;
	int64_t until; /* UTC, s: the kernel itself ends it */
	uint32_t rate; /* packets a second */
	uint32_t reverse;
	struct pattern pattern;
};

struct arm {
	uint64_t agent;
	uint32_t count, reserved;
	struct arm_rule rules[];
};

/* Exit status. */
int arm_main(const char *family);
