/*
 * GET /api/v1/hosts: the agents as they are, and what they lost lately.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/api/live.h"
#include "collector/api/route.h"
#include "collector/diagnose/coverage.h"
#include "collector/diagnose/value.h"
#include "common/content.h"

enum { ANSWER_MEMORY = 64 << 20, LOSS_WINDOW_S = 15 * 60, RETIRED_SHOWN_S = 24 * 3600 };

struct answer_hosts {
	struct exchange *x;
	struct live_copies live;
	struct wall_ns now;
	json_t *answer;
};

static const char *state_of(const struct stored_host *h, const struct live_copy *c,
			    bool has_sources, struct wall_ns now)
{
	if (live_retired(h, c))
		return "retired";
	if (c && c->connected) {
		bool told = c->sources_told && c->rulesets_told;

		return told || (c->resumed && has_sources) ? "ready" : "connecting";
	}
	if (c)
		return c->quiet_ms > SILENT_AFTER_MS ? "silent" : "connecting";
	return now.v - h->last_seen.v > (int64_t)SILENT_AFTER_MS * NS_PER_MS ? "silent"
									     : "connecting";
}

/* How far its evidence is behind: the age of what is not stored yet, or how long nothing was heard of it. */
static json_t *lag_of(const struct live_copy *c)
{
	if (!c || (c->connected && c->lag_ms < 0))
		return json_null();
	if (c->connected && c->quiet_ms < SILENT_AFTER_MS + 2000) /* it answers pings */
		return json_integer(c->lag_ms);
	return json_integer(c->quiet_ms > c->lag_ms ? c->quiet_ms : c->lag_ms);
}

static json_t *sources_of(const struct sources *s)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < s->count; i++)
		json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "name",
						      json_text(s->list[i].name), "state",
						      source_state_name(s->list[i].state), "why",
						      json_text(s->list[i].why)));
	return list;
}

/* Since the window began; a counter that went back began anew. */
static json_int_t grew(uint64_t from, uint64_t to)
{
	return (json_int_t)(to >= from ? to - from : to);
}

static json_t *conntrack_of(struct reader *r, uint64_t host, struct wall_ns since,
			    struct arena *arena)
{
	struct conntrack_stats a, b;
	json_t *o, *g;

	if (reader_stats(r, host, since, arena, &a, &b) < 0)
		return json_null();
	g = json_pack("{s:I, s:I, s:I}", "insert_failed", grew(a.insert_failed, b.insert_failed),
		      "drop", grew(a.drop, b.drop), "early_drop", grew(a.early_drop, b.early_drop));
	o = json_pack("{s:I, s:o}", "count", (json_int_t)b.count, "max",
		      b.max ? json_integer((json_int_t)b.max) : json_null());
	json_object_set_new(o, "insert_failed", json_integer((json_int_t)b.insert_failed));
	json_object_set_new(o, "drop", json_integer((json_int_t)b.drop));
	json_object_set_new(o, "early_drop", json_integer((json_int_t)b.early_drop));
	json_object_set_new(o, "invalid", json_integer((json_int_t)b.invalid));
	json_object_set_new(o, "error", json_integer((json_int_t)b.error));
	json_object_set_new(o, "search_restart", json_integer((json_int_t)b.search_restart));
	json_object_set_new(o, "clash_resolve", json_integer((json_int_t)b.clash_resolve));
	json_object_set_new(o, "grew", g);
	return o;
}

static json_t *losses_of(uint64_t host, const struct stored_loss *losses, size_t count)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < count; i++)
		if (losses[i].host == host)
			json_array_append_new(
				list, json_pack("{s:o, s:o, s:o, s:o}", "source",
						json_text(losses[i].source), "count",
						losses[i].count_known
							? json_integer((json_int_t)losses[i].count)
							: json_null(),
						"from", json_wall(losses[i].from), "until",
						json_wall(losses[i].until)));
	return list;
}

static json_t *addresses_of(const struct facts *f)
{
	json_t *list = json_array();
	char text[ADDR_TEXT_MAX];
	uint32_t i;

	for (i = 0; i < f->addr_count; i++) {
		if (addr_is_loopback(&f->addrs[i].addr.addr))
			continue;
		addr_print(&f->addrs[i].addr.addr, text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static int tables_of(uint64_t host, const struct stored_table *tables, size_t count)
{
	int n = 0;
	size_t i;

	for (i = 0; i < count; i++)
		n += tables[i].host == host && tables[i].until.v == 0 &&
		     tables[i].backend != BACKEND_IPSET && !content_id_none(&tables[i].content);
	return n;
}

/* Which backends have tables there. */
static json_t *backends_of(uint64_t host, const struct stored_table *tables, size_t count)
{
	json_t *list = json_array();

	for (int b = 0; b < BACKEND_IPSET; b++) {
		bool has = false;

		for (size_t i = 0; i < count && !has; i++)
			has = tables[i].host == host && tables[i].backend == b &&
			      tables[i].until.v == 0 && !content_id_none(&tables[i].content);
		if (has)
			json_array_append_new(list, json_string(backend_name((enum backend)b)));
	}
	return list;
}

/* Rules in both firewalls: packets meet all of them. */
static bool is_mixed(const json_t *backends)
{
	return json_array_size(backends) > 1 &&
	       !strcmp(json_string_value(json_array_get(backends, 0)),
		       backend_name(BACKEND_LEGACY));
}

static int build(struct answer_hosts *q, struct reader *r, struct arena *arena)
{
	struct wall_ns since = { q->now.v - (int64_t)LOSS_WINDOW_S * NS_PER_S };
	struct stored_host *hosts = NULL;
	struct stored_loss *losses = NULL;
	struct stored_table *tables = NULL;
	size_t host_count = 0, loss_count = 0, table_count = 0, i;
	json_t *list, *host, *backends;
	int err;

	err = reader_hosts(r, arena, &hosts, &host_count);
	if (err == 0)
		err = reader_losses(r, since, q->now, arena, &losses, &loss_count);
	if (err == 0)
		err = reader_tables(r, 0, q->now, q->now, arena, &tables, &table_count);
	if (err < 0)
		return err;
	if (loss_count > LOSSES_MAX) { /* the newest */
		losses += loss_count - LOSSES_MAX;
		loss_count = LOSSES_MAX;
	}
	list = json_array();
	for (i = 0; i < host_count; i++) {
		const struct stored_host *h = &hosts[i];
		const struct live_copy *c = live_find(&q->live, h->id);
		struct sources sources = { 0 };
		struct facts facts = { 0 };
		size_t len = strcspn(h->id, "/");
		bool has_sources;

		/* Containers come and go by the thousand. */
		if (live_retired(h, c) &&
		    q->now.v - h->last_seen.v > RETIRED_SHOWN_S * (int64_t)NS_PER_S)
			continue;
		has_sources = reader_sources(r, h->host, arena, &sources) == 0;

		if (reader_facts(r, h->host, q->now, arena, &facts) < 0)
			facts.addr_count = 0;
		host = json_object();
		json_object_set_new(host, "id", json_string(h->id));
		json_object_set_new(host, "state",
				    json_string(state_of(h, c, has_sources, q->now)));
		json_object_set_new(host, "lag_ms", lag_of(c));
		json_object_set_new(host, "clock_ms",
				    c && c->connected && c->clock_known ? json_integer(c->clock_ms)
									: json_null());
		json_object_set_new(host, "sources", sources_of(&sources));
		json_object_set_new(host, "losses", losses_of(h->host, losses, loss_count));
		json_object_set_new(host, "conntrack", conntrack_of(r, h->host, since, arena));
		json_object_set_new(host, "agent", json_stringn(h->id, len));
		json_object_set_new(host, "last_seen",
				    json_wall(c && c->connected ? q->now : h->last_seen));
		json_object_set_new(host, "addresses", addresses_of(&facts));
		json_object_set_new(host, "tables",
				    json_integer(tables_of(h->host, tables, table_count)));
		backends = backends_of(h->host, tables, table_count);
		json_object_set_new(host, "backends", backends);
		json_object_set_new(host, "mixed", json_boolean(is_mixed(backends)));
		json_array_append_new(list, host);
	}
	q->answer = json_pack("{s:o}", "hosts", list);
	return 0;
}

static void on_work(void *arg, struct reader *r)
{
	struct answer_hosts *q = arg;
	struct arena arena;

	arena_init(&arena, ANSWER_MEMORY);
	if (!r || build(q, r, &arena) < 0)
		q->answer = NULL;
	arena_free(&arena);
}

static void on_done(void *arg)
{
	struct answer_hosts *q = arg;

	if (q->answer)
		exchange_answer(q->x, 200, q->answer);
	else
		exchange_error(q->x, 503, "the collector's messages say why",
			       "the store does not answer");
	exchange_unref(q->x);
	live_clear(&q->live);
	free(q);
}

void get_hosts(struct exchange *x)
{
	struct answer_hosts *q = calloc(1, sizeof(*q));

	if (q)
		q->now = wall_now();
	if (!q || live_take(&q->live, x->api->o.ingest) < 0 ||
	    asks_run(x->api->o.asks, on_work, on_done, q) < 0) {
		exchange_error(x, 503, "ask again in a moment", "too many questions at once");
		if (q)
			live_clear(&q->live);
		free(q);
		return;
	}
	q->x = exchange_ref(x);
}
