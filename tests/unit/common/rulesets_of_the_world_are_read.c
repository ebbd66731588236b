/*
 * Tables in the manner of the programs that write most of the world's rules: all are cut into rules, and what NAT and
 * verdicts need is read from each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/table.h"

/* What is asked of one rule. to: "ADDR" or "ADDR-ADDR", ":PORT" behind it; NULL: none. */
struct asked {
	const char *chain;
	uint32_t number;
	const char *target;
	uint8_t proto;
	uint16_t dport;
	bool other;
	const char *to, *comment;
};

static const struct ruleset {
	const char *name, *text;
	struct asked asked[6];
} rulesets[] = {
	{ "docker nat",
	  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n"
	  "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
	  "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n"
	  "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
	  "-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n"
	  "-A DOCKER -i docker0 -j RETURN\n"
	  "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n",
	  { { "PREROUTING", 1, "DOCKER", 0, 0, true, NULL, "" },
	    { "POSTROUTING", 1, "MASQUERADE", 0, 0, false, NULL, "" },
	    { "DOCKER", 2, "DNAT", 6, 8080, false, "172.17.0.2:80", "" } } },
	{ "docker filter",
	  "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n:DOCKER-ISOLATION-STAGE-1 - [0:0]\n"
	  ":DOCKER-ISOLATION-STAGE-2 - [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n"
	  "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n"
	  "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n"
	  "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\n"
	  "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2\n-A DOCKER-ISOLATION-STAGE-1 -j RETURN\n"
	  "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP\n-A DOCKER-ISOLATION-STAGE-2 -j RETURN\n-A DOCKER-USER -j RETURN\nCOMMIT\n",
	  { { "FORWARD", 3, "ACCEPT", 0, 0, true, NULL, "" },
	    { "FORWARD", 5, "ACCEPT", 0, 0, false, NULL, "" },
	    { "DOCKER", 1, "ACCEPT", 6, 80, false, NULL, "" },
	    { "DOCKER-ISOLATION-STAGE-2", 1, "DROP", 0, 0, false, NULL, "" } } },
	{ "kube-proxy nat",
	  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-MARK-MASQ - [0:0]\n"
	  ":KUBE-NODEPORTS - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-SEP-ZQ2GIX7ABBOLXGV4 - [0:0]\n:KUBE-SERVICES - [0:0]\n"
	  ":KUBE-SVC-TCOU7JCQXEZGVUNU - [0:0]\n"
	  "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
	  "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n"
	  "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n"
	  "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n"
	  "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully\n"
	  "-A KUBE-SEP-ZQ2GIX7ABBOLXGV4 -s 10.244.0.7/32 -m comment --comment \"kube-system/kube-dns:dns\" -j KUBE-MARK-MASQ\n"
	  "-A KUBE-SEP-ZQ2GIX7ABBOLXGV4 -p udp -m comment --comment \"kube-system/kube-dns:dns\" -m udp -j DNAT --to-destination 10.244.0.7:53\n"
	  "-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment \"kube-system/kube-dns:dns cluster IP\" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU\n"
	  "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n"
	  "-A KUBE-SVC-TCOU7JCQXEZGVUNU ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p udp -m comment --comment \"kube-system/kube-dns:dns cluster IP\" -m udp --dport 53 -j KUBE-MARK-MASQ\n"
	  "-A KUBE-SVC-TCOU7JCQXEZGVUNU -m comment --comment \"kube-system/kube-dns:dns -> 10.244.0.7:53\" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-ZQ2GIX7ABBOLXGV4\nCOMMIT\n",
	  { { "KUBE-SERVICES", 1, "KUBE-SVC-TCOU7JCQXEZGVUNU", 17, 53, false, NULL,
	      "kube-system/kube-dns:dns cluster IP" },
	    { "KUBE-SERVICES", 2, "KUBE-NODEPORTS", 0, 0, true, NULL,
	      "kubernetes service nodeports; NOTE: this must be the last rule in this chain" },
	    { "KUBE-SEP-ZQ2GIX7ABBOLXGV4", 2, "DNAT", 17, 0, false, "10.244.0.7:53",
	      "kube-system/kube-dns:dns" },
	    { "KUBE-SVC-TCOU7JCQXEZGVUNU", 2, "KUBE-SEP-ZQ2GIX7ABBOLXGV4", 0, 0, true, NULL,
	      "kube-system/kube-dns:dns -> 10.244.0.7:53" },
	    { "KUBE-POSTROUTING", 3, "MASQUERADE", 0, 0, false, NULL,
	      "kubernetes service traffic requiring SNAT" } } },
	{ "ufw",
	  "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:ufw-before-input - [0:0]\n:ufw-logging-deny - [0:0]\n"
	  ":ufw-not-local - [0:0]\n:ufw-user-input - [0:0]\n:ufw-user-limit - [0:0]\n:ufw-user-limit-accept - [0:0]\n-A INPUT -j ufw-before-input\n"
	  "-A ufw-before-input -i lo -j ACCEPT\n-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
	  "-A ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny\n-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT\n"
	  "-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT\n-A ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT\n"
	  "-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix \"[UFW BLOCK] \"\n"
	  "-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN\n"
	  "-A ufw-user-input -p tcp -m multiport --dports 80,443 -m comment --comment \"\\'dapp_Nginx%20Full\\'\" -j ACCEPT\n"
	  "-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource\n"
	  "-A ufw-user-input -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit\n"
	  "-A ufw-user-limit -j REJECT --reject-with icmp-port-unreachable\n-A ufw-user-limit-accept -j ACCEPT\nCOMMIT\n",
	  { { "ufw-before-input", 5, "ACCEPT", 17, 68, false, NULL, "" },
	    { "ufw-before-input", 4, "ACCEPT", 1, 0, true, NULL, "" },
	    { "ufw-logging-deny", 1, "LOG", 0, 0, true, NULL, "" },
	    { "ufw-user-input", 1, "ACCEPT", 6, 80, false, NULL, "'dapp_Nginx%20Full'" },
	    { "ufw-user-input", 2, "", 6, 22, true, NULL, "" },
	    { "ufw-user-limit", 1, "REJECT", 0, 0, false, NULL, "" } } },
	{ "firewalld",
	  "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:INPUT_ZONES - [0:0]\n:IN_public - [0:0]\n:IN_public_allow - [0:0]\n"
	  "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n-A INPUT -j INPUT_ZONES\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"
	  "-A INPUT_ZONES -i eth0 -g IN_public\n-A INPUT_ZONES -g IN_public\n-A IN_public -j IN_public_allow\n"
	  "-A IN_public_allow -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT\n"
	  "-A IN_public_allow -s 203.0.113.0/24 -p tcp -m tcp --dport 5900:5910 -j ACCEPT\nCOMMIT\n",
	  { { "INPUT_ZONES", 1, "IN_public", 0, 0, false, NULL, "" },
	    { "INPUT", 3, "REJECT", 0, 0, false, NULL, "" },
	    { "IN_public_allow", 1, "ACCEPT", 6, 22, true, NULL, "" },
	    { "IN_public_allow", 2, "ACCEPT", 6, 5900, false, NULL, "" } } },
	{ "fail2ban",
	  "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:f2b-sshd - [0:0]\n"
	  "-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n-A f2b-sshd -s 198.51.100.7/32 -j REJECT --reject-with icmp-port-unreachable\n"
	  "-A f2b-sshd -j RETURN\nCOMMIT\n",
	  { { "INPUT", 1, "f2b-sshd", 6, 22, false, NULL, "" },
	    { "f2b-sshd", 1, "REJECT", 0, 0, false, NULL, "" },
	    { "f2b-sshd", 2, "RETURN", 0, 0, false, NULL, "" } } },
	{ "libvirt mangle",
	  "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:LIBVIRT_PRT - [0:0]\n"
	  "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\n-A POSTROUTING -j LIBVIRT_PRT\n"
	  "-A LIBVIRT_PRT -o virbr0 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill\nCOMMIT\n",
	  { { "FORWARD", 1, "TCPMSS", 6, 0, true, NULL, "" },
	    { "LIBVIRT_PRT", 1, "CHECKSUM", 17, 68, false, NULL, "" } } },
	{ "libvirt nat",
	  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:LIBVIRT_PRT - [0:0]\n"
	  "-A POSTROUTING -j LIBVIRT_PRT\n-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN\n"
	  "-A LIBVIRT_PRT -s 192.168.122.0/24 -d 255.255.255.255/32 -j RETURN\n"
	  "-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535\n"
	  "-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE\nCOMMIT\n",
	  { { "LIBVIRT_PRT", 3, "MASQUERADE", 6, 0, false, ":1024", "" },
	    { "LIBVIRT_PRT", 4, "MASQUERADE", 0, 0, false, NULL, "" } } },
	{ "istio nat",
	  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:ISTIO_INBOUND - [0:0]\n:ISTIO_IN_REDIRECT - [0:0]\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n"
	  "-A PREROUTING -p tcp -j ISTIO_INBOUND\n-A OUTPUT -p tcp -j ISTIO_OUTPUT\n-A ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN\n-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n"
	  "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN\n"
	  "-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT\n-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN\n"
	  "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\nCOMMIT\n",
	  { { "ISTIO_IN_REDIRECT", 1, "REDIRECT", 6, 0, false, ":15006", "" },
	    { "ISTIO_OUTPUT", 2, "ISTIO_IN_REDIRECT", 0, 0, true, NULL, "" } } },
	{ "router with a published server",
	  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
	  "-A PREROUTING -d 203.0.113.10/32 -i wan+ -p tcp -m multiport --dports 80,443,8000:8100 -j DNAT --to-destination 10.0.0.1-10.0.0.9:100-200 --random --persistent\n"
	  "-A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 10.7.7.0/24\n-A PREROUTING -p tcp -m tcp --dport 2222 -j DNAT --to-destination :22\n"
	  "-A POSTROUTING -s 10.0.0.0/8 -o wan+ -j SNAT --to-source 203.0.113.10-203.0.113.11\n"
	  "-A POSTROUTING -m policy --dir out --pol ipsec --proto esp -j ACCEPT\nCOMMIT\n",
	  { { "PREROUTING", 1, "DNAT", 6, 80, false, "10.0.0.1-10.0.0.9:100", "" },
	    { "PREROUTING", 2, "NETMAP", 0, 0, false, NULL, "" },
	    { "PREROUTING", 3, "DNAT", 6, 2222, false, ":22", "" },
	    { "POSTROUTING", 1, "SNAT", 0, 0, false, "203.0.113.10-203.0.113.11", "" },
	    { "POSTROUTING", 2, "ACCEPT", 0, 0, true, NULL, "" } } },
	{ "hand-made guard",
	  "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:BAD - [0:0]\n:BAD_TCP - [0:0]\n"
	  "-A INPUT -f -j DROP\n-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP\n"
	  "-A INPUT -m string --string \"-j ACCEPT\" --algo bm --to 1000 -j BAD\n"
	  "-A INPUT -p tcp -m tcp --dport 22 -m time --timestart 08:00:00 --timestop 18:00:00 --weekdays Mon,Tue --datestop 2038-01-19T03:14:07 -j ACCEPT\n"
	  "-A INPUT -m iprange --src-range 10.1.2.3-10.1.2.9 -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT\n"
	  "-A BAD -m hashlimit --hashlimit-upto 5/min --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name bad -j LOG --log-prefix \"bad \\\"x\\\": \" --log-level 7\n"
	  "-A BAD -p udp -m udp ! --dport 53 -j REJECT --reject-with icmp-admin-prohibited\nCOMMIT\n",
	  { { "INPUT", 1, "DROP", 0, 0, true, NULL, "" },
	    { "INPUT", 2, "DROP", 6, 0, true, NULL, "" },
	    { "INPUT", 3, "BAD", 0, 0, true, NULL, "" },
	    { "INPUT", 4, "ACCEPT", 6, 22, true, NULL, "" },
	    { "BAD", 1, "LOG", 0, 0, true, NULL, "" },
	    { "BAD", 2, "REJECT", 17, 53, false, NULL, "" } } },
	{ "raw of a name server",
	  "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack\n"
	  "-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n-A PREROUTING -m rpfilter --invert -j DROP\n"
	  "-A OUTPUT -p udp -m udp --sport 53 -j CT --notrack\nCOMMIT\n",
	  { { "PREROUTING", 1, "CT", 17, 53, false, NULL, "" },
	    { "PREROUTING", 3, "DROP", 0, 0, true, NULL, "" } } },
	{ "odd protocols",
	  "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p esp -j ACCEPT\n-A INPUT -p gre -j ACCEPT\n"
	  "-A INPUT -p vrrp -j ACCEPT\n-A INPUT ! -p tcp -j ACCEPT\n-A INPUT -p sctp -m sctp --dport 3868 -j ACCEPT\n-A INPUT -p 253 -j ACCEPT\nCOMMIT\n",
	  { { "INPUT", 1, "ACCEPT", 50, 0, false, NULL, "" },
	    { "INPUT", 3, "ACCEPT", 112, 0, false, NULL, "" },
	    { "INPUT", 5, "ACCEPT", 132, 3868, false, NULL, "" },
	    { "INPUT", 6, "ACCEPT", 253, 0, false, NULL, "" } } },
	{ "IPv6 nat",
	  "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
	  "-A PREROUTING -d 2001:db8::1/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080\n"
	  "-A PREROUTING -d 2001:db8::2/128 -j DNAT --to-destination fd00::3\n"
	  "-A PREROUTING -d 2001:db8::3/128 -p udp -m udp --dport 53 -j DNAT --to-destination [fd00::4-fd00::6]:53\n"
	  "-A POSTROUTING -s fd00::/64 -o wan -j MASQUERADE\nCOMMIT\n",
	  { { "PREROUTING", 1, "DNAT", 6, 80, false, "fd00::2:8080", "" },
	    { "PREROUTING", 2, "DNAT", 0, 0, false, "fd00::3", "" },
	    { "PREROUTING", 3, "DNAT", 17, 53, false, "fd00::4-fd00::6:53", "" },
	    { "POSTROUTING", 1, "MASQUERADE", 0, 0, false, NULL, "" } } },
	{ "IPv6 filter",
	  "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	  "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m hl --hl-eq 255 -j ACCEPT\n-A INPUT -m rt --rt-type 0 -j DROP\n"
	  "-A INPUT -s fe80::/10 -p udp -m udp --dport 546 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp6-adm-prohibited\nCOMMIT\n",
	  { { "INPUT", 1, "ACCEPT", 58, 0, true, NULL, "" },
	    { "INPUT", 2, "DROP", 0, 0, true, NULL, "" },
	    { "INPUT", 3, "ACCEPT", 17, 546, false, NULL, "" } } },
};

static void translation(const struct rule *r, char *text, size_t size)
{
	char from[ADDR_TEXT_MAX] = "", until[ADDR_TEXT_MAX] = "", port[8] = "";

	if (r->to_from.family)
		addr_print(&r->to_from, from);
	if (r->to_from.family && !addr_equal(&r->to_from, &r->to_until))
		addr_print(&r->to_until, until);
	if (r->to_port_from)
		snprintf(port, sizeof(port), ":%u", r->to_port_from);
	snprintf(text, size, "%s%s%s%s", from, until[0] ? "-" : "", until, port);
}

static void check_rule(const struct ruleset *s, const struct table *t, const struct asked *a)
{
	const struct chain *c = table_chain(t, a->chain);
	const struct rule_text *text = c ? chain_rule(c, a->number) : NULL;
	struct rule r;
	char to[160];

	if (!text || rule_parse(&r, text->text, text->len) < 0)
		fail_msg("%s: %s %u is not read", s->name, a->chain, a->number);
	translation(&r, to, sizeof(to));
	if (strcmp(r.target, a->target) || r.proto != a->proto || r.other != a->other ||
	    (r.dport_count ? r.dports[0].from : 0) != a->dport || strcmp(to, a->to ? a->to : "") ||
	    strcmp(r.comment, a->comment))
		fail_msg("%s: %s %u: %s proto %u dport %u other %d to %s comment %s", s->name,
			 a->chain, a->number, r.target, r.proto, r.dports[0].from, r.other, to,
			 r.comment);
}

static void each_rule_is_found_and_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rulesets) / sizeof(rulesets[0]); i++) {
		const struct ruleset *s = &rulesets[i];
		struct table t;

		if (table_parse(&t, s->text, strlen(s->text)) < 0)
			fail_msg("%s: no table", s->name);
		for (const struct asked *a = s->asked; a < s->asked + 6 && a->chain; a++)
			check_rule(s, &t, a);
		table_clear(&t);
	}
}

static void no_rule_is_lost_or_added(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rulesets) / sizeof(rulesets[0]); i++) {
		const char *p = rulesets[i].text;
		size_t lines = 0, rules = 0;
		struct table t;

		while ((p = strstr(p, "\n-A "))) {
			lines++;
			p++;
		}
		assert_int_equal(table_parse(&t, rulesets[i].text, strlen(rulesets[i].text)), 0);
		for (uint32_t c = 0; c < t.chain_count; c++) {
			struct rule r;

			rules += t.chains[c].rule_count;
			for (uint32_t n = 1; n <= t.chains[c].rule_count; n++) {
				const struct rule_text *text = chain_rule(&t.chains[c], n);

				assert_int_equal(rule_parse(&r, text->text, text->len), 0);
			}
		}
		assert_int_equal(rules, lines);
		table_clear(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_is_found_and_read),
		cmocka_unit_test(no_rule_is_lost_or_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
