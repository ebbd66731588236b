/* Any bytes as the entries of a table: stripping them twice is stripping them once. */
#include <stdlib.h>
#include <string.h>

#include "agent/helper/ours.h"
#include "common/must.h"

enum { HOOKS = 5, ROOM = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint32_t starts[HOOKS] = { 0 }, policies[HOOKS], size, once;
	uint8_t *table;

	if (len < 1 || len > ROOM)
		return 0;
	size = (uint32_t)len - 1;
	table = malloc(size + 1); /* malloc's blocks are aligned as the kernel's are */
	must(table);
	memcpy(table, p + 1, size);
	for (int i = 0; i < HOOKS; i++)
		policies[i] = size;
	if (ours_strip(*p & 1 ? FAMILY_IPV6 : FAMILY_IPV4, table, &size, starts, policies, 0x1f) ==
	    0) {
		once = size;
		must(ours_strip(*p & 1 ? FAMILY_IPV6 : FAMILY_IPV4, table, &size, starts, policies,
				0x1f) == 0);
		must(size == once);
	}
	free(table);
	return 0;
}
