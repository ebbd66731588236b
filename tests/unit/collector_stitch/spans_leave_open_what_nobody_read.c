/*
 * Which contents a table of nftables may have had in a span of time, and whether there may have been others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/stitch/span.h"
#include "common/journey.h"

static struct fleet_table rows[16];
static struct fleet fleet;

static void fresh(void)
{
	memset(rows, 0, sizeof(rows));
	fleet = (struct fleet){ .tables = rows };
}

/* Read first at `from`, when the table before was last seen at from_min; seen until `last`. instance: NULL: the table is gone. */
static struct stored_table *row(int64_t from_min, int64_t from, int64_t last, const char *instance)
{
	struct fleet_table *t = &rows[fleet.table_count++];

	t->entry = (struct stored_table){ .host = 1,
					  .backend = BACKEND_NATIVE,
					  .family = FAMILY_INET,
					  .table = "t",
					  .from_min = { from_min },
					  .from = { from },
					  .last = { last } };
	t->entry.content.b[0] = instance ? (uint8_t)fleet.table_count : 0;
	t->tried = t->usable = instance != NULL;
	t->asked = true;
	t->handles = instance;
	if (fleet.table_count > 1)
		t[-1].entry.until.v = from;
	return &t->entry;
}

static struct span span_for(enum span_whose whose, int64_t from, int64_t until)
{
	struct span s;

	span_of(&s, &fleet, 1, whose, FAMILY_INET, "t", (struct wall_ns){ from },
		(struct wall_ns){ until });
	return s;
}

static struct span span(int64_t from, int64_t until)
{
	return span_for(SPAN_NFTABLES, from, until);
}

static void two_reads_of_one_content_leave_no_doubt(void **state)
{
	struct span s;

	(void)state;
	fresh();
	row(0, 10, 20, "table 5\n");
	row(20, 30, 40, "table 6\n");
	s = span(12, 20);
	assert_int_equal(s.count, 1);
	assert_ptr_equal(s.tables[0], &rows[0]);
	assert_false(s.others || s.unread || s.unchecked);
	s = span(29, 40);
	assert_int_equal(s.count,
			 2); /* the read that ended at 30 may have begun after the change */
	s = span(30, 40);
	assert_int_equal(s.count, 1);
	assert_ptr_equal(s.tables[0], &rows[1]);
	assert_false(s.others);
}

static void between_two_reads_there_may_have_been_others(void **state)
{
	struct span s;

	(void)state;
	fresh();
	row(0, 10, 20, "table 5\n");
	row(20, 30, 40, "table 6\n");
	s = span(24, 25);
	assert_int_equal(s.count, 2);
	assert_true(s.others && s.remade);
	/* unless one transaction made the one of the other, */
	rows[1].entry.commits = 1;
	assert_false(span(24, 25).others || span(24, 25).remade);
	rows[1].entry.commits = 2;
	assert_true(span(24, 25).others && span(24, 25).remade);
	/* If it is the same table, handles mean the same in all of them; */
	rows[1].handles = "table 5\n";
	assert_true(span(24, 25).others && !span(24, 25).remade);
	/* of an agent that does not tell which it is nobody knows. */
	rows[0].handles = rows[1].handles = "chain c\n1\n";
	assert_true(span(24, 25).others && span(24, 25).remade);
}

static void what_was_not_read_is_known_to_nobody(void **state)
{
	struct span s;

	(void)state;
	fresh();
	row(0, 10, 20, "table 5\n");
	row(20, 30, 30, NULL);
	row(30, 40, 40, "table 6\n");
	assert_true(span(33, 35).unread && span(33, 35).others);
	rows[2].entry.commits = 1;
	s = span(33, 35);
	assert_true(s.unread && !s.others && s.count == 1);

	fresh();
	row(0, 10, 20, "table 5\n");
	row(20, 30, 30, "table 5\n")->torn = true;
	s = span(22, 25);
	assert_true(s.unread && s.others && s.count == 1);
	fresh();
	row(0, 10, 20, "table 5\n");
	rows[0].usable = false;
	assert_true(span(12, 15).unread && span(12, 15).others);
}

static void before_the_first_read_and_after_the_last_it_is_open(void **state)
{
	struct span s;

	(void)state;
	fresh();
	row(0, 10, 20, "table 5\n");
	s = span(4, 5);
	assert_true(s.count == 1 && s.others && !s.unchecked);
	s = span(24, 25);
	assert_true(s.count == 1 && s.others && s.unchecked);
	assert_int_equal(span(12, 20).others, false);
	/* A table that came with one transaction after a read that had none. */
	rows[0].entry.from_min.v = 8;
	rows[0].entry.commits = 1;
	s = span(9, 9);
	assert_true(s.count == 1 && !s.others && !s.unread);
}

/* iptables-nft can print it no more, as native rules came into it. */
static void a_table_goes_on_under_the_other_backend(void **state)
{
	struct span s;

	(void)state;
	fresh();
	row(0, 10, 20, "table 5\n")->backend = BACKEND_NFT;
	row(20, 30, 30, NULL)->backend = BACKEND_NFT;
	row(20, 30, 40, "table 5\n");
	s = span(24, 25);
	assert_int_equal(s.count, 2);
	assert_true(s.others && !s.remade && !s.unread);
	rows[2].entry.commits = 1;
	assert_false(span(24, 25).others);
	s = span_for(SPAN_NFT, 24, 25);
	assert_true(s.count == 1 && s.unread);
	s = span_for(SPAN_NATIVE, 24, 25);
	assert_true(s.count == 1 && !s.unread && !s.others);
	s = span(35, 36);
	assert_int_equal(s.count, 1);
	assert_ptr_equal(s.tables[0], &rows[2]);
}

static void other_tables_are_other_tables(void **state)
{
	(void)state;
	fresh();
	row(0, 10, 20, "table 5\n")->family = FAMILY_IPV4;
	row(0, 10, 20, "table 6\n")->backend = BACKEND_LEGACY;
	row(0, 10, 20, "table 7\n")->table = "u";
	row(0, 10, 20, "table 8\n")->host = 2;
	assert_int_equal(span(12, 15).count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_reads_of_one_content_leave_no_doubt),
		cmocka_unit_test(between_two_reads_there_may_have_been_others),
		cmocka_unit_test(what_was_not_read_is_known_to_nobody),
		cmocka_unit_test(before_the_first_read_and_after_the_last_it_is_open),
		cmocka_unit_test(a_table_goes_on_under_the_other_backend),
		cmocka_unit_test(other_tables_are_other_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
