/* Any text as a table, and every rule of it. */
#include "common/nftmatch.h"
#include "common/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct table t;
	struct rule r;
	bool jump;

	rule_parse(&r, (const char *)p, len);
	statement_translation(&r, &jump, (const char *)p, len);
	if (table_parse_nft(&t, (const char *)p, len) == 0) {
		const struct tuple tuple = {
			.src.family = 4, .dst.family = 4, .sport = 1, .dport = 80, .proto = 6
		};
		const struct nft_packet packet = { 4, &tuple, "lan", "wan" };

		for (uint32_t c = 0; c < t.chain_count; c++)
			for (uint32_t i = 0; i < t.chains[c].rule_count; i++)
				nft_match(&t, &t.chains[c].rules[i], &packet);
		table_clear(&t);
	}
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
