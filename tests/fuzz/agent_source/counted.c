/* Whatever is in a counters memfd: every value that a table claims to have is there. */
#include <stdlib.h>
#include <string.h>

#include "agent/source/counted.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	void *copy = malloc(len ? len : 1);
	struct counted *c = malloc(sizeof(*c));
	uint64_t sum = 0;

	must(copy && c);
	if (len)
		memcpy(copy, p, len);
	if (counted_parse(c, copy, len) == 0) {
		for (uint32_t i = 0; i < c->count; i++) {
			const struct counted_table *t = &c->tables[i];
			uint32_t at = 0;

			for (uint32_t k = 0; k < t->chain_count; k++) {
				must(strlen(t->chains[k].name) <= CHAIN_NAME_MAX);
				for (uint32_t n = t->chains[k].rules + t->chains[k].policy; n; n--)
					sum += t->values[at++].packets;
			}
			must(at == t->value_count);
		}
	}
	must(sum != 1 || c->count > 0);
	free(c);
	free(copy);
	return 0;
}
