/*
 * An ipset's text answers whether a packet is in it: yes, no, and cannot know. (tests/net/test_ipsets.py asks the kernel the same.)
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

#include "common/ipset.h"

static struct set_packet packet(const char *proto, const char *src, uint16_t sport, const char *dst,
				uint16_t dport)
{
	struct set_packet p = { .in_if = "lan", .out_if = "" };

	assert_true(proto_parse(&p.tuple.proto, proto));
	assert_true(addr_parse(&p.tuple.src, src) && addr_parse(&p.tuple.dst, dst));
	p.tuple.sport = sport;
	p.tuple.dport = dport;
	return p;
}

static struct rule_set use(const char *match)
{
	char text[256];
	struct rule r;

	snprintf(text, sizeof(text), "-A INPUT -m set %s -j DROP", match);
	assert_int_equal(rule_parse(&r, text, strlen(text)), 0);
	assert_int_equal(r.set_count, 1);
	assert_true(r.other && !r.unread);
	return r.sets[0];
}

static char ask(const char *text, const char *match, struct set_packet p)
{
	struct rule_set u = use(match);
	struct set_found found;
	struct ipset s;
	enum set_answer a;

	assert_int_equal(ipset_parse(&s, text, strlen(text)), 0);
	a = ipset_match(&s, &u, &p, NULL, &found);
	ipset_clear(&s);
	return "ny?"[a];
}

#define TCP(src, dst, dport) packet("tcp", src, 40000, dst, dport)
#define SRC "--match-set s src"

static void addresses_and_nets(void **state)
{
	static const char ip
		[] = "create s hash:ip family inet maxelem 9\nadd s 10.0.0.1\nadd s 10.0.0.7 comment \"a b\"\n",
	      masked[] = "create s hash:ip family inet netmask 24\nadd s 10.0.0.0\n",
	      net[] = "create s hash:net family inet\nadd s 10.0.0.0/8\nadd s 10.1.0.0/16 nomatch\nadd s 10.1.1.0/24\n",
	      bits[] = "create s bitmap:ip range 10.0.0.0-10.0.0.255\nadd s 10.0.0.3\n",
	      six[] = "create s hash:net family inet6\nadd s 2001:db8::/32\n",
	      none[] = "create s hash:net family inet\n";

	(void)state;
	assert_int_equal(ask(ip, SRC, TCP("10.0.0.7", "10.0.0.9", 1)), 'y');
	assert_int_equal(ask(ip, SRC, TCP("10.0.0.9", "10.0.0.7", 1)), 'n');
	assert_int_equal(ask(ip, "--match-set s dst", TCP("10.0.0.9", "10.0.0.7", 1)), 'y');
	assert_int_equal(ask(ip, "! --match-set s dst", TCP("10.0.0.9", "10.0.0.7", 1)), 'n');
	assert_int_equal(ask(masked, SRC, TCP("10.0.0.77", "10.0.0.9", 1)), 'y');
	assert_int_equal(ask(masked, SRC, TCP("10.0.1.77", "10.0.0.9", 1)), 'n');
	assert_int_equal(ask(net, SRC, TCP("10.2.0.1", "1.1.1.1", 1)), 'y');
	assert_int_equal(ask(net, SRC, TCP("10.1.0.1", "1.1.1.1", 1)), 'n');
	assert_int_equal(ask(net, SRC, TCP("10.1.1.1", "1.1.1.1", 1)), 'y');
	assert_int_equal(ask(net, "! " SRC, TCP("10.1.0.1", "1.1.1.1", 1)), 'y');
	assert_int_equal(ask(bits, SRC, TCP("10.0.0.3", "1.1.1.1", 1)), 'y');
	assert_int_equal(ask(bits, SRC, TCP("10.0.0.4", "1.1.1.1", 1)), 'n');
	assert_int_equal(ask(six, SRC, TCP("2001:db8::1", "::1", 1)), 'y');
	assert_int_equal(ask(six, SRC, TCP("10.0.0.1", "10.0.0.2", 1)), 'n');
	assert_int_equal(ask(net, "! " SRC, TCP("2001:db8::1", "::1", 1)), 'y');
	assert_int_equal(ask(none, SRC, TCP("10.0.0.1", "10.0.0.2", 1)), 'n');
}

static void several_parts(void **state)
{
	static const char port
		[] = "create s hash:ip,port family inet\nadd s 10.0.0.1,tcp:80\nadd s 10.0.0.1,icmp:8/0\n",
	    ports[] = "create s bitmap:port range 0-1024\nadd s 80\n",
	    triple[] =
		    "create s hash:ip,port,net family inet\nadd s 10.0.0.1,udp:53,10.9.0.0/16\nadd s 10.0.0.1,udp:53,10.9.1.0/24 nomatch\n",
	    pair[] =
		    "create s hash:net,net family inet\nadd s 10.0.0.0/8,10.9.0.0/16 nomatch\nadd s 10.0.0.0/24,10.0.0.0/8\n",
	    iface[] =
		    "create s hash:net,iface family inet\nadd s 10.0.0.0/8,lan\nadd s 10.1.0.0/16,wan nomatch\nadd s 10.2.0.0/16,physdev:lan\n",
	    mac[] = "create s bitmap:ip,mac range 10.0.0.0-10.0.0.255\nadd s 10.0.0.3\nadd s 10.0.0.4,00:11:22:33:44:55\n";

	(void)state;
#define TWO "--match-set s src,dst"
	assert_int_equal(ask(port, TWO, TCP("10.0.0.1", "10.0.0.9", 80)), 'y');
	assert_int_equal(ask(port, TWO, TCP("10.0.0.1", "10.0.0.9", 81)), 'n');
	assert_int_equal(ask(port, "--match-set s src,src", TCP("10.0.0.1", "10.0.0.9", 80)), 'n');
	/* Too few directions match nothing; more do no harm. */
	assert_int_equal(ask(port, SRC, TCP("10.0.0.1", "10.0.0.9", 80)), 'n');
	assert_int_equal(ask(port, "--match-set s src,dst,dst", TCP("10.0.0.1", "10.0.0.9", 80)),
			 'y');
	assert_int_equal(ask(port, TWO, packet("udp", "10.0.0.1", 1, "10.0.0.9", 80)), 'n');
	assert_int_equal(ask(port, TWO, packet("icmp", "10.0.0.1", 1, "10.0.0.9", 8)), '?');
	assert_int_equal(ask(port, TWO, packet("icmp", "10.0.0.2", 1, "10.0.0.9", 8)), 'n');
	assert_int_equal(ask(port, TWO, packet("tcp", "10.0.0.1", 0, "10.0.0.9", 0)), '?');
	assert_int_equal(ask(ports, "--match-set s dst", TCP("10.0.0.1", "10.0.0.9", 80)), 'y');
	assert_int_equal(ask(ports, "--match-set s dst",
			     packet("sctp", "10.0.0.1", 1, "10.0.0.9", 80)),
			 '?');
#define THREE "--match-set s src,dst,dst"
	assert_int_equal(ask(triple, THREE, packet("udp", "10.0.0.1", 1, "10.9.2.1", 53)), 'y');
	assert_int_equal(ask(triple, THREE, packet("udp", "10.0.0.1", 1, "10.9.1.1", 53)), 'n');
	/* The narrower first net decides, however wide the second is. */
	assert_int_equal(ask(pair, TWO, TCP("10.0.0.1", "10.9.0.1", 1)), 'y');
	assert_int_equal(ask(pair, TWO, TCP("10.0.1.1", "10.9.0.1", 1)), 'n');
	assert_int_equal(ask(iface, "--match-set s src,src", TCP("10.3.0.1", "1.1.1.1", 1)), 'y');
	/* The narrowest net that has the address decides, with another interface, too. */
	assert_int_equal(ask(iface, "--match-set s src,src", TCP("10.1.0.1", "1.1.1.1", 1)), 'n');
	assert_int_equal(ask(iface, "--match-set s src,src", TCP("10.2.0.1", "1.1.1.1", 1)), '?');
	assert_int_equal(ask(iface, "--match-set s src,dst", TCP("10.3.0.1", "1.1.1.1", 1)), '?');
	assert_int_equal(ask(iface, "--match-set s src,dst", TCP("11.3.0.1", "1.1.1.1", 1)), 'n');
	assert_int_equal(ask(mac, "--match-set s src,src", TCP("10.0.0.3", "1.1.1.1", 1)), '?');
	assert_int_equal(ask(mac, "--match-set s src,src", TCP("10.0.0.4", "1.1.1.1", 1)), '?');
	assert_int_equal(ask(mac, "--match-set s src,src", TCP("10.0.0.5", "1.1.1.1", 1)), 'n');
}

static void what_cannot_be_known(void **state)
{
	static const char *const texts[] = {
		"create s hash:ip family inet\n# not captured: more than 65536 entries\n",
		"create s hash:ip family inet timeout 9\n# changes by itself: its entries have timeouts\nadd s 10.0.0.1\n",
		"create s hash:new family inet\nadd s 10.0.0.1\n",
		"create s hash:ip family inet novel 3\nadd s 10.0.0.1\n",
		"create s hash:ip family inet bitmask\nadd s 10.0.0.1\n",
		"create s hash:ip,port family inet netmask 24\nadd s 10.0.0.0,tcp:1\n",
		"create s hash:ip family inet\nadd s 10.0.0.1 novel\n",
		"create s hash:ip family inet\nadd s 10.0.0.1/24\n",
		"create s hash:ip family inet\nadd s 2001:db8::1\n",
		"create s -\n# not captured: it changes too often\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(ask(texts[i], TWO, TCP("10.0.0.1", "10.0.0.9", 1)), '?');
		assert_int_equal(ask(texts[i], "! " TWO, TCP("10.0.0.9", "10.0.0.1", 1)), '?');
	}
	assert_int_equal(ask("create s hash:ip family inet\nadd s 10.0.0.1\n",
			     SRC " --return-nomatch", TCP("10.0.0.1", "10.0.0.9", 1)),
			 '?');
	assert_int_equal(ask("create s hash:ip family inet counters\nadd s 10.0.0.1\n",
			     SRC " --packets-gt 3", TCP("10.0.0.1", "10.0.0.9", 1)),
			 '?');
	assert_int_equal(ask("create s hash:ip family inet counters\nadd s 10.0.0.1\n",
			     SRC " ! --update-counters", TCP("10.0.0.1", "10.0.0.9", 1)),
			 'y');
}

static struct ipset known[2];

static const struct ipset *find(void *arg, const char *name)
{
	(void)arg;
	return !strcmp(name, "a") ? &known[0] : !strcmp(name, "b") ? &known[1] : NULL;
}

static void members_of_lists(void **state)
{
	static const char a[] = "create a hash:ip family inet\nadd a 10.0.0.1\n",
			  b[] = "create b hash:ip,port family inet\nadd b 10.0.0.2,tcp:80\n",
			  list[] = "create s list:set size 8\nadd s a\nadd s b\n",
			  more[] = "create s list:set size 8\nadd s a\nadd s gone\n";
	struct rule_set one = use(SRC), two = use(TWO);
	struct set_packet first = TCP("10.0.0.1", "10.0.0.9", 80),
			  second = TCP("10.0.0.2", "10.0.0.9", 80),
			  third = TCP("10.0.0.3", "10.0.0.9", 80);
	struct set_members members = { find, NULL };
	struct set_found found;
	struct ipset s;

	(void)state;
	assert_int_equal(ipset_parse(&known[0], a, strlen(a)), 0);
	assert_int_equal(ipset_parse(&known[1], b, strlen(b)), 0);
	assert_int_equal(ipset_parse(&s, list, strlen(list)), 0);
	assert_int_equal(ipset_match(&s, &one, &first, &members, &found), SET_YES);
	assert_string_equal(found.list->member, "a");
	assert_memory_equal(found.entry->text, "add a 10.0.0.1", found.entry->len);
	assert_int_equal(ipset_match(&s, &one, &second, &members, &found), SET_NO);
	assert_int_equal(ipset_match(&s, &two, &second, &members, &found), SET_YES);
	assert_int_equal(ipset_match(&s, &two, &third, &members, &found), SET_NO);
	ipset_clear(&s);
	assert_int_equal(ipset_parse(&s, more, strlen(more)), 0);
	assert_int_equal(ipset_match(&s, &one, &first, &members, &found), SET_YES);
	assert_int_equal(ipset_match(&s, &one, &third, &members, &found), SET_UNKNOWN);
	assert_int_equal(ipset_match(&s, &one, &third, NULL, &found), SET_UNKNOWN);
	ipset_clear(&s);
	ipset_clear(&known[0]);
	ipset_clear(&known[1]);
}

static void what_is_no_set_is_refused(void **state)
{
	static const char *const texts[] = { "",
					     "create",
					     "garbage\n",
					     "add s 1\n",
					     "create s hash:ip\nflush s\n",
					     "create s hash:ip\n\n" };
	struct table t;
	struct ipset s;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(ipset_parse(&s, texts[i], strlen(texts[i])), -EBADMSG);
	assert_int_equal(table_parse_as(&t, BACKEND_IPSET, "*filter\nCOMMIT\n", 15), -EBADMSG);
	assert_int_equal(table_parse_as(&t, BACKEND_IPSET, "create s hash:ip\nadd s 1.1.1.1\n", 31),
			 0);
	assert_int_equal(t.chain_count, 1);
	assert_string_equal(t.chains[0].name, IPSET_CHAIN);
	assert_int_equal(t.chains[0].rule_count, 2);
	assert_memory_equal(chain_rule(&t.chains[0], 2)->text, "add s 1.1.1.1", 13);
	table_clear(&t);
}

static void rules_name_sets(void **state)
{
	struct rule r;
#define PARSE(text) assert_int_equal(rule_parse(&r, text, strlen(text)), 0)

	(void)state;
	PARSE("-A INPUT -p tcp -m set --match-set a src -m tcp --dport 80 -m set ! --match-set -j dst,src -j DROP");
	assert_int_equal(r.set_count, 2);
	assert_string_equal(r.sets[0].name, "a");
	assert_int_equal(r.sets[0].sources, 1);
	assert_string_equal(r.sets[1].name, "-j");
	assert_int_equal(r.sets[1].sources, 2);
	assert_int_equal(r.sets[1].count, 2);
	assert_true(r.sets[1].negate && r.other && !r.unread);
	assert_string_equal(r.target, "DROP");
	assert_int_equal(r.dport_count, 1);
	PARSE("-A INPUT -m comment --comment \"-m set --match-set a src\" -j SET --add-set b src --exist --timeout 9");
	assert_int_equal(r.set_count, 1);
	assert_string_equal(r.sets[0].name, "b");
	assert_true(r.sets[0].target && !r.other);
	PARSE("-A INPUT -m mark --mark 0x1 -m set --match-set a src -j DROP");
	assert_true(r.unread);
	PARSE("-A INPUT -m set --match-set a up -j DROP");
	assert_true(r.sets[0].vague);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_and_nets),        cmocka_unit_test(several_parts),
		cmocka_unit_test(what_cannot_be_known),      cmocka_unit_test(members_of_lists),
		cmocka_unit_test(what_is_no_set_is_refused), cmocka_unit_test(rules_name_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
