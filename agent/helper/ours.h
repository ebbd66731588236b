/*
 * Rules of ours in the administrator's legacy tables: TRACE rules at the head of raw's PREROUTING and OUTPUT, where the kernel has no
 * tables with an owner. Their comment names us, the agent and the lease, and nothing that we report ever counts them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/journey.h"

enum { OURS_COMMENT_MAX = 64 };

/* The comment of a rule for this lease. */
void ours_comment(char comment[static OURS_COMMENT_MAX], uint64_t agent, uint64_t lease);
/* Is the rule with these matches and this target one of ours? agent 0: of any agent. */
bool ours_is(const void *matches, const void *end, const void *target, uint64_t agent);
/*
 * Takes our rules out of a table as the kernel gives it: offsets of hooks and of jumps then are what they would be without them. *size
 * shrinks. -EBADMSG when offsets do not add up; then nothing was changed.
 */
int ours_strip(enum family family, void *entries, uint32_t *size, uint32_t *starts,
	       uint32_t *policies, uint32_t hooks);
