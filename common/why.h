/*
 * Text for people about a failure, written once, at the border where the cause is known.
 */
#pragma once

#include "common/limits.h"

struct why {
	char text[WHY_MAX + 1];
};

/* Returns r, so that `return why_set(why, -EINVAL, "...")` reads well; why may be NULL. */
int why_set(struct why *why, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
