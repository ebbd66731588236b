/*
 * Parsed from the right, since a chain's name may hold any byte, colons included, while the table is one of
 * five and the type and number are the kernel's own words.
 */
#include "agent/source/prefix.h"

#include <linux/netfilter_ipv4.h>
#include <string.h>

static const char lead[] = "TRACE: ";

static const struct {
	const char *name;
	int32_t priority;
} tables[] = {
	{ "raw", NF_IP_PRI_RAW },           { "mangle", NF_IP_PRI_MANGLE },
	{ "nat", NF_IP_PRI_NAT_DST },       { "filter", NF_IP_PRI_FILTER },
	{ "security", NF_IP_PRI_SECURITY },
};

static const struct {
	const char *word;
	enum label label;
} types[] = {
	{ "rule", LABEL_RULE },
	{ "return", LABEL_RETURN },
	{ "policy", LABEL_POLICY },
};

/* The last ':' of text[0..len); NULL when there is none. */
static const char *last_colon(const char *text, size_t len)
{
	return memrchr(text, ':', len);
}

static bool number_parse(uint32_t *number, const char *p, const char *end)
{
	uint64_t n = 0;

	if (p == end || end - p > 10 || *p == '0')
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (n > UINT32_MAX)
		return false;
	*number = (uint32_t)n;
	return true;
}

static bool label_parse(enum label *label, const char *p, size_t len)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strlen(types[i].word) == len && memcmp(types[i].word, p, len) == 0) {
			*label = types[i].label;
			return true;
		}
	}
	return false;
}

static bool table_known(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strcmp(tables[i].name, name) == 0)
			return true;
	}
	return false;
}

bool trace_prefix_parse(struct trace_prefix *t, const char *text, size_t len)
{
	const char *end = text + len;
	const char *number, *type, *chain;

	*t = (struct trace_prefix){ 0 };
	if (len > 0 && text[len - 1] == '\0')
		end--;
	if ((size_t)(end - text) < sizeof(lead) || memcmp(text, lead, sizeof(lead) - 1) != 0)
		return false;
	text += sizeof(lead) - 1;
	if (end[-1] != ' ')
		return false;
	end--;
	if (memchr(text, '\0', (size_t)(end - text)))
		return false;

	number = last_colon(text, (size_t)(end - text));
	if (!number || !number_parse(&t->number, number + 1, end))
		return false;
	type = last_colon(text, (size_t)(number - text));
	if (!type || !label_parse(&t->label, type + 1, (size_t)(number - type - 1)))
		return false;
	chain = memchr(text, ':', (size_t)(type - text));
	if (!chain || chain + 1 == type)
		return false;
	if ((size_t)(chain - text) >= sizeof(t->table) ||
	    (size_t)(type - chain - 1) >= sizeof(t->chain))
		return false;
	memcpy(t->table, text, (size_t)(chain - text));
	memcpy(t->chain, chain + 1, (size_t)(type - chain - 1));
	return table_known(t->table);
}

int32_t legacy_priority(const char *table, enum hook hook)
{
	if (strcmp(table, "nat") == 0 && (hook == HOOK_INPUT || hook == HOOK_POSTROUTING))
		return NF_IP_PRI_NAT_SRC;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strcmp(tables[i].name, table) == 0)
			return tables[i].priority;
	}
	return NF_IP_PRI_FILTER;
}
