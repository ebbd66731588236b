/*
 * What our BPF programs write into their rings, decoded: packets that the kernel freed, legacy tables that were replaced.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/events.h"
#include "agent/source/drops.h"
#include "agent/source/ifnames.h"

static const struct boot_ns now = { 5000 };

/* UDP 10.0.1.2:1000 to 10.0.3.2:53, four bytes of it. */
static const uint8_t udp4[] = {
	0x45, 0, 0, 32, 0,   1,    0, 0,  63, 17, 0, 0, 10,  0,   1,   2,
	10,   0, 3, 2,  0x3, 0xe8, 0, 53, 0,  12, 0, 0, 'a', 'b', 'c', 'd'
};

static struct drop_event drop(void)
{
	struct drop_event d = { .kind = EVENT_DROP,
				.host = 3,
				.at = 4000,
				.reason = 12,
				.hooks = 1 << HOOK_FORWARD,
				.dev = 2,
				.iif = 2,
				.mark = 7,
				.len = sizeof(udp4),
				.protocol = 0x0800,
				.captured = sizeof(udp4),
				.mac = { 2, 0, 0, 0, 0, 9 } };

	memcpy(d.packet, udp4, sizeof(udp4));
	return d;
}

static int decode(struct trace_event *e, const struct drop_event *d, size_t len, const char *reason)
{
	struct ifnames names = { 0 };
	uint32_t host = 99;
	int r;

	assert_int_equal(ifnames_set(&names, 2, "lan"), 0);
	assert_int_equal(ifnames_set(&names, 3, "wan"), 0);
	r = drop_decode(e, &host, (const uint8_t *)d, len, reason, &names, now);
	ifnames_clear(&names);
	if (r == 0)
		assert_int_equal(host, d->host);
	return r;
}

static void a_rule_s_drop_has_its_hook(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;

	(void)state;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_int_equal(e.step.label, LABEL_KERNEL);
	assert_int_equal(e.step.hook, HOOK_FORWARD);
	assert_int_equal(e.step.number, 1 << HOOK_FORWARD);
	assert_int_equal(e.step.at.v, 4000);
	assert_true(e.step.kernel_time);
	assert_string_equal(e.step.prefix, "NETFILTER_DROP");
	assert_int_equal(e.step.ttl, 63);
	assert_string_equal(e.in_if, "lan");
	assert_string_equal(e.out_if, "");
	assert_int_equal(e.mark, 7);
	assert_int_equal(e.ether.src[5], 9);
	assert_int_equal(e.packet.tuple.dport, 53);
	assert_true(e.packet.fp != 0);
	d.outgoing = 1;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_false(ether_known(&e.ether)); /* it may be the header that we put before it */
}

/* 10.0.1.2:1000 to 203.0.113.10:5300, as conntrack keeps it. */
static void track(struct drop_event *d)
{
	static const uint8_t tuple[] = { 10, 0, 1,   2,    0, 0, 0,   0, 0,    0,    0,  0, 0, 0,
					 0,  0, 0x3, 0xe8, 2, 0, 203, 0, 113,  10,   0,  0, 0, 0,
					 0,  0, 0,   0,    0, 0, 0,   0, 0x14, 0xb4, 17, 0 };

	d->tracked = EVENT_TRACKED;
	assert_int_equal(sizeof(tuple), sizeof(d->came));
	memcpy(d->came, tuple, sizeof(tuple));
}

static void a_translated_packet_is_told_as_it_came(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_false(e.has_came);
	track(&d);
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_true(e.has_came);
	addr_print(&e.came.dst, text);
	assert_string_equal(text, "203.0.113.10");
	assert_int_equal(e.came.dport, 5300);
	assert_int_equal(e.came.sport, 1000);
	assert_int_equal(e.packet.tuple.dport, 53);
}

static void what_conntrack_says_of_another_packet_is_not_believed(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;

	(void)state;
	track(&d);
	d.came[38] = 6;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_false(e.has_came);
	track(&d);
}

/* Others with its contents may have gone elsewhere: that it was not translated tells it from them. */
static void what_nobody_translated_is_told_as_that(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;

	(void)state;
	track(&d);
	memcpy(d.came + 20, d.packet + 16, 4);
	d.came[36] = 0;
	d.came[37] = 53;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_true(e.has_came);
	assert_true(tuple_equal(&e.came, &e.packet.tuple));

	d.tracked = EVENT_NOT_TRACKED;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_true(e.has_came);
	assert_true(tuple_equal(&e.came, &e.packet.tuple));
	/* A socket's packets have lost their connection. */
	assert_int_equal(decode(&e, &d, sizeof(d), "SOCKET_RCVBUFF"), 0);
	assert_false(e.has_came);
	d.tracked = EVENT_TRACKED_UNKNOWN;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_false(e.has_came);
}

static void of_several_hooks_none_is_named(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;

	(void)state;
	d.hooks = 1 << HOOK_FORWARD | 1 << HOOK_POSTROUTING;
	d.dev = 3;
	d.outgoing = 1;
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_int_equal(e.step.hook, HOOK_NONE);
	assert_int_equal(e.step.number, d.hooks);
	assert_string_equal(e.in_if, "lan");
	assert_string_equal(e.out_if, "wan");
	d.hooks = 0xffffffff; /* bits that are no hooks */
	assert_int_equal(decode(&e, &d, sizeof(d), "NETFILTER_DROP"), 0);
	assert_true(e.step.number < 1u << HOOK_COUNT);
}

static void only_rules_drop_in_hooks(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;

	(void)state;
	assert_int_equal(decode(&e, &d, sizeof(d), "IP_RPFILTER"), 0);
	assert_int_equal(e.step.hook, HOOK_NONE);
	assert_int_equal(e.step.number, 0);
}

static void a_time_to_come_is_not_believed(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;

	(void)state;
	d.at = UINT64_MAX;
	assert_int_equal(decode(&e, &d, sizeof(d), "NO_SOCKET"), 0);
	assert_int_equal(e.step.at.v, now.v);
}

static void what_is_no_drop_is_refused(void **state)
{
	struct drop_event d = drop();
	struct trace_event e;
	uint32_t host, reason;

	(void)state;
	assert_int_not_equal(decode(&e, &d, sizeof(d) - 1, "NO_SOCKET"), 0);
	d.captured = EVENT_PACKET_MAX + 1;
	assert_int_not_equal(decode(&e, &d, sizeof(d), "NO_SOCKET"), 0);
	d = drop();
	d.captured = 19;
	assert_int_not_equal(decode(&e, &d, sizeof(d), "NO_SOCKET"), 0);
	d = drop();
	d.protocol = 0x0806; /* ARP, whatever its bytes look like */
	assert_int_not_equal(decode(&e, &d, sizeof(d), "NO_SOCKET"), 0);
	d = drop();
	d.kind = EVENT_CHANGE;
	assert_int_not_equal(decode(&e, &d, sizeof(d), "NO_SOCKET"), 0);
	assert_false(drop_peek((const uint8_t *)&d, sizeof(d), &host, &reason));
	d.kind = EVENT_DROP;
	assert_true(drop_peek((const uint8_t *)&d, sizeof(d), &host, &reason));
	assert_int_equal(host, 3);
	assert_int_equal(reason, 12);
	assert_false(drop_peek((const uint8_t *)&d, sizeof(d) - 1, &host, &reason));
}

static void a_change_has_its_author(void **state)
{
	static const char command[] = "iptables\0-A\0INPUT\0-m\0comment\0--comment\0a b";
	struct change_event_raw raw = { .kind = EVENT_CHANGE,
					.host = 3,
					.at = 4000,
					.pid = 12,
					.uid = 1,
					.loginuid = 1000,
					.family = 6,
					.command_len = sizeof(command),
					.comm = "iptables-legacy",
					.table = "filter" };
	struct table_change c;

	(void)state;
	memcpy(raw.command, command, sizeof(command));
	assert_int_equal(change_decode(&c, (const uint8_t *)&raw, sizeof(raw)), 0);
	assert_int_equal(c.at.v, 4000);
	assert_int_equal(c.host, 3);
	assert_int_equal(c.pid, 12);
	assert_int_equal(c.loginuid, 1000);
	assert_int_equal(c.family, FAMILY_IPV6);
	assert_string_equal(c.program, "iptables-legacy");
	assert_string_equal(c.table, "filter");
	assert_string_equal(c.command, "iptables\x1f-A\x1fINPUT\x1f-m\x1f"
				       "comment\x1f--comment\x1f"
				       "a b");

	/* Nothing that need end. */
	memset(raw.comm, 'x', sizeof(raw.comm));
	memset(raw.table, 'y', sizeof(raw.table));
	memset(raw.command, 'z', sizeof(raw.command));
	raw.command_len = EVENT_COMMAND_MAX;
	assert_int_equal(change_decode(&c, (const uint8_t *)&raw, sizeof(raw)), 0);
	assert_int_equal(strlen(c.program), EVENT_COMM);
	assert_int_equal(strlen(c.table), EVENT_TABLE);
	assert_int_equal(strlen(c.command), EVENT_COMMAND_MAX);

	raw.command_len = EVENT_COMMAND_MAX + 1;
	assert_int_not_equal(change_decode(&c, (const uint8_t *)&raw, sizeof(raw)), 0);
	raw.command_len = 0;
	raw.family = 5;
	assert_int_not_equal(change_decode(&c, (const uint8_t *)&raw, sizeof(raw)), 0);
	raw.family = 4;
	assert_int_not_equal(change_decode(&c, (const uint8_t *)&raw, sizeof(raw) - 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_s_drop_has_its_hook),
		cmocka_unit_test(a_translated_packet_is_told_as_it_came),
		cmocka_unit_test(what_conntrack_says_of_another_packet_is_not_believed),
		cmocka_unit_test(what_nobody_translated_is_told_as_that),
		cmocka_unit_test(of_several_hooks_none_is_named),
		cmocka_unit_test(only_rules_drop_in_hooks),
		cmocka_unit_test(a_time_to_come_is_not_believed),
		cmocka_unit_test(what_is_no_drop_is_refused),
		cmocka_unit_test(a_change_has_its_author),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
