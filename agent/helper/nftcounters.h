/*
 * The counters of nftables tables, as DUMP_COUNTERS hands them over.
 */
#pragma once

#include <stdint.h>

#include "common/why.h"

/*
 * Reads the chains of every table that is not ours and the counters in their rules, through a socket of the calling thread's
 * namespace, and writes them to fd. Nothing is reset. *generation: of the ruleset that was read; it stood all the
 * time. 0; -EAGAIN when it changed under every try; -errno with why.
 */
int nftcounters_read(int fd, uint32_t *generation, struct why *why);
