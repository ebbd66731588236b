/*
 * An exchange: one request and its answer. The client may go away while the answer is being made; then the exchange
 * lives on until its maker lets go, and the answer is thrown away.
 */
#pragma once

#include <jansson.h>
#include <libwebsockets.h>

#include "collector/api/api.h"

enum {
	BODY_MAX = 64 << 10,
	QUERY_MAX = 8 << 10,
	ANSWER_MAX = 128 << 20,
	HINT_MAX = 512,
};

#define METHODS(X) X(GET) X(POST) X(DELETE)
enum method {
#define X(id) METHOD_##id,
	METHODS(X)
#undef X
};

struct exchange {
	struct api *api; /* borrowed */
	struct lws *wsi; /* borrowed; NULL: the client has gone */
	int refs;        /* the connection, and who makes the answer */
	enum method method;
	char path[256];
	const char *rest; /* into path: what follows the route's prefix */
	char query
		[QUERY_MAX]; /* decoded "name=value", each ended by a zero byte; an empty one ends them */
	struct buf body;

	bool body_pending; /* the answer waits until the client has said all */
	bool close_after;  /* it would go on saying what nobody reads */
	bool answered, head_sent;
	unsigned int status;
	struct buf answer; /* LWS_PRE bytes, then the text */
	size_t sent;       /* of the text */
};

/* The value of a query parameter; NULL: it was not given. */
const char *exchange_query(const struct exchange *x, const char *name);
/* A decimal number in a parameter. 0, -ENOENT (*out untouched), or -EINVAL. */
int exchange_number(const struct exchange *x, const char *name, int64_t *out);

struct exchange *exchange_ref(struct exchange *x);
void exchange_unref(struct exchange *x);

/* Answers, once. The value is taken over. */
void exchange_answer(struct exchange *x, unsigned int status, json_t *value);
/* Answers {"error", "hint"}. */
void exchange_error(struct exchange *x, unsigned int status, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
