/*
 * What a host's sources lack, told to whoever reads our stderr: each thing once, and what it costs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/record.h"

enum { SAID_MAX = 32, SAID_TEXT_MAX = 2 * WHY_MAX };

struct said {
	uint64_t list[SAID_MAX];
	uint32_t count;
};

/* The line about a source that does not run; false: it runs, or this was said before. */
bool said_line(struct said *s, const struct source_fact *f, char line[static SAID_TEXT_MAX]);
