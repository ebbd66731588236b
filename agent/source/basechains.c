/*
 * iptables-nft's chains have the names and priorities of the legacy ones; a native chain says "type filter hook input priority
 * filter + 5; policy accept;" in the line after its name.
 */
#include "agent/source/basechains.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/source/prefix.h"

static int add(struct basechains *b, const struct basechain *c)
{
	if (b->count == BASECHAINS_MAX)
		return 0; /* its steps then stand where they were told */
	if (b->count == b->cap) {
		uint32_t cap = b->cap ? b->cap * 2 : 16;
		struct basechain *bigger = reallocarray(b->list, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		b->list = bigger;
		b->cap = cap;
	}
	b->list[b->count++] = *c;
	return 0;
}

static void copy(char *to, size_t size, const char *from, size_t len)
{
	len = len < size - 1 ? len : size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

/* ":INPUT ACCEPT [0:0]" */
static int take_saved(struct basechains *b, uint8_t family, const char *table, const char *line,
		      size_t len)
{
	struct basechain c = { .family = family };
	const char *blank = line[0] == ':' ? memchr(line, ' ', len) : NULL;
	int hook;

	if (!blank || (size_t)(blank - line) + 1 >= len || blank[1] == '-')
		return 0;
	copy(c.table, sizeof(c.table), table, strlen(table));
	copy(c.chain, sizeof(c.chain), line + 1, (size_t)(blank - line) - 1);
	hook = hook_parse(c.chain);
	if (hook <= HOOK_NONE)
		return 0;
	c.hook = (uint8_t)hook;
	c.priority = legacy_priority(c.table, (enum hook)hook);
	return add(b, &c);
}

/* The names that nft has for priorities (man nft, "priority"). */
static bool priority_named(const char *word, uint8_t family, int32_t *value)
{
	static const struct {
		const char *name;
		int32_t inet, bridge;
	} names[] = {
		{ "raw", -300, 0 },    { "mangle", -150, 0 }, { "dstnat", -100, -300 },
		{ "filter", 0, -200 }, { "security", 50, 0 }, { "srcnat", 100, 300 },
		{ "out", 0, 100 },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i].name, word) != 0)
			continue;
		*value = family == FAMILY_BRIDGE ? names[i].bridge : names[i].inet;
		return true;
	}
	return false;
}

/* "filter", "filter + 5", "-5". */
static int32_t priority_of(const char *text, uint8_t family)
{
	char word[16] = "", sign = '+';
	int32_t base = 0;
	int more = 0;

	if (sscanf(text, "%15[a-z] %c %d", word, &sign, &more) >= 1 &&
	    priority_named(word, family, &base))
		return sign == '-' ? base - more : base + more;
	return (int32_t)strtol(text, NULL, 10);
}

static enum hook hook_of(const char *word)
{
	static const struct {
		const char *word;
		enum hook hook;
	} hooks[] = {
		{ "ingress", HOOK_INGRESS }, { "prerouting", HOOK_PREROUTING },
		{ "input", HOOK_INPUT },     { "forward", HOOK_FORWARD },
		{ "output", HOOK_OUTPUT },   { "postrouting", HOOK_POSTROUTING },
		{ "egress", HOOK_EGRESS },
	};

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++)
		if (strcmp(hooks[i].word, word) == 0)
			return hooks[i].hook;
	return HOOK_NONE;
}

/* "type filter hook input priority filter; policy accept;" of the chain whose name came before. */
static int take_native(struct basechains *b, struct basechain *c, const char *line)
{
	const char *hook = strstr(line, " hook "), *priority = strstr(line, " priority ");
	char word[16] = "";

	if (strncmp(line, "type ", 5) != 0 || !hook || !priority ||
	    sscanf(hook + 6, "%15[a-z]", word) != 1)
		return 0;
	c->hook = (uint8_t)hook_of(word);
	c->priority = priority_of(priority + 10, c->family);
	return c->hook == HOOK_NONE ? 0 : add(b, c);
}

int basechains_add(struct basechains *b, enum backend backend, uint8_t family, const char *table,
		   const char *text, size_t len)
{
	struct basechain c = { .family = family };
	const char *end = text + len;
	char line[512];
	int r = 0;

	copy(c.table, sizeof(c.table), table, strlen(table));
	while (text < end && r == 0) {
		const char *next = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((next ? next : end) - text), skip = 0;

		while (skip < n && (text[skip] == '\t' || text[skip] == ' '))
			skip++;
		copy(line, sizeof(line), text + skip, n - skip);
		if (backend == BACKEND_NFT) {
			if (line[0] == '-')
				break; /* rules: no chain follows */
			r = take_saved(b, family, table, line, strlen(line));
		} else if (strncmp(line, "chain ", 6) == 0) {
			copy(c.chain, sizeof(c.chain), line + 6, strcspn(line + 6, " "));
		} else {
			r = take_native(b, &c, line);
		}
		text = next ? next + 1 : end;
	}
	return r;
}

const struct basechain *basechains_find(const struct basechains *b, uint8_t family,
					const char *table, const char *chain)
{
	for (uint32_t i = 0; i < b->count; i++) {
		const struct basechain *c = &b->list[i];

		if (c->family == family && strcmp(c->chain, chain) == 0 &&
		    strcmp(c->table, table) == 0)
			return c;
	}
	return NULL;
}

void basechains_clear(struct basechains *b)
{
	free(b->list);
	*b = (struct basechains){ 0 };
}
