/*
 * Cutting what `nft list table` prints into chains and rules: a chain is what stands between "chain NAME {" and its brace, one
 * rule a line. The text comes from a host and is not trusted, as in table.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/table.h"

struct line {
	const char *p; /* without the blanks around it */
	size_t len;
	uint32_t depth; /* tabs before it */
};

struct cutter {
	struct table *t;
	uint32_t chain_cap, rule_cap;
	struct chain *chain; /* the one that is open */
	bool named, done;
};

/* A text in quotes may go over several lines; it has no escapes. */
static bool next_line(struct line *l, const char **at, const char *end)
{
	bool quoted = false;
	const char *p;

	if (*at >= end)
		return false;
	for (p = *at; p < end && (quoted || *p != '\n'); p++)
		quoted ^= *p == '"';
	*l = (struct line){ *at, (size_t)(p - *at), 0 };
	*at = p < end ? p + 1 : end;
	for (; l->len && (l->p[0] == '\t' || l->p[0] == ' '); l->p++, l->len--)
		l->depth += l->p[0] == '\t';
	while (l->len && (l->p[l->len - 1] == '\t' || l->p[l->len - 1] == ' '))
		l->len--;
	return true;
}

static bool begins(struct line l, const char *word)
{
	size_t len = strlen(word);

	return l.len >= len && memcmp(l.p, word, len) == 0;
}

static bool opens(struct line l)
{
	return l.len && l.p[l.len - 1] == '{';
}

static bool closes(struct line l, uint32_t depth)
{
	return l.len == 1 && l.p[0] == '}' && l.depth == depth;
}

/* "chain NAME {": longer names than ours are cut. */
static int chain_open(struct cutter *c, struct line l)
{
	const char *name = l.p + strlen("chain "), *stop = memchr(name, ' ', l.len - 6);
	size_t len = stop ? (size_t)(stop - name) : 0;
	struct table *t = c->t;

	if (len == 0 || memchr(name, '\0', len) || t->chain_count == TABLE_CHAINS_MAX)
		return -EBADMSG;
	if (t->chain_count == c->chain_cap) {
		uint32_t cap = c->chain_cap ? c->chain_cap * 2 : 8;
		struct chain *bigger = realloc(t->chains, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->chains = bigger;
		c->chain_cap = cap;
	}
	c->chain = &t->chains[t->chain_count++];
	*c->chain = (struct chain){ .policy = "-" };
	memcpy(c->chain->name, name, len < CHAIN_NAME_MAX ? len : CHAIN_NAME_MAX);
	c->rule_cap = 0;
	return 0;
}

/* The word after " hook ". */
static uint8_t hook_of(struct line l)
{
	const char *p = memmem(l.p, l.len, " hook ", 6), *end = l.p + l.len;
	char word[16];
	size_t n = 0;
	int hook;

	for (p = p ? p + 6 : end; p < end && *p >= 'a' && *p <= 'z'; p++)
		if (n + 1 < sizeof(word))
			word[n++] = (char)(*p - 'a' + 'A');
	word[n] = '\0';
	hook = hook_parse(word);
	return (uint8_t)(hook < 0 ? HOOK_NONE : hook);
}

/* "type filter hook input priority filter; policy accept;" */
static void base(struct chain *c, struct line l)
{
	const char *policy = memmem(l.p, l.len, "policy ", 7), *end = l.p + l.len;
	size_t len = 0;

	c->hook = hook_of(l);
	c->nat = begins(l, "type nat ");
	c->base = (struct rule_text){ l.p, (uint32_t)l.len };
	memcpy(c->policy, "accept", sizeof("accept"));
	if (!policy)
		return;
	for (policy += 7; policy + len < end && policy[len] >= 'a' && policy[len] <= 'z';)
		len++;
	if (len && len < sizeof(c->policy)) {
		memcpy(c->policy, policy, len);
		c->policy[len] = '\0';
	}
}

static int in_chain(struct cutter *c, struct line l)
{
	if (closes(l, 1)) {
		c->chain = NULL;
		return 0;
	}
	if (c->chain->rule_count == 0 && begins(l, "type ") && memmem(l.p, l.len, " hook ", 6)) {
		base(c->chain, l);
		return 0;
	}
	/* What belongs to the chain itself. */
	if (begins(l, "comment \"") || begins(l, "flags ") || begins(l, "policy "))
		return 0;
	return chain_add_rule(c->chain, &c->rule_cap, l.p, l.len);
}

/* "table inet NAME {" */
static int table_open(struct cutter *c, struct line l)
{
	const char *end = l.p + l.len - 1, *name;
	size_t len;

	if (c->named || !begins(l, "table ") || !opens(l))
		return -EBADMSG;
	while (end > l.p && end[-1] == ' ')
		end--;
	name = memrchr(l.p, ' ', (size_t)(end - l.p));
	name = name ? name + 1 : end;
	len = (size_t)(end - name);
	if (len == 0 || memchr(name, '\0', len))
		return -EBADMSG;
	memcpy(c->t->name, name, len < TABLE_NAME_MAX ? len : TABLE_NAME_MAX);
	c->named = true;
	return 0;
}

static int cut(struct cutter *c, const char *end)
{
	const char *at = c->t->text;
	bool other = false; /* in a set or the like */
	struct line l;
	int r = 0;

	while (r == 0 && next_line(&l, &at, end)) {
		if (l.len == 0 || (!c->chain && l.p[0] == '#'))
			continue;
		if (c->done) {
			r = -EBADMSG;
		} else if (!c->named) {
			r = table_open(c, l);
		} else if (c->chain) {
			r = in_chain(c, l);
		} else if (other) {
			other = !closes(l, 1);
		} else if (begins(l, "chain ") && opens(l)) {
			r = chain_open(c, l);
		} else if (closes(l, 0)) {
			c->done = true;
		} else {
			other = opens(l);
		}
	}
	return r == 0 && !c->done ? -EBADMSG : r;
}

int table_parse_nft(struct table *t, const char *text, size_t len)
{
	struct cutter c = { .t = t };
	int r;

	memset(t, 0, sizeof(*t));
	t->native = true;
	if (len > CONTENT_MAX)
		return -EBADMSG;
	t->text = malloc(len + 1);
	if (!t->text)
		return -ENOMEM;
	memcpy(t->text, text, len);
	t->text[len] = '\0';
	r = cut(&c, t->text + len);
	if (r < 0)
		table_clear(t);
	return r;
}

int table_parse_as(struct table *t, enum backend backend, const char *text, size_t len)
{
	if (backend == BACKEND_IPSET)
		return table_parse_set(t, text, len);
	return backend == BACKEND_NATIVE ? table_parse_nft(t, text, len)
					 : table_parse(t, text, len);
}
