/* Any text as a flow: what parses must print to a text that parses to the same. */
#include <stdlib.h>
#include <string.h>

#include "common/flow.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char *text = strndup((const char *)p, len), first[FLOW_TEXT_MAX], second[FLOW_TEXT_MAX];
	const char *argv[] = { text }, *again[] = { first };
	struct flow f, g;
	struct why why;

	if (flow_parse(&f, 1, argv, &why) == 0) {
		flow_print(&f, first);
		if (first[0]) {
			must(flow_parse(&g, 1, again, &why) == 0);
			flow_print(&g, second);
			must(!strcmp(first, second));
		}
	}
	free(text);
	return 0;
}
