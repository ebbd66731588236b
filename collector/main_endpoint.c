#include "collector/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool endpoint_parse(struct endpoint *e, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	struct addr a;
	char *end;
	long port;

	if (!colon || len == 0 || !isdigit((unsigned char)colon[1]))
		return false;
	port = strtol(colon + 1, &end, 10);
	if (*end || port > 65535)
		return false;
	if (text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(e->address))
		return false;
	snprintf(e->address, sizeof(e->address), "%.*s", (int)len, text);
	e->port = (uint16_t)port;
	return addr_parse(&a, e->address);
}

bool endpoint_is_loopback(const struct endpoint *e)
{
	struct addr a;

	return addr_parse(&a, e->address) && addr_is_loopback(&a);
}

void endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, e->address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
	} else if (inet_pton(AF_INET6, e->address, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(e->port);
	}
}
