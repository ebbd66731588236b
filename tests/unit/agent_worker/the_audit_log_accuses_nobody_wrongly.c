/*
 * Authors by the audit log, by records alone; the tests are named after the numbers of the list in agent/worker/audit.h. The tests' clock
 * has whole seconds, and their wall clock is the kernel's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/worker/audit.h"

static struct audit audit;
static struct changes changes;
static uint32_t serial;

static struct boot_ns s(double at)
{
	return (struct boot_ns){ (int64_t)(at * NS_PER_S) };
}

/* pids beyond all that there are: /proc knows nothing of them. */
enum { PID = 1 << 23, LATE_S = 100 };

static void record(double at, uint32_t pid, bool legacy, const char *table, uint32_t generation)
{
	struct audit_record r = { .kind = AUDIT_KIND_TABLE,
				  .legacy = legacy,
				  .family = FAMILY_IPV4,
				  .pid = PID + pid,
				  .generation = generation,
				  .serial = ++serial };

	r.at.v = s(at).v - boot_minus_wall();
	snprintf(r.table, sizeof(r.table), "%s", table);
	snprintf(r.program, sizeof(r.program), "iptables");
	audit_take(&audit, &r, s(at + 0.001));
}

static void details(uint32_t pid, const char *command)
{
	struct audit_record call = { .kind = AUDIT_KIND_CALL,
				     .serial = serial,
				     .pid = PID + pid,
				     .uid = 0,
				     .loginuid = 54321 };
	struct audit_record title = { .kind = AUDIT_KIND_TITLE, .serial = serial };

	snprintf(title.command, sizeof(title.command), "%s", command);
	audit_take(&audit, &call, s(LATE_S));
	audit_take(&audit, &title, s(LATE_S));
}

static struct ruleset_fact change(double before, double at)
{
	return (struct ruleset_fact){ .before = s(before),
				      .read_at = s(at),
				      .backend = BACKEND_LEGACY,
				      .family = FAMILY_IPV4,
				      .table = "filter" };
}

static uint32_t authors(uint32_t host, double before, double at)
{
	struct ruleset_fact f = change(before, at);

	changes_credit(&changes, &audit, host, &f, 0, 0);
	return f.author_count;
}

static void show(uint32_t host, double before, double at)
{
	struct ruleset_fact f = change(before, at);

	audit_show(&audit, host, &f);
}

static int begin(void **state)
{
	(void)state;
	memset(&audit, 0, sizeof(audit));
	memset(&changes, 0, sizeof(changes));
	audit.alone = true;
	audit_opened(&audit, AUDIT_ON, s(1));
	return 0;
}

static void two_of_several_each_may_have_been_it(void **state)
{
	(void)state;
	record(10, 1, true, "filter", 0);
	details(1, "iptables -A INPUT --token=abc -j DROP");
	record(10.1, 2, true, "nat", 0);
	record(20, 3, true, "filter", 0);
	assert_int_equal(authors(0, 9, 10.5), 1);
	assert_int_equal(changes.found[0].pid, PID + 1);
	assert_int_equal(changes.found[0].loginuid, 54321);
	assert_int_equal(changes.found[0].via, VIA_AUDIT);
	assert_string_equal(changes.found[0].command, "iptables -A INPUT --token=*** -j DROP");
	assert_int_equal(authors(0, 19, 20.5), 1);
	record(30, 4, true, "filter", 0);
	record(30.1, 5, true, "filter", 0);
	assert_int_equal(authors(0, 29, 30.5), 2);
	for (uint32_t pid = 10; pid < 15; pid++)
		record(40, pid, true, "filter", 0);
	assert_int_equal(authors(0, 39, 40.5), 0); /* more than can be told */
	record(50, 1, true, "filter", 0);
	assert_int_equal(authors(0, 0, 50.5), 0); /* what stood first */
}

static void two_a_title_of_the_program_before_is_not_shown(void **state)
{
	(void)state;
	record(10, 1, true, "filter", 0);
	details(1, "sh -c sleep 1; exec iptables -F");
	assert_int_equal(authors(0, 9, 10.5), 1);
	assert_null(changes.found[0].command);
	record(20, 2, true, "filter", 0);
	details(2, "/usr/bin/python3 /opt/iptables --all");
	assert_int_equal(authors(0, 19, 20.5), 1);
	assert_non_null(changes.found[0].command);
}

static void three_two_namespaces_changed_and_one_record_came(void **state)
{
	(void)state;
	record(10, 1, true, "filter", 0);
	show(0, 9, 10.5);
	show(1, 9, 10.5);
	assert_int_equal(authors(0, 9, 10.5), 0);
	assert_int_equal(authors(1, 9, 10.5), 0);
	/* Not at the same time. */
	record(20, 2, true, "filter", 0);
	show(0, 19, 20.5);
	show(1, 17, 18);
	assert_int_equal(authors(0, 19, 20.5), 1);
	/* Both had one. */
	record(30, 3, true, "filter", 0);
	record(30.01, 4, true, "filter", 0);
	show(0, 29, 30.5);
	show(1, 29, 30.5);
	assert_int_equal(authors(0, 29, 30.5), 2);
	assert_int_equal(authors(1, 29, 30.5), 2);
}

static void four_nobody_where_records_may_be_missing(void **state)
{
	(void)state;
	record(10, 1, true, "filter", 0);
	audit_lost(&audit, s(9.5));
	assert_int_equal(authors(0, 9, 10.5), 0);
	record(20, 1, true, "filter", 0);
	for (int i = 0; i < AUDIT_TOLD_MAX; i++)
		record(20.1, 2, true, "nat", 0);
	assert_int_equal(authors(0, 19, 20.5), 0);
	record(30, 1, true, "filter", 0);
	assert_int_equal(authors(0, 29, 30.5), 1);
}

static void four_only_since_auditing_is_known_to_be_on(void **state)
{
	struct audit_record off = { .kind = AUDIT_KIND_SWITCH };

	(void)state;
	audit_take(&audit, &off, s(5));
	assert_false(audit_awaited(&audit, BACKEND_LEGACY));
	record(10, 1, true, "filter", 0); /* the first one since it is on again */
	assert_int_equal(authors(0, 9, 10.5), 0);
	record(20, 1, true, "filter", 0);
	assert_int_equal(authors(0, 19, 20.5), 1);
	audit_opened(&audit, AUDIT_UNKNOWN, s(30));
	record(40, 1, true, "filter", 0);
	assert_int_equal(authors(0, 39, 40.5), 0);
	assert_int_equal(audit.state, AUDIT_ON);
}

static void four_a_change_without_record_ends_all_belief(void **state)
{
	(void)state;
	record(10, 1, true, "filter", 0);
	show(0, 9, 10.5);
	assert_false(audit_tick(&audit, s(13)));
	show(0, 19, 20.5);
	assert_false(audit_tick(&audit, s(20.6)));
	assert_int_equal(audit_due(&audit).v, s(22.5).v);
	assert_true(audit_tick(&audit, s(23)));
	record(30, 2, true, "filter", 0);
	assert_int_equal(authors(0, 29, 30.5), 0);
	/* Its record was late only. */
	record(20.2, 3, true, "filter", 0);
	record(40, 2, true, "filter", 0);
	assert_int_equal(authors(0, 39, 40.5), 1);
	/* Where nobody knew whether it is on, it is not. */
	audit_opened(&audit, AUDIT_UNKNOWN, s(50));
	show(0, 51, 52);
	assert_true(audit_tick(&audit, s(55)));
	assert_int_equal(audit.state, AUDIT_SILENT);
	assert_false(audit_awaited(&audit, BACKEND_LEGACY));
}

static void six_a_record_names_one_change_of_a_host(void **state)
{
	(void)state;
	record(10, 1, true, "filter", 0);
	assert_int_equal(authors(0, 9, 10.5), 1);
	/* Read while the record was on its way: it is within both windows. */
	record(10.2, 2, true, "filter", 0);
	assert_int_equal(authors(0, 9.9, 11), 1);
	assert_int_equal(changes.found[0].pid, PID + 2);
}

static void one_details_of_what_others_told(void **state)
{
	struct table_change c = { .at = s(10),
				  .pid = PID + 1,
				  .uid = AUTHOR_NOBODY,
				  .loginuid = AUTHOR_NOBODY,
				  .generation = 7,
				  .program = "iptables" };
	struct ruleset_fact f = change(9, 10.5);

	(void)state;
	f.backend = BACKEND_NATIVE;
	changes_note(&changes, &c);
	record(10, 1, false, "", 6); /* another transaction */
	details(1, "iptables -F");
	changes_credit(&changes, &audit, 0, &f, 6, 7);
	assert_int_equal(f.author_count, 1);
	assert_null(f.authors[0].command);
	record(10, 1, false, "", 7);
	details(1, "iptables -A INPUT");
	changes_credit(&changes, &audit, 0, &f, 6, 7);
	assert_int_equal(f.author_count, 1);
	assert_string_equal(f.authors[0].command, "iptables -A INPUT");
	assert_int_equal(f.authors[0].loginuid, 54321);
	assert_int_equal(f.authors[0].via, VIA_NFT);
}

static void one_bpf_and_the_log_are_one_author(void **state)
{
	struct table_change c = { .at = s(10),
				  .pid = PID + 1,
				  .loginuid = AUTHOR_NOBODY,
				  .family = FAMILY_IPV4,
				  .program = "iptables",
				  .table = "filter" };
	struct ruleset_fact f = change(9, 10.5);

	(void)state;
	audit.alone = false;
	changes_note(&changes, &c);
	record(10, 1, true, "filter", 0);
	details(1, "iptables -A INPUT");
	record(10, 2, true, "filter", 0); /* in some other namespace */
	changes_credit(&changes, &audit, 0, &f, 0, 0);
	assert_int_equal(f.author_count, 1);
	assert_string_equal(f.authors[0].command, "iptables -A INPUT");
	assert_int_equal(f.authors[0].via, VIA_BPF);
}

static void the_wall_clock_was_set_meanwhile(void **state)
{
	struct audit_record r = { .kind = AUDIT_KIND_TABLE,
				  .legacy = true,
				  .family = FAMILY_IPV4,
				  .pid = PID + 1,
				  .table = "filter",
				  .program = "iptables" };

	(void)state;
	r.at.v = s(3610).v - boot_minus_wall(); /* an hour ahead */
	audit_take(&audit, &r, s(10));
	assert_int_equal(authors(0, 9, 9.5), 1);
	r.at.v = s(-3600).v - boot_minus_wall();
	audit_take(&audit, &r, s(20));
	assert_int_equal(authors(0, 19, 20.5), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_details_of_what_others_told, begin),
		cmocka_unit_test_setup(one_bpf_and_the_log_are_one_author, begin),
		cmocka_unit_test_setup(two_of_several_each_may_have_been_it, begin),
		cmocka_unit_test_setup(two_a_title_of_the_program_before_is_not_shown, begin),
		cmocka_unit_test_setup(three_two_namespaces_changed_and_one_record_came, begin),
		cmocka_unit_test_setup(four_nobody_where_records_may_be_missing, begin),
		cmocka_unit_test_setup(four_only_since_auditing_is_known_to_be_on, begin),
		cmocka_unit_test_setup(four_a_change_without_record_ends_all_belief, begin),
		cmocka_unit_test_setup(six_a_record_names_one_change_of_a_host, begin),
		cmocka_unit_test_setup(the_wall_clock_was_set_meanwhile, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
