/*
 * Texts of the audit log: what stands in them is somebody's choice in part, and must not be taken for the kernel's words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/audit.h>

#include "agent/source/audit.h"
#include "common/journey.h"

static struct audit_record r;

static int take(uint16_t type, const char *text)
{
	char all[2048] = "audit(1795877206.266:17): ";

	strncat(all, text, sizeof(all) - strlen(all) - 1);
	return audit_read(&r, type, all, strlen(all));
}

static int table(const char *text)
{
	return take(AUDIT_NETFILTER_CFG, text);
}

static void a_name_that_reads_like_fields_is_refused(void **state)
{
	(void)state;
	assert_int_equal(table("table=filter family=2 entries=4 op=xt_replace pid=7 comm=\"ip\""),
			 1);
	assert_true(r.legacy && r.family == FAMILY_IPV4 && r.pid == 7 && r.serial == 17);
	assert_string_equal(r.table, "filter");
	assert_int_equal(r.at.v, INT64_C(1795877206266) * NS_PER_MS);
	/* A table of nftables of any name. */
	assert_int_equal(
		table("table=filter family=2 entries=5 op=xt_replace pid=1 comm=\"evil\":9 "
		      "family=1 entries=1 op=nft_register_table pid=666 comm=\"sh\""),
		-EBADMSG);
	assert_int_equal(table("table=filter op=xt_replace pid=1 comm=\"evil\":9 family=1 "
			       "entries=1 op=nft_register_table pid=666 comm=\"sh\""),
			 1);
	assert_true(!r.legacy && r.pid == 666 && r.generation == 9);
	assert_int_equal(
		table("table=a b\nc:12 family=1 entries=1 op=nft_register_rule pid=3 comm=\"nft\""),
		1);
	assert_int_equal(r.generation, 12);
	assert_int_equal(
		table("table=none family=1 entries=1 op=nft_register_rule pid=3 comm=\"nft\""),
		-EBADMSG);
}

static void a_security_context_may_be_anything(void **state)
{
	(void)state;
	assert_int_equal(table("table=nat family=10 entries=4 op=xt_replace pid=7 "
			       "subj=docker-default (enforce) comm=\"ip6tables\""),
			 1);
	assert_string_equal(r.program, "ip6tables");
	assert_int_equal(
		table("table=nat family=10 entries=4 op=xt_replace pid=7 subj=x comm=\"good\" "
		      "pid=1 comm=\"evil\""),
		1);
	assert_string_equal(r.program, "evil"); /* the kernel's is the last one */
	assert_int_equal(r.pid, 7);
	assert_int_equal(table("table=nat family=10 entries=4 op=xt_replace pid=7 subj=x family=2 "
			       "entries=1 op=xt_replace pid=1 comm=\"good\""),
			 -EBADMSG);
	assert_int_equal(
		table("table=nat family=10 entries=4 op=xt_replace pid=7 comm=\"a\" pid=1"),
		-EBADMSG);
}

static void names_of_programs_are_quoted_or_hexadecimal(void **state)
{
	(void)state;
	assert_int_equal(table("table=raw family=2 entries=4 op=xt_replace pid=7 "
			       "comm=6120227069643D31"),
			 1);
	assert_string_equal(r.program, "a \"pid=1");
	assert_int_equal(
		take(AUDIT_SYSCALL,
		     "arch=c000003e syscall=54 success=yes exit=0 a0=4 items=0 ppid=5 "
		     "pid=7 auid=1000 uid=0 gid=0 tty=pts0 ses=3 "
		     "comm=70207069643D3120617569643D30 exe=\"/x\" subj=u pid=2 uid=3 key=(null)"),
		1);
	assert_true(r.pid == 7 && r.loginuid == 1000 && r.uid == 0);
	assert_string_equal(r.program, "p pid=1 auid=0");
	assert_int_equal(take(AUDIT_PROCTITLE, "proctitle=\"nft\""), 1);
	assert_string_equal(r.command, "nft");
	assert_int_equal(take(AUDIT_PROCTITLE, "proctitle=6E6674002D6600"), 1);
	assert_string_equal(r.command, "nft\x1f-f");
	assert_int_equal(take(AUDIT_PROCTITLE, "proctitle=(null)"), 1);
	assert_string_equal(r.command, "");
	assert_int_equal(take(AUDIT_PROCTITLE, "proctitle=\"nft"), -EBADMSG);
}

static void only_the_kernels_own_types_count(void **state)
{
	const char *text = "table=filter family=2 entries=4 op=xt_replace pid=7 comm=\"ip\"";

	(void)state;
	for (int type = 0; type <= UINT16_MAX; type++)
		if (take((uint16_t)type, text) > 0)
			assert_int_equal(type, AUDIT_NETFILTER_CFG);
	/* No changes: a namespace that ends, counters that are read, bridges' tables. */
	assert_int_equal(
		table("table=filter family=2 entries=5 op=xt_unregister pid=35 comm=\"kworker/u8:2\""),
		0);
	assert_int_equal(
		table("table=t:3 family=2 entries=5 op=nft_reset_rule pid=35 comm=\"nft\""), 0);
	assert_int_equal(
		table("table=filter family=7 entries=5 op=xt_replace pid=35 comm=\"ebtables\""), 0);
	assert_int_equal(take(AUDIT_CONFIG_CHANGE,
			      "op=set audit_enabled=0 old=1 auid=0 ses=1 res=1"),
			 1);
	assert_false(r.on);
	assert_int_equal(take(AUDIT_CONFIG_CHANGE,
			      "op=set audit_enabled=0 old=1 auid=0 ses=1 res=0"),
			 0);
	assert_int_equal(take(AUDIT_CONFIG_CHANGE, "op=set audit_backlog_limit=64 old=1 res=1"), 0);
}

static void every_cut_is_refused_or_read(void **state)
{
	const char *text =
		"audit(1795877206.266:3): table=filter family=2 entries=4 op=xt_replace pid=26734 comm=\"iptables\"";

	(void)state;
	for (size_t n = 0; n < strlen(text); n++)
		assert_int_equal(audit_read(&r, AUDIT_NETFILTER_CFG, text, n), -EBADMSG);
	assert_int_equal(audit_read(&r, AUDIT_NETFILTER_CFG, text, strlen(text)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_reads_like_fields_is_refused),
		cmocka_unit_test(a_security_context_may_be_anything),
		cmocka_unit_test(names_of_programs_are_quoted_or_hexadecimal),
		cmocka_unit_test(only_the_kernels_own_types_count),
		cmocka_unit_test(every_cut_is_refused_or_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
