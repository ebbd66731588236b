/*
 * What a Hello may say of itself: ids of our alphabet, and only hosts that are the agent's own.
 */
#pragma once

#include "common/msg.h"
#include "common/why.h"

/* 0, or -EINVAL with why, in words for the agent's operator. */
int hello_check(const struct msg_hello *h, struct why *why);
/* The same for a list of this agent's hosts alone. */
int hosts_check(const char *agent, const struct msg_host *list, uint32_t count, struct why *why);
