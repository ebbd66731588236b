/*
 * Who changed a table, by events alone; the tests are named after the numbers of the list in agent/worker/changes.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/worker/changes.h"

static struct changes changes;

static void event(int64_t at, uint32_t pid, const char *table, const char *command)
{
	struct table_change c = {
		.at = { at }, .pid = pid, .loginuid = AUTHOR_NOBODY, .family = FAMILY_IPV4
	};

	snprintf(c.program, sizeof(c.program), "iptables");
	snprintf(c.table, sizeof(c.table), "%s", table);
	snprintf(c.command, sizeof(c.command), "%s", command);
	changes_note(&changes, &c);
}

static struct ruleset_fact read_of(const char *table, int64_t before, int64_t at)
{
	struct ruleset_fact f = { .before = { before },
				  .read_at = { at },
				  .backend = BACKEND_LEGACY,
				  .family = FAMILY_IPV4,
				  .table = table };

	changes_credit(&changes, NULL, 0, &f, 0, 0);
	return f;
}

static int begin(void **state)
{
	(void)state;
	memset(&changes, 0, sizeof(changes));
	return 0;
}

static void one_credits_the_first_change_after_it(void **state)
{
	struct ruleset_fact f;

	(void)state;
	event(50, 7, "filter", "iptables -A INPUT -j DROP");
	f = read_of("nat", 10, 100);
	assert_int_equal(f.author_count, 0);
	f = read_of("filter", 10, 40); /* read before it */
	assert_int_equal(f.author_count, 0);
	f = read_of("filter", 40, 100);
	assert_int_equal(f.author_count, 1);
	assert_int_equal(f.commits, 1);
	assert_int_equal(f.authors[0].pid, 7);
	assert_string_equal(f.authors[0].command, "iptables -A INPUT -j DROP");
	f = read_of("filter", 100, 200);
	assert_int_equal(f.author_count, 0);
}

static void two_processes_may_both_have_been_it(void **state)
{
	struct ruleset_fact f;

	(void)state;
	event(50, 7, "filter", "a");
	event(51, 7, "filter", "a");
	event(52, 8, "filter", "b");
	f = read_of("filter", 10, 100);
	assert_int_equal(f.author_count, 2);
	for (uint32_t pid = 100; pid < 110; pid++)
		event(150, pid, "filter", "c");
	f = read_of("filter", 100, 200);
	assert_int_equal(f.author_count, 0); /* 4: some of them are not all */
	for (uint32_t pid = 100; pid < 100 + AUTHORS_MAX; pid++)
		event(250, pid, "filter", "c");
	f = read_of("filter", 200, 300);
	assert_int_equal(f.author_count, AUTHORS_MAX);
}

static void three_what_changed_nothing_is_forgotten(void **state)
{
	struct ruleset_fact f;

	(void)state;
	event(50, 7, "filter", "a"); /* replaced by its equal: the read at 100 shows nothing new */
	event(150, 8, "filter", "b");
	f = read_of("filter", 100, 200);
	assert_int_equal(f.author_count, 1);
	assert_int_equal(f.authors[0].pid, 8);
}

static void three_what_is_told_late_is_of_no_later_change(void **state)
{
	struct ruleset_fact f;

	(void)state;
	f = read_of("filter", 10, 100); /* by chance, before its event came */
	assert_int_equal(f.author_count, 0);
	event(50, 7, "filter", "a");
	f = read_of("filter", 100, 200); /* another's, whose event was lost */
	assert_int_equal(f.author_count, 0);
}

static void four_whoever_is_left_of_a_crowd_is_not_accused(void **state)
{
	struct ruleset_fact f;

	(void)state;
	event(300, 7, "filter", "a");
	for (int64_t i = 1; i < CHANGES_MAX; i++)
		event(300 + i, 9, "mangle", "c");
	event(400, 8, "filter", "b"); /* takes the first one's place */
	f = read_of("filter", 200, 500);
	assert_int_equal(f.author_count, 0);
	event(9000, 10, "filter", "d");
	f = read_of("filter", 8000, 9500);
	assert_int_equal(f.author_count, 1);
}

static void four_some_of_a_crowd_are_not_accused(void **state)
{
	struct ruleset_fact f;

	(void)state;
	event(300, 7, "filter", "a");
	for (int64_t i = 1; i < CHANGES_MAX; i++)
		event(300 + i, 9, "mangle", "c");
	event(400, 8, "filter", "b"); /* takes the first one's place */
	event(401, 10, "filter", "d");
	f = read_of("filter", 200, 500);
	assert_int_equal(f.author_count, 0);
}

static void lose(const char *source, int64_t until)
{
	struct loss l = { .source = source, .until = { until } };

	changes_lost(&changes, &l);
}

static void four_who_came_through_a_loss_is_not_accused(void **state)
{
	struct ruleset_fact f;

	(void)state;
	lose(CHANGES_LEGACY, 160);
	lose("changes-nft", 900); /* it tells of other tables */
	lose("conntrack", 900);
	event(150, 7, "filter", "a");
	f = read_of("filter", 100, 200);
	assert_int_equal(f.author_count, 0);
	event(250, 8, "filter", "b");
	f = read_of("filter", 200, 300); /* nothing was lost since */
	assert_int_equal(f.author_count, 1);
	assert_int_equal(f.authors[0].pid, 8);
}

static void four_a_loss_of_nftables_is_its_own(void **state)
{
	struct ruleset_fact f = { .before = { 100 },
				  .read_at = { 200 },
				  .backend = BACKEND_NATIVE,
				  .family = FAMILY_INET,
				  .table = "mine" };

	(void)state;
	event(150, 7, "", "");
	lose(CHANGES_LEGACY, 160);
	changes_credit(&changes, NULL, 0, &f, 0, 0);
	assert_int_equal(f.author_count, 1);
	lose("changes-nft", 160);
	changes_credit(&changes, NULL, 0, &f, 0, 0);
	assert_int_equal(f.author_count, 0);
}

static void commit(int64_t received, uint32_t pid, uint32_t generation)
{
	struct table_change c = { .at = { received },
				  .pid = pid,
				  .loginuid = AUTHOR_NOBODY,
				  .uid = AUTHOR_NOBODY,
				  .generation = generation };

	changes_note(&changes, &c);
}

static struct ruleset_fact nft_read(int64_t before, int64_t at, uint32_t from, uint32_t to)
{
	struct ruleset_fact f = { .before = { before },
				  .read_at = { at },
				  .backend = BACKEND_NATIVE,
				  .family = FAMILY_INET,
				  .table = "mine" };

	changes_credit(&changes, NULL, 0, &f, from, to);
	return f;
}

static void three_generations_tell_better_than_receipt(void **state)
{
	struct ruleset_fact f;

	(void)state;
	commit(150, 7, 11); /* told after the read at 100, which showed it */
	f = nft_read(100, 200, 11, 12);
	assert_int_equal(f.author_count, 0);
	commit(210, 8, 12); /* told after the read at 200 */
	f = nft_read(100, 200, 11, 12);
	assert_int_equal(f.author_count, 1);
	assert_int_equal(f.authors[0].pid, 8);
	commit(300, 9, 1); /* they go round */
	changes_heard(&changes, 2);
	f = nft_read(200, 400, UINT32_MAX, 2);
	assert_int_equal(f.author_count, 1);
	assert_int_equal(f.authors[0].pid, 9);
	f = nft_read(0, 400, UINT32_MAX, 2); /* the first read */
	assert_int_equal(f.author_count, 0);
}

static void five_who_is_heard_first_is_not_accused_alone(void **state)
{
	struct ruleset_fact f;

	(void)state;
	commit(150, 7, 11);
	f = nft_read(100, 200, 10, 12); /* the notice of 12 is still to come */
	assert_int_equal(f.author_count, 0);
	assert_int_equal(f.commits, 2);
	changes_heard(&changes, 12); /* it was a lease of ours */
	f = nft_read(100, 200, 10, 12);
	assert_int_equal(f.author_count, 1);
	assert_int_equal(f.commits, 1);
	assert_int_equal(f.authors[0].pid, 7);
	commit(210, 8, 13);
	f = nft_read(100, 200, 10, 13);
	assert_int_equal(f.author_count, 2);
	f = nft_read(100, 200, 10, 11 + HEARD_MAX);
	assert_int_equal(f.author_count, 0);
}

static void what_stood_at_the_first_look_has_no_author(void **state)
{
	struct ruleset_fact f;

	(void)state;
	event(50, 7, "filter", "a");
	f = read_of("filter", 0, 100);
	assert_int_equal(f.author_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, begin)
		T(one_credits_the_first_change_after_it),
		T(two_processes_may_both_have_been_it),
		T(three_what_changed_nothing_is_forgotten),
		T(three_what_is_told_late_is_of_no_later_change),
		T(four_whoever_is_left_of_a_crowd_is_not_accused),
		T(four_some_of_a_crowd_are_not_accused),
		T(four_who_came_through_a_loss_is_not_accused),
		T(four_a_loss_of_nftables_is_its_own),
		T(three_generations_tell_better_than_receipt),
		T(five_who_is_heard_first_is_not_accused_alone),
		T(what_stood_at_the_first_look_has_no_author),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
