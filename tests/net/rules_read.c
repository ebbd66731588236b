/*
 * Reads a table's text from its input as the collector does: cut into chains and rules, each of them read. Prints how many
 * chains and rules there are; status 1 for what cannot be read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/limits.h"
#include "common/table.h"

static int read_rules(const struct chain *c)
{
	struct rule rule;
	uint32_t i;
	int r;

	for (i = 0; i < c->rule_count; i++) {
		r = rule_parse(&rule, c->rules[i].text, c->rules[i].len);
		if (r < 0) {
			fprintf(stderr, "%.*s: %s\n", (int)c->rules[i].len, c->rules[i].text,
				strerror(-r));
			return 1;
		}
	}
	return 0;
}

int main(void)
{
	char chunk[64 << 10];
	struct buf text;
	struct table t;
	uint32_t i, rules = 0;
	int r = 0, status = 0;
	size_t n;

	buf_init(&text, CONTENT_MAX);
	while (r == 0 && (n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		r = buf_add(&text, chunk, n);
	if (r == 0)
		r = table_parse(&t, (const char *)text.p, text.len);
	buf_clear(&text);
	if (r < 0) {
		fprintf(stderr, "no table: %s\n", strerror(-r));
		return 1;
	}
	for (i = 0; i < t.chain_count && status == 0; i++) {
		status = read_rules(&t.chains[i]);
		rules += t.chains[i].rule_count;
	}
	printf("%u %u\n", t.chain_count, rules);
	table_clear(&t);
	return status;
}
