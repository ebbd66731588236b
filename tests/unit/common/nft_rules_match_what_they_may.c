/* What a rule of `nft list` says about addresses, ports, protocols and interfaces, alone and in sets; what is not known stays open. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/nftmatch.h"

static const char text[] =
	"table inet t {\n"
	"\tset web { # handle\n\t}\n"
	"\tset ports {\n\t\ttype inet_proto . inet_service\n\t\tflags interval\n"
	"\t\telements = { tcp . 22, udp . 8003-8005,\n\t\t\t     udp . 53 comment \"a , } {\" }\n\t}\n"
	"\tset none {\n\t\ttype ipv4_addr\n\t}\n"
	"\tset filled {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic\n\t}\n"
	"\tset timed {\n\t\ttype ipv4_addr\n\t\ttimeout 1m\n\t}\n"
	"\tmap way {\n\t\ttype ipv4_addr . inet_service : verdict\n"
	"\t\telements = { 10.0.1.2 . 80 : drop,\n\t\t\t     10.0.1.2 . 8003 comment \"x : y\" : goto deep,\n\t\t\t     * : accept }\n\t}\n"
	"\tchain c {\n\t}\n}\n";

static struct tuple udp4, tcp6;

static struct nft_match ask(const char *rule, const struct tuple *t)
{
	struct table table;
	struct rule_text r = { rule, (uint32_t)strlen(rule) };
	struct nft_packet p = { t->src.family, t, "lan", "" };
	static char verdict[64];
	struct nft_match m;

	assert_int_equal(table_parse_nft(&table, text, strlen(text)), 0);
	m = nft_match(&table, &r, &p);
	if (m.verdict) {
		snprintf(verdict, sizeof(verdict), "%.*s", (int)m.verdict_len, m.verdict);
		m.verdict = verdict;
	}
	table_clear(&table);
	return m;
}

struct said {
	const char *rule;
	enum { NEVER, MAY, SURE } want;
};

static void check(const struct said *list, size_t n, const struct tuple *t)
{
	for (size_t i = 0; i < n; i++) {
		struct nft_match m = ask(list[i].rule, t);

		print_message("%s\n", list[i].rule);
		assert_int_equal(m.never ? NEVER : m.certain ? SURE : MAY, list[i].want);
	}
}

static void alone_in_sets_and_concatenated(void **state)
{
	static const struct said list[] = {
		{ "udp dport 8003 drop", SURE },
		{ "udp dport 8003 counter packets 5 bytes 700 drop", SURE },
		{ "udp dport != 8003 drop", NEVER },
		{ "udp dport { 53, 8000-8010 } accept", SURE },
		{ "udp dport != { 53, 8000-8010 } accept", NEVER },
		{ "udp dport { 53, 54 } drop", NEVER },
		{ "tcp dport 8003 drop", NEVER },
		{ "tcp dport != 1 drop", NEVER },
		{ "th dport 8003 drop", SURE },
		{ "meta l4proto . th dport @ports drop", SURE },
		{ "meta l4proto . th sport @ports drop", NEVER },
		{ "ip saddr . udp dport { 10.0.1.2 . 8003, 10.9.0.0/16 . 1 } drop", SURE },
		{ "ip saddr . udp dport { 10.0.1.3 . 8003, 10.9.0.0/16 . 8003 } drop", NEVER },
		{ "ip saddr . ct mark { 10.0.1.3 . 0x1 } drop", MAY },
		{ "ip saddr @none drop", NEVER },
		{ "ip saddr != @none drop", SURE },
		{ "ip saddr @filled drop", MAY },
		{ "ip saddr @timed drop", MAY },
		{ "ip saddr @unheard drop", MAY },
		{ "ip saddr 10.0.1.0/24 ip daddr 10.0.3.1-10.0.3.9 return", SURE },
		{ "ip saddr 10.0.2.0/24 drop", NEVER },
		{ "ip6 saddr fe80::/10 drop", NEVER },
		{ "meta nfproto ipv6 drop", NEVER },
		{ "iifname \"lan\" drop", SURE },
		{ "iifname { \"wan\", \"la*\" } drop", SURE },
		{ "iifname != \"lan\" drop", NEVER },
		{ "oifname \"wan\" drop", MAY },
		{ "tcp flags syn drop", NEVER },
		{ "icmp type echo-request drop", NEVER },
		{ "udp length > 500 drop", MAY },
		{ "ct state established,related accept", MAY },
		{ "ct original ip saddr 10.7.7.7 drop", MAY },
		{ "ether type != ip drop", MAY },
		{ "meta mark set 0x5 tcp dport 1 accept", MAY },
		{ "vxlan ip saddr 10.7.7.7 drop", MAY },
		{ "limit rate 1/second udp dport 8003 drop", MAY },
		{ "udp dport 8003 log prefix \"drop \" drop", MAY },
		{ "drop", SURE },
		{ "udp dport http drop", MAY },
		{ "udp dport { 8003", MAY },
		{ "ip saddr .", MAY },
		{ "", MAY },
	};

	(void)state;
	check(list, sizeof(list) / sizeof(list[0]), &udp4);
}

static void the_other_family_and_protocol(void **state)
{
	static const struct said list[] = {
		{ "ip6 saddr fd00::/8 tcp dport 443 accept", SURE },
		{ "ip saddr 10.0.0.0/8 accept", NEVER },
		{ "ip saddr != 10.0.0.0/8 accept", NEVER },
		{ "meta l4proto { icmp, ipv6-icmp } accept", NEVER },
		{ "tcp flags syn / syn,ack accept", MAY },
		{ "ip6 hoplimit 1 drop", MAY },
		{ "icmpv6 type nd-router-advert accept", NEVER },
	};
	struct tuple fragment = tcp6;

	(void)state;
	check(list, sizeof(list) / sizeof(list[0]), &tcp6);
	fragment.sport = fragment.dport = 0;
	assert_false(ask("tcp dport 443 drop", &fragment).never);
	assert_false(ask("tcp dport 443 drop", &fragment).certain);
}

static void verdicts_of_maps(void **state)
{
	struct nft_match m = ask("udp dport vmap { 53 : accept, 8003 : jump deep }", &udp4);

	(void)state;
	assert_string_equal(m.verdict, "jump deep");
	assert_true(m.certain);
	m = ask("ip saddr . udp dport vmap @way", &udp4);
	assert_string_equal(m.verdict, "goto deep");
	assert_true(ask("udp dport vmap { 53 : drop, 54 : jump deep }", &udp4).never);
	m = ask("ip daddr . udp dport vmap @way", &udp4); /* what nothing matches but all others */
	assert_null(m.verdict);
	assert_false(m.never);
	m = ask("ct state vmap { invalid : drop, established : accept }", &udp4);
	assert_null(m.verdict);
	assert_false(m.never || m.certain);
	m = ask("ct state new udp dport vmap { 8003 : drop }", &udp4);
	assert_string_equal(m.verdict, "drop");
	assert_false(m.certain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone_in_sets_and_concatenated),
		cmocka_unit_test(the_other_family_and_protocol),
		cmocka_unit_test(verdicts_of_maps),
	};

	udp4 = (struct tuple){ .sport = 4000, .dport = 8003, .proto = IPPROTO_UDP };
	addr_parse(&udp4.src, "10.0.1.2");
	addr_parse(&udp4.dst, "10.0.3.2");
	tcp6 = (struct tuple){ .sport = 4000, .dport = 443, .proto = IPPROTO_TCP };
	addr_parse(&tcp6.src, "fd00::1");
	addr_parse(&tcp6.dst, "fd00::2");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
