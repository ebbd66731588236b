/*
 * The answer to `counters`: what each rule and policy counted in the window, how fast, and since when it has not. Rates are by
 * the time that lies between readings, not by the window.
 */
#include "collector/diagnose/diagnose.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collector/diagnose/hits.h"
#include "collector/diagnose/value.h"
#include "common/content.h"

enum {
	HEAP_MAX = 512 << 20,
	NOW_NS = NS_PER_S, /* a window that ends so close to now is of now */
};

struct ranked {
	const struct hits_table *t;
	const struct hit *h;
};

static int by_heat(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	const double m = x->t->measured ? (double)x->t->measured : 1,
		     n = y->t->measured ? (double)y->t->measured : 1;
	double p = (double)x->h->packets / m, q = (double)y->h->packets / n;

	if (p != q)
		return p < q ? 1 : -1;
	if (x->h->bytes != y->h->bytes)
		return x->h->bytes < y->h->bytes ? 1 : -1;
	if (x->t != y->t)
		return x->t < y->t ? -1 : 1;
	return (x->h > y->h) - (x->h < y->h);
}

static json_t *json_rate(uint64_t count, int64_t measured)
{
	if (measured <= 0)
		return json_null();
	/* Three digits behind the point: more would only look exact. */
	return json_real(round((double)count * 1e12 / (double)measured) / 1e3);
}

static json_t *json_trend(const struct ranked *r)
{
	json_t *trend = json_array();

	for (int i = 0; i < HITS_BUCKETS; i++) {
		double packets = r->h->trend ? r->h->trend[i] : 0;

		json_array_append_new(trend, r->t->covered[i] == 0
						     ? json_null()
						     : json_rate((uint64_t)(packets + 0.5),
								 r->t->covered[i]));
	}
	return trend;
}

static json_t *json_total(const struct hit *h)
{
	if (!h->total_known)
		return json_null();
	return json_pack("{s:I,s:I}", "packets", (json_int_t)h->total_packets, "bytes",
			 (json_int_t)h->total_bytes);
}

static json_t *json_rule(const struct ranked *r)
{
	const struct stored_table *t = &r->t->entry;
	const struct hit *h = r->h;
	bool idle = h->packets == 0;
	json_t *o = json_pack("{s:s,s:s,s:o,s:o,s:s,s:o,s:o,s:I,s:I,s:o,s:o,s:o}", "backend",
			      backend_name(t->backend), "family", family_name(t->family), "table",
			      json_text(t->table), "chain", json_text(h->chain), "kind",
			      h->rule ? "rule" : "policy", "rule",
			      h->rule ? json_integer(h->rule) : json_null(), "rule_text",
			      json_text(h->text), "packets", (json_int_t)h->packets, "bytes",
			      (json_int_t)h->bytes, "packets_per_s",
			      json_rate(h->packets, r->t->measured), "bytes_per_s",
			      json_rate(h->bytes, r->t->measured), "trend", json_trend(r));

	if (!o)
		return NULL;
	json_object_set_new(o, "last", json_wall(h->last));
	json_object_set_new(o, "counter", json_total(h));
	/* Never since it was loaded; or not since the first reading. */
	json_object_set_new(o, "never_hit",
			    json_boolean(idle && h->total_known && h->total_packets == 0));
	json_object_set_new(o, "idle_since", idle ? json_wall(r->t->first) : json_null());
	json_object_set_new(o, "at_least", json_boolean(h->at_least));
	json_object_set_new(o, "at_most", json_boolean(h->at_most));
	json_object_set_new(o, "gone", json_boolean(h->gone));
	return o;
}

static json_t *json_gaps(const struct hits_table *t)
{
	json_t *gaps = json_array();

	for (size_t i = 0; i < t->gap_count; i++)
		json_array_append_new(gaps,
				      json_pack("{s:o,s:o}", "from", json_wall(t->gaps[i].from),
						"until", json_wall(t->gaps[i].until)));
	return gaps;
}

static json_t *json_table(const struct hits_table *t)
{
	char id[CONTENT_TEXT_MAX];

	content_id_print(&t->entry.content, id);
	return json_pack("{s:s,s:s,s:o,s:s,s:b,s:b,s:{s:o,s:o,s:f},s:o,s:I}", "backend",
			 backend_name(t->entry.backend), "family", family_name(t->entry.family),
			 "table", json_text(t->entry.table), "content", id, "text_known", t->usable,
			 "gone", t->gone, "read", "first", json_wall(t->first), "last",
			 json_wall(t->first.v ? t->last : t->first), "seconds",
			 (double)t->measured / NS_PER_S, "gaps", json_gaps(t), "rules_lost",
			 (json_int_t)t->lost);
}

static bool is_wanted(const struct counters_ask *c, const struct hits_table *t, const struct hit *h)
{
	bool moved = h->packets || h->bytes;

	if (c->chain && strcmp(c->chain, h->chain) != 0)
		return false;
	if (!moved && (h->gone || h->uncounted || !t->first.v))
		return false;
	return c->only == COUNTERS_ALL || moved == (c->only == COUNTERS_MOVED);
}

static int rank(struct ranked **out, size_t *n, const struct counters_ask *c, const struct hits *h)
{
	size_t count = 0;

	for (size_t i = 0; i < h->table_count; i++)
		count += h->tables[i].count;
	*n = 0;
	*out = malloc((count + 1) * sizeof(**out));
	if (!*out)
		return -ENOMEM;
	for (size_t i = 0; i < h->table_count; i++) {
		const struct hits_table *t = &h->tables[i];

		for (size_t k = 0; k < t->count; k++) {
			if (is_wanted(c, t, &t->list[k]))
				(*out)[(*n)++] = (struct ranked){ t, &t->list[k] };
		}
	}
	qsort(*out, *n, sizeof(**out), by_heat);
	return 0;
}

static json_t *json_source(struct reader *r, uint64_t host, struct arena *arena)
{
	struct sources s;

	if (reader_sources(r, host, arena, &s) == 0) {
		for (uint32_t i = 0; i < s.count; i++) {
			if (strcmp(s.list[i].name, "counters") == 0)
				return json_pack("{s:s,s:o}", "state",
						 source_state_name(s.list[i].state), "why",
						 json_text(s.list[i].why));
		}
	}
	return json_pack("{s:s,s:s}", "state", "off", "why", "its agent does not read counters");
}

static json_t *json_host_losses(struct reader *r, uint64_t host, const struct where_ask *w,
				struct arena *arena)
{
	struct stored_loss *list = NULL;
	json_t *losses = json_array();
	size_t count = 0;

	if (reader_losses(r, w->since, w->until, arena, &list, &count) < 0)
		return losses;
	for (size_t i = 0; i < count; i++) {
		const struct stored_loss *l = &list[i];

		/* Deltas travel with everything else. */
		if (l->host != host ||
		    (strcmp(l->source, "spool") != 0 && strcmp(l->source, "uplink") != 0))
			continue;
		json_array_append_new(losses,
				      json_pack("{s:s,s:o,s:o,s:o}", "source", l->source, "count",
						l->count_known ? json_integer((json_int_t)l->count)
							       : json_null(),
						"from", json_wall(l->from), "until",
						json_wall(l->until)));
	}
	return losses;
}

static int build(json_t **answer, const struct counters_ask *c, const struct where_ask *w,
		 struct reader *r, uint64_t host, struct arena *arena)
{
	const struct hits_which which = { c->backend, c->family, c->table };
	json_t *tables = json_array(), *rules = json_array();
	struct ranked *list = NULL;
	size_t count = 0, shown;
	struct hits h;
	int err = hits_load(&h, r, host, &which, w->since, w->until, arena);

	if (err == 0)
		err = rank(&list, &count, c, &h);
	if (err < 0) {
		json_decref(tables);
		json_decref(rules);
		return err;
	}
	for (size_t i = 0; i < h.table_count; i++)
		json_array_append_new(tables, json_table(&h.tables[i]));
	shown = count < c->limit ? count : c->limit;
	for (size_t i = 0; i < shown; i++)
		json_array_append_new(rules, json_rule(&list[i]));
	free(list);
	*answer = json_pack("{s:s,s:{s:o,s:o},s:o,s:o,s:o,s:I,s:o}", "host", c->host, "window",
			    "since", json_wall(w->since), "until", json_wall(w->until), "source",
			    json_source(r, host, arena), "tables", tables, "rules", rules,
			    "omitted", (json_int_t)(count - shown), "losses",
			    json_host_losses(r, host, w, arena));
	return *answer ? 0 : -ENOMEM;
}

int diagnose_counters(json_t **answer, const struct counters_ask *c, const struct where_ask *w,
		      struct reader *r, struct where_need *need)
{
	struct arena arena;
	uint64_t host;
	int err;

	arena_init(&arena, HEAP_MAX);
	err = reader_host(r, c->host, &arena, &host);
	/* What was counted until now is told when somebody asks. */
	if (err == 0 && w->until.v >= w->now.v - NOW_NS)
		need->hosts[need->count++] = host;
	if (err == 0)
		err = build(answer, c, w, r, host, &arena);
	arena_free(&arena);
	return err;
}
