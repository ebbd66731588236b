#include "collector/api/guard.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"

enum { AUTHORITY_MAX = 64 };

/* Cuts ":PORT" off a copy of an authority. False: the port is not ours, or no port at all. */
static bool cut_port(char *text, uint16_t port)
{
	char *colon = strrchr(text, ':'), *end;
	unsigned long n;

	if (!colon || strchr(colon, ']'))
		return true;
	if (!isdigit((unsigned char)colon[1]))
		return false;
	n = strtoul(colon + 1, &end, 10);
	*colon = '\0';
	return !*end && n == port;
}

bool guard_host(const char *authority, uint16_t port)
{
	char text[AUTHORITY_MAX];
	struct addr a;
	size_t len;

	if (strlen(authority) >= sizeof(text))
		return false;
	memcpy(text, authority, strlen(authority) + 1);
	if (!cut_port(text, port))
		return false;
	len = strlen(text);
	if (text[0] == '[') {
		if (len < 2 || text[len - 1] != ']')
			return false;
		text[len - 1] = '\0';
		return addr_parse(&a, text + 1) && a.family == 6 && addr_is_loopback(&a);
	}
	return !strcasecmp(text, "localhost") || (addr_parse(&a, text) && addr_is_loopback(&a));
}

bool guard_origin(const char *origin, uint16_t port)
{
	return !strncasecmp(origin, "http://", 7) && guard_host(origin + 7, port);
}

bool guard_json(const char *content_type)
{
	size_t len = strlen("application/json");

	return !strncasecmp(content_type, "application/json", len) &&
	       (!content_type[len] || content_type[len] == ';' || content_type[len] == ' ');
}
