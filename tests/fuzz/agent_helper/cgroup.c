/* Any text as /proc/PID/cgroup: what a container is called is a name that a host's id can bear. */
#include <stdlib.h>
#include <string.h>

#include "agent/helper/census.h"
#include "agent/helper/netns.h"
#include "common/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char *text = strndup((const char *)p, len), name[ID_MAX + 1] = "";

	if (container_name(text, name))
		must(netns_name_valid(name) && name[0] != '.');
	free(text);
	return 0;
}
