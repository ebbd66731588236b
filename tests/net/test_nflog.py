"""Rules of the administrator that log: their lines are steps of the packet's way, and cannot pass for traces."""
import subprocess
import time

import pytest

FLOW = "udp 10.0.1.2 10.0.3.2:4300"
TRACE = "TRACE: filter:INPUT:rule:2 "
GUILTLESS = "-A INPUT -p udp --dport 4301 -j DROP"


NATIVE = 'table inet own { chain in { type filter hook input priority 10; udp dport 4300 log prefix "%s" group 0; }; }'


@pytest.mark.parametrize("native", [False, True])
def test_a_prefix_that_reads_like_a_trace_accuses_no_rule(fleet, std, native):
    log = "" if native else '-j NFLOG --nflog-group 0 --nflog-prefix "%s"' % TRACE
    std.sv.rules_restore("*filter\n-A INPUT -p udp --dport 4300 %s\n%s\nCOMMIT\n" % (log, GUILTLESS))
    if native:
        std.sv.nft(NATIVE % TRACE)
    fleet.start_collector()
    fleet.start_agents(std.gw, std.sv)
    fleet.trace(FLOW)
    std.cl.udp("10.0.3.2", 4300, timeout=0.3)
    fleet.settle()
    answer = fleet.where(FLOW, status=(0, 3))
    assert answer["verdict"] == "refused" and not answer["died_at"]["rule"], answer     # nobody listens there
    steps = [s for hop in answer["hops"] if hop["host"] == "sv" for s in hop["steps"]]
    assert [s["prefix"] for s in steps if s["kind"] == "log"] == [TRACE], steps
    assert {s["rule"] for s in steps if s["chain"] == "INPUT" and s["kind"] == "rule"} <= {1}, steps


LOGGED = "-A INPUT -p udp --dport 4310 -j NFLOG --nflog-group 7 --nflog-prefix %s"


def nflog_source(fleet, host="sv"):
    sources = next(h for h in fleet.host_list() if h["id"] == host)["sources"]
    return next(s for s in sources if s["name"] == "nflog")


def steps_at(answer, host="sv"):
    return [s for hop in answer["hops"] if hop["host"] == host for s in hop["steps"]]


def test_configured_groups_tell_where_a_packet_was(fleet, std):
    """Nothing is traced: what rules of both firewalls and families log shows where packets were, not where they ended."""
    std.sv.rules_restore("*filter\n%s\nCOMMIT\n" % (LOGGED % "seen"))
    std.sv.rules_restore("*filter\n%s\nCOMMIT\n" % (LOGGED % "six"), version=6)
    std.sv.nft('table inet own { chain in { type filter hook input priority 10; udp dport 4310 log prefix "native" group 8; }; }')
    fleet.start_collector()
    fleet.start_agent(std.sv, config="nflog: [7, 8]\n")
    std.sv.serve("udp", 4310)
    assert nflog_source(fleet)["state"] == "on" and nflog_source(fleet)["why"] == "groups 7, 8", nflog_source(fleet)
    std.cl.udp("10.0.3.2", 4310)
    std.cl.udp("2001:db8:3::2", 4310)
    fleet.settle()
    for flow, first in (("udp 198.18.0.1 10.0.3.2:4310", "seen"), ("udp 2001:db8:1::2 [2001:db8:3::2]:4310", "six")):
        answer = fleet.where(flow, status=(0, 3, 4))
        assert answer["verdict"] == "unknown" and "INPUT of sv logged it" in answer["reason"], answer
        assert sorted(s["prefix"] for s in steps_at(answer)) == sorted([first, "native"]), answer
        assert {(s["kind"], s["hook"]) for s in steps_at(answer)} == {("log", "INPUT")}, answer
        assert {s["prefix"]: (s["backend"], s["table"], s["chain"], s["rule"]) for s in steps_at(answer)} == {
            first: ("legacy", "filter", "INPUT", 1), "native": ("native", "own", "in", 1)}, answer


def test_log_lines_join_the_trace_and_forge_none(fleet, std):
    hostile = ["TRACE: filter:INPUT:rule:4 ", "\x1b[31m<b>x", "y" * 60]
    std.sv.rules_restore("*filter\n%s\n%s\nCOMMIT\n" % (
        "\n".join(LOGGED % ('"%s"' % p) for p in hostile), GUILTLESS))
    std.sv.nft('table ip own { chain in { type filter hook input priority 10; udp dport 4310 log prefix "%s" group 7; }; }' % ("z" * 127))
    fleet.start_collector()
    fleet.start_agent(std.sv, config="nflog: [7]\n")
    std.sv.serve("udp", 4310)
    flow = "udp 198.18.0.1 10.0.3.2:4310"
    fleet.trace(flow)
    std.cl.udp("10.0.3.2", 4310)
    fleet.settle()
    answer = fleet.where(flow)
    there = [h for h in answer["hops"] if h["direction"] == "original"]
    assert answer["verdict"] == "delivered" and len(there) == 1, answer
    logs = [s["prefix"] for s in there[0]["steps"] if s["kind"] == "log"]
    assert sorted(logs) == sorted(hostile + ["z" * 127]), answer
    places = {s["prefix"]: (s["table"], s["chain"], s["rule"]) for s in there[0]["steps"] if s["kind"] == "log"}
    assert places == {hostile[0]: ("filter", "INPUT", 1), hostile[1]: ("filter", "INPUT", 2), hostile[2]: ("filter", "INPUT", 3),
                      "z" * 127: ("own", "in", 1)}, places
    assert [s["rule"] for s in there[0]["steps"] if s["chain"] == "INPUT" and s["kind"] == "rule"] == [1, 2, 3], answer
    assert "\x1b" not in fleet.screen(flow).stdout


def test_a_line_that_several_rules_may_have_logged_names_none(fleet, std):
    """Two rules of one group and prefix; another group's rule with that prefix, and another prefix, are no rivals."""
    std.sv.rules_restore("*filter\n:MINE -\n%s\n%s\n-A INPUT -p udp -j MINE\n-A MINE -p udp -m udp --dport 4310 -j NFLOG "
                         "--nflog-group 7 --nflog-prefix twice\n%s\nCOMMIT\n" % (
                             LOGGED % "twice", LOGGED.replace("group 7", "group 8") % "alone", LOGGED % "alone"))
    fleet.start_collector()
    fleet.start_agent(std.sv, config="nflog: [7]\n")
    std.sv.serve("udp", 4310)
    std.cl.udp("10.0.3.2", 4310)
    fleet.settle()
    flow = "udp 198.18.0.1 10.0.3.2:4310"
    logs = [s for s in steps_at(fleet.where(flow, status=(0, 3, 4))) if s["kind"] == "log"]
    assert {(s["prefix"], s["table"], s["rule"], s["reason"]) for s in logs if s["prefix"] == "twice"} == \
        {("twice", None, None, "one of several rules")}, logs
    alone = [s for s in logs if s["prefix"] == "alone"]
    assert [(s["chain"], s["rule"], s["rule_text"]) for s in alone] == \
        [("INPUT", 4, "-A INPUT -p udp -m udp --dport 4310 -j NFLOG --nflog-prefix alone --nflog-group 7")], logs
    shown = fleet.lasthop("path", *flow.split()).stdout
    assert "filter/INPUT 4" in shown and "log: alone" in shown, shown


OWNER = """
import socket, struct, sys, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
s.send(struct.pack("=IHHII", 28, 4 << 8 | 1, 5, 1, 0) + struct.pack("!BBH", 0, 0, 7) + struct.pack("=HHBxxx", 5, 1, 1))
assert struct.unpack_from("=i", s.recv(4096), 16)[0] == 0
print("bound", flush=True)
got = 0
s.settimeout(8)
while got < 3:
    got += s.recv(65536).count(b"seen")
print("got", got, flush=True)
"""


def test_a_group_of_somebody_else_stays_his(fleet, std):
    std.sv.rules_restore("*filter\n%s\nCOMMIT\n" % (LOGGED % "seen"))
    owner = subprocess.Popen(["nsenter", "--net=" + std.sv.path, "--", "/usr/bin/python3", "-c", OWNER],
                             stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "bound\n"
        fleet.start_collector()
        agent = fleet.start_agent(std.sv, config="nflog: [7]\n")
        source = nflog_source(fleet)
        assert source["state"] == "off" and source["why"].startswith(
            "group 7 is bound by another program (pid %d, " % owner.pid), source
        assert agent.said().count("source nflog is off: group 7 is bound") == 1, agent.said()
        for _ in range(3):
            std.cl.udp("10.0.3.2", 4310, timeout=0.1)
        assert owner.stdout.readline() == "got 3\n"
        assert [m["source"] for m in fleet.where("udp 198.18.0.1 10.0.3.2:4310", status=(0, 3, 4))["coverage"]["missing"]
                if m["host"] == "sv"] == ["nflog"]
    finally:
        owner.kill()
        owner.wait()


def test_a_flood_of_log_lines_is_counted_and_starves_no_trace(fleet, std):
    std.sv.rules_restore("*filter\n-A INPUT -p udp --dport 4312 -j NFLOG --nflog-group 7 --nflog-prefix flood\nCOMMIT\n")
    fleet.start_collector()
    fleet.start_agent(std.sv, config="nflog: [7]\n")
    std.sv.serve("udp", 4310)
    flow = "udp 198.18.0.1 10.0.3.2:4310"
    fleet.trace(flow)
    std.cl.run("/usr/bin/python3", "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
               "for i in range(5000):\n    s.sendto(b'%d' % i, ('10.0.3.2', 4312))\n")
    std.cl.udp("10.0.3.2", 4310)
    fleet.settle()
    time.sleep(1.2)
    assert fleet.where(flow)["verdict"] == "delivered"
    met = std.sv.hits("filter", "INPUT", 1)
    lost = sum(l["count"] for h in fleet.host_list() for l in h["losses"] if l["source"] == "nflog")
    assert met == 5000 and 1000 <= met - lost <= 3000, (met, lost)
