/*
 * HTTP as a client sees it: answers, what is refused and why, and many questions at once.
 */
#include <jansson.h>

#include "collector/api/api.h"
#include "collector/api/guard.h"
#include "tests/unit/collector_ingest/bench.h"

enum { PARALLEL = 100 };

struct server {
	struct bench b;
	struct asks *asks;
	struct leases *leases;
	struct api *api;
	uint16_t port;
};

static void server_open(struct server *s)
{
	struct api_options o = { .address = "127.0.0.1" };
	struct why why = { "" };

	memset(s, 0, sizeof(*s));
	bench_open(&s->b);
	assert_int_equal(asks_new(&s->asks, &s->b.loop, s->b.store), 0);
	assert_int_equal(leases_open(&s->leases, &s->b.loop, s->b.store, s->b.ingest, s->asks), 0);
	o.loop = &s->b.loop;
	o.ingest = s->b.ingest;
	o.asks = s->asks;
	o.leases = s->leases;
	assert_int_equal(api_open(&s->api, &o, &s->port, &why), 0);
	assert_true(s->port > 0);
}

static void server_close(struct server *s)
{
	leases_close(s->leases);
	api_stop(s->api);
	api_stop(s->api);
	ingest_stop(s->b.ingest);
	uv_run(&s->b.loop, UV_RUN_DEFAULT);
	api_free(s->api);
	uv_run(&s->b.loop, UV_RUN_DEFAULT);
	leases_free(s->leases);
	asks_free(s->asks);
	store_close(s->b.store);
	ingest_free(s->b.ingest);
	assert_int_equal(uv_loop_close(&s->b.loop), 0);
}

static int connect_to(const struct server *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr = { htonl(INADDR_LOOPBACK) },
				 .sin_port = htons(s->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Reads until the server closes; the status. */
static int read_answer(struct server *s, int fd, struct buf *in)
{
	int64_t end = boot_now().v + 10 * (int64_t)NS_PER_S;
	char bytes[65536];
	int status = 0;
	ssize_t n;

	for (;;) {
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0)
			assert_int_equal(buf_add(in, bytes, (size_t)n), 0);
		bench_turn(&s->b);
		assert_true(boot_now().v < end);
	}
	close(fd);
	assert_int_equal(buf_add(in, "", 1), 0);
	if (sscanf((char *)in->p, "HTTP/1.%*d %d", &status) != 1)
		return 0;
	return status;
}

static int request(struct server *s, const char *head, const char *body, json_t **answer)
{
	struct buf in, out;
	const char *text;
	int status, fd;

	buf_init(&in, 64 << 20);
	buf_init(&out, 1 << 20);
	assert_int_equal(buf_addf(&out, "%s\r\nConnection: close\r\n", head), 0);
	if (body)
		assert_int_equal(buf_addf(&out, "Content-Length: %zu\r\n", strlen(body)), 0);
	assert_int_equal(buf_addf(&out, "\r\n%s", body ? body : ""), 0);
	fd = connect_to(s);
	assert_int_equal(send(fd, out.p, out.len, MSG_NOSIGNAL), (ssize_t)out.len);
	status = read_answer(s, fd, &in);
	text = in.len > 1 ? strstr((char *)in.p, "\r\n\r\n") : NULL;
	*answer = text ? json_loads(text + 4, 0, NULL) : NULL;
	buf_clear(&in);
	buf_clear(&out);
	return status;
}

static void expect(struct server *s, const char *head, const char *body, int status)
{
	json_t *answer;
	int got = request(s, head, body, &answer);

	assert_int_equal(got, status);
	assert_true(json_is_object(answer));
	if (status != 200) {
		assert_true(json_is_string(json_object_get(answer, "error")));
		assert_true(json_is_string(json_object_get(answer, "hint")));
	}
	json_decref(answer);
}

static void foreign_requests_are_refused(void **state)
{
	struct server s;
	char *big = calloc(1, (64 << 10) + 2);

	(void)state;
	memset(big, ' ', (64 << 10) + 1);
	server_open(&s);
	expect(&s, "GET /api/v1/hosts HTTP/1.1\r\nHost: 127.0.0.1", NULL, 200);
	expect(&s, "GET /api/v1/hosts HTTP/1.1\r\nHost: evil.example", NULL, 400);
	expect(&s, "GET /api/v1/hosts HTTP/1.1\r\nHost: 127.0.0.1.evil.example", NULL, 400);
	expect(&s, "GET /api/v1/hosts HTTP/1.1", NULL, 400);
	expect(&s, "GET /api/v1/nothing HTTP/1.1\r\nHost: localhost", NULL, 404);
	expect(&s, "PUT /api/v1/trace HTTP/1.1\r\nHost: localhost", NULL, 400);
	expect(&s, "POST /api/v1/trace HTTP/1.1\r\nHost: localhost", "{}", 400);
	expect(&s,
	       "POST /api/v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	       "Origin: http://evil.example",
	       "{}", 400);
	expect(&s, "DELETE /api/v1/trace/all HTTP/1.1\r\nHost: localhost\r\nOrigin: null", NULL,
	       400);
	expect(&s, "DELETE /api/v1/trace/all HTTP/1.1\r\nHost: localhost", NULL, 200);
	expect(&s,
	       "POST /api/v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json",
	       "[1", 400);
	expect(&s,
	       "POST /api/v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json",
	       "{\"flow\":\"tcp dport 80\",\"for_ms\":99999999}", 400);
	expect(&s,
	       "POST /api/v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json",
	       big, 400);
	expect(&s, "GET /api/v1/where?flow=%22%ff HTTP/1.1\r\nHost: localhost", NULL, 400);
	expect(&s, "GET /api/v1/where?since=x&flow=tcp%20dport%2080 HTTP/1.1\r\nHost: localhost",
	       NULL, 400);
	expect(&s, "GET /api/v1/rules?host=nobody HTTP/1.1\r\nHost: localhost", NULL, 404);
	free(big);
	server_close(&s);
}

static void hosts_and_rules_are_told(void **state)
{
	static const char text[] =
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
	struct content_id id = content_id_of(text, sizeof(text) - 1);
	struct record sources = { .kind = RECORD_SOURCES }, rules = checked();
	struct server s;
	struct client c;
	struct msg m;
	json_t *answer, *host, *table;
	char head[200], hex[CONTENT_TEXT_MAX];

	(void)state;
	server_open(&s);
	client_greet(&c, &s.b, "gw", 1, NULL);
	assert_int_equal(request(&s, "GET /api/v1/hosts HTTP/1.1\r\nHost: localhost", NULL,
				 &answer),
			 200);
	host = json_array_get(json_object_get(answer, "hosts"), 0);
	assert_string_equal(json_string_value(json_object_get(host, "id")), "gw");
	assert_string_equal(json_string_value(json_object_get(host, "state")), "connecting");
	json_decref(answer);

	client_batch(&c, 1, &sources);
	client_batch(&c, 2, &rules);
	do
		assert_true(client_recv(&c, &m, MSG_ACK));
	while (m.ack < 2);
	assert_int_equal(request(&s, "GET /api/v1/hosts HTTP/1.1\r\nHost: localhost", NULL,
				 &answer),
			 200);
	host = json_array_get(json_object_get(answer, "hosts"), 0);
	assert_string_equal(json_string_value(json_object_get(host, "state")), "ready");
	assert_true(json_is_array(json_object_get(host, "sources")) &&
		    json_is_array(json_object_get(host, "losses")));
	assert_non_null(json_object_get(host, "lag_ms"));
	json_decref(answer);

	assert_int_equal(store_put_content(s.b.store, &id, text, sizeof(text) - 1), 0);
	s.b.store->tables[0] = (struct stored_table){
		.host = 4, .family = FAMILY_IPV4, .table = "filter", .content = id, .from = { 5 }
	};
	s.b.store->table_count = 1;
	content_id_print(&id, hex);
	snprintf(head, sizeof(head),
		 "GET /api/v1/rules?host=gw&at=%.7s HTTP/1.1\r\nHost: localhost", hex);
	assert_int_equal(request(&s, head, NULL, &answer), 200);
	table = json_array_get(json_object_get(answer, "tables"), 0);
	assert_string_equal(json_string_value(json_object_get(table, "text")), text);
	assert_string_equal(json_string_value(json_object_get(table, "content")), hex);
	json_decref(answer);
	expect(&s, "GET /api/v1/rules?host=gw&family=ipv6 HTTP/1.1\r\nHost: localhost", NULL, 404);
	expect(&s, "GET /api/v1/rules?host=gw&family=ipv4 HTTP/1.1\r\nHost: localhost", NULL, 200);
	client_close(&c);
	server_close(&s);
}

/* Clients that go away before they are answered, and many that stay. */
static void many_ask_at_once(void **state)
{
	static const char head[] =
		"GET /api/v1/where?flow=tcp%20dport%2080 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	int fds[PARALLEL], i, good = 0;
	struct server s;
	struct buf in;

	(void)state;
	server_open(&s);
	for (i = 0; i < PARALLEL; i++) {
		fds[i] = connect_to(&s);
		assert_int_equal(send(fds[i], head, sizeof(head) - 1, MSG_NOSIGNAL),
				 (ssize_t)sizeof(head) - 1);
		if (i % 8 == 0)
			uv_run(&s.b.loop, UV_RUN_NOWAIT);
	}
	for (i = 0; i < PARALLEL; i++) {
		if (i % 3 == 0) {
			close(fds[i]);
			continue;
		}
		buf_init(&in, 1 << 20);
		good += read_answer(&s, fds[i], &in) == 200;
		buf_clear(&in);
	}
	assert_int_equal(good, PARALLEL - (PARALLEL + 2) / 3);
	server_close(&s);
}

static void stopping_leaves_nobody_waiting(void **state)
{
	static const char head[] =
		"POST /api/v1/trace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		"Content-Length: 41\r\n\r\n{\"flow\":\"tcp 10.0.0.1\",\"on\":[\"nobody\"] }  ";
	struct server s;
	int fd;

	(void)state;
	server_open(&s);
	fd = connect_to(&s);
	assert_int_equal(send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL), (ssize_t)sizeof(head) - 1);
	bench_turns(&s.b, 100);
	assert_int_equal(s.b.store->lease_count, 1);
	server_close(&s);
	close(fd);
}

static void guards_know_loopback(void **state)
{
	(void)state;
	assert_true(guard_host("127.0.0.1", 80) && guard_host("127.0.0.1:80", 80) &&
		    guard_host("LocalHost:80", 80));
	assert_true(guard_host("[::1]:80", 80) && guard_host("[::1]", 80) &&
		    guard_host("127.9.9.9", 80));
	assert_false(guard_host("", 80) || guard_host("127.0.0.1:81", 80) ||
		     guard_host("10.0.0.1", 80));
	assert_false(guard_host("localhost.evil", 80) || guard_host("[::2]", 80) ||
		     guard_host("[::1", 80));
	assert_false(guard_host("127.0.0.1:", 80) || guard_host("127.0.0.1:80x", 80) ||
		     guard_host(":80", 80));
	assert_true(guard_origin("http://localhost:80", 80) &&
		    guard_origin("http://127.0.0.1", 80));
	assert_false(guard_origin("null", 80) || guard_origin("https://evil", 80) ||
		     guard_origin("http://evil", 80));
	assert_true(guard_json("application/json") &&
		    guard_json("Application/JSON; charset=utf-8"));
	assert_false(guard_json("") || guard_json("application/jsonp") || guard_json("text/plain"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_requests_are_refused),
		cmocka_unit_test(hosts_and_rules_are_told),
		cmocka_unit_test(many_ask_at_once),
		cmocka_unit_test(stopping_leaves_nobody_waiting),
		cmocka_unit_test(guards_know_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
