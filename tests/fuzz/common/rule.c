/* Any text as a table, and every rule of it. */
#include "common/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct table t;
	struct rule r;
	bool jump;

	rule_parse(&r, (const char *)p, len);
	statement_translation(&r, &jump, (const char *)p, len);
	if (table_parse_nft(&t, (const char *)p, len) == 0)
		table_clear(&t);
	if (table_parse(&t, (const char *)p, len) < 0)
		return 0;
	for (uint32_t c = 0; c < t.chain_count; c++) {
		for (uint32_t i = 1; i <= t.chains[c].rule_count; i++)
			rule_parse(&r, chain_rule(&t.chains[c], i)->text,
				   chain_rule(&t.chains[c], i)->len);
	}
	table_clear(&t);
	return 0;
}
