"""Hosts whose rules are nftables': iptables-nft's and native ones, alone and beside legacy tables."""
import json
import re
import socket
import struct

import pytest

import traffic
from fleet import Standard, run
from test_render import attr
from ways import check

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def xtables(host, *lines, version=4):
    """Lines for iptables-nft, without the program's name."""
    for line in lines:
        host.run("ip%stables-nft" % ("" if version == 4 else "6"), *line.split())
    host.changed()


def traced(fleet, std, flow=FLOW, send=None):
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(flow)
    (send or (lambda: std.cl.tcp("10.0.3.2", 443)))()
    return fleet.where(flow)


def steps(answer, host):
    return [(s["backend"], s["table"], s["chain"], s["rule"], s["verdict"])
            for hop in answer["hops"] if hop["host"] == host for s in hop["steps"] if s["kind"] != "checkpoint"]


def saved(host, *argv):
    text = re.sub(r"(?m)^#.*\n", "", host.run(*argv).stdout)
    return re.sub(r"(?m)^(:.*) \[\d+:\d+\]$", r"\1 [0:0]", text)


def test_a_rule_of_iptables_nft_in_a_chain_of_the_admins(fleet, std):
    xtables(std.gw, "-N GUARD", "-N LOOK", "-A FORWARD -p udp -j ACCEPT", "-A FORWARD -j LOOK", "-A LOOK -p udp -j DROP",
            "-A FORWARD -p tcp -j GUARD", "-A GUARD -j LOOK", "-A GUARD -p tcp --dport 80 -j ACCEPT",
            "-A GUARD -p tcp --dport 443 -m comment --comment INC-7 -j DROP")
    answer = traced(fleet, std)
    check(answer, verdict="dropped", confidence="observed", died_at={
        "host": "gw", "backend": "nft", "family": "ipv4", "table": "filter", "chain": "GUARD", "kind": "rule", "rule": 3,
        "rule_text": "-A GUARD -p tcp -m tcp --dport 443 -m comment --comment INC-7 -j DROP"})
    assert answer["died_at"]["handle"] > 0
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("FORWARD", 3)]     # LOOK was left twice
    shown = fleet.lasthop("rules", "show", "gw", "--backend", "nft", "--family", "ipv4").stdout
    assert shown == saved(std.gw, "iptables-nft-save")


def test_a_policy_of_iptables_nft(fleet, std):
    xtables(std.sv, "-P INPUT DROP", "-A INPUT -p icmp -j ACCEPT")
    check(traced(fleet, std), verdict="dropped", died_at={
        "host": "sv", "backend": "nft", "table": "filter", "chain": "INPUT", "kind": "policy", "rule": None,
        "rule_text": "-P INPUT DROP"})


def test_a_reject_of_iptables_nft(fleet, std):
    xtables(std.gw, "-A FORWARD -p tcp --dport 443 -j REJECT --reject-with tcp-reset")
    check(traced(fleet, std), verdict="rejected", reply_seen=False, died_at={
        "host": "gw", "backend": "nft", "chain": "FORWARD", "rule": 1, "reject_with": "tcp-reset"})


def test_translations_of_iptables_nft(fleet):
    std = Standard(fleet, masquerade=False)
    xtables(std.gw, "-t nat -A POSTROUTING -o wan -j MASQUERADE")
    xtables(std.rt, "-t nat -A PREROUTING -d 203.0.113.10/32 -p tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443")
    xtables(std.sv, "-A INPUT -p tcp --dport 8443 -j DROP")
    flow = "tcp 10.0.1.2 203.0.113.10:443"
    answer = traced(fleet, std, flow, lambda: std.cl.tcp("203.0.113.10", 443, sport=40001))
    check(answer, verdict="dropped", died_at={"host": "sv", "backend": "nft", "chain": "INPUT", "rule": 1})
    nat = {hop["host"]: hop["nat"] for hop in answer["hops"]}
    assert nat["gw"] == [{"kind": "masquerade", "from": "10.0.1.2:40001", "to": "198.18.0.1:40001",
                          "rule_text": "-A POSTROUTING -o wan -j MASQUERADE"}]
    assert nat["rt"] == [{"kind": "dnat", "from": "203.0.113.10:443", "to": "10.0.3.2:8443", "rule_text":
                          "-A PREROUTING -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443"}]


NATIVE = """
table inet guard {
	set good { type inet_service; elements = { 22, 80 }; }
	chain look { udp dport 1 drop; }
	chain before { type filter hook forward priority -10; policy accept; jump look; }
	chain ports { tcp dport @good accept; tcp dport vmap { 443 : drop, 444 : accept }; }
	chain forward { type filter hook forward priority -5; policy accept; meta l4proto udp counter accept; meta l4proto tcp goto ports; }
}
"""


def test_a_verdict_map_of_a_native_table(fleet, std):
    std.gw.nft(NATIVE)
    answer = traced(fleet, std)
    check(answer, verdict="dropped", died_at={
        "host": "gw", "backend": "native", "family": "inet", "table": "guard", "chain": "ports", "kind": "rule", "rule": 2,
        "rule_text": "tcp dport vmap { 443 : drop, 444 : accept }"})
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("forward", 2)]


def test_a_native_reject_and_policy(fleet, std):
    std.gw.nft("table ip a { chain f { type filter hook forward priority 0; tcp dport 443 reject with tcp reset; }; }")
    std.sv.nft("table inet b { chain i { type filter hook input priority 0; policy drop; icmp type echo-request accept; }; }")
    check(traced(fleet, std), verdict="rejected", died_at={
        "host": "gw", "backend": "native", "table": "a", "chain": "f", "rule": 1, "reject_with": "tcp-reset",
        "rule_text": "tcp dport 443 reject with tcp reset"})
    fleet.trace("tcp 10.0.1.2 10.0.3.2:444")
    std.cl.tcp("10.0.3.2", 444)
    check(fleet.where("tcp 10.0.1.2 10.0.3.2:444"), verdict="dropped", died_at={
        "host": "sv", "family": "inet", "table": "b", "chain": "i", "kind": "policy", "rule": None})


def test_both_firewalls_in_the_order_in_which_the_packet_met_them(fleet, std):
    std.gw.rules("-t raw -A PREROUTING -p tcp -j ACCEPT", "-A FORWARD -p tcp -j ACCEPT")
    xtables(std.gw, "-t mangle -A FORWARD -p tcp -j ACCEPT", "-A FORWARD -p tcp --dport 443 -j DROP")
    answer = traced(fleet, std)
    check(answer, verdict="dropped", died_at={"host": "gw", "backend": "nft", "table": "filter", "chain": "FORWARD", "rule": 1})
    met = [(b, t) for b, t, c, r, v in steps(answer, "gw")]
    assert met.index(("legacy", "raw")) < met.index(("nft", "mangle")) < met.index(("nft", "filter"))
    host = next(h for h in fleet.host_list() if h["id"] == "gw")
    assert host["mixed"] and host["backends"] == ["legacy", "nft"]
    assert "mixed" in fleet.lasthop("hosts").stdout


def test_the_handle_decides_not_the_number(fleet, std):
    """A rule is put before the one that dropped; the answer about the old packet names the rule where it stood."""
    xtables(std.gw, "-A FORWARD -p tcp --dport 80 -j ACCEPT", "-A FORWARD -p tcp --dport 443 -j DROP")
    answer = traced(fleet, std)
    check(answer, died_at={"rule": 2})
    xtables(std.gw, "-I FORWARD 1 -p udp -j ACCEPT")
    std.cl.tcp("10.0.3.2", 443)
    answer = fleet.where(FLOW)
    check(answer, verdict="dropped", died_at={
        "chain": "FORWARD", "rule": 3, "rule_text": "-A FORWARD -p tcp -m tcp --dport 443 -j DROP"})


def test_nothing_of_the_host_changes_by_looking(fleet, std):
    """A native table only: reading makes no table of iptables-nft's, and the generation stands."""
    std.gw.nft("table inet mine { chain c { type filter hook forward priority 0; tcp dport 1 drop; }; }")
    before = std.gw.run("nft", "list", "tables").stdout
    fleet.start_collector()
    fleet.start_agents()
    assert fleet.lasthop("rules", "show", "gw", "--backend", "native").stdout == std.gw.run("nft", "-s", "list", "table", "inet", "mine").stdout
    assert std.gw.run("nft", "list", "tables").stdout.replace("table inet lasthop\n", "") == before


def test_nobody_traced_it_and_one_rule_of_nft_can_have_done_it(fleet, std):
    xtables(std.gw, "-A FORWARD -p udp -j DROP", "-A FORWARD -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    std.cl.tcp("10.0.3.2", 443)
    check(fleet.where(FLOW), verdict="dropped", confidence="inferred",
          died_at={"host": "gw", "backend": "nft", "chain": "FORWARD", "rule": 2})


def untraced(fleet, std, nft, flow=FLOW):
    std.gw.nft(nft)
    std.gw.changed()
    fleet.start_collector()
    fleet.start_agents()
    std.cl.tcp("10.0.3.2", 443)
    return fleet.where(flow)


def test_nobody_traced_it_and_one_native_rule_can_have_done_it(fleet, std):
    """The first is of other addresses, the second behind a jump that is not for TCP; the map of the third leads to it."""
    answer = untraced(fleet, std, """table inet f {
        chain services { tcp dport 443 counter drop; }
        chain other { drop; }
        chain pass { type filter hook forward priority 0; policy accept;
            ip saddr 10.99.0.0/16 drop; meta l4proto udp jump other; iifname "lan" tcp dport vmap { 443 : jump services }; }
        chain in { type filter hook input priority 0; policy drop; }
    }""")
    check(answer, verdict="dropped", confidence="inferred", died_at={
        "host": "gw", "backend": "native", "family": "inet", "table": "f", "chain": "services", "kind": "rule", "rule": 1,
        "rule_text": "tcp dport 443 counter drop", "reason": "NETFILTER_DROP", "hooks": ["FORWARD"]})


def test_nobody_traced_it_and_a_native_policy_did_it(fleet, std):
    answer = untraced(fleet, std, """table ip f { chain pass { type filter hook forward priority 5; policy drop;
        tcp dport 22 accept; }; }""")
    check(answer, verdict="dropped", confidence="inferred", died_at={
        "host": "gw", "backend": "native", "table": "f", "chain": "pass", "kind": "policy", "rule": None})


def test_nobody_traced_it_and_two_native_rules_can_have_done_it(fleet, std):
    """Neither has a counter: nobody is accused. The set of the third does not have it."""
    answer = untraced(fleet, std, """table inet f { set web { type inet_service; elements = { 443 }; }
        set other { type inet_service; elements = { 444 }; }
        chain pass { type filter hook forward priority 0; policy accept; ct state invalid drop; tcp dport @web drop;
            tcp dport @other drop; }; }""")
    check(answer, verdict="dropped", confidence="inferred", died_at={
        "host": "gw", "kind": "kernel", "rule": None, "table": None, "hooks": ["FORWARD"]})
    assert [(c["chain"], c["rule"], c["packets"]) for c in answer["died_at"]["candidates"]] == \
        [("pass", 1, None), ("pass", 2, None)]


def test_nobody_traced_it_and_a_named_map_of_verdicts_did_it(fleet, std):
    """What stands before it lets such packets go on, by sets and concatenations."""
    answer = untraced(fleet, std, """table inet f { map m { type inet_proto . inet_service : verdict; elements = { tcp . 443 : goto last }; }
        set good { type ipv4_addr; flags interval; elements = { 10.0.1.0/24 }; }
        chain last { ip saddr . tcp dport { 10.0.1.9 . 443 } drop; counter drop; }
        chain ret { ip saddr @good return; drop; }
        chain pass { type filter hook forward priority 0; policy accept; jump ret; udp dport { 443, 444 } drop;
            meta l4proto . th dport vmap @m; drop; }; }""")
    check(answer, verdict="dropped", confidence="inferred", died_at={
        "host": "gw", "table": "f", "chain": "last", "kind": "rule", "rule": 2, "rule_text": "counter drop"})


def test_nobody_traced_it_and_a_set_that_packets_fill_may_have_done_it(fleet, std):
    answer = untraced(fleet, std, """table inet f { set m { type ipv4_addr; flags dynamic; size 100; }
        chain pass { type filter hook forward priority 0; policy accept; ip saddr @m drop; tcp dport 443 drop; }; }""")
    check(answer, verdict="dropped", confidence="inferred", died_at={"host": "gw", "kind": "kernel", "rule": None})
    assert [c["rule"] for c in answer["died_at"]["candidates"]] == [1, 2]


@pytest.mark.bpf
@pytest.mark.parametrize("version", [4, 6])
def test_nobody_traced_it_and_it_was_refused_before_it_was_routed(fleet, std, version):
    """The refused packet bears the way back to its sender; rules further on, which would have had it, never met it."""
    src, dst = {4: ("10.0.1.2", "10.0.3.2"), 6: ("2001:db8:1::2", "[2001:db8:3::2]")}[version]
    std.gw.nft("""table inet f {
        chain pass { type filter hook forward priority 0; policy accept; meta l4proto { tcp, udp } drop; }
        chain early { type filter hook prerouting priority -310; policy accept; tcp dport 443 reject with tcp reset; udp dport 443 reject; }
    }""")
    fleet.start_collector()
    fleet.start_agents()
    assert std.cl.tcp(dst.strip("[]"), 443).outcome == "refused"
    std.cl.udp(dst.strip("[]"), 443)
    std.cl.udp(dst.strip("[]"), 444)
    for proto, rule in (("tcp", 1), ("udp", 2)):
        answer = fleet.where("%s %s %s:443" % (proto, src, dst), status=(0, 3))
        at = answer["died_at"]
        assert "PREROUTING" in at["hooks"], at
        if version == 4:
            check(answer, verdict="rejected", died_at={"host": "gw", "chain": "early", "kind": "rule", "rule": rule,
                                                       "hooks": ["PREROUTING"]})
        else:       # the route does not say which way it is for: both rules may have been it
            assert (at["kind"], [(c["chain"], c["rule"]) for c in at["candidates"]]) == ("kernel", [("early", rule), ("pass", 1)])
    check(fleet.where("udp %s %s:444" % (src, dst)), verdict="dropped", died_at={
        "chain": "pass", "rule": 1, "hooks": ["FORWARD"]})


def test_the_hooks_of_devices(fleet, std):
    """netdev's: egress is met by a traced packet; ingress comes before anybody can trace it, unless the admin does."""
    std.gw.nft("""table netdev d { chain out { type filter hook egress device "wan" priority 0; policy accept;
            tcp dport 443 counter drop; }
        chain in { type filter hook ingress device "lan" priority 0; policy accept;
            tcp dport 444 counter drop; tcp dport 445 meta nftrace set 1; tcp dport 445 drop; }
        chain in_wan { type filter hook ingress device "wan" priority 0; policy accept; ip protocol tcp tcp flags & ack == 0 drop; }; }""")
    std.gw.changed()
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2")
    answers = []
    for port in (443, 444, 445):
        std.cl.tcp("10.0.3.2", port)
        answers.append(fleet.where("tcp 10.0.1.2 10.0.3.2:%d" % port))
    rule = {"host": "gw", "backend": "native", "family": "netdev", "table": "d", "kind": "rule"}
    check(answers[0], verdict="dropped", confidence="observed", died_at=dict(
        rule, chain="out", rule=1, rule_text="tcp dport 443 counter drop"))
    assert [s["hook"] for s in answers[0]["hops"][-1]["steps"] if s["kind"] == "rule"][-1] == "EGRESS"
    check(answers[1], verdict="dropped", confidence="inferred", died_at=dict(
        rule, chain="in", rule=1, hooks=["INGRESS", "PREROUTING"]))
    check(answers[2], verdict="dropped", confidence="observed", died_at=dict(rule, chain="in", rule=3))
    assert answers[2]["hops"][-1]["steps"][0]["hook"] == "INGRESS"


def test_native_tables_with_the_names_of_iptables(fleet):
    """Of these iptables-nft-save prints chains that do not exist; their translations are foreseen all the same."""
    std = Standard(fleet, masquerade=False)
    std.gw.nft('table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }; }')
    std.rt.nft("table ip nat { chain pre { type nat hook prerouting priority dstnat; "
               "ip daddr 203.0.113.10 tcp dport 443 dnat to 10.0.3.2:8443; }; }")
    std.sv.nft("table ip filter { chain in { type filter hook input priority filter; ip protocol udp accept; tcp dport 8443 drop; }; }")
    answer = traced(fleet, std, "tcp 10.0.1.2 203.0.113.10:443", lambda: std.cl.tcp("203.0.113.10", 443, sport=40001))
    check(answer, verdict="dropped", confidence="observed", died_at={
        "host": "sv", "backend": "native", "family": "ipv4", "table": "filter", "chain": "in", "rule": 2,
        "rule_text": "tcp dport 8443 drop"})
    nat = {hop["host"]: hop["nat"] for hop in answer["hops"]}
    assert nat["gw"] == [{"kind": "masquerade", "from": "10.0.1.2:40001", "to": "198.18.0.1:40001",
                          "rule_text": 'oifname "wan" masquerade'}]
    assert nat["rt"] == [{"kind": "dnat", "from": "203.0.113.10:443", "to": "10.0.3.2:8443",
                          "rule_text": "ip daddr 203.0.113.10 tcp dport 443 dnat to 10.0.3.2:8443"}]
    assert fleet.lasthop("rules", "show", "sv", "--backend", "nft").stdout == ""


def test_verdict_maps_and_gotos_between_both_firewalls(fleet, std):
    std.gw.rules("-A FORWARD -p tcp -j ACCEPT")
    xtables(std.gw, "-A FORWARD -p udp -j ACCEPT")
    std.gw.nft("""table inet z {
        map m { type inet_service : verdict; elements = { 443 : goto last }; }
        chain last { ct state new reject comment "INC-9"; }
        chain middle { return; }
        chain late { type filter hook forward priority 10; jump middle; tcp dport vmap @m; }
        chain early { type filter hook forward priority -10; tcp flags syn counter; }
    }""")
    answer = traced(fleet, std)
    check(answer, verdict="rejected", died_at={
        "backend": "native", "chain": "last", "rule": 1, "reject_with": "icmpx-port-unreachable",
        "rule_text": 'ct state new reject comment "INC-9"'})
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("late", 2)]
    met = [(b, c) for b, t, c, r, v in steps(answer, "gw")
           if (b, t) != ("legacy", "nat") and c in ("early", "FORWARD", "late", "middle", "last")]
    assert list(dict.fromkeys(met)) == [("native", "early"), ("legacy", "FORWARD"), ("nft", "FORWARD"), ("native", "late"),
                                        ("native", "middle"), ("native", "last")]


def test_ipv6_in_two_families_of_nftables(fleet, std):
    xtables(std.gw, "-N G", "-A FORWARD -p tcp -g G", "-A G -p tcp --dport 443 -j DROP", version=6)
    std.gw.nft("table ip6 z { chain f { type filter hook forward priority -10; jump g; }; chain g { meta l4proto tcp counter return; }; }")
    flow = "tcp 2001:db8:1::2 [2001:db8:3::2]:443"
    answer = traced(fleet, std, flow, lambda: std.cl.tcp("2001:db8:3::2", 443))
    check(answer, verdict="dropped", died_at={
        "host": "gw", "backend": "nft", "family": "ipv6", "chain": "G", "rule": 1, "rule_text": "-A G -p tcp -m tcp --dport 443 -j DROP"})
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("FORWARD", 1)]
    assert ("native", "z", "g", 1, "return") in steps(answer, "gw")


def test_a_bridge_that_filters(fleet):
    a, br, b = (fleet.host(name) for name in ("a", "br", "b"))
    fleet.link(a, "e0", "10.0.9.1/24", br, "p0", [])
    fleet.link(b, "e0", "10.0.9.2/24", br, "p1", [])
    br.ip("link add br0 type bridge", "link set p0 master br0", "link set p1 master br0", "link set br0 up")
    br.nft("table bridge b { chain f { type filter hook forward priority filter; ip protocol icmp accept; tcp dport 443 drop; }; }")
    fleet.start_collector()
    fleet.start_agents()
    flow = "tcp 10.0.9.1 10.0.9.2:443"
    fleet.trace(flow)
    a.tcp("10.0.9.2", 443)
    check(fleet.where(flow), verdict="dropped", died_at={
        "host": "br", "backend": "native", "family": "bridge", "table": "b", "chain": "f", "rule": 2, "rule_text": "tcp dport 443 drop"})


def test_a_table_that_nft_cannot_print_does_not_hide_the_others(fleet, std, tmp_path):
    """As when the kernel is newer than nft: the table is there, its rules are not known, and nobody else's answer suffers."""
    std.gw.nft("table inet odd { chain pre { type filter hook prerouting priority 5; ip saddr 192.0.2.9 drop; }; }")
    xtables(std.gw, "-A FORWARD -p tcp --dport 443 -j DROP")
    nft = "/usr/sbin/nft"
    broken = tmp_path / "nft"
    broken.write_text("#!/bin/sh\necho 'Error: unknown expression' >&2\nexit 1\n")
    broken.chmod(0o755)
    fleet.start_collector()
    run(["mount", "--bind", broken, nft])
    try:
        fleet.start_agents()
        why = [s["why"] for h in fleet.host_list() if h["id"] == "gw" for s in h["sources"] if s["name"] == "ruleset"]
    finally:
        run(["umount", nft])
    std.gw.changed()    # what must be left at the end, looked at with the real nft
    assert why == ["nft cannot print the table odd"]
    fleet.trace(FLOW)
    std.cl.tcp("10.0.3.2", 443)
    check(fleet.where(FLOW), verdict="dropped", died_at={
        "host": "gw", "backend": "nft", "table": "filter", "chain": "FORWARD", "rule": 1,
        "rule_text": "-A FORWARD -p tcp -m tcp --dport 443 -j DROP"})


def add_tables(host, *names):
    """Over netlink a table may have any name; nft itself does not make these."""
    def message(kind, body, flags, seq):
        return struct.pack("=IHHII", 16 + len(body), kind, flags, seq, 0) + body

    def make():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
            s.bind((0, 0))
            batch = struct.pack("=BBH", 0, 0, socket.htons(10))
            out = message(0x10, batch, 1, 1)
            for seq, name in enumerate(names, 2):
                body = struct.pack("=BBH", 2, 0, 0) + attr(1, name.encode() + b"\0")
                out += message(10 << 8, body, 1 | 4 | 0x400, seq)
            s.send(out + message(0x11, batch, 1, 99))
            for _ in names:
                assert struct.unpack_from("=i", s.recv(65536), 16)[0] == 0

    traffic.inside(host.path, make)
    host.changed()


def test_tables_that_cannot_be_held_do_not_hide_the_others(fleet, std):
    """Too many of them, names too long, and names that nft would read as commands: told, and never run."""
    std.gw.nft("".join("table inet t%d { chain f { type filter hook forward priority %d; tcp dport %d drop; }; }\n" % (n, n, 400 + n)
                       for n in range(100)))
    std.sv.nft("".join("table inet t%d { chain i { type filter hook input priority %d; udp dport %d counter; }; }\n" % (n, n, 400 + n)
                       for n in range(130)) + "table inet last { chain i { type filter hook input priority 999; drop; }; }")
    add_tables(std.gw, "x; add table ip pwned", "two words", "x\ninclude \"/etc/passwd\"", "-h", "A" * 200, "", "q\"q")
    before = std.gw.run("nft", "list", "tables").stdout
    fleet.start_collector()
    fleet.start_agents()
    why = {h["id"]: s["why"] for h in fleet.host_list() for s in h["sources"] if s["name"] == "ruleset"}
    assert why["gw"].startswith("7 tables of nftables are not read") and why["sv"].startswith("11 tables of nftables are not read")
    fleet.trace("tcp 10.0.1.2 10.0.3.2")
    std.cl.tcp("10.0.3.2", 443)
    std.cl.tcp("10.0.3.2", 80)
    check(fleet.where(FLOW), verdict="dropped", died_at={
        "host": "gw", "table": "t43", "chain": "f", "rule": 1, "rule_text": "tcp dport 443 drop"})
    # That rule has no text here; that it was one of this table the trace told.
    check(fleet.where("tcp 10.0.1.2 10.0.3.2:80"), verdict="dropped", died_at={
        "host": "sv", "table": "last", "chain": "i", "kind": "rule", "rule": None, "rule_text": None})
    counted = json.loads(fleet.lasthop("counters", "sv", "--json", status=(0, 3)).stdout)
    assert {r["table"] for r in counted["rules"]} >= {"t0", "t99"}
    assert std.gw.run("nft", "list", "tables").stdout.replace("table inet lasthop\n", "") == before


@pytest.mark.parametrize("last", ["legacy", "nft"])
def test_two_firewalls_at_one_place(fleet, std, last):
    """The one that is registered later comes first: whichever it is, the packet died in the other."""
    def load(which):
        if which == "legacy":
            std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP", "-A FORWARD -p udp -j ACCEPT")
        else:
            xtables(std.gw, "-A FORWARD -p udp -j DROP", "-A FORWARD -p tcp --dport 444 -j DROP")
    load("nft" if last == "legacy" else "legacy")
    load(last)
    answers = [traced(fleet, std)]
    for proto, port in (("tcp", 444), ("udp", 443)):
        flow = "%s 10.0.1.2 10.0.3.2:%d" % (proto, port)
        fleet.trace(flow)
        getattr(std.cl, proto)("10.0.3.2", port)
        answers.append(fleet.where(flow))
    for answer, backend, rule in zip(answers, ("legacy", "nft", "nft"), (1, 2, 1)):
        check(answer, verdict="dropped", confidence="observed", died_at={
            "host": "gw", "backend": backend, "table": "filter", "chain": "FORWARD", "kind": "rule", "rule": rule})
