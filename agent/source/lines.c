#include "agent/source/lines.h"

#include <string.h>
#include <xxhash.h>

const struct line *lines_read(struct lines *l, enum hook hook, const char *text, size_t len)
{
	struct line *line;

	if (len > LOG_PREFIX_MAX)
		len = LOG_PREFIX_MAX;
	line = &l->list[(XXH3_64bits(text, len) ^ hook) % LINES];
	if (line->read && line->hook == hook && line->len == len &&
	    memcmp(line->text, text, len) == 0)
		return line;
	*line = (struct line){ .read = true, .hook = (uint8_t)hook, .len = (uint16_t)len };
	memcpy(line->text, text, len);
	line->trace = hook != HOOK_NONE && trace_prefix_parse(&line->parsed, line->text, len);
	if (line->trace)
		line->priority = legacy_priority(line->parsed.table, hook);
	return line;
}
