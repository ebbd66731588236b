/*
 * The list of a host's sources, as records tell it.
 */
#pragma once

#include "agent/worker/host.h"

/*
 * What the sources are, in texts that h owns; the first *said of them are to be told to people. False: how opening one of them
 * goes is not known yet.
 */
bool sources_list(const struct host *h, struct source_fact list[static HOST_SOURCES_MAX],
		  uint32_t *count, uint32_t *said);
