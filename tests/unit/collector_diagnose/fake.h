/*
 * A fleet of plain arrays behind store.h's reading half: what a test puts in is all that the answer may know.
 * Time: test times are milliseconds; wall and boot clocks are the same.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/diagnose/diagnose.h"

enum { FAKE_MAX = 256, FAKE_NOW = 100000 };

struct fake {
	struct stored_journey journeys[FAKE_MAX];
	struct step steps[FAKE_MAX][16];
	size_t journey_count;
	struct stored_table tables[FAKE_MAX];
	const char *texts[FAKE_MAX];
	size_t table_count;
	struct stored_host hosts[8];
	struct facts facts[8];
	int64_t facts_told[8]; /* ms; 0: before everything */
	struct sources sources[8];
	struct live_host live[8];
	bool cut;
	size_t host_count;
	struct stored_loss losses[64];
	size_t loss_count;
	struct stored_arming armings[8];
	size_t arming_count;
	struct stored_conn conns[8];
	size_t conn_count;
	struct stored_counters counters[32];
	struct counter_entry entries[32][8];
	size_t counter_count;
	struct facts_addr addrs[8][4];
	struct facts_link links[8][4];
	struct facts_route routes[8][4];
	int64_t asked; /* ms; when the question was put first */
	bool patience; /* the last answer needs it */
	json_t *answer;
};

static struct fake fake;

static inline int64_t ms(int64_t t)
{
	return t * NS_PER_MS;
}

/* --- making a fleet ---------------------------------------------------------------------------------------- */

static inline struct tuple tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = 6 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	return t;
}

/* A watched host with one address; ids count from 1. */
static inline uint64_t host(const char *id, const char *addr)
{
	size_t i = fake.host_count++;
	struct facts *f = &fake.facts[i];

	fake.hosts[i] =
		(struct stored_host){ .host = i + 1, .id = id, .checked = { ms(FAKE_NOW) } };
	fake.live[i] = (struct live_host){ id, true, 0 };
	fake.links[i][0] = (struct facts_link){ .ifindex = 2, .name = "eth0", .up = true };
	*f = (struct facts){ .link_count = 1,
			     .links = fake.links[i],
			     .addrs = fake.addrs[i],
			     .routes = fake.routes[i],
			     .forward_known = true,
			     .forward4 = true };
	assert_true(prefix_parse(&fake.addrs[i][0].addr, addr));
	fake.addrs[i][0].ifindex = 2;
	f->addr_count = 1;
	return i + 1;
}

static inline void address(uint64_t h, const char *addr)
{
	struct facts *f = &fake.facts[h - 1];

	assert_true(prefix_parse(&fake.addrs[h - 1][f->addr_count].addr, addr));
	fake.addrs[h - 1][f->addr_count++].ifindex = 2;
}

static inline void route(uint64_t h, const char *dst, const char *gateway)
{
	struct facts *f = &fake.facts[h - 1];
	struct facts_route *r = &fake.routes[h - 1][f->route_count++];

	assert_true(prefix_parse(&r->dst, dst));
	r->ifindex = 2;
	if (gateway)
		assert_true(addr_parse(&r->gateway, gateway));
}

/* A filter table (or another) that was read at `from` and still stood at `last`. */
static inline void table(uint64_t h, const char *name, const char *text, int64_t from_min,
			 int64_t from, int64_t last, int64_t until)
{
	size_t i = fake.table_count++;

	fake.tables[i] = (struct stored_table){ .host = h,
						.backend = BACKEND_LEGACY,
						.family = FAMILY_IPV4,
						.table = name,
						.from_min = { ms(from_min) },
						.from = { ms(from) },
						.last = { ms(last) },
						.until = { ms(until) } };
	fake.tables[i].content.b[0] = (uint8_t)(i + 1);
	fake.texts[i] = text;
}

static inline void armed(uint64_t h, int64_t from, int64_t until)
{
	static struct pattern any = { .family = 4, .proto = 6, .dport = 443 };

	fake.armings[fake.arming_count++] = (struct stored_arming){ .lease = 1,
								    .host = h,
								    .from = { ms(from) },
								    .until = { ms(until) },
								    .modulus = 1,
								    .pattern_count = 1,
								    .patterns = &any };
}

static inline void lost(uint64_t h, const char *source, int64_t from, int64_t until)
{
	fake.losses[fake.loss_count++] =
		(struct stored_loss){ h, { ms(from) }, { ms(until) }, source, true, 5 };
}

/* A journey of a TCP packet; steps follow by checkpoint() and rule(). */
static inline struct journey *journey(uint64_t h, int64_t at, uint64_t fp, struct tuple t,
				      uint8_t flags, uint32_t seq)
{
	struct stored_journey *s = &fake.journeys[fake.journey_count];

	*s = (struct stored_journey){ .row = fake.journey_count + 1, .host = h, .at = { ms(at) } };
	s->j = (struct journey){ .at = { ms(at) },
				 .fp = fp,
				 .ip_version = 4,
				 .total_len = 60,
				 .tcp_flags = flags,
				 .tcp_seq = seq,
				 .tuples = { t },
				 .tuple_count = 1,
				 .out_if = "eth0" };
	s->j.steps = fake.steps[fake.journey_count++];
	return &s->j;
}

static inline struct step *add_step(struct journey *j, uint8_t ttl)
{
	struct step *s = &j->steps[j->step_count++];

	*s = (struct step){ .ttl = ttl,
			    .at = j->at,
			    .kernel_time = true,
			    .table = "",
			    .chain = "",
			    .tuple = (uint8_t)(j->tuple_count - 1) };
	return s;
}

static inline void checkpoint(struct journey *j, enum checkpoint c, uint8_t ttl)
{
	struct step *s = add_step(j, ttl);

	s->label = LABEL_CHECKPOINT;
	s->checkpoint = c;
	s->hook = checkpoint_hook(c);
}

static inline void rule(struct journey *j, enum hook hook, const char *table_name,
			const char *chain, uint32_t number, uint8_t ttl)
{
	struct step *s = add_step(j, ttl);

	s->hook = hook;
	s->backend = BACKEND_LEGACY;
	s->family = FAMILY_IPV4;
	s->label = LABEL_RULE;
	s->table = table_name;
	s->chain = chain;
	s->number = number;
}

/* The kernel freed it here. hooks: a mask of those in which that may have been; 0 unknown. */
static inline __attribute__((unused)) void kernel_freed(struct journey *j, const char *reason,
							uint32_t hooks, uint8_t ttl)
{
	struct step *s = add_step(j, ttl);

	s->label = LABEL_KERNEL;
	s->family = FAMILY_IPV4;
	s->prefix = reason;
	s->number = hooks;
}

static inline void becomes(struct journey *j, struct tuple t)
{
	j->tuples[j->tuple_count++] = t;
}

/* --- asking -------------------------------------------------------------------------------------------------- */

static inline json_t *ask(const char *flow_text)
{
	const char *argv[] = { flow_text };
	struct where_ask a = { .since = { 0 },
			       .until = { ms(FAKE_NOW) },
			       .now = { ms(FAKE_NOW) },
			       .asked = { ms(fake.asked) },
			       .live = fake.live,
			       .live_count = fake.host_count };
	struct where_need need = { 0 };
	struct flow flow;

	assert_int_equal(flow_parse(&flow, 1, argv, NULL), 0);
	a.flow = &flow;
	json_decref(fake.answer);
	assert_int_equal(diagnose_where(&fake.answer, &a, NULL, &need), 0);
	fake.patience = need.patience;
	return fake.answer;
}

/* A value by a path such as "died_at.rule" or "hops.0.host". */
static inline json_t *at(const char *path)
{
	json_t *v = fake.answer;
	char part[64];

	while (*path && v) {
		size_t n = strcspn(path, ".");

		memcpy(part, path, n);
		part[n] = '\0';
		v = json_is_array(v) ? json_array_get(v, strtoul(part, NULL, 10))
				     : json_object_get(v, part);
		path += n + (path[n] == '.');
	}
	return v;
}

static inline const char *text(const char *path)
{
	const char *s = json_string_value(at(path));

	return s ? s : "(none)";
}

static inline int64_t number(const char *path)
{
	return json_is_integer(at(path)) ? json_integer_value(at(path)) : -1;
}

static inline int fresh(void **state)
{
	(void)state;
	json_decref(fake.answer);
	memset(&fake, 0, sizeof(fake));
	return 0;
}

/* --- the store, as far as answers read it: in front of the library, so these are the ones that are linked ------ */

bool reader_incomplete(const struct reader *r)
{
	(void)r;
	return false;
}

static bool row_matches(const struct stored_journey *s, const struct journey_query *q)
{
	if (s->at.v < q->since.v || s->at.v > q->until.v || s->row <= q->after_row)
		return false;
	for (size_t i = 0; i < q->fp_count; i++) {
		if (s->j.fp == q->fps[i])
			return true;
	}
	if (q->ends && !q->flow)
		return true;
	for (uint8_t i = 0; q->flow && i < s->j.tuple_count; i++) {
		struct tuple back = tuple_reverse(&s->j.tuples[i]);

		if (flow_has(q->flow, &s->j.tuples[i]) || flow_has(q->flow, &back))
			return true;
	}
	return false;
}

int reader_journeys(struct reader *r, const struct journey_query *q, struct arena *arena,
		    struct stored_journey **out, size_t *count, bool *cut)
{
	(void)r;
	*out = arena_alloc(arena, sizeof(**out) * FAKE_MAX);
	*count = 0;
	*cut = q->fp_count && fake.cut; /* elsewhere there is more of them than it takes */
	for (size_t i = 0; i < fake.journey_count; i++) {
		if (row_matches(&fake.journeys[i], q))
			(*out)[(*count)++] = fake.journeys[i];
	}
	return 0;
}

int reader_conns(struct reader *r, const struct flow *flow, struct wall_ns since,
		 struct wall_ns until, size_t limit, struct arena *arena, struct stored_conn **out,
		 size_t *count)
{
	(void)r;
	(void)since;
	(void)until;
	(void)limit;
	*out = arena_alloc(arena, sizeof(fake.conns));
	*count = 0;
	for (size_t i = 0; i < fake.conn_count; i++) {
		struct tuple after = tuple_reverse(&fake.conns[i].c.reply);

		if (flow_has(flow, &fake.conns[i].c.orig) || flow_has(flow, &after))
			(*out)[(*count)++] = fake.conns[i];
	}
	return 0;
}

int reader_tables(struct reader *r, uint64_t h, struct wall_ns since, struct wall_ns until,
		  struct arena *arena, struct stored_table **out, size_t *count)
{
	(void)r;
	(void)h;
	(void)since;
	(void)until;
	(void)arena;
	for (size_t i = 0; i < fake.table_count; i++) {
		fake.tables[i].since = fake.tables[i].from;
		fake.tables[i].since_min = fake.tables[i].from_min;
	}
	*out = fake.tables;
	*count = fake.table_count;
	return 0;
}

int reader_content(struct reader *r, const struct content_id *id, struct arena *arena,
		   const char **out, size_t *len)
{
	(void)r;
	(void)arena;
	if (!id->b[0] || !fake.texts[id->b[0] - 1])
		return -ENOENT;
	*out = fake.texts[id->b[0] - 1];
	*len = strlen(*out);
	return 0;
}

int reader_hosts(struct reader *r, struct arena *arena, struct stored_host **out, size_t *count)
{
	(void)r;
	(void)arena;
	*out = fake.hosts;
	*count = fake.host_count;
	return 0;
}

int reader_facts(struct reader *r, uint64_t h, struct wall_ns t, struct arena *arena,
		 struct facts *out)
{
	(void)r;
	(void)t;
	(void)arena;
	*out = fake.facts[h - 1];
	return 0;
}

/* Facts stood all the time, unless they came later. */
int reader_facts_span(struct reader *r, uint64_t h, struct wall_ns t, struct wall_ns *from,
		      struct wall_ns *next)
{
	struct wall_ns told = { fake.facts_told[h - 1] ? ms(fake.facts_told[h - 1]) : 1 };

	(void)r;
	*from = told.v <= t.v ? told : (struct wall_ns){ 0 };
	*next = told.v <= t.v ? (struct wall_ns){ 0 } : told;
	return 0;
}

int reader_sources(struct reader *r, uint64_t h, struct arena *arena, struct sources *out)
{
	(void)r;
	(void)arena;
	*out = fake.sources[h - 1];
	return out->count ? 0 : -ENOENT;
}

int reader_losses(struct reader *r, struct wall_ns since, struct wall_ns until, struct arena *arena,
		  struct stored_loss **out, size_t *count)
{
	(void)r;
	(void)since;
	(void)until;
	(void)arena;
	*out = fake.losses;
	*count = fake.loss_count;
	return 0;
}

int reader_counters(struct reader *r, uint64_t host_id, struct wall_ns since, struct wall_ns until,
		    counters_take *take, void *arg)
{
	(void)r;
	for (size_t i = 0; i < fake.counter_count; i++) {
		const struct stored_counters *c = &fake.counters[i];

		if (c->host == host_id && c->at.v >= since.v && c->since.v <= until.v &&
		    !take(arg, c))
			break;
	}
	return 0;
}

int reader_armings(struct reader *r, struct wall_ns since, struct wall_ns until,
		   struct arena *arena, struct stored_arming **out, size_t *count)
{
	(void)r;
	(void)since;
	(void)until;
	(void)arena;
	*out = fake.armings;
	*count = fake.arming_count;
	return 0;
}
