/*
 * What the worker asked, checked. Two kinds of wrong: a message that our worker never sends ends
 * the helper; a lease that somebody wished for and that goes beyond the limits is refused.
 */
#pragma once

#include <stddef.h>

#include "agent/helper/ipc.h"
#include "common/clock.h"
#include "common/why.h"

/*
 * A message of size bytes with fd_count descriptors attached. 0, or -EPROTO: this was not our
 * worker.
 */
int request_check(const struct helper_request *q, size_t size, uint32_t fd_count,
		  uint32_t netns_count);
/* Is the lease within the limits? 0, or -EINVAL with why. */
int lease_check(const struct helper_lease *l, struct boot_ns now, struct why *why);
