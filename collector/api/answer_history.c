/*
 * GET /api/v1/rules/log and /api/v1/rules/diff: how a host's tables came to be what they are, and what makes two of them
 * different.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/api/route.h"
#include "collector/diagnose/diagnose.h"
#include "collector/diagnose/value.h"
#include "common/content.h"

enum { CONTENT_MIN = 7, LIMIT_USUAL = 50 };

static const int64_t LOG_NS = 7LL * 24 * 3600 * NS_PER_S;

struct side_text {
	char host[HOST_MAX + 1];
	char content[CONTENT_TEXT_MAX]; /* "" none */
	struct wall_ns at;
};

struct answer_history {
	struct exchange *x;
	char table[TABLE_NAME_MAX + 1], chain[CHAIN_NAME_MAX + 1]; /* "" any */
	int backend, family;                                       /* -1: any */
	struct side_text a, b;                                     /* b: only of a comparison */
	struct wall_ns since, until;
	bool patch;
	size_t limit;
	int err;
	char side;
	struct wall_ns first;
	json_t *answer;
};

static struct tables_ask tables_of(const struct answer_history *q)
{
	return (struct tables_ask){ .table = q->table[0] ? q->table : NULL,
				    .chain = q->chain[0] ? q->chain : NULL,
				    .backend = q->backend,
				    .family = q->family };
}

static struct tables_side side_of(const struct side_text *s)
{
	return (struct tables_side){ .host = s->host,
				     .content = s->content[0] ? s->content : NULL,
				     .at = s->at };
}

static void on_log(void *arg, struct reader *r)
{
	struct answer_history *q = arg;
	struct tables_ask which = tables_of(q);

	q->side = 'a';
	q->err = r ? diagnose_rules_log(&q->answer, q->a.host, &which, q->since, q->until, q->patch,
					q->limit, r)
		   : -EIO;
}

static void on_diff(void *arg, struct reader *r)
{
	struct answer_history *q = arg;
	struct tables_ask which = tables_of(q);
	struct tables_side a = side_of(&q->a), b = side_of(&q->b);

	q->err = r ? diagnose_rules_diff(&q->answer, &a, &b, &which, r, &q->side, &q->first) : -EIO;
}

static json_t *not_yet(const struct answer_history *q, const struct side_text *s)
{
	json_t *first = json_wall(q->first);
	const char *when = json_string_value(first);
	char hint[96];

	snprintf(hint, sizeof(hint), "its tables are known from %s on", when ? when : "no time");
	return json_pack("{s:s,s:s,s:s,s:o}", "error",
			 "no table of this host is known at that time", "hint", hint, "host",
			 s->host, "first", first);
}

static void refuse(const struct answer_history *q)
{
	const struct side_text *s = q->side == 'b' ? &q->b : &q->a;
	json_t *o = NULL;

	if (q->err == -ENOENT)
		o = json_pack("{s:s,s:s,s:s}", "error", "there is no such host", "hint",
			      "lasthop hosts", "host", s->host);
	else if (q->err == -EEXIST)
		o = json_pack("{s:s,s:s,s:s}", "error", "several contents begin so", "hint",
			      "more of its digits", "host", s->host);
	else if (q->err == -ESRCH && s->content[0])
		o = json_pack("{s:s,s:s,s:s}", "error", "no table of this host had that content",
			      "hint", "lasthop rules log HOST", "host", s->host);
	else if (q->err == -ESRCH)
		o = not_yet(q, s);
	if (o)
		exchange_answer(q->x, 404, o);
	else
		exchange_error(q->x, 503, "the collector's messages say why",
			       "the store does not answer");
}

static void on_done(void *arg)
{
	struct answer_history *q = arg;

	if (q->err == 0 && q->answer)
		exchange_answer(q->x, 200, q->answer);
	else
		refuse(q);
	exchange_unref(q->x);
	free(q);
}

static bool copy(char *to, size_t size, const char *from)
{
	size_t len = from ? strlen(from) : 0;

	if (len >= size)
		return false;
	memcpy(to, from ?: "", len + 1);
	return true;
}

static bool read_host(struct answer_history *q, struct side_text *s, const char *key)
{
	const char *host = exchange_query(q->x, key);

	return host && *host && copy(s->host, sizeof(s->host), host);
}

/* `at`: decimal nanoseconds, or at least 7 hex digits of a content, as of /api/v1/rules; without: now. */
static bool read_at(struct answer_history *q, struct side_text *s, const char *key)
{
	const char *at = exchange_query(q->x, key);
	size_t len = at ? strlen(at) : 0;

	s->at = wall_now();
	if (!at)
		return true;
	if (strspn(at, "0123456789") == len && len >= 16 && len <= 19)
		return exchange_number(q->x, key, &s->at.v) == 0;
	return strspn(at, "0123456789abcdef") == len && len >= CONTENT_MIN &&
	       copy(s->content, sizeof(s->content), at);
}

static bool read_tables(struct answer_history *q)
{
	const char *family = exchange_query(q->x, "family"),
		   *backend = exchange_query(q->x, "backend");

	q->family = family ? family_parse(family) : -1;
	q->backend = backend ? backend_parse(backend) : -1;
	return (!family || q->family >= 0) && (!backend || q->backend >= 0) &&
	       copy(q->table, sizeof(q->table), exchange_query(q->x, "table")) &&
	       copy(q->chain, sizeof(q->chain), exchange_query(q->x, "chain"));
}

/* A number that may be missing. */
static bool read_number(struct exchange *x, const char *key, int64_t *n)
{
	return !exchange_query(x, key) || exchange_number(x, key, n) == 0;
}

static bool read_log(struct answer_history *q)
{
	int64_t limit = LIMIT_USUAL, patch = 0;

	q->until = wall_now();
	if (!read_number(q->x, "until", &q->until.v))
		return false;
	q->since.v = q->until.v - LOG_NS;
	if (!read_number(q->x, "since", &q->since.v) || !read_number(q->x, "limit", &limit) ||
	    !read_number(q->x, "patch", &patch))
		return false;
	q->patch = patch == 1;
	q->limit = (size_t)limit;
	return limit > 0 && q->since.v <= q->until.v;
}

static void run(struct answer_history *q, void (*work)(void *, struct reader *))
{
	if (asks_run(q->x->api->o.asks, work, on_done, q) == 0) {
		exchange_ref(q->x);
		return;
	}
	exchange_error(q->x, 503, "ask again in a moment", "too many questions at once");
	free(q);
}

static struct answer_history *begin(struct exchange *x)
{
	struct answer_history *q = calloc(1, sizeof(*q));

	if (!q)
		exchange_error(x, 503, "ask again in a moment", "no memory");
	else
		q->x = x;
	return q;
}

void get_rules_log(struct exchange *x)
{
	struct answer_history *q = begin(x);

	if (!q)
		return;
	if (read_host(q, &q->a, "host") && read_tables(q) && read_log(q)) {
		run(q, on_log);
		return;
	}
	exchange_error(
		x, 400,
		"host=ID, since=NS, until=NS, table=, chain=, family=, backend=, patch=1, limit=N",
		"the question is wrong");
	free(q);
}

void get_rules_diff(struct exchange *x)
{
	struct answer_history *q = begin(x);

	if (!q)
		return;
	if (read_host(q, &q->a, "a") && read_host(q, &q->b, "b") && read_at(q, &q->a, "a_at") &&
	    read_at(q, &q->b, "b_at") && read_tables(q)) {
		run(q, on_diff);
		return;
	}
	exchange_error(
		x, 400,
		"a=ID, a_at=NS|CONTENT, b=ID, b_at=NS|CONTENT, table=, chain=, family=, backend=",
		"the question is wrong");
	free(q);
}
