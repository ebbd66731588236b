/*
 * How leases and their hosts are called.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/lease/lease.h"

void lease_print(uint64_t id, char text[static LEASE_TEXT_MAX])
{
	snprintf(text, LEASE_TEXT_MAX, "%04llx", (unsigned long long)id);
}

bool lease_parse(uint64_t *id, const char *text)
{
	size_t len = strspn(text, "0123456789abcdef");

	if (len == 0 || len >= LEASE_TEXT_MAX || text[len])
		return false;
	*id = strtoull(text, NULL, 16);
	return *id != 0;
}

bool lease_names(const char *const *on, size_t on_count, const char *host)
{
	size_t i;

	for (i = 0; i < on_count; i++)
		if (!strcmp(on[i], "all") || !strcmp(on[i], host) || fnmatch(on[i], host, 0) == 0)
			return true;
	return false;
}
