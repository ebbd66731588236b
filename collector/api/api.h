/*
 * The API: HTTP and JSON for the CLI and whoever scripts us, on libwebsockets in the collector's loop. It listens on
 * loopback and answers nobody else's web page.
 */
#pragma once

#include <uv.h>

#include "collector/ingest/asks.h"
#include "collector/lease/lease.h"

struct api;

struct api_options {
	uv_loop_t *loop; /* all borrowed until api_free() */
	struct ingest *ingest;
	struct asks *asks;
	struct leases *leases;
	const char *address; /* numeric */
	uint16_t port;       /* 0: any */
	/* What is wrong with the store right now; NULL: nothing. */
	const char *(*trouble)(void *arg);
	void *arg;
};

/* Listens; *port is what was chosen. 0 or -errno with why. */
int api_open(struct api **out, const struct api_options *o, uint16_t *port, struct why *why);
/* Stops; may be called twice. The loop then runs out of its handles. */
void api_stop(struct api *a);
/* After the loop has ended; NULL is fine. */
void api_free(struct api *a);
