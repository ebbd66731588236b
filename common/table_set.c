/*
 * An ipset's text as a table of one chain, so that its history is told like that of rules.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/ipset.h"

int table_parse_set(struct table *t, const char *text, size_t len)
{
	struct chain *c;
	uint32_t lines = 1;

	memset(t, 0, sizeof(*t));
	if (len < 7 || len > CONTENT_MAX || memcmp(text, "create ", 7) != 0)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	t->text = malloc(len + 1);
	t->chains = calloc(1, sizeof(*t->chains));
	if (!t->text || !t->chains)
		goto out;
	memcpy(t->text, text, len);
	t->text[len] = '\0';
	t->chain_count = 1;
	c = &t->chains[0];
	memcpy(c->name, IPSET_CHAIN, sizeof(IPSET_CHAIN));
	c->policy[0] = '-';
	c->rules = calloc(lines, sizeof(*c->rules));
	if (!c->rules)
		goto out;
	for (const char *p = t->text, *end = p + len, *stop; p < end; p = stop + 1) {
		stop = memchr(p, '\n', (size_t)(end - p));
		if (!stop)
			stop = end;
		c->rules[c->rule_count++] = (struct rule_text){ p, (uint32_t)(stop - p) };
	}
	return 0;
out:
	table_clear(t);
	return -ENOMEM;
}
