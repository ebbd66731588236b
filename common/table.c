/*
 * Cutting iptables-save text into chains and rules. The text comes from a host and is not trusted: whatever it
 * holds, memory stays in proportion to its length.
 */
#include "common/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* Chains by name, while the rules are being counted and placed. */
struct by_name {
	UT_hash_handle hh;
	struct chain *chain;
	uint32_t cap;
};

struct line {
	const char *p;
	size_t len;
};

/*
 * A rule ends at the first newline outside of "...": the kernel takes comments with newlines, and they are
 * printed as they are. A quote opens only after a blank: in an interface's name it is a letter.
 */
static const char *end_of_rule(const char *p, const char *end)
{
	bool quoted = false;

	for (const char *from = p; p < end && (quoted || *p != '\n'); p++) {
		if (quoted && *p == '\\' && p + 1 < end)
			p++;
		else if (quoted && *p == '"')
			quoted = false;
		else if (*p == '"' && p > from && p[-1] == ' ')
			quoted = true;
	}
	return p;
}

static bool next_line(struct line *l, const char **at, const char *end)
{
	const char *stop;

	if (*at >= end)
		return false;
	if (**at == '-')
		stop = end_of_rule(*at, end);
	else
		stop = memchr(*at, '\n', (size_t)(end - *at));
	l->p = *at;
	l->len = (size_t)((stop ? stop : end) - *at);
	*at = stop && stop < end ? stop + 1 : end;
	return true;
}

/* The word at *p, which moves behind it and the blanks after it. */
static struct line next_word(const char **p, const char *end)
{
	struct line w = { *p, 0 };

	while (*p < end && **p != ' ')
		(*p)++;
	w.len = (size_t)(*p - w.p);
	while (*p < end && **p == ' ')
		(*p)++;
	return w;
}

static bool take_name(char *to, size_t size, struct line w)
{
	if (w.len == 0 || w.len >= size || memchr(w.p, '\0', w.len))
		return false;
	memcpy(to, w.p, w.len);
	to[w.len] = '\0';
	return true;
}

static int add_chain(struct table *t, uint32_t *cap, struct line l)
{
	const char *p = l.p + 1, *end = l.p + l.len;
	struct chain *c;

	if (t->chain_count == TABLE_CHAINS_MAX)
		return -EBADMSG;
	if (t->chain_count == *cap) {
		uint32_t next = *cap ? *cap * 2 : 8;
		struct chain *bigger = realloc(t->chains, next * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->chains = bigger;
		*cap = next;
	}
	c = &t->chains[t->chain_count];
	memset(c, 0, sizeof(*c));
	if (!take_name(c->name, sizeof(c->name), next_word(&p, end)) ||
	    !take_name(c->policy, sizeof(c->policy), next_word(&p, end)))
		return -EBADMSG;
	t->chain_count++;
	return 0;
}

int chain_add_rule(struct chain *c, uint32_t *cap, const char *text, size_t len)
{
	if (c->rule_count == *cap) {
		uint32_t next = *cap ? *cap * 2 : 8;
		struct rule_text *bigger = realloc(c->rules, next * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->rules = bigger;
		*cap = next;
	}
	c->rules[c->rule_count++] = (struct rule_text){ text, (uint32_t)len };
	return 0;
}

/* "-A NAME ..." */
static int place_rule(struct by_name *chains, struct line l)
{
	const char *p = l.p + 3, *end = l.p + l.len;
	struct line name = next_word(&p, end);
	struct by_name *b;

	HASH_FIND(hh, chains, name.p, name.len, b);
	return b ? chain_add_rule(b->chain, &b->cap, l.p, l.len) : -EBADMSG;
}

static int parse_chains(struct table *t, const char *end)
{
	const char *at = t->text;
	bool named = false;
	uint32_t cap = 0;
	struct line l;
	int r = 0;

	while (r == 0 && next_line(&l, &at, end)) {
		if (l.len && l.p[0] == '*') {
			struct line name = { l.p + 1, l.len - 1 };

			if (named || !take_name(t->name, sizeof(t->name), name))
				return -EBADMSG;
			named = true;
		} else if (l.len && l.p[0] == ':') {
			r = add_chain(t, &cap, l);
		}
	}
	return r == 0 && !named ? -EBADMSG : r;
}

static int parse_rules(struct table *t, const char *end)
{
	struct by_name *chains = NULL, *list, *seen;
	const char *at = t->text;
	bool done = false;
	struct line l;
	int r = 0;

	list = calloc(t->chain_count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->chain_count; i++) {
		list[i].chain = &t->chains[i];
		HASH_FIND_STR(chains, t->chains[i].name, seen);
		if (seen)
			r = -EBADMSG;
		else
			HASH_ADD_KEYPTR(hh, chains, t->chains[i].name, strlen(t->chains[i].name),
					&list[i]);
	}
	while (r == 0 && next_line(&l, &at, end)) {
		if (l.len == 0 || l.p[0] == '#' || l.p[0] == '*' || l.p[0] == ':')
			continue;
		if (done)
			r = -EBADMSG;
		else if (l.len == 6 && !memcmp(l.p, "COMMIT", 6))
			done = true;
		else if (l.len > 3 && !memcmp(l.p, "-A ", 3))
			r = place_rule(chains, l);
		else
			r = -EBADMSG;
	}
	HASH_CLEAR(hh, chains);
	free(list);
	return r;
}

int table_parse(struct table *t, const char *text, size_t len)
{
	int r;

	memset(t, 0, sizeof(*t));
	if (len > CONTENT_MAX)
		return -EBADMSG;
	t->text = malloc(len + 1);
	if (!t->text)
		return -ENOMEM;
	memcpy(t->text, text, len);
	t->text[len] = '\0';
	r = parse_chains(t, t->text + len);
	if (r == 0)
		r = parse_rules(t, t->text + len);
	if (r < 0)
		table_clear(t);
	return r;
}

void table_clear(struct table *t)
{
	for (uint32_t i = 0; i < t->chain_count; i++)
		free(t->chains[i].rules);
	free(t->chains);
	free(t->text);
	memset(t, 0, sizeof(*t));
}

const struct chain *table_chain(const struct table *t, const char *chain)
{
	for (uint32_t i = 0; i < t->chain_count; i++) {
		if (!strcmp(t->chains[i].name, chain))
			return &t->chains[i];
	}
	return NULL;
}

const struct rule_text *chain_rule(const struct chain *c, uint32_t number)
{
	return number && number <= c->rule_count ? &c->rules[number - 1] : NULL;
}
