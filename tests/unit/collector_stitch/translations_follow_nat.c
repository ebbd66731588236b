/*
 * Connections through NAT as connection tracking alone tells them; the tests are named after the numbers of the list in
 * collector/stitch/translations.h. The store is an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/translations.h"

enum { CONNS = 5000 };

static struct stored_conn conns[CONNS];
static size_t conn_count;

static bool fits(const struct stored_conn *c, const struct flow *flow, struct wall_ns since,
		 struct wall_ns until)
{
	struct tuple ends[4] = { c->c.orig, c->c.reply, tuple_reverse(&c->c.orig),
				 tuple_reverse(&c->c.reply) };
	bool has = false;

	for (int k = 0; k < 4; k++)
		has |= flow_has(flow, &ends[k]);
	return has && c->from.v <= until.v && (!c->until.v || c->until.v >= since.v);
}

int reader_conns(struct reader *r, const struct flow *flow, struct wall_ns since,
		 struct wall_ns until, size_t limit, struct arena *arena, struct stored_conn **out,
		 size_t *count)
{
	size_t n = 0;

	(void)r;
	*count = 0;
	for (size_t i = 0; i < conn_count; i++)
		n += fits(&conns[i], flow, since, until);
	*out = arena_alloc(arena, (n + 1) * sizeof(**out));
	assert_non_null(*out);
	for (size_t i = 0; i < conn_count && *count < limit; i++) {
		if (fits(&conns[i], flow, since, until))
			(*out)[(*count)++] = conns[i];
	}
	return 0;
}

static struct tuple tcp(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	struct tuple t = { .sport = sport, .dport = dport, .proto = 6 };

	assert_true(addr_parse(&t.src, src) && addr_parse(&t.dst, dst));
	return t;
}

/* host's entry: in became out, from and until in seconds. */
static void entry(uint64_t host, struct tuple in, struct tuple out, int64_t from, int64_t until)
{
	conns[conn_count] = (struct stored_conn){
		.host = host,
		.from = { from * NS_PER_S },
		.until = { until * NS_PER_S },
		.c = { .id = (uint32_t)conn_count, .orig = in, .reply = tuple_reverse(&out) }
	};
	conn_count++;
}

static struct arena arena;

/* Between two seconds. */
static struct translations find_between(const char *addr, uint16_t port, int64_t since,
					int64_t until)
{
	struct flow f = { .icmp_type = -1, .icmp_id = -1 };
	struct translations t;

	assert_true(addr_parse(&f.src.prefix.addr, addr));
	f.src.prefix.len = f.src.prefix.addr.family == 4 ? 32 : 128;
	f.sport = (struct port_range){ port, port, false };
	assert_int_equal(translations_find(&t, NULL, &arena, &f,
					   (struct wall_ns){ since * NS_PER_S },
					   (struct wall_ns){ until * NS_PER_S }, 100),
			 0);
	return t;
}

static struct translations find(const char *addr, uint16_t port)
{
	return find_between(addr, port, 0, 1000);
}

static int begin(void **state)
{
	(void)state;
	conn_count = 0;
	arena_init(&arena, 64 << 20);
	return 0;
}

static int end(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

/* A client behind a home router behind a carrier's NAT, to a service behind DNAT; three hosts translate. */
static void double_nat(int64_t from)
{
	struct tuple a = tcp("192.168.1.5", 5000, "203.0.113.9", 443);
	struct tuple b = tcp("100.64.0.7", 5000, "203.0.113.9", 443);
	struct tuple c = tcp("198.51.100.7", 62011, "203.0.113.9", 443);
	struct tuple d = tcp("198.51.100.7", 62011, "10.2.0.2", 8443);

	entry(3, c, d, from, from + 10);
	entry(1, a, b, from, from + 10);
	entry(2, b, c, from, from + 10);
	entry(4, d, d, from, from + 10);
}

static void translations_1_one_continues_the_other_from_any_end(void **state)
{
	static const struct {
		const char *addr;
		uint16_t port;
	} ends[] = { { "192.168.1.5", 5000 },
		     { "100.64.0.7", 5000 },
		     { "198.51.100.7", 62011 },
		     { "203.0.113.9", 443 },
		     { "10.2.0.2", 8443 } };

	(void)state;
	double_nat(100);
	for (size_t i = 0; i < 5; i++) {
		struct translations t = find(ends[i].addr, ends[i].port);

		assert_int_equal(t.count, 1);
		assert_int_equal(t.list[0].count, 3);
		assert_false(t.list[0].ambiguous);
		for (uint64_t k = 0; k < 3; k++)
			assert_int_equal(t.list[0].list[k].conn->host, k + 1);
		assert_int_equal(t.list[0].seen_count, 1); /* 4 */
		assert_int_equal(t.list[0].seen[0]->host, 4);
	}
}

static void translations_1_one_needs_lives_that_overlap(void **state)
{
	struct tuple a = tcp("10.0.0.1", 4000, "203.0.113.9", 443);
	struct tuple b = tcp("198.51.100.7", 4000, "203.0.113.9", 443);
	struct tuple c = tcp("198.51.100.7", 4000, "10.2.0.2", 8443);
	struct translations t;

	(void)state;
	entry(1, a, b, 100, 110);
	entry(2, b, c, 200, 210);
	t = find("198.51.100.7", 4000);
	assert_int_equal(t.count, 2);
	assert_int_equal(t.list[0].count, 1);
	assert_int_equal(t.list[1].count, 1);
	assert_false(t.list[0].ambiguous);
}

static void translations_1_one_needs_another_host_or_zone(void **state)
{
	struct tuple a = tcp("10.0.0.1", 4000, "203.0.113.9", 443);
	struct tuple b = tcp("198.51.100.7", 4000, "203.0.113.9", 443);
	struct tuple c = tcp("198.51.100.7", 4000, "10.2.0.2", 8443);
	struct translations t;

	(void)state;
	entry(1, a, b, 100, 110);
	entry(1, b, c, 100, 110);
	t = find("10.0.0.1", 4000);
	assert_int_equal(t.list[0].count, 1);
	conns[1].c.zone = 7;
	t = find("10.0.0.1", 4000);
	assert_int_equal(t.list[0].count, 2);
}

static void translations_3_marks_what_could_be_either(void **state)
{
	struct tuple a = tcp("10.0.0.1", 4000, "203.0.113.9", 443);
	struct tuple b = tcp("198.51.100.7", 4000, "203.0.113.9", 443);
	struct tuple c = tcp("198.51.100.8", 4000, "203.0.113.9", 443);
	struct translations t;

	(void)state;
	entry(1, a, b, 100, 110);
	entry(2, a, c, 101, 110); /* the same private address at another site */
	t = find("10.0.0.1", 4000);
	assert_int_equal(t.count, 2);
	assert_true(t.list[0].ambiguous && t.list[1].ambiguous);
	t = find("198.51.100.8", 4000);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.list[0].list[0].conn->host, 2);
}

static void translations_4_says_who_saw_what_nobody_translates(void **state)
{
	struct tuple a = tcp("10.0.0.1", 4000, "10.0.0.9", 443);
	struct translations t;

	(void)state;
	entry(1, a, a, 100, 0);
	entry(2, a, a, 100, 0);
	t = find("10.0.0.9", 443);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.list[0].count, 0);
	assert_int_equal(t.list[0].seen_count, 2);
	assert_int_equal(t.list[0].until.v, 0);
}

/* Nobody saw the first one end; the port was another client's later, for the same server. */
static void translations_5_what_has_a_successor_had_ended(void **state)
{
	struct tuple a = tcp("10.0.0.1", 4000, "203.0.113.9", 443);
	struct tuple b = tcp("10.0.0.2", 5000, "203.0.113.9", 443);
	struct tuple out = tcp("198.51.100.7", 4000, "203.0.113.9", 443);
	struct translations t;

	(void)state;
	entry(1, a, out, 100, 0);
	conns[0].told.v = INT64_C(150) * NS_PER_S;
	entry(1, b, out, 300, 0);
	t = find("198.51.100.7", 4000);
	assert_int_equal(t.count, 2);
	assert_true(tuple_equal(&t.list[0].first, &b));
	assert_int_equal(t.list[0].until.v, 0);
	assert_int_equal(t.list[0].told.v, 0);
	assert_int_equal(t.list[1].until.v, INT64_C(300) * NS_PER_S);
	assert_int_equal(t.list[1].told.v, INT64_C(150) * NS_PER_S);
	/* Of a time when it had ended it is not told. */
	t = find_between("198.51.100.7", 4000, 400, 500);
	assert_int_equal(t.count, 1);
	assert_true(tuple_equal(&t.list[0].first, &b));
	/* Zones have the same addresses at the same time. */
	conns[1].c.zone = 7;
	t = find_between("198.51.100.7", 4000, 400, 500);
	assert_int_equal(t.count, 2);
	conns[1].c.zone = 0;
	/* Whose end was seen ended then. */
	conns[0].until.v = conns[0].told.v = INT64_C(200) * NS_PER_S;
	t = find("198.51.100.7", 4000);
	assert_int_equal(t.list[1].until.v, INT64_C(200) * NS_PER_S);
	assert_int_equal(t.list[1].told.v, 0);
}

static void translations_2_those_that_lead_in_a_circle_end(void **state)
{
	struct tuple a = tcp("10.0.0.1", 4000, "10.0.0.9", 443);
	struct tuple b = tcp("10.0.0.2", 4000, "10.0.0.9", 443);
	struct tuple c = tcp("10.0.0.3", 4000, "10.0.0.9", 443);
	struct translations t;

	(void)state;
	entry(1, a, b, 100, 110);
	entry(2, b, a, 100, 110);
	entry(3, c, a, 100, 110); /* leads into it */
	t = find("10.0.0.3", 4000);
	assert_true(t.count >= 1);
	assert_int_equal(t.list[0].list[0].conn->host, 3);
}

static void very_many_are_cut_and_said_so(void **state)
{
	struct translations t;

	(void)state;
	for (uint16_t i = 0; i < CONNS; i++)
		entry(1, tcp("10.0.0.1", i + 1, "203.0.113.9", 443),
		      tcp("198.51.100.7", i + 1, "203.0.113.9", 443), 100, 110);
	t = find("203.0.113.9", 443);
	assert_int_equal(t.count, 100);
	assert_true(t.omitted > 0);
	assert_true(t.cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
		T(translations_1_one_continues_the_other_from_any_end),
		T(translations_1_one_needs_lives_that_overlap),
		T(translations_1_one_needs_another_host_or_zone),
		T(translations_3_marks_what_could_be_either),
		T(translations_4_says_who_saw_what_nobody_translates),
		T(translations_5_what_has_a_successor_had_ended),
		T(translations_2_those_that_lead_in_a_circle_end),
		T(very_many_are_cut_and_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
