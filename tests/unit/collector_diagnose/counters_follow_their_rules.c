/*
 * What was told of a rule under its number in one content is found under the rule that it is now; what was not read is
 * not taken for zero.
 */
#include "fake.h"

#define FILTER(rules) "*filter\n:IN DROP [0:0]\n:U - [0:0]\n" rules "COMMIT\n"

static const char *const first = FILTER("-A IN -j a\n-A IN -j b\n-A IN -j b\n-A U -j c\n");
static const char *const second = FILTER("-A IN -j x\n-A IN -j b\n-A IN -j a\n-A IN -j b\n");

/* Seconds. The record's entries are given behind it. */
static struct stored_counters *read_of(const char *text, int64_t since, int64_t before, int64_t at)
{
	struct stored_counters *c = &fake.counters[fake.counter_count];

	c->host = 1;
	c->since.v = since * NS_PER_S;
	c->before.v = before * NS_PER_S;
	c->at.v = at * NS_PER_S;
	c->c = (struct counters){ .family = FAMILY_IPV4,
				  .table = "filter",
				  .content = { { (uint8_t)(text == first ? 1 : 2) } },
				  .parts = 1,
				  .entries = fake.entries[fake.counter_count] };
	fake.counter_count++;
	return c;
}

static void entry(struct stored_counters *c, const char *chain, uint32_t rule, uint64_t packets,
		  enum counter_mark mark)
{
	c->c.entries[c->c.count++] =
		(struct counter_entry){ chain, rule, (uint8_t)mark, packets, packets * 100 };
}

static void history(const char *text, int64_t from, int64_t until)
{
	struct stored_table *t = &fake.tables[fake.table_count];

	*t = (struct stored_table){ .host = 1,
				    .family = FAMILY_IPV4,
				    .table = "filter",
				    .content = { { (uint8_t)(text == first ? 1 : 2) } },
				    .from = { from * NS_PER_S },
				    .until = { until * NS_PER_S } };
	fake.texts[fake.table_count++] = text;
}

static int begin(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	host("gw", "10.0.0.1/24");
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_decref(fake.answer);
	return 0;
}

static json_t *ask_counters(int64_t since, int64_t until)
{
	struct where_ask w = { .since = { since * NS_PER_S },
			       .until = { until * NS_PER_S },
			       .now = { (until + 100) * NS_PER_S } };
	struct counters_ask c = { .host = "gw", .family = -1, .backend = -1, .limit = 100 };
	struct where_need need = { 0 };

	json_decref(fake.answer);
	fake.answer = NULL;
	assert_int_equal(diagnose_counters(&fake.answer, &c, &w, NULL, &need), 0);
	assert_int_equal(need.count, 0); /* the window has long ended */
	return json_object_get(fake.answer, "rules");
}

static json_t *rule_of(json_t *rules, const char *text, int copy)
{
	json_t *one;
	size_t i;

	json_array_foreach(rules, i, one)
		if (!strcmp(json_string_value(json_object_get(one, "rule_text")), text) &&
		    copy-- == 0)
			return one;
	fail_msg("there is no %s", text);
	return NULL;
}

static int64_t number_of(const json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return json_integer_value(json_object_get(o, key));
}

static bool says(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static void deltas_follow_a_rule_that_moved(void **state)
{
	struct stored_counters *c;
	json_t *rules, *b;

	(void)state;
	history(first, 0, 120);
	history(second, 120, 0);
	read_of(first, 100, 100, 100)->c.baseline = true;
	c = read_of(first, 100, 100, 110);
	entry(c, "IN", 1, 3, COUNTER_EXACT);
	entry(c, "IN", 3, 5, COUNTER_EXACT);
	entry(c, "IN", 0, 1, COUNTER_EXACT);
	entry(c, "U", 1, 7, COUNTER_EXACT);
	c = read_of(second, 110, 110, 130);
	c->c.lost = 1;
	entry(c, "IN", 1, 2, COUNTER_NEW);
	entry(c, "IN", 3, 10, COUNTER_EXACT);
	entry(c, "IN", 0, 4, COUNTER_RESET);
	rules = ask_counters(90, 140);
	assert_int_equal(json_array_size(rules), 6);
	assert_string_equal(json_string_value(
				    json_object_get(json_array_get(rules, 0), "rule_text")),
			    "-A IN -j a"); /* the hottest */
	assert_int_equal(number_of(rule_of(rules, "-A IN -j a", 0), "packets"), 13);
	assert_int_equal(number_of(rule_of(rules, "-A IN -j a", 0), "rule"), 3);
	assert_int_equal(number_of(json_object_get(rule_of(rules, "-A IN -j a", 0), "counter"),
				   "packets"),
			 13);
	b = rule_of(rules, "-A IN -j b", 0);
	assert_int_equal(number_of(b, "packets"), 5); /* the second copy, which now is rule 4 */
	assert_int_equal(number_of(b, "rule"), 4);
	assert_true(says(rule_of(rules, "-A IN -j b", 1), "never_hit"));
	assert_true(says(rule_of(rules, "-A IN -j x", 0), "at_most"));
	assert_true(says(rule_of(rules, "-P IN DROP", 0), "at_least"));
	assert_int_equal(number_of(rule_of(rules, "-P IN DROP", 0), "packets"), 5);
	assert_true(json_is_null(json_object_get(rule_of(rules, "-P IN DROP", 0), "counter")));
	assert_true(says(rule_of(rules, "-A U -j c", 0), "gone"));
	assert_int_equal(number_of(rule_of(rules, "-A U -j c", 0), "packets"), 7);
	/* 30 s between the readings, not 50 s of the window. */
	assert_true(json_real_value(json_object_get(rule_of(rules, "-A IN -j a", 0),
						    "packets_per_s")) == 0.433);
}

static void what_was_not_read_is_no_zero(void **state)
{
	struct stored_counters *c;
	json_t *table, *gaps, *trend;

	(void)state;
	history(first, 0, 0);
	c = read_of(first, 100, 100, 100);
	c->c.baseline = true;
	c = read_of(first, 100, 170, 180);
	entry(c, "IN", 1, 20, COUNTER_EXACT);
	/* Another run of the agent: what came between nobody knows. */
	c = read_of(first, 260, 260, 260);
	c->c.baseline = true;
	entry(c, "IN", 1, 500, COUNTER_EXACT);
	c = read_of(first, 260, 310, 320);
	entry(c, "IN", 2, 2, COUNTER_EXACT);
	ask_counters(100, 420);
	table = json_array_get(json_object_get(fake.answer, "tables"), 0);
	gaps = json_object_get(table, "gaps");
	assert_int_equal(json_array_size(gaps), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(gaps, 0), "from")),
			    "1970-01-01T00:03:00.000000000Z");
	assert_true(json_real_value(json_object_get(json_object_get(table, "read"), "seconds")) ==
		    140);
	assert_int_equal(number_of(rule_of(json_object_get(fake.answer, "rules"), "-A IN -j a", 0),
				   "packets"),
			 20);
	assert_int_equal(number_of(json_object_get(rule_of(json_object_get(fake.answer, "rules"),
							   "-A IN -j a", 0),
						   "counter"),
				   "packets"),
			 500);
	trend = json_object_get(rule_of(json_object_get(fake.answer, "rules"), "-A IN -j a", 0),
				"trend");
	assert_int_equal(json_array_size(trend), 8);
	assert_true(json_real_value(json_array_get(trend, 1)) > 0);
	assert_true(json_is_null(json_array_get(trend, 3)));
	assert_true(json_is_null(json_array_get(trend, 7)));
	/* Rules that moved in another window only. */
	assert_int_equal(number_of(rule_of(ask_counters(270, 330), "-A IN -j a", 0), "packets"), 0);
	assert_false(
		says(rule_of(json_object_get(fake.answer, "rules"), "-A IN -j a", 0), "never_hit"));
}

static void a_text_that_has_not_come_leaves_numbers(void **state)
{
	struct stored_counters *c;
	json_t *rules;

	(void)state;
	history(first, 0, 0);
	c = read_of(second, 100, 100, 110);
	entry(c, "IN", 2, 3, COUNTER_EXACT);
	c = read_of(first, 110, 110, 120);
	entry(c, "IN", 99, 3, COUNTER_EXACT); /* it has no such rule */
	entry(c, "U", 0, 3, COUNTER_EXACT);   /* nor a policy */
	rules = ask_counters(90, 130);
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *one = json_array_get(rules, i);

		if (number_of(one, "packets") == 0)
			continue;
		assert_true(json_is_null(json_object_get(one, "rule_text")));
		assert_int_equal(number_of(one, "rule"), 2);
		assert_int_equal(i, 0);
	}
	assert_int_equal(number_of(json_array_get(rules, 0), "packets"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(deltas_follow_a_rule_that_moved, begin, end),
		cmocka_unit_test_setup_teardown(what_was_not_read_is_no_zero, begin, end),
		cmocka_unit_test_setup_teardown(a_text_that_has_not_come_leaves_numbers, begin,
						end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
