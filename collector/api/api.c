/*
 * Bytes of HTTP in, an exchange; an exchange answered, bytes of HTTP out. libwebsockets calls on_event() for
 * everything; each connection holds at most one exchange at a time.
 */
#include "collector/api/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/api/guard.h"
#include "collector/api/route.h"

enum {
	CONNECTIONS_MAX = 256,
	HEADERS_MAX = 8 << 10,
	CHUNK = 64 << 10, /* of an answer, written when the socket has room */
	IDLE_S = 30,
	REQUEST_S = 10,
	LINGER_S = 1,
};

struct connection {
	struct exchange *x; /* a reference */
};

static void connection_drop(struct connection *c)
{
	struct exchange *x = c->x;

	c->x = NULL;
	if (!x)
		return;
	x->wsi = NULL;
	exchange_unref(x);
}

/* A header as one string; "" when it is absent, false when it is too long. */
static bool header(struct lws *wsi, enum lws_token_indexes token, char *text, int len)
{
	text[0] = '\0';
	return lws_hdr_total_length(wsi, token) < len && lws_hdr_copy(wsi, text, len, token) >= 0;
}

static void take_query(struct exchange *x)
{
	size_t used = 0, room;
	int i, n;

	for (i = 0;; i++) {
		room = sizeof(x->query) - used;
		if (room < 3)
			return;
		n = lws_hdr_copy_fragment(x->wsi, x->query + used, (int)room - 1,
					  WSI_TOKEN_HTTP_URI_ARGS, i);
		if (n <= 0)
			break;
		used += strlen(x->query + used) + 1;
	}
	x->query[used] = '\0';
}

static bool take_method(struct exchange *x, int lws_method)
{
	switch (lws_method) {
	case LWSHUMETH_GET:
		x->method = METHOD_GET;
		return true;
	case LWSHUMETH_POST:
		x->method = METHOD_POST;
		return true;
	case LWSHUMETH_DELETE:
		x->method = METHOD_DELETE;
		return true;
	default:
		return false;
	}
}

/* The request's head has come: is it for us? Answers it, when it is not. */
static void check_head(struct exchange *x, int lws_method)
{
	char host[80], origin[80], type[80];
	bool fits = header(x->wsi, WSI_TOKEN_HOST, host, sizeof(host)) &&
		    header(x->wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin)) &&
		    header(x->wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, type, sizeof(type));

	if (!take_method(x, lws_method))
		exchange_error(x, 400, "GET, POST and DELETE are", "this method is not used here");
	else if (!fits || !guard_host(host, x->api->port))
		exchange_error(x, 400, "ask by a loopback name or address, such as 127.0.0.1",
			       "Host is not this collector");
	else if (x->method != METHOD_GET && origin[0] && !guard_origin(origin, x->api->port))
		exchange_error(x, 400, "only the collector's own pages may change anything",
			       "this Origin is foreign");
	else if (x->method == METHOD_POST && !guard_json(type))
		exchange_error(x, 400, "Content-Type: application/json", "the body must be JSON");
}

static int begin(struct api *a, struct lws *wsi, struct connection *c)
{
	struct exchange *x;
	char *uri = NULL;
	int len = 0, method;

	connection_drop(c);
	if (a->stopping)
		return -1;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -1;
	c->x = x;
	x->api = a;
	x->wsi = wsi;
	x->refs = 1;
	buf_init(&x->body, BODY_MAX);
	method = lws_http_get_uri_and_method(wsi, &uri, &len);
	if (uri && len < (int)sizeof(x->path))
		memcpy(x->path, uri, (size_t)len);
	take_query(x);
	check_head(x, method);
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0) {
		char number[24];

		if (header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, number, sizeof(number)) &&
		    strtoull(number, NULL, 10) <= BODY_MAX) {
			x->body_pending = true;
			return 0;
		}
		x->close_after = true;
		exchange_error(x, 400, "64 KiB are the most", "the body is too big");
	} else if (method != LWSHUMETH_GET && method != LWSHUMETH_DELETE) {
		x->close_after = true; /* libwebsockets would wait for a body of unknown length */
	}
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
	if (!x->answered)
		route(x);
	return 0;
}

static int body(struct exchange *x, const void *p, size_t len)
{
	if (!x->answered && buf_add(&x->body, p, len) < 0)
		exchange_error(x, 400, "64 KiB are the most", "the body is too big");
	return 0;
}

static int body_end(struct exchange *x)
{
	if (!x->body_pending)
		return 0; /* libwebsockets says so again when more arrives before the answer */
	x->body_pending = false;
	lws_set_timeout(x->wsi, NO_PENDING_TIMEOUT, 0);
	if (!x->answered)
		route(x);
	else
		lws_callback_on_writable(x->wsi);
	return 0;
}

static int send_head(struct exchange *x)
{
	unsigned char space[LWS_PRE + 1024], *start = space + LWS_PRE, *p = start,
					     *end = space + sizeof(space) - 1;
	static const struct {
		const char *name, *value;
	} fixed[] = {
		{ "cache-control:", "no-store" },
		{ "x-content-type-options:", "nosniff" },
		{ "content-security-policy:", "default-src 'none'" },
	};
	size_t i;

	if (lws_add_http_common_headers(x->wsi, x->status, "application/json",
					x->answer.len - LWS_PRE, &p, end))
		return -1;
	for (i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (lws_add_http_header_by_name(x->wsi, (const unsigned char *)fixed[i].name,
						(const unsigned char *)fixed[i].value,
						(int)strlen(fixed[i].value), &p, end))
			return -1;
	if (lws_finalize_write_http_header(x->wsi, start, &p, end))
		return -1;
	x->head_sent = true;
	lws_callback_on_writable(x->wsi);
	return 0;
}

static int answer_end(struct connection *c)
{
	struct lws *wsi = c->x->wsi;
	bool end = c->x->close_after;

	connection_drop(c);
	if (end) { /* not at once: a reset could overtake the answer */
		lws_set_timeout(wsi, PENDING_TIMEOUT_CLOSE_SEND, LINGER_S);
		return 0;
	}
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* The socket has room for one more piece. */
static int writeable(struct connection *c)
{
	struct exchange *x = c->x;
	size_t left, n;

	if (!x || !x->answered || x->body_pending)
		return 0;
	if (!x->head_sent)
		return send_head(x);
	left = x->answer.len - LWS_PRE - x->sent;
	n = left < CHUNK ? left : CHUNK;
	/* The bytes before it may be written over: they have been sent. */
	if (lws_write(x->wsi, x->answer.p + LWS_PRE + x->sent, n,
		      n == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)n)
		return -1;
	x->sent += n;
	if (n < left) {
		lws_set_timeout(x->wsi, PENDING_TIMEOUT_HTTP_CONTENT, IDLE_S);
		lws_callback_on_writable(x->wsi);
		return 0;
	}
	return answer_end(c);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	struct connection *c = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return begin(lws_context_user(lws_get_context(wsi)), wsi, c);
	case LWS_CALLBACK_HTTP_BODY:
		return c->x ? body(c->x, in, len) : 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return c->x ? body_end(c->x) : 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return writeable(c);
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		if (c)
			connection_drop(c);
		return 0;
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = "http",
	  .callback = on_event,
	  .per_session_data_size = sizeof(struct connection) },
	{ 0 },
};

int api_open(struct api **out, const struct api_options *o, uint16_t *port, struct why *why)
{
	struct lws_context_creation_info info = { 0 };
	void *loops[1] = { o->loop };
	struct lws_vhost *vhost;
	struct api *a = calloc(1, sizeof(*a));
	int r = -ENOMEM;

	if (!a)
		return r;
	a->o = *o;
	a->started = wall_now();

	lws_set_log_level(0, NULL);
	info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	info.foreign_loops = loops;
	info.fd_limit_per_thread = CONNECTIONS_MAX; /* else it makes a table for RLIMIT_NOFILE */
	info.max_http_header_data = HEADERS_MAX;
	info.pt_serv_buf_size = CHUNK;
	info.user = a;
	a->context = lws_create_context(&info);
	if (!a->context) {
		why_set(why, r,
			"libwebsockets does not start: is libwebsockets-evlib-uv installed?");
		goto out;
	}
	info.port = o->port;
	info.iface = o->address;
	info.protocols = protocols;
	info.timeout_secs = REQUEST_S;
	info.keepalive_timeout = IDLE_S;
	vhost = lws_create_vhost(a->context, &info);
	if (!vhost || lws_get_vhost_listen_port(vhost) <= 0) {
		r = why_set(why, -EADDRINUSE, "cannot listen for HTTP on %s port %u: is it taken?",
			    o->address, o->port);
		goto out;
	}
	a->port = (uint16_t)lws_get_vhost_listen_port(vhost);
	*port = a->port;
	*out = a;
	return 0;
out:
	if (a->context)
		lws_context_destroy(a->context); /* its last part is the loop's, which ends now */
	free(a);
	return r;
}

void api_stop(struct api *a)
{
	if (a->stopping)
		return;
	a->stopping = true;
	where_stop(a);
	lws_context_destroy(a->context); /* begins it: the rest needs the loop */
}

void api_free(struct api *a)
{
	if (!a)
		return;
	lws_context_destroy(a->context); /* ends it */
	free(a);
}
