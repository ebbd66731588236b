#include "collector/cli/source.h"

#include <stdio.h>
#include <string.h>

#include "collector/cli/when.h"

static bool is_content(const char *text)
{
	size_t n = strspn(text, "0123456789abcdef");

	return n >= SOURCE_CONTENT_MIN && n <= SOURCE_CONTENT_MAX && text[n] == '\0';
}

int source_parse(struct source *s, const struct cli *c, const char *word)
{
	const char *at = strchr(word, '@');
	size_t len = at ? (size_t)(at - word) : strlen(word);
	struct why why;

	*s = (struct source){ .at = c->now };
	if (len == 0 || len >= sizeof(s->host))
		return cli_usage(c, "HOST is missing or too long");
	memcpy(s->host, word, len);
	if (!at)
		return STATUS_ANSWER;
	if (is_content(at + 1))
		snprintf(s->content, sizeof(s->content), "%s", at + 1);
	else if (when_parse(&s->at, at + 1, c->now, &why) < 0)
		return cli_usage(c, why.text);
	return STATUS_ANSWER;
}

void source_query(struct buf *path, const struct source *s, const char *host, const char *at)
{
	cli_query(path, host, s->host);
	if (s->content[0])
		cli_query(path, at, s->content);
	else
		cli_query_number(path, at, s->at.v);
}
