/*
 * GET /api/v1/rules: the tables of a host as they stood at one instant, or one content by its name.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/api/route.h"
#include "collector/diagnose/value.h"
#include "common/content.h"

enum { ANSWER_MEMORY = 192 << 20, CONTENT_MIN = 7 };

struct answer_rules {
	struct exchange *x;
	char host[HOST_MAX + 1];
	char content[CONTENT_TEXT_MAX]; /* "" none: as it stood at `at` */
	struct wall_ns at;
	int backend, family; /* -1: any; sets only where they are asked for */
	unsigned int status;
	json_t *answer;
};

/* In the order in which people read them. */
static int place_of(const struct stored_table *t)
{
	static const char *const tables[] = { "raw", "mangle", "nat", "filter", "security" };
	int i;

	for (i = 0; i < 5 && strcmp(t->table, tables[i]) != 0; i++)
		;
	return (t->family * BACKEND_COUNT + t->backend) * 6 + i;
}

static int compare(const void *a, const void *b)
{
	const struct stored_table *const *x = a, *const *y = b;

	int places = place_of(*x) - place_of(*y);

	return places ? places : strcmp((*x)->table, (*y)->table);
}

static bool selected(const struct answer_rules *q, const struct stored_table *t)
{
	char id[CONTENT_TEXT_MAX];

	if (q->backend >= 0 ? t->backend != q->backend : t->backend == BACKEND_IPSET)
		return false;
	if (q->family >= 0 && t->family != q->family)
		return false;
	if (content_id_none(&t->content))
		return false;
	if (!q->content[0])
		return t->from.v <= q->at.v && (t->until.v == 0 || t->until.v > q->at.v);
	content_id_print(&t->content, id);
	return !strncmp(id, q->content, strlen(q->content));
}

/* What the host has, for who asked for something else. */
static json_t *what_exists(const struct stored_table *list, size_t count)
{
	json_t *out = json_array();
	char id[CONTENT_TEXT_MAX];
	size_t i;

	for (i = 0; i < count; i++) {
		if (content_id_none(&list[i].content))
			continue;
		content_id_print(&list[i].content, id);
		json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "backend",
						     backend_name(list[i].backend), "family",
						     family_name(list[i].family), "table",
						     json_text(list[i].table), "content", id,
						     "from", json_wall(list[i].from), "until",
						     json_wall(list[i].until)));
	}
	return out;
}

static int add_table(json_t *out, struct reader *r, const struct stored_table *t,
		     struct arena *arena)
{
	char id[CONTENT_TEXT_MAX];
	const char *text = NULL;
	json_t *value;
	size_t len = 0;
	int err = reader_content(r, &t->content, arena, &text, &len);

	if (err < 0 && err != -ENOENT)
		return err;
	value = text ? json_stringn(text, len) : json_null();
	if (!value) /* a comment that is not UTF-8: JSON cannot carry it */
		value = json_null();
	content_id_print(&t->content, id);
	json_array_append_new(out,
			      json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o}", "backend",
					backend_name(t->backend), "family", family_name(t->family),
					"table", json_text(t->table), "content", id, "text", value,
					"from", json_wall(t->from), "from_min",
					json_wall(t->from_min), "until", json_wall(t->until)));
	return 0;
}

static int no_such_host(struct answer_rules *q, struct reader *r, struct arena *arena)
{
	struct stored_host *hosts = NULL;
	json_t *known = json_array();
	size_t count = 0, i;
	int err = reader_hosts(r, arena, &hosts, &count);

	for (i = 0; err == 0 && i < count; i++)
		json_array_append_new(known, json_string(hosts[i].id));
	q->status = 404;
	q->answer = json_pack("{s:s, s:s, s:o}", "error", "there is no such host", "hint",
			      "lasthop hosts", "hosts", known);
	return err;
}

static int build(struct answer_rules *q, struct reader *r, struct arena *arena)
{
	struct wall_ns since = q->content[0] ? (struct wall_ns){ 1 } : q->at;
	struct wall_ns until = q->content[0] ? wall_now() : q->at;
	struct stored_table *list = NULL, **chosen;
	size_t count = 0, chosen_count = 0, i;
	json_t *out;
	uint64_t host;
	int err = reader_host(r, q->host, arena, &host);

	if (err == -ENOENT)
		return no_such_host(q, r, arena);
	if (err == 0)
		err = reader_tables(r, host, since, until, arena, &list, &count);
	if (err < 0)
		return err;
	chosen = arena_alloc(arena, (count + 1) * sizeof(*chosen));
	if (!chosen)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		if (selected(q, &list[i]))
			chosen[chosen_count++] = &list[i];
	if (chosen_count == 0 && (count > 0 || q->content[0])) {
		q->status = 404;
		q->answer = json_pack("{s:s, s:s, s:o}", "error", "no table of this host fits",
				      "hint", "see tables", "tables", what_exists(list, count));
		return 0;
	}
	qsort(chosen, chosen_count, sizeof(*chosen), compare);
	out = json_array();
	for (i = 0; i < chosen_count && err == 0; i++) {
		/* One content may have stood several times; it is shown once. */
		if (q->content[0] && i > 0 &&
		    !memcmp(&chosen[i]->content, &chosen[i - 1]->content, CONTENT_ID_LEN))
			continue;
		err = add_table(out, r, chosen[i], arena);
	}
	q->status = 200;
	q->answer = json_pack("{s:s, s:o, s:o}", "host", q->host, "at", json_wall(q->at), "tables",
			      out);
	return err;
}

static void on_work(void *arg, struct reader *r)
{
	struct answer_rules *q = arg;
	struct arena arena;

	arena_init(&arena, ANSWER_MEMORY);
	if (!r || build(q, r, &arena) < 0) {
		json_decref(q->answer);
		q->answer = NULL;
	}
	arena_free(&arena);
}

static void on_done(void *arg)
{
	struct answer_rules *q = arg;

	if (q->answer)
		exchange_answer(q->x, q->status, q->answer);
	else
		exchange_error(q->x, 503, "the collector's messages say why",
			       "the store does not answer");
	exchange_unref(q->x);
	free(q);
}

/* `at`: decimal nanoseconds, or at least 7 hex digits of a content. Long decimals are times: contents are told by a letter or their length. */
static bool read_at(struct answer_rules *q, const char *at)
{
	size_t len = strlen(at), hex = strspn(at, "0123456789abcdef"),
	       digits = strspn(at, "0123456789");
	int64_t ns;

	if (digits == len && len >= 16 && len <= 19 && exchange_number(q->x, "at", &ns) == 0) {
		q->at.v = ns;
		return true;
	}
	if (hex != len || len < CONTENT_MIN || len >= CONTENT_TEXT_MAX)
		return false;
	memcpy(q->content, at, len + 1);
	return true;
}

void get_rules(struct exchange *x)
{
	const char *host = exchange_query(x, "host"), *at = exchange_query(x, "at");
	const char *family = exchange_query(x, "family"), *backend = exchange_query(x, "backend");
	struct answer_rules *q = calloc(1, sizeof(*q));

	if (!q) {
		exchange_error(x, 503, "ask again in a moment", "no memory");
		return;
	}
	q->x = x;
	q->at = wall_now();
	q->family = family ? family_parse(family) : -1;
	q->backend = backend ? backend_parse(backend) : -1;
	if (!host || strlen(host) < 1 || strlen(host) > HOST_MAX) {
		exchange_error(x, 400, "host=ID, as lasthop hosts shows it", "there is no host");
	} else if ((family && q->family < 0) || (backend && q->backend < 0)) {
		exchange_error(x, 400, "family=ipv4|ipv6, backend=legacy|nft|native|ipset",
			       "family or backend is wrong");
	} else if (at && !read_at(q, at)) {
		exchange_error(x, 400,
			       "nanoseconds since 1970, or at least 7 hex digits of a content",
			       "at is wrong");
	} else {
		memcpy(q->host, host, strlen(host) + 1);
		if (asks_run(x->api->o.asks, on_work, on_done, q) == 0) {
			exchange_ref(x);
			return;
		}
		exchange_error(x, 503, "ask again in a moment", "too many questions at once");
	}
	free(q);
}
