/*
 * HOST[@TIME|@CONTENT], as `rules` takes it: a host's tables, now, at an instant, or the one with a content.
 */
#pragma once

#include "collector/cli/cli.h"

enum { SOURCE_CONTENT_MIN = 7, SOURCE_CONTENT_MAX = 64 };

struct source {
	char host[HOST_MAX + 1];
	char content[SOURCE_CONTENT_MAX + 1]; /* "" none */
	struct wall_ns at;
};

/* STATUS_ANSWER, or STATUS_USAGE, which was explained. */
int source_parse(struct source *s, const struct cli *c, const char *word);
/* Adds its host and instant to a question under these names. */
void source_query(struct buf *path, const struct source *s, const char *host, const char *at);
