#include "collector/diagnose/origin.h"

#include <stdio.h>
#include <string.h>

static bool rules_equal(const struct chain *a, uint32_t i, const struct chain *b, uint32_t k)
{
	const struct rule_text *x = chain_rule(a, i), *y = chain_rule(b, k);

	return x->len == y->len && !memcmp(x->text, y->text, x->len);
}

/* Rule n of the newer chain in the older one: its number; 0: it is not there; -1: a copy of it is, and which is which cannot be told. */
static int64_t older_number(const struct chain *newer, uint32_t n, const struct chain *older)
{
	const uint32_t a = newer->rule_count, b = older->rule_count, least = a < b ? a : b;
	uint32_t head = 0, tail = 0, found = 0;
	int64_t copies = 0;

	while (head < least && rules_equal(newer, head + 1, older, head + 1))
		head++;
	while (tail < least && rules_equal(newer, a - tail, older, b - tail))
		tail++;
	/* A run of copies grew: any of them may be the new one. */
	if (head + tail > b && a > b && n > b - tail && n <= head + (a - b))
		return -1;
	if (n <= head)
		return n;
	if (n > a - tail)
		return (int64_t)n - a + b;
	/* In between: rules that came, went or moved. */
	for (uint32_t k = head + 1; k <= b - tail; k++) {
		if (rules_equal(newer, n, older, k)) {
			found = k;
			copies++;
		}
	}
	for (uint32_t k = head + 1; found && k <= a - tail; k++)
		copies -= rules_equal(newer, n, newer, k);
	return !found ? 0 : copies >= 0 ? (int64_t)found : -1;
}

/* The same of a policy (number 0). */
static bool policy_stands(const struct chain *c, enum backend backend, const char *text)
{
	char policy[CHAIN_NAME_MAX + 32];

	if (backend == BACKEND_NATIVE)
		snprintf(policy, sizeof(policy), "policy %s;", c->policy);
	else
		snprintf(policy, sizeof(policy), "-P %s %s", c->name, c->policy);
	return !strcmp(policy, text);
}

/* False: its content is not known. The table is the caller's to clear. */
static bool content_load(struct table *parsed, const struct inquiry *q,
			 const struct stored_table *t)
{
	struct arena_mark before = arena_mark(q->arena);
	const char *content;
	bool loaded;
	size_t len;

	loaded = reader_content(q->fleet->reader, &t->content, q->arena, &content, &len) == 0 &&
		 table_parse_as(parsed, t->backend, content, len) == 0;
	arena_rewind(q->arena, before);
	return loaded;
}

static bool same_table(const struct stored_table *a, const struct stored_table *b)
{
	return a->host == b->host && a->backend == b->backend && a->family == b->family &&
	       !strcmp(a->table, b->table);
}

/* Walks one content back: the rule's number there as older_number() has it. */
static int64_t step_back(const struct table *newer, const struct table *older, enum backend backend,
			 const char *chain, uint32_t number, const char *text)
{
	const struct chain *a = table_chain(newer, chain), *b = table_chain(older, chain);

	if (!a || !b)
		return 0;
	if (number)
		return number <= a->rule_count ? older_number(a, number, b) : -1;
	return policy_stands(b, backend, text);
}

void origin_find(struct origin_of_rule *out, const struct inquiry *q, const struct stored_table *t,
		 const char *chain, uint32_t number, const char *text)
{
	struct stored_table *list = NULL;
	const struct stored_table *oldest = t;
	struct table newer, content;
	size_t n = 0, looked = 0;
	int64_t there;

	*out = (struct origin_of_rule){ .since = t->since, .before = t->since_min, .by = t };
	if (!text || !chain ||
	    reader_tables(q->fleet->reader, t->host, (struct wall_ns){ 0 }, t->from, q->arena,
			  &list, &n) < 0 ||
	    !content_load(&newer, q, t))
		return;
	for (size_t i = n; i-- > 0;) {
		const struct stored_table *older = &list[i];

		if (!same_table(older, t) || older->from.v >= oldest->from.v)
			continue;
		/* A gap between them: it may have gone and come again. */
		if (older->until.v != oldest->from.v)
			break;
		if (memcmp(&older->content, &oldest->content, sizeof(older->content)) != 0) {
			there = ++looked > ORIGIN_MAX || !content_load(&content, q, older) ? -1 : 1;
			if (there > 0) {
				there = step_back(&newer, &content, t->backend, chain, number,
						  text);
				table_clear(&newer);
				newer = content;
			}
			if (there < 0) {
				*out = (struct origin_of_rule){ .since = oldest->since };
				goto out;
			}
			if (there == 0)
				break;
			number = number ? (uint32_t)there : 0;
		}
		oldest = older;
	}
	*out = (struct origin_of_rule){ .since = oldest->since,
					.before = oldest->since_min,
					.by = oldest };
out:
	table_clear(&newer);
}
