/*
 * Fields of an answer. Whatever is missing, null or of another kind reads as "not known", so that a newer or
 * older collector never breaks a screen.
 */
#pragma once

#include <jansson.h>

#include <stdbool.h>

#include "common/clock.h"

/* NULL when it is no string or empty. Borrowed. */
static inline const char *field_text(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text && *text ? text : NULL;
}

static inline int64_t field_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static inline bool field_true(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

/* false: not known. */
bool field_time(const json_t *o, const char *key, struct wall_ns *t);
/* A rule's text without "-A CHAIN ", where the chain stands beside it. */
const char *field_rule(const char *text, const char *chain);
/* Is the field this text? */
bool field_is(const json_t *o, const char *key, const char *text);
