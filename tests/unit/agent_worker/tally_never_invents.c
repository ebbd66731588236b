/*
 * What rules counted between two readings, whatever became of the rules meanwhile: never less than nothing, never more
 * than there was, and said when it cannot be known.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/worker/tally.h"

static const int64_t second_ns = NS_PER_S;

enum { RULES_MAX = 8, READS_MAX = 5 };

/*
 * One table: chain IN with a policy, chain U without. A letter is a rule, "|" ends IN: "ab|c" has a and b in IN, c in U.
 * The counts are packets, rules of IN first, then its policy, then rules of U; bytes are 100 times as many.
 */
struct state {
	const char *rules;
	int64_t counts[RULES_MAX];
};

static size_t text_of(char *text, size_t size, const char *rules)
{
	const char *chain = "IN";
	int n = snprintf(text, size, "*filter\n:IN ACCEPT [0:0]\n:U - [0:0]\n");

	for (; *rules; rules++) {
		if (*rules == '|')
			chain = "U";
		else
			n += snprintf(text + n, size - (size_t)n, "-A %s -m comment --comment %c\n",
				      chain, *rules);
	}
	n += snprintf(text + n, size - (size_t)n, "COMMIT\n");
	return (size_t)n;
}

struct told {
	char text[256]; /* "IN 1 +3, IN 0 +1 new" */
	uint32_t records, baselines, lost;
	struct boot_ns since, before, at;
};

static void on_counters(void *arg, const struct counters *c)
{
	struct told *told = arg;
	size_t n;

	assert_int_equal(c->parts, 1);
	if (c->baseline) {
		told->baselines++;
		return;
	}
	told->records++;
	told->lost += c->lost;
	told->since = c->since;
	told->before = c->before;
	told->at = c->at;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct counter_entry *e = &c->entries[i];

		assert_int_equal(e->bytes, e->packets * 100);
		n = strlen(told->text);
		snprintf(told->text + n, sizeof(told->text) - n, "%s%s %u +%llu%s%s", n ? ", " : "",
			 e->chain, e->rule, (unsigned long long)e->packets, e->mark ? " " : "",
			 e->mark ? counter_mark_name(e->mark) : "");
	}
}

static int take(struct tally *t, const struct state *s, int64_t second, struct told *told)
{
	struct counters_chain chains[2] = { { .name = "IN", .policy = 1 }, { .name = "U" } };
	struct counters_value values[RULES_MAX];
	const char *bar = strchr(s->rules, '|');
	struct counted_table c = { .name = "filter", .chain_count = 2, .chains = chains };
	struct tally_read read = { .before = { second * NS_PER_S },
				   .at = { second * NS_PER_S + 1 } };
	struct content_id id = { { 0 } };
	char text[2048];

	snprintf((char *)id.b, sizeof(id.b), "%s", s->rules);
	if (memcmp(&t->shape.content, &id, sizeof(id)) != 0)
		assert_int_equal(tally_text(t, &id, text, text_of(text, sizeof(text), s->rules)),
				 0);
	chains[0].rules = (uint32_t)(bar - s->rules);
	chains[1].rules = (uint32_t)strlen(bar + 1);
	c.value_count = chains[0].rules + 1 + chains[1].rules;
	for (uint32_t i = 0; i < c.value_count; i++)
		values[i] = (struct counters_value){ (uint64_t)s->counts[i],
						     (uint64_t)s->counts[i] * 100 };
	c.values = values;
	return tally_take(t, &c, &read, on_counters, told);
}

static const struct {
	const char *what;
	struct state reads[READS_MAX]; /* the first is the baseline */
	const char *told;
	uint32_t lost;
} cases[] = {
	{ "nothing moved", { { "ab|c", { 5, 6, 7, 8 } }, { "ab|c", { 5, 6, 7, 8 } } }, "", 0 },
	{ "rules, a policy, a user chain",
	  { { "ab|c", { 5, 6, 7, 8 } }, { "ab|c", { 5, 9, 8, 10 } } },
	  "IN 2 +3, IN 0 +1, U 1 +2",
	  0 },
	{ "several readings",
	  { { "a|", { 5, 0 } }, { "a|", { 6, 0 } }, { "a|", { 6, 0 } }, { "a|", { 9, 0 } } },
	  "IN 1 +1, IN 1 +3",
	  0 },
	{ "a rule inserted first",
	  { { "ab|", { 5, 6, 7 } }, { "xab|", { 2, 5, 7, 7 } } },
	  "IN 1 +2 new, IN 3 +1",
	  0 },
	{ "a rule appended",
	  { { "ab|", { 5, 6, 7 } }, { "abx|", { 6, 6, 4, 7 } } },
	  "IN 1 +1, IN 3 +4 new",
	  0 },
	{ "a rule removed", { { "abc|", { 5, 6, 7, 1 } }, { "ac|", { 5, 8, 1 } } }, "IN 2 +1", 1 },
	{ "a rule replaced",
	  { { "abc|", { 5, 6, 7, 1 } }, { "axc|", { 5, 1, 7, 1 } } },
	  "IN 2 +1 new",
	  1 },
	{ "a rule moved with its counters",
	  { { "abc|", { 5, 6, 7, 1 } }, { "cab|", { 8, 5, 6, 1 } } },
	  "IN 1 +1",
	  0 },
	{ "a rule moved to another chain is another",
	  { { "ab|c", { 5, 6, 7, 1 } }, { "a|bc", { 5, 7, 3, 1 } } },
	  "U 1 +3 new",
	  1 },
	{ "two changes before the next reading, the first unseen",
	  { { "ab|", { 5, 6, 7 } }, { "xyab|", { 0, 1, 5, 6, 9 } } },
	  "IN 2 +1 new, IN 0 +2",
	  0 },
	{ "a copy put before the old one",
	  { { "a|", { 5, 0 } }, { "aa|", { 1, 6, 0 } } },
	  "IN 1 +1 new, IN 2 +1",
	  0 },
	{ "a copy put behind", { { "a|", { 5, 0 } }, { "aa|", { 6, 0, 0 } } }, "IN 1 +1", 0 },
	{ "the first of two copies removed",
	  { { "aba|", { 50, 3, 20, 0 } }, { "ba|", { 3, 21, 0 } } },
	  "IN 2 +1",
	  1 },
	{ "one of two copies removed, who knows which: the least",
	  { { "aa|", { 10, 20, 0 } }, { "a|", { 25, 0 } } },
	  "IN 1 +5",
	  1 },
	{ "as many copies as before keep their order",
	  { { "aa|", { 10, 20, 0 } }, { "axa|", { 11, 0, 22, 0 } } },
	  "IN 1 +1, IN 3 +2",
	  0 },
	{ "a reading between the two calls of a commit",
	  { { "ab|", { 500, 600, 7 } }, { "ab|", { 0, 1, 0 } }, { "ab|", { 500, 603, 7 } } },
	  "IN 2 +3",
	  0 },
	{ "such a reading of changed rules",
	  { { "ab|", { 500, 600, 7 } },
	    { "xab|", { 0, 0, 1, 0 } },
	    { "xab|", { 2, 500, 603, 7 } } },
	  "IN 1 +2 new, IN 3 +3",
	  0 },
	{ "all set to zero (-Z, iptables-restore without -c)",
	  { { "ab|", { 500, 600, 7 } }, { "ab|", { 2, 0, 1 } }, { "ab|", { 3, 0, 1 } } },
	  "IN 1 +3 reset, IN 2 +0 reset, IN 0 +1 reset",
	  0 },
	{ "and it goes on counting",
	  { { "ab|", { 500, 600, 7 } },
	    { "ab|", { 2, 0, 1 } },
	    { "ab|", { 3, 0, 1 } },
	    { "ab|", { 5, 1, 1 } } },
	  "IN 1 +3 reset, IN 2 +0 reset, IN 0 +1 reset, IN 1 +2, IN 2 +1",
	  0 },
	{ "policies set to zero by every commit",
	  { { "ab|", { 5, 6, 7 } }, { "xab|", { 1, 5, 9, 1 } }, { "xab|", { 1, 5, 9, 2 } } },
	  "IN 1 +1 new, IN 3 +3, IN 0 +2 reset",
	  0 },
	{ "one rule set to zero (-Z CHAIN RULE)",
	  { { "ab|", { 500, 600, 7 } }, { "ab|", { 0, 601, 7 } }, { "ab|", { 0, 602, 7 } } },
	  "IN 1 +0 reset, IN 2 +2 reset",
	  0 },
	{ "flushed, and loaded again with other rules between",
	  { { "ab|", { 500, 600, 7 } }, { "axb|", { 1, 4, 0, 0 } }, { "axb|", { 1, 5, 0, 0 } } },
	  "IN 1 +1 reset, IN 2 +5 new, IN 3 +0 reset, IN 0 +0 reset",
	  0 },
	{ "both readings fell between the calls of commits",
	  { { "ab|", { 500, 600, 7 } },
	    { "ab|", { 1, 0, 0 } },
	    { "ab|", { 0, 2, 0 } },
	    { "ab|", { 501, 603, 7 } } },
	  "IN 1 +0 reset, IN 2 +2 reset, IN 0 +0 reset, IN 1 +1 reset, IN 2 +1 reset",
	  0 },
	{ "a few set to zero, and as many and more since",
	  { { "a|", { 5, 0 } }, { "a|", { 0, 0 } }, { "a|", { 0, 0 } }, { "a|", { 7, 0 } } },
	  "IN 1 +0 reset, IN 1 +7",
	  0 },
	{ "older counters loaded (iptables-restore -c)",
	  { { "ab|", { 500, 600, 7 } }, { "ab|", { 490, 600, 7 } }, { "ab|", { 491, 600, 7 } } },
	  "IN 1 +0 reset",
	  0 },
	{ "the chain's rules all gone",
	  { { "ab|c", { 5, 6, 7, 8 } }, { "|c", { 9, 8 } } },
	  "IN 0 +2",
	  2 },
};

static void whatever_becomes_of_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tally t = { .family = FAMILY_IPV4, .table = "filter" };
		struct told told = { .records = 0 };

		for (int k = 0; k < READS_MAX && cases[i].reads[k].rules; k++) {
			int r = take(&t, &cases[i].reads[k], 10 * (k + 1), &told);

			assert_true(r == 0 || r == -EAGAIN);
		}
		if (strcmp(told.text, cases[i].told) != 0 || told.lost != cases[i].lost)
			fail_msg("%s: told \"%s\", lost %u; expected \"%s\", %u", cases[i].what,
				 told.text, told.lost, cases[i].told, cases[i].lost);
		assert_true(told.baselines >= 1);
		tally_clear(&t);
	}
}

static void a_record_says_since_when(void **state)
{
	struct tally t = { .table = "filter" };
	struct told told = { .records = 0 };
	struct state s = { "a|", { 5, 0 } };

	(void)state;
	assert_int_equal(take(&t, &s, 10, &told), 0);
	assert_int_equal(take(&t, &s, 20, &told), 0);
	assert_int_equal(take(&t, &s, 30, &told), 0);
	assert_int_equal(told.records, 0);
	s.counts[0]++;
	assert_int_equal(take(&t, &s, 40, &told), 0);
	assert_int_equal(told.records, 1);
	assert_int_equal(told.since.v, 10 * second_ns + 1);
	assert_int_equal(told.before.v, 30 * second_ns);
	assert_int_equal(told.at.v, 40 * second_ns + 1);
	/* Once a minute it is said that nothing moved. */
	for (int64_t second = 50; second <= 110; second += 10)
		assert_int_equal(take(&t, &s, second, &told), 0);
	assert_int_equal(told.records, 2);
	assert_int_equal(told.since.v, 40 * second_ns + 1);
	assert_int_equal(told.at.v, 100 * second_ns + 1);
	tally_clear(&t);
}

static void a_reading_of_other_chains_is_not_taken(void **state)
{
	struct tally t = { .table = "filter" };
	struct told told = { .records = 0 };
	struct state s = { "ab|c", { 5, 6, 7, 8 } };
	struct counters_chain chains[2] = { { .name = "IN", .rules = 1, .policy = 1 },
					    { .name = "U", .rules = 2 } };
	struct counters_value values[4] = { { 100, 100 } };
	struct counted_table c = { .name = "filter",
				   .chain_count = 2,
				   .value_count = 4,
				   .chains = chains,
				   .values = values };
	struct tally_read read = { .before = { 1 }, .at = { 2 } };

	(void)state;
	assert_int_equal(take(&t, &s, 10, &told), 0);
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), -ESTALE);
	chains[0].rules = 2;
	chains[1].rules = 1;
	memcpy(chains[1].name, "V", 2);
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), -ESTALE);
	/* Without one that has rules; without one that has none. */
	c.chain_count = 1;
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), -ESTALE);
	s.counts[0]++;
	assert_int_equal(take(&t, &s, 20, &told), 0);
	assert_string_equal(told.text, "IN 1 +1");
	s = (struct state){ "ab|", { 7, 6, 7 } };
	assert_int_equal(take(&t, &s, 30, &told), 0);
	values[0] = (struct counters_value){ 9, 900 };
	values[1] = (struct counters_value){ 6, 600 };
	values[2] = (struct counters_value){ 7, 700 };
	c.value_count = 3;
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), 0);
	assert_string_equal(told.text, "IN 1 +1, IN 1 +1, IN 1 +2");
	tally_clear(&t);
}

/* nftables: rules without a counter, a policy without one, chains in another order than in the text. */
static void what_has_no_counter_is_silent(void **state)
{
	static const char text[] = "table inet mixed {\n\tchain in {\n"
				   "\t\ttype filter hook input priority filter; policy accept;\n"
				   "\t\ttcp dport 1 counter packets 0 bytes 0\n"
				   "\t\ttcp dport 2 drop\n\t}\n\n\tchain deep {\n"
				   "\t\tcounter packets 0 bytes 0\n\t}\n}\n";
	static const char more[] = "table inet mixed {\n\tchain in {\n"
				   "\t\ttype filter hook input priority filter; policy accept;\n"
				   "\t\ttcp dport 1 counter packets 0 bytes 0\n"
				   "\t\ttcp dport 2 drop\n\t}\n\n\tchain deep {\n"
				   "\t\tcounter packets 0 bytes 0\n\t\taccept\n\t}\n}\n";
	struct counters_chain chains[2] = { { .name = "deep", .rules = 1 },
					    { .name = "in", .rules = 2, .policy = 1 } };
	struct counters_value values[5] = {
		{ 7, 700 }, { 5, 500 }, { COUNTER_NONE, 0 }, { COUNTER_NONE, 0 }
	};
	struct counted_table c = { .name = "mixed",
				   .chain_count = 2,
				   .value_count = 4,
				   .chains = chains,
				   .values = values };
	struct tally t = { .backend = BACKEND_NATIVE, .table = "mixed" };
	struct tally_read read = { .before = { 1 }, .at = { 2 } };
	struct content_id id = { { 1 } };
	struct told told = { .records = 0 };

	(void)state;
	assert_int_equal(tally_text(&t, &id, text, sizeof(text) - 1), 0);
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), 0);
	values[0] = (struct counters_value){ 9, 900 };
	values[1] = (struct counters_value){ 6, 600 };
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), 0);
	assert_string_equal(told.text, "deep 1 +2, in 1 +1");
	/* It is said once of what is new. */
	id.b[0] = 2;
	told.text[0] = '\0';
	assert_int_equal(tally_text(&t, &id, more, sizeof(more) - 1), 0);
	chains[0].rules = 2;
	memmove(values + 2, values + 1, 3 * sizeof(values[0]));
	values[1] = (struct counters_value){ COUNTER_NONE, 0 };
	c.value_count = 5;
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), 0);
	assert_int_equal(tally_take(&t, &c, &read, on_counters, &told), 0);
	assert_string_equal(told.text, "deep 2 +0 uncounted");
	tally_clear(&t);
}

struct parts {
	uint32_t records, entries, next;
	uint64_t packets;
};

static void on_part(void *arg, const struct counters *c)
{
	struct parts *p = arg;

	assert_int_equal(c->part, p->next);
	assert_true(c->count <= COUNTER_ENTRIES_MAX);
	p->next = c->part + 1 == c->parts ? 0 : c->part + 1;
	p->records++;
	p->entries += c->count;
	for (uint32_t i = 0; i < c->count; i++)
		p->packets += c->entries[i].packets;
}

/* As many as fill one record, and one more, and the double. */
/* Entries of one record, so that it fits into a frame whatever its names are. */
enum { PART = COUNTER_ENTRIES_MAX / 4 };

static void many_are_told_in_parts(void **state)
{
	static const uint32_t sizes[] = { PART - 1, PART, PART + 1, 2 * PART };

	(void)state;
	for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
		struct counters_chain chain = { .name = "U", .rules = sizes[n] };
		struct counters_value *values = calloc(sizes[n], sizeof(*values));
		struct counted_table c = { .name = "filter",
					   .chain_count = 1,
					   .value_count = sizes[n],
					   .chains = &chain,
					   .values = values };
		struct tally_read read = { .before = { 1 }, .at = { 2 } };
		size_t size = 64 + sizes[n] * 32ul;
		char *text = malloc(size);
		struct tally t = { .table = "filter" };
		struct parts parts = { .records = 0 };
		int len = snprintf(text, size, "*filter\n:U - [0:0]\n");
		struct content_id id = { { 1 } };

		for (uint32_t i = 0; i < sizes[n]; i++)
			len += snprintf(text + len, size - (size_t)len, "-A U -m mark --mark %u\n",
					i);
		assert_int_equal(tally_text(&t, &id, text, (size_t)len), 0);
		assert_int_equal(tally_take(&t, &c, &read, on_part, &parts), 0);
		assert_int_equal(parts.records, 1); /* nothing but zeros */
		for (uint32_t i = 0; i < sizes[n]; i++)
			values[i] = (struct counters_value){ 2, 120 };
		parts = (struct parts){ .records = 0 };
		assert_int_equal(tally_take(&t, &c, &read, on_part, &parts), 0);
		assert_int_equal(parts.entries, sizes[n]);
		assert_int_equal(parts.packets, 2ull * sizes[n]);
		assert_int_equal(parts.records, (sizes[n] + PART - 1) / PART);
		assert_int_equal(parts.next, 0);
		tally_clear(&t);
		free(values);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_becomes_of_rules),
		cmocka_unit_test(a_record_says_since_when),
		cmocka_unit_test(a_reading_of_other_chains_is_not_taken),
		cmocka_unit_test(what_has_no_counter_is_silent),
		cmocka_unit_test(many_are_told_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
