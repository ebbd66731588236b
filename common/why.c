/*
 * See why.h.
 */
#include "common/why.h"

#include <stdarg.h>
#include <stdio.h>

int why_set(struct why *why, int r, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return r;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return r;
}
