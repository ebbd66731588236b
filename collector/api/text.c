#include "collector/api/text.h"

json_t *time_json(struct wall_ns t)
{
	char text[WALL_TEXT_MAX];

	if (t.v == 0)
		return json_null();
	wall_print(t, text);
	return json_string(text);
}

json_t *text_json(const char *text)
{
	json_t *j = text && text[0] ? json_string(text) : json_null();

	return j ? j : json_string("(not UTF-8)");
}
