#include "collector/diagnose/origin.h"

#include <stdio.h>
#include <string.h>

static bool chain_has(const struct chain *c, enum backend backend, const char *text)
{
	char policy[CHAIN_NAME_MAX + 32];

	for (uint32_t n = 1; n <= c->rule_count; n++) {
		const struct rule_text *r = chain_rule(c, n);

		if (r->len == strlen(text) && !memcmp(r->text, text, r->len))
			return true;
	}
	if (backend == BACKEND_NATIVE)
		snprintf(policy, sizeof(policy), "policy %s;", c->policy);
	else
		snprintf(policy, sizeof(policy), "-P %s %s", c->name, c->policy);
	return !strcmp(policy, text);
}

static bool content_has(const struct inquiry *q, const struct stored_table *t, const char *chain,
			const char *text)
{
	struct arena_mark before = arena_mark(q->arena);
	const struct chain *c = NULL;
	struct table parsed;
	const char *content;
	bool has = false;
	size_t len;

	if (reader_content(q->fleet->reader, &t->content, q->arena, &content, &len) == 0 &&
	    table_parse_as(&parsed, t->backend, content, len) == 0) {
		c = table_chain(&parsed, chain);
		has = c && chain_has(c, t->backend, text);
		table_clear(&parsed);
	}
	arena_rewind(q->arena, before);
	return has;
}

static bool same_table(const struct stored_table *a, const struct stored_table *b)
{
	return a->host == b->host && a->backend == b->backend && a->family == b->family &&
	       !strcmp(a->table, b->table);
}

void origin_find(struct origin_of_rule *out, const struct inquiry *q, const struct stored_table *t,
		 const char *chain, const char *text)
{
	struct stored_table *list = NULL;
	const struct stored_table *oldest = t;
	size_t n = 0, looked = 0;

	*out = (struct origin_of_rule){ .since = t->since, .before = t->since_min, .by = t };
	if (!text || !chain ||
	    reader_tables(q->fleet->reader, t->host, (struct wall_ns){ 0 }, t->from, q->arena,
			  &list, &n) < 0)
		return;
	for (size_t i = n; i-- > 0;) {
		const struct stored_table *older = &list[i];

		if (!same_table(older, t) || older->from.v >= oldest->from.v)
			continue;
		/* A gap between them: it may have gone and come again. */
		if (older->until.v != oldest->from.v)
			break;
		if (memcmp(&older->content, &oldest->content, sizeof(older->content)) != 0) {
			if (++looked > ORIGIN_MAX) {
				*out = (struct origin_of_rule){ .since = oldest->since };
				return;
			}
			if (!content_has(q, older, chain, text))
				break;
		}
		oldest = older;
	}
	*out = (struct origin_of_rule){ .since = oldest->since,
					.before = oldest->since_min,
					.by = oldest };
}
