/* The HTTP client against a server of a few lines: answers, refusals, silence, nonsense. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/cli/http.h"
#include "common/clock.h"

enum { SHORT_MS = 300, LONG_MS = 5000, BIG = 3 << 20 };

/* Accepts connections one after the other; each gets the same bytes, then the end, or silence. */
struct server {
	int fd, port;
	pthread_t thread;
	const char *answer; /* NULL: never answers */
	size_t len;
	char request[4096]; /* what the last one asked */
};

static bool whole(const char *request)
{
	const char *end = strstr(request, "\r\n\r\n"),
		   *length = strcasestr(request, "content-length:");

	return end && strlen(end + 4) >= (length ? strtoul(length + 15, NULL, 10) : 0);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		size_t got = 0, sent = 0;
		ssize_t n = 1;

		memset(s->request, 0, sizeof(s->request));
		while (n > 0 && got < sizeof(s->request) - 1 && !(s->answer && whole(s->request))) {
			n = read(fd, s->request + got, sizeof(s->request) - 1 - got);
			got += n > 0 ? (size_t)n : 0;
		}
		while (s->answer && sent < s->len &&
		       (n = send(fd, s->answer + sent, s->len - sent, MSG_NOSIGNAL)) > 0)
			sent += (size_t)n;
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *s, const char *answer, size_t len)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(sin);

	*s = (struct server){ .answer = answer, .len = len };
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sin, size), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sin, &size), 0);
	s->port = ntohs(sin.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static int ask(const struct server *s, const char *method, const char *body, int ms,
	       struct buf *reply, struct why *why)
{
	char url[64];
	struct http *h;
	int r;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d", s->port);
	buf_init(reply, HTTP_BODY_MAX);
	assert_int_equal(http_open(&h, url, why), 0);
	r = http_ask(h, method, "/api/v1/where?flow=tcp%201.2.3.4", body, ms, reply, why);
	http_free(h);
	return r;
}

static void an_answer_arrives_whole(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
	struct server s;
	struct buf reply;
	struct why why;
	char host[64];

	(void)state;
	server_start(&s, answer, sizeof(answer) - 1);
	assert_int_equal(ask(&s, "GET", NULL, LONG_MS, &reply, &why), 200);
	server_stop(&s);
	assert_int_equal(reply.len, 2);
	assert_memory_equal(reply.p, "{}", 2);
	snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%d\r\n", s.port);
	assert_non_null(strstr(s.request, host));
	assert_null(strcasestr(s.request,
			       "origin:")); /* that is for web pages, which are not trusted */
	assert_int_equal(strncmp(s.request, "GET /api/v1/where?flow=tcp%201.2.3.4 HTTP/1.1\r\n",
				 47),
			 0);
	buf_clear(&reply);
}

static void a_body_is_sent_and_an_error_status_returned(void **state)
{
	static const char answer[] =
		"HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\n{\"error\":\"no\"}\n";
	struct server s;
	struct buf reply;
	struct why why;

	(void)state;
	server_start(&s, answer, sizeof(answer) - 1);
	assert_int_equal(ask(&s, "POST", "{\"flow\":\"tcp\"}", LONG_MS, &reply, &why), 404);
	server_stop(&s);
	assert_int_equal(reply.len, 15);
	assert_non_null(strcasestr(s.request, "content-length: 14\r\n"));
	assert_non_null(strcasestr(s.request, "content-type: application/json\r\n"));
	assert_non_null(strstr(s.request, "\r\n\r\n{\"flow\":\"tcp\"}"));
	buf_clear(&reply);
}

static void a_big_answer_in_chunks_arrives_whole(void **state)
{
	char *answer = malloc(BIG + 200);
	struct server s;
	struct buf reply;
	struct why why;
	int head, tail;

	(void)state;
	assert_non_null(answer);
	head = snprintf(answer, 200, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
			BIG);
	memset(answer + head, 'x', BIG);
	tail = snprintf(answer + head + BIG, 100, "\r\n0\r\n\r\n");
	server_start(&s, answer, (size_t)(head + BIG + tail));
	assert_int_equal(ask(&s, "GET", NULL, LONG_MS, &reply, &why), 200);
	server_stop(&s);
	assert_int_equal(reply.len, BIG);
	assert_int_equal(reply.p[BIG - 1], 'x');
	buf_clear(&reply);
	free(answer);
}

static void silence_ends_at_the_deadline(void **state)
{
	struct server s;
	struct wall_ns asked = wall_now();
	struct buf reply;
	struct why why;

	(void)state;
	server_start(&s, NULL, 0);
	assert_int_equal(ask(&s, "GET", NULL, SHORT_MS, &reply, &why), -ETIMEDOUT);
	assert_in_range((wall_now().v - asked.v) / NS_PER_MS, SHORT_MS, 4 * SHORT_MS);
	assert_non_null(strstr(why.text, "does not answer"));
	server_stop(&s);
	buf_clear(&reply);
}

static void a_broken_answer_is_an_error(void **state)
{
	static const char *const broken[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
		"HTTP/1.1 200 OK\r\nConte",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"",
	};
	struct server s;
	struct buf reply;
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		server_start(&s, broken[i], strlen(broken[i]));
		assert_int_equal(ask(&s, "GET", NULL, LONG_MS, &reply, &why), -EPROTO);
		assert_non_null(strstr(why.text, "broke off"));
		server_stop(&s);
		buf_clear(&reply);
	}
}

static void nobody_there_is_said_at_once(void **state)
{
	struct server s;
	struct buf reply;
	struct why why;
	char expected[100];

	(void)state;
	server_start(&s, NULL, 0);
	server_stop(&s); /* its port is free now */
	assert_int_equal(ask(&s, "GET", NULL, LONG_MS, &reply, &why), -ECONNREFUSED);
	snprintf(expected, sizeof(expected), "no collector at http://127.0.0.1:%d", s.port);
	assert_string_equal(why.text, expected);
	buf_clear(&reply);
}

static void urls_are_checked(void **state)
{
	static const struct {
		const char *url, *used; /* NULL: refused */
	} urls[] = {
		{ "http://127.0.0.1:9470", "http://127.0.0.1:9470" },
		{ "http://127.0.0.1:9470/", "http://127.0.0.1:9470" },
		{ "collector", "http://collector:9470" },
		{ "http://[::1]:80", "http://[::1]:80" },
		{ "http://[::1]", "http://[::1]:9470" },
		{ "https://127.0.0.1:9470", NULL },
		{ "http://127.0.0.1:0", NULL },
		{ "http://127.0.0.1:99999", NULL },
		{ "http://127.0.0.1:x", NULL },
		{ "http://h/path", NULL },
		{ "http://", NULL },
		{ "http://[::1", NULL },
	};
	struct http *h;
	struct why why;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		int r = http_open(&h, urls[i].url, &why);

		if ((r == 0) != (urls[i].used != NULL))
			fail_msg("%s", urls[i].url);
		if (r < 0)
			continue;
		assert_string_equal(http_url(h), urls[i].used);
		http_free(h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_arrives_whole),
		cmocka_unit_test(a_body_is_sent_and_an_error_status_returned),
		cmocka_unit_test(a_big_answer_in_chunks_arrives_whole),
		cmocka_unit_test(silence_ends_at_the_deadline),
		cmocka_unit_test(a_broken_answer_is_an_error),
		cmocka_unit_test(nobody_there_is_said_at_once),
		cmocka_unit_test(urls_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
