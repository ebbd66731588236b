/*
 * The line that the kernel prints for a traced packet in a legacy table:
 * "TRACE: table:chain:type:number ", type one of rule, return, policy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/journey.h"

struct trace_prefix {
	char table[16], chain[32];
	enum label label;
	uint32_t number;
};

/*
 * Reads text[0..len). False for anything that the kernel would not print so: then it is somebody's log line.
 * (A log rule with just this prefix cannot be told from a trace here.)
 */
bool trace_prefix_parse(struct trace_prefix *t, const char *text, size_t len);
/* The priority of a legacy table's chain in a hook: the order in which the kernel calls the tables. */
int32_t legacy_priority(const char *table, enum hook hook);
