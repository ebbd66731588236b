/*
 * The kernel's list of an ipset becomes text without what changes by itself; its digest does not depend on the order. Which sets
 * there are to be read the rules tell.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/ipset/ip_set.h>
#include <linux/netfilter/nfnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/helper/setread.h"

static uint64_t room[(64 << 10) / 8];
static struct nlattr *adt;

static struct nlmsghdr *begin(const char *type, uint32_t flags, bool timeouts)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(room);
	struct nlattr *data;

	nlh->nlmsg_type = NFNL_SUBSYS_IPSET << 8 | IPSET_CMD_LIST;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct nfgenmsg));
	mnl_attr_put_strz(nlh, IPSET_ATTR_SETNAME, "s");
	mnl_attr_put_strz(nlh, IPSET_ATTR_TYPENAME, type);
	mnl_attr_put_u8(nlh, IPSET_ATTR_FAMILY, NFPROTO_IPV4);
	data = mnl_attr_nest_start(nlh, IPSET_ATTR_DATA);
	mnl_attr_put_u32(nlh, IPSET_ATTR_HASHSIZE, htonl((uint32_t)rand()));
	mnl_attr_put_u32(nlh, IPSET_ATTR_MAXELEM, htonl(9));
	mnl_attr_put_u32(nlh, IPSET_ATTR_INITVAL, htonl((uint32_t)rand()));
	mnl_attr_put_u32(nlh, IPSET_ATTR_CADT_FLAGS, htonl(flags));
	if (timeouts)
		mnl_attr_put_u32(nlh, IPSET_ATTR_TIMEOUT, htonl(60));
	mnl_attr_nest_end(nlh, data);
	adt = mnl_attr_nest_start(nlh, IPSET_ATTR_ADT);
	return nlh;
}

static void entry(struct nlmsghdr *nlh, const char *addr, uint8_t cidr, uint32_t timeout,
		  const char *comment)
{
	struct nlattr *data = mnl_attr_nest_start(nlh, IPSET_ATTR_DATA), *ip;
	struct in_addr a;

	assert_int_equal(inet_pton(AF_INET, addr, &a), 1);
	ip = mnl_attr_nest_start(nlh, IPSET_ATTR_IP);
	mnl_attr_put_u32(nlh, IPSET_ATTR_IPADDR_IPV4, a.s_addr);
	mnl_attr_nest_end(nlh, ip);
	mnl_attr_put_u8(nlh, IPSET_ATTR_CIDR, cidr);
	mnl_attr_put_u32(nlh, IPSET_ATTR_TIMEOUT, htonl(timeout));
	mnl_attr_put_u64(nlh, IPSET_ATTR_PACKETS, (uint64_t)rand());
	if (comment)
		mnl_attr_put_strz(nlh, IPSET_ATTR_COMMENT, comment);
	mnl_attr_nest_end(nlh, data);
}

static struct setinfo take(struct nlmsghdr *nlh, char *text, size_t size, struct setnames *names)
{
	struct setname name = { .name = "s" };
	struct setnames none = { .count = 0 };
	struct setinfo info, again;
	struct setread r;
	struct buf b;

	mnl_attr_nest_end(nlh, adt);
	buf_init(&b, 1 << 20);
	assert_int_equal(setread_open(&r), 0);
	assert_int_equal(setread_parse(&r, &name, nlh, nlh->nlmsg_len, &info, names ? names : &none,
				       &b),
			 0);
	snprintf(text, size, "%.*s", (int)b.len, (const char *)b.p);
	assert_int_equal(setread_parse(&r, &name, nlh, nlh->nlmsg_len, &again,
				       names ? names : &none, NULL),
			 0);
	assert_true(info.digest == again.digest);
	setread_close(&r);
	buf_clear(&b);
	return info;
}

static void texts_hold_what_people_made(void **state)
{
	char first[512], second[512];
	struct nlmsghdr *nlh = begin("hash:net", IPSET_FLAG_WITH_COMMENT, true);
	struct setinfo a, b, c;

	(void)state;
	entry(nlh, "10.0.0.10", 32, 50, NULL);
	entry(nlh, "10.0.0.9", 32, 40, "a \"b\"\nadd s 10.0.0.8");
	entry(nlh, "10.0.0.0", 8, 0, NULL);
	a = take(nlh, first, sizeof(first), NULL);
	assert_string_equal(
		first,
		"create s hash:net family inet maxelem 9 timeout 60 comment\n"
		"add s 10.0.0.0/8\nadd s 10.0.0.9 comment \"a ?b??add s 10.0.0.8\"\nadd s 10.0.0.10\n");
	assert_true(a.timeouts && a.family == FAMILY_IPV4 && !a.is_list);
	nlh = begin("hash:net", IPSET_FLAG_WITH_COMMENT, true);
	entry(nlh, "10.0.0.0", 8, 7, NULL);
	entry(nlh, "10.0.0.10", 32, 3, NULL);
	entry(nlh, "10.0.0.9", 32, 1, "a \"b\"\nadd s 10.0.0.8");
	b = take(nlh, second, sizeof(second), NULL);
	assert_string_equal(first, second);
	assert_true(a.digest == b.digest);
	nlh = begin("hash:net", IPSET_FLAG_WITH_COMMENT, true);
	entry(nlh, "10.0.0.0", 8, 7, NULL);
	entry(nlh, "10.0.0.10", 31, 3, NULL);
	entry(nlh, "10.0.0.9", 32, 1, "a \"b\"\nadd s 10.0.0.8");
	c = take(nlh, second, sizeof(second), NULL);
	assert_true(a.digest != c.digest);
}

static void what_is_not_known_is_not_captured(void **state)
{
	struct nlmsghdr *nlh = begin("hash:new", 0, false);
	char text[512];
	struct nlattr *data;

	(void)state;
	entry(nlh, "10.0.0.1", 32, 0, NULL);
	take(nlh, text, sizeof(text), NULL);
	assert_non_null(strstr(text, "\n# not captured: its type is not known\n"));
	nlh = begin("hash:ip", 0, false);
	data = mnl_attr_nest_start(nlh, IPSET_ATTR_DATA);
	mnl_attr_put_u32(nlh, IPSET_ATTR_ADT_MAX + 3, 1);
	mnl_attr_nest_end(nlh, data);
	take(nlh, text, sizeof(text), NULL);
	assert_non_null(
		strstr(text, "\n# not captured: it has entries of a kind that is not known\n"));
}

static void lists_lead_to_their_members(void **state)
{
	struct nlmsghdr *nlh = begin("list:set", 0, false);
	struct setnames names = { .count = 0 };
	char text[512];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct nlattr *data = mnl_attr_nest_start(nlh, IPSET_ATTR_DATA);

		mnl_attr_put_strz(nlh, IPSET_ATTR_NAME, i ? "a" : "z");
		mnl_attr_nest_end(nlh, data);
	}
	assert_true(take(nlh, text, sizeof(text), &names).is_list);
	assert_non_null(strstr(text, "add s z\nadd s a\n"));
	assert_int_equal(names.count, 2);
	assert_string_equal(names.list[0].name, "z");
}

static void rules_say_which(void **state)
{
	static const char text[] =
		"*filter\n:INPUT ACCEPT [0:0]\n"
		"-A INPUT -m set --match-set b src -m set ! --match-set a dst -j DROP\n"
		"-A INPUT -m comment --comment \"\n-A INPUT -m set --match-set ghost src -j DROP\" -j ACCEPT\n"
		"-A INPUT -j SET --add-set b src\nCOMMIT\n";
	struct setnames names = { .count = 0 };

	(void)state;
	assert_int_equal(setnames_of(&names, text, strlen(text)), 0);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.list[0].name, "b");
	assert_true(names.list[0].fed);
	assert_string_equal(names.list[1].name, "a");
	assert_false(names.list[1].fed);
	for (int i = 0; i < IPSETS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		setnames_add(&names, name, false);
	}
	assert_int_equal(names.count, IPSETS_MAX);
	assert_true(names.more);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_hold_what_people_made),
		cmocka_unit_test(what_is_not_known_is_not_captured),
		cmocka_unit_test(lists_lead_to_their_members),
		cmocka_unit_test(rules_say_which),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
