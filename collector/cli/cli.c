#include "collector/cli/cli.h"

#include <errno.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "collector/cli/http.h"
#include "collector/cli/when.h"
#include "common/flow.h"

enum { COLUMNS_MIN = 40, PATH_MAX_BYTES = 64 << 10 };

static const char url_default[] = "http://127.0.0.1:9470";

int cli_fail(int status, const char *message, const char *hint)
{
	fprintf(stderr, "lasthop: %s\n", message);
	if (hint)
		fprintf(stderr, "  %s\n", hint);
	return status;
}

int cli_usage(const struct cli *c, const char *message)
{
	char hint[120];

	snprintf(hint, sizeof(hint), "lasthop help%s%s", c->args.command ? " " : "",
		 c->args.command ? c->args.command->name : "");
	return cli_fail(STATUS_USAGE, message, hint);
}

static int init_window(struct cli *c)
{
	const char *at = c->args.value[OPTION_AT], *since = c->args.value[OPTION_SINCE],
		   *until = c->args.value[OPTION_UNTIL];
	struct wall_ns middle;
	struct why why;

	c->now = wall_now();
	c->until = c->now;
	c->until_given = at || until;
	if (at && (since || until))
		return cli_usage(
			c, "--at is a window of its own: it does not go with --since or --until");
	if (at) {
		if (when_parse(&middle, at, c->now, &why) < 0)
			return cli_usage(c, why.text);
		c->at = middle;
		c->since.v = middle.v - INT64_C(900) * NS_PER_S;
		c->until.v = middle.v + INT64_C(60) * NS_PER_S;
		if (c->until.v > c->now.v && middle.v <= c->now.v)
			c->until = c->now;
		return STATUS_ANSWER;
	}
	if (until && when_parse(&c->until, until, c->now, &why) < 0)
		return cli_usage(c, why.text);
	c->since.v = c->until.v - INT64_C(900) * NS_PER_S;
	if (since && when_parse(&c->since, since, c->now, &why) < 0)
		return cli_usage(c, why.text);
	if (c->since.v >= c->until.v)
		return cli_usage(c, "the window is empty: --since must be before --until");
	return STATUS_ANSWER;
}

static int init_screen(struct cli *c)
{
	const char *when = c->args.value[OPTION_COLOR] ? c->args.value[OPTION_COLOR] : "auto";
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool utf8 = !c->args.value[OPTION_ASCII] && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	unsigned int width = SCREEN_COLUMNS;
	struct winsize size;
	bool colour;

	c->terminal = isatty(STDOUT_FILENO);
	if (c->terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
	    size.ws_col < width)
		width = size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
	if (strcmp(when, "auto") == 0)
		colour = c->terminal && !(no_color && *no_color) &&
			 !(term && strcmp(term, "dumb") == 0);
	else if (strcmp(when, "always") == 0 || strcmp(when, "never") == 0)
		colour = *when == 'a';
	else
		return cli_usage(c, "--color is auto, always or never");
	screen_init(&c->screen, width, utf8, colour);
	return STATUS_ANSWER;
}

int cli_init(struct cli *c)
{
	int status = init_screen(c);

	return status == STATUS_ANSWER ? init_window(c) : status;
}

void cli_clear(struct cli *c)
{
	screen_clear(&c->screen);
	http_free(c->http);
	c->http = NULL;
}

int cli_check_flow(const struct cli *c)
{
	struct flow flow;
	struct why why;

	if (flow_parse(&flow, c->args.word_count, c->args.words, &why) < 0)
		return cli_usage(c, why.text);
	return STATUS_ANSWER;
}

char *cli_flow_text(const struct cli *c)
{
	struct buf text;

	buf_init(&text, PATH_MAX_BYTES);
	for (int i = 0; i < c->args.word_count; i++)
		if (buf_addf(&text, "%s%s", i ? " " : "", c->args.words[i]) < 0)
			break;
	if (buf_add(&text, "", 1) < 0) {
		buf_clear(&text);
		return NULL;
	}
	return (char *)text.p; /* owned by the caller from here on */
}

void cli_query(struct buf *path, const char *key, const char *text)
{
	bool first = !memchr(path->p, '?', path->len);

	(void)buf_addf(path, "%c%s=", first ? '?' : '&', key);
	(void)http_add_encoded(path, text);
}

void cli_query_number(struct buf *path, const char *key, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	cli_query(path, key, text);
}

void cli_query_tables(const struct cli *c, struct buf *path)
{
	if (c->args.value[OPTION_FAMILY])
		cli_query(path, "family", c->args.value[OPTION_FAMILY]);
	if (c->args.value[OPTION_BACKEND])
		cli_query(path, "backend", c->args.value[OPTION_BACKEND]);
}

void cli_query_window(const struct cli *c, struct buf *path)
{
	cli_query_number(path, "since", c->since.v);
	if (!c->until_given)
		return; /* now, by the collector's clock */
	cli_query_number(path, "until", c->until.v);
}

int cli_use(struct cli *c, const char *url)
{
	struct why why;

	http_free(c->http);
	c->http = NULL;
	return http_open(&c->http, url, &why) < 0 ? cli_usage(c, why.text) : STATUS_ANSWER;
}

static int open_http(struct cli *c)
{
	const char *url = c->args.value[OPTION_COLLECTOR];

	if (c->http)
		return STATUS_ANSWER;
	if (!url)
		url = getenv("LASTHOP_COLLECTOR");
	return cli_use(c, url && *url ? url : url_default);
}

/* What the collector said about its refusal. Our own border: its words may quote a host's. */
static int refused(struct cli *c, int http_status, const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));
	const char *hint = json_string_value(json_object_get(answer, "hint"));
	char message[256];
	struct screen said;
	int n;

	snprintf(message, sizeof(message), "%s answers with HTTP status %d", http_url(c->http),
		 http_status);
	screen_init(&said, 0, c->screen.utf8, false);
	screen_put(&said, STYLE_PLAIN, error ? error : message);
	screen_end(&said, 0);
	if (hint && *hint) {
		screen_put(&said, STYLE_PLAIN, "  ");
		screen_put(&said, STYLE_PLAIN, hint);
		screen_end(&said, 0);
	}
	n = (int)said.out.len;
	fprintf(stderr, "lasthop: %.*s", n, (const char *)said.out.p);
	screen_clear(&said);
	return http_status == 400 ? STATUS_USAGE : STATUS_TROUBLE;
}

int cli_ask(struct cli *c, const char *method, const char *path, json_t *body, json_t **answer)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_error_t error;
	struct buf reply;
	struct why why;
	int status, r;

	*answer = NULL;
	buf_init(&reply, HTTP_BODY_MAX);
	status = open_http(c);
	if (status != STATUS_ANSWER)
		goto out;
	r = http_ask(c->http, method, path, text, ASK_MS, &reply, &why);
	status = STATUS_TROUBLE;
	if (r < 0) {
		cli_fail(
			status, why.text,
			r == -ECONNREFUSED
				? "is lasthop-collector running? else name it: --collector URL or LASTHOP_COLLECTOR"
				: NULL);
		goto out;
	}
	*answer =
		json_loadb(reply.p ? (const char *)reply.p : "", reply.len, JSON_ALLOW_NUL, &error);
	if (r >= 400) {
		status = refused(c, r, *answer);
		json_decref(*answer);
		*answer = NULL;
		goto out;
	}
	if (!json_is_object(*answer)) {
		json_decref(*answer);
		*answer = NULL;
		cli_fail(status, "the answer is not what a lasthop-collector says",
			 "is another program at this address?");
		goto out;
	}
	status = STATUS_ANSWER;
out:
	buf_clear(&reply);
	free(text);
	return status;
}

int cli_get(struct cli *c, struct buf *path, json_t **answer)
{
	int status;

	if (buf_add(path, "", 1) < 0)
		status = cli_usage(c, "the question is too long");
	else
		status = cli_ask(c, "GET", (const char *)path->p, NULL, answer);
	buf_clear(path);
	return status;
}

/* A pager where the terminal is too low, as git does it: LASTHOP_PAGER, PAGER, less. */
static FILE *open_pager(const struct cli *c)
{
	const char *pager = getenv("LASTHOP_PAGER");
	struct winsize size;
	size_t lines = 0;

	if (!c->terminal || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0)
		return NULL;
	for (size_t i = 0; i < c->screen.out.len; i++)
		lines += c->screen.out.p[i] == '\n';
	if (lines < size.ws_row)
		return NULL;
	if (!pager)
		pager = getenv("PAGER");
	if (!pager)
		pager = "less";
	if (!*pager || strcmp(pager, "cat") == 0)
		return NULL;
	setenv("LESS", "FRX", 0);
	return popen(pager, "w");
}

void cli_show(struct cli *c)
{
	FILE *pager = open_pager(c);

	if (!pager) {
		cli_flush(c);
		return;
	}
	fwrite(c->screen.out.p, 1, c->screen.out.len, pager);
	pclose(pager);
	buf_clear(&c->screen.out);
}

void cli_flush(struct cli *c)
{
	if (c->screen.out.len)
		fwrite(c->screen.out.p, 1, c->screen.out.len, stdout);
	fflush(stdout);
	buf_clear(&c->screen.out);
}

void cli_show_json(const json_t *answer, bool one_line)
{
	/* Beyond ASCII as \u escapes: the same value to every reader, and nothing that a terminal would obey. */
	size_t layout = one_line ? JSON_COMPACT : JSON_INDENT(2);

	json_dumpf(answer, stdout, layout | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
	putchar('\n');
	fflush(stdout);
}
