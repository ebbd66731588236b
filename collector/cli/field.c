#include "collector/cli/field.h"

#include <string.h>

#include "collector/cli/when.h"

bool field_time(const json_t *o, const char *key, struct wall_ns *t)
{
	return when_parse_rfc3339(t, field_text(o, key));
}

bool field_is(const json_t *o, const char *key, const char *text)
{
	const char *has = json_string_value(json_object_get(o, key));

	return has && strcmp(has, text) == 0;
}

const char *field_rule(const char *text, const char *chain)
{
	size_t len = chain ? strlen(chain) : 0;

	if (!chain || strncmp(text, "-A ", 3) != 0 || strncmp(text + 3, chain, len) != 0 ||
	    text[3 + len] != ' ')
		return text;
	return text + 3 + len + 1;
}
