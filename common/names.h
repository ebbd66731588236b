/*
 * The printed names of an enum that is made from an X-macro list of (id, text, ...).
 */
#pragma once

#define NAMES_TEXT(id, text, ...) text,

/* Defines fn(v): the value's text, NULL for what is in no list. */
#define NAMES(fn, type, list)                                                                      \
	const char *fn(type v)                                                                     \
	{                                                                                          \
		static const char *const names[] = { list(NAMES_TEXT) };                           \
                                                                                                   \
		if ((unsigned)v >= sizeof(names) / sizeof(names[0]))                               \
			return NULL;                                                               \
		return names[v];                                                                   \
	}
