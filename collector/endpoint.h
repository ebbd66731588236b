/*
 * Where the collector listens.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

struct endpoint {
	char address[ADDR_TEXT_MAX]; /* numeric; "" not given */
	uint16_t port;               /* 0: any */
};

/* "127.0.0.1:9470", "[::1]:9470". False: it is neither. */
bool endpoint_parse(struct endpoint *e, const char *text);
bool endpoint_is_loopback(const struct endpoint *e);
void endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);
