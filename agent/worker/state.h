/*
 * What must survive the agent: its epoch, which grows with every start, and the random number that tells it from a
 * clone. They stand in DIR/agent.state, which one agent at a time holds locked.
 */
#pragma once

#include <stdint.h>

#include "common/why.h"

struct state {
	int fd; /* owned: holds the lock */
	uint64_t epoch;
	uint8_t instance[16];
};

/*
 * Makes DIR if need be, locks it, and has the next epoch on disk before it returns. 0; -EBUSY with the holder's pid in
 * why; another -errno with why.
 */
int state_open(struct state *s, const char *dir, struct why *why);
void state_clear(struct state *s);
