/*
 * One question to the collector at a time, over plain HTTP: asked, waited for, answered. Nothing of TLS is
 * set up, so that a question costs a few milliseconds from start to end.
 */
#pragma once

#include "common/buf.h"
#include "common/why.h"

struct http; /* private to http.c */

enum { HTTP_BODY_MAX = 256 << 20 };

/* url: http://HOST[:PORT] or HOST:PORT. -EINVAL with why for anything else. */
int http_open(struct http **out, const char *url, struct why *why);
/* NULL is fine. */
void http_free(struct http *h);
/* The URL as it is used: "http://127.0.0.1:9470". */
const char *http_url(const struct http *h);

/*
 * Sends method and path with an optional body; the answer is appended to *reply, which the caller owns. Returns the HTTP
 * status, or -errno with why: -ECONNREFUSED nobody is there, -ETIMEDOUT no whole answer in time, -EPROTO no HTTP.
 */
int http_ask(struct http *h, const char *method, const char *path, const char *body, int timeout_ms,
	     struct buf *reply, struct why *why);

/* Appends text to path, percent-encoded as a query value. 0 or -errno. */
int http_add_encoded(struct buf *path, const char *text);
