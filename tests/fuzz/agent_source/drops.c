/*
 * Whatever stands in a ring: it decodes to something that may be shown, or is given up.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/source/drops.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct boot_ns now = { NS_PER_S };
	uint8_t *copy = malloc(size ? size : 1);
	struct table_change c;
	struct trace_event e;
	uint32_t host, reason;

	must(copy);
	if (size)
		memcpy(copy, data, size);
	(void)drop_peek(copy, size, &host, &reason);
	if (drop_decode(&e, &host, copy, size, "NETFILTER_DROP", NULL, now) == 0) {
		must(e.has_packet && e.step.label == LABEL_KERNEL && e.step.hook < HOOK_COUNT);
		must(e.step.number < 1u << HOOK_COUNT && e.step.at.v <= now.v);
	}
	if (change_decode(&c, copy, size) == 0) {
		must(strlen(c.program) < sizeof(c.program) && strlen(c.table) < sizeof(c.table));
		must(strlen(c.command) < sizeof(c.command));
	}
	free(copy);
	return 0;
}
