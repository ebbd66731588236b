/*
 * The leases of one host: from the collector's wish to the helper's table and back to silence.
 */
#pragma once

#include "agent/worker/host.h"

/* The trace sources are open, or one of them will never be: go on with what waits for them. */
void leases_advance(struct host *h);
/* Ends them all: the namespace has gone, and with it what was armed. */
void leases_lost(struct host *h, const char *why);
/* Does what is due. When it wants to be called next; 0: never. */
struct boot_ns leases_tick(struct host *h, struct boot_ns now);
