/*
 * What the collector was told: by its command line, and by a configuration file beneath it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "collector/endpoint.h"
#include "common/why.h"

enum { PATH_TEXT_MAX = 1024 };

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
