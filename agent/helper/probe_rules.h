/*
 * What stands in the probe table, written into one transaction: its sets, counters, chains and
 * rules.
 */
#pragma once

#include "agent/helper/probe.h"
#include "agent/helper/probe_batch.h"

/* Everything within the table, which batch has made already, for these leases. */
void probe_rules(struct probe_batch *b, const struct probe_lease *leases, uint32_t count,
		 const struct probe_site *site);
