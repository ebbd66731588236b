/*
 * Prefixes of NFLOG messages that were read before, with what they mean: there are as many as rules that traced packets meet, and
 * each of their packets brings them again.
 */
#pragma once

#include "agent/source/prefix.h"
#include "common/limits.h"

enum { LINES = 64 };

struct line {
	bool read; /* false: the slot is empty */
	bool trace;
	uint8_t hook;
	uint16_t len;               /* of the prefix, as the message has it */
	struct trace_prefix parsed; /* trace */
	int32_t priority;           /* trace: of its chain in this hook */
	char text[LOG_PREFIX_MAX + 1];
};

/* All zero: none was read. */
struct lines {
	struct line list[LINES];
};

/* What text[0..len), met in this hook, says; valid until the next call. What is longer than LOG_PREFIX_MAX is cut. */
const struct line *lines_read(struct lines *l, enum hook hook, const char *text, size_t len);
