/*
 * What the collector was told: by its command line, and by a configuration file beneath it.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/why.h"

enum { PATH_TEXT_MAX = 1024 };

struct endpoint {
	char address[ADDR_TEXT_MAX]; /* numeric; "" not given */
	uint16_t port;               /* 0: any */
};

struct options {
	struct endpoint listen, http;
	char store[PATH_TEXT_MAX];
	bool insecure;
	uint64_t segment_rows, keep_bytes; /* 0: the store's defaults */
	int64_t segment_ns, keep_ns;
};

/* 0: run; 1: nothing more to do (--help, --version), said on stdout; -EINVAL with why. */
int options_read(struct options *o, int argc, char **argv, struct why *why);
/* Fills what the command line left open from a YAML file. 0 or -EINVAL with why. */
int options_load(struct options *o, const char *file, struct why *why);

/* "127.0.0.1:9470", "[::1]:9470". */
bool endpoint_parse(struct endpoint *e, const char *text);
bool endpoint_is_loopback(const struct endpoint *e);
void endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);
