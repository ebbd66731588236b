#include "collector/cli/http.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

enum { URL_MAX = 300, PORT_DEFAULT = 9470, READ_SIZE = 16 << 10 };

/* The question that is under way. */
struct ask {
	const char *body;  /* borrowed; NULL: none */
	struct buf *reply; /* borrowed */
	unsigned int status;
	int result;     /* 0 while nothing went wrong */
	bool connected; /* somebody took the question */
	bool done;
};

struct http {
	struct lws_context *context;
	char url[URL_MAX], address[URL_MAX];
	int port;
	struct ask ask;
};

static int add_headers(struct ask *ask, struct lws *wsi, void *in, size_t len)
{
	unsigned char **p = in, *end = *p + len;
	char number[24];
	int n;

	if (!ask->body)
		return 0;
	n = snprintf(number, sizeof(number), "%zu", strlen(ask->body));
	if (lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH,
					 (unsigned char *)number, n, p, end))
		return -1;
	if (lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE,
					 (const unsigned char *)"application/json", 16, p, end))
		return -1;
	lws_client_http_body_pending(wsi, 1);
	lws_callback_on_writable(wsi);
	return 0;
}

static int send_body(struct ask *ask, struct lws *wsi)
{
	size_t len = strlen(ask->body);
	unsigned char *copy = malloc(LWS_PRE + len);
	int n;

	if (!copy)
		return -1;
	memcpy(copy + LWS_PRE, ask->body, len);
	n = lws_write(wsi, copy + LWS_PRE, len, LWS_WRITE_HTTP_FINAL);
	free(copy);
	lws_client_http_body_pending(wsi, 0);
	return n < (int)len ? -1 : 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	struct ask *ask = user;

	if (!ask)
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	switch (reason) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		ask->result = ask->connected ? -EPROTO : -ECONNREFUSED;
		ask->done = true;
		return 0;
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		ask->connected = true;
		return add_headers(ask, wsi, in, len);
	case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
		return ask->body ? send_body(ask, wsi) : 0;
	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
		ask->status = lws_http_client_http_response(wsi);
		return 0;
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP: {
		char space[LWS_PRE + READ_SIZE], *p = space + LWS_PRE;
		int n = READ_SIZE;

		return lws_http_client_read(wsi, &p, &n) < 0 ? -1 : 0;
	}
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ: {
		int r = buf_add(ask->reply, in, len);

		if (r < 0)
			ask->result = r;
		return r < 0 ? -1 : 0;
	}
	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
		ask->done = true;
		lws_cancel_service(lws_get_context(wsi));
		return -1;
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
		if (!ask->done && ask->result == 0)
			ask->result = -EPROTO;
		ask->done = true;
		lws_cancel_service(lws_get_context(wsi));
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

/* HOST, HOST:PORT or [ADDR]:PORT. */
static int parse_authority(struct http *h, const char *text, struct why *why)
{
	const char *colon, *end = text + strcspn(text, "/?#");
	size_t len = (size_t)(end - text);
	char *rest;
	long port;

	if (end[0] == '/' && end[1] == '\0')
		end++;
	if (*end || len == 0 || len >= sizeof(h->address))
		return why_set(
			why, -EINVAL,
			"no path, and not more than a host and a port, belongs into a collector's URL");
	snprintf(h->address, sizeof(h->address), "%.*s", (int)len, text);
	h->port = PORT_DEFAULT;
	colon = strrchr(h->address, ':');
	if (colon && !strchr(colon, ']') &&
	    (h->address[0] == '[' || strchr(h->address, ':') == colon)) {
		errno = 0;
		port = strtol(colon + 1, &rest, 10);
		if (!isdigit((unsigned char)colon[1]) || *rest || port < 1 || port > 65535)
			return why_set(why, -EINVAL, "'%s' is no port", colon + 1);
		h->port = (int)port;
		h->address[colon - h->address] = '\0';
	}
	if (h->address[0] == '[') {
		len = strlen(h->address);
		if (h->address[len - 1] != ']')
			return why_set(why, -EINVAL, "'%s' lacks its closing bracket", h->address);
		memmove(h->address, h->address + 1, len - 2);
		h->address[len - 2] = '\0';
	}
	return 0;
}

int http_open(struct http **out, const char *url, struct why *why)
{
	struct lws_context_creation_info info = { 0 };
	static const struct lws_protocols protocols[] = {
		{ .name = "http", .callback = on_event, .rx_buffer_size = READ_SIZE },
		{ 0 },
	};
	struct http *h = calloc(1, sizeof(*h));
	const char *host = strstr(url, "://");
	int r;

	if (!h)
		return why_set(why, -ENOMEM, "no memory");
	if (host && strncmp(url, "http://", 7) != 0) {
		r = why_set(why, -EINVAL,
			    "the collector's HTTP is plain: http://HOST:PORT, not '%s'", url);
		goto out;
	}
	r = parse_authority(h, host ? host + 3 : url, why);
	if (r < 0)
		goto out;
	snprintf(h->url, sizeof(h->url),
		 strchr(h->address, ':') ? "http://[%.200s]:%d" : "http://%.200s:%d", h->address,
		 h->port);

	lws_set_log_level(0, NULL);
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.protocols = protocols;
	info.fd_limit_per_thread = 16; /* else it makes a table for RLIMIT_NOFILE */
	h->context = lws_create_context(&info);
	if (!h->context) {
		r = why_set(why, -ENOMEM, "libwebsockets does not start");
		goto out;
	}
	*out = h;
	return 0;
out:
	http_free(h);
	return r;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	if (h->context)
		lws_context_destroy(h->context);
	free(h);
}

const char *http_url(const struct http *h)
{
	return h->url;
}

/* Wakes lws_service() so that the loop in http_ask() looks at the clock. */
struct deadline {
	lws_sorted_usec_list_t sul;  /* first: libwebsockets hands back its address */
	struct lws_context *context; /* borrowed */
	bool passed;
};

static void on_deadline(lws_sorted_usec_list_t *sul)
{
	struct deadline *d = (struct deadline *)(void *)sul;

	d->passed = true;
	lws_cancel_service(d->context); /* else lws_service() goes on to wait for the next event */
}

int http_ask(struct http *h, const char *method, const char *path, const char *body, int timeout_ms,
	     struct buf *reply, struct why *why)
{
	struct lws_client_connect_info info = { 0 };
	struct deadline deadline = { .context = h->context };
	struct lws *wsi = NULL;
	int r;

	h->ask = (struct ask){ .body = body, .reply = reply };
	info.context = h->context;
	info.address = h->address;
	info.port = h->port;
	info.path = path;
	info.host = h->url + strlen("http://"); /* no Origin: we are no web page */
	info.method = method;
	info.protocol = "http";
	info.userdata = &h->ask;
	info.pwsi = &wsi;
	info.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT;

	lws_sul_schedule(h->context, 0, &deadline.sul, on_deadline, (lws_usec_t)timeout_ms * 1000);
	if (!lws_client_connect_via_info(&info) && !h->ask.done) {
		h->ask.done = true;
		h->ask.result = -ECONNREFUSED;
	}
	while (!h->ask.done && !deadline.passed)
		if (lws_service(h->context, 0) < 0)
			break;
	lws_sul_schedule(h->context, 0, &deadline.sul, on_deadline, LWS_SET_TIMER_USEC_CANCEL);

	r = h->ask.result;
	if (!h->ask.done) {
		if (wsi)
			lws_set_timeout(wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_SYNC);
		r = -ETIMEDOUT;
	}
	if (r == -ETIMEDOUT)
		return why_set(why, r, "%s does not answer (waited %d s)", h->url,
			       timeout_ms / 1000);
	if (r == -ECONNREFUSED)
		return why_set(why, r, "no collector at %s", h->url);
	if (r == -E2BIG)
		return why_set(why, r, "the answer of %s is too big", h->url);
	if (r < 0 || h->ask.status == 0)
		return why_set(why, -EPROTO, "%s broke off in the middle of its answer", h->url);
	return (int)h->ask.status;
}

int http_add_encoded(struct buf *path, const char *text)
{
	int r = 0;

	for (; *text && r == 0; text++) {
		unsigned char c = (unsigned char)*text;

		if (isalnum(c) || strchr("-._~", c))
			r = buf_add(path, text, 1);
		else
			r = buf_addf(path, "%%%02X", (unsigned int)c);
	}
	return r;
}
