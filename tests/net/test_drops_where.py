"""Flows that died before anybody asked: no lease was ever there, the kernels themselves told."""
import contextlib
import json
import socket
import subprocess
import time

import traffic
from fleet import BIN, wait_until
from ways import check


def drops_are_on(fleet):
    for host in fleet.host_list():
        assert [s["state"] for s in host["sources"] if s["name"] == "drops"] == ["on"], host


def kernel(host, reason, kind="kernel", **more):
    return {"host": host, "kind": kind, "reason": reason, "table": None, "chain": None, "rule": None, **more}


def rule(host, chain, number, text, kind="rule"):
    return {"host": host, "kind": kind, "table": "filter", "chain": chain, "rule": number, "rule_text": text,
            "reason": "NETFILTER_DROP"}


def test_each_way_to_die_before_anyone_asked(fleet, std):
    std.rt.rules("-A FORWARD -p tcp --dport 1001 -j DROP", "-A FORWARD -p udp --dport 1006 -j REJECT")
    std.sv.rules("-A INPUT -p udp --dport 1002 -j DROP")
    std.cl.rules("-A OUTPUT -p tcp --dport 1003 -j DROP")
    std.rt.ip("route add blackhole 192.0.2.128/25")
    fleet.start_collector()
    fleet.start_agents()
    drops_are_on(fleet)
    std.cl.udp("10.0.3.77", 53, count=2)    # nobody is there: the router says so after three seconds
    asked = time.monotonic()
    std.cl.tcp("10.0.3.2", 1001, timeout=0.3)
    std.cl.udp("10.0.3.2", 1002, timeout=0.1, count=3)
    std.cl.tcp("10.0.3.2", 1003, timeout=0.3)
    std.cl.udp("192.0.2.9", 1004, timeout=0.1)
    std.cl.udp("10.0.3.2", 1006, timeout=0.1)
    std.cl.udp("192.0.2.200", 1007, timeout=0.1)
    std.cl.tcp("10.0.3.2", 81)
    std.cl.udp("10.0.3.2", 54)
    std.cl.udp("2001:db8:3::2", 55)
    std.cl.sysctl(ipv4__ip_default_ttl=2)
    std.cl.udp("10.0.3.2", 1005, timeout=0.1)
    std.cl.sysctl(ipv4__ip_default_ttl=64)

    def where(proto, dport, dst="10.0.3.2", src="10.0.1.2"):
        answer = fleet.where("%s %s %s:%d" % (proto, src, dst, dport))
        check(answer, direction="original", matched=1, losses=[])
        assert answer["flow"]["dport"] == dport and answer["last"] >= answer["first"]
        assert answer["hops"][-1]["host"] == answer["died_at"]["host"]
        return answer

    check(where("tcp", 1001), verdict="dropped", confidence="inferred", died_at=rule(
        "rt", "FORWARD", 1, "-A FORWARD -p tcp -m tcp --dport 1001 -j DROP"))
    check(where("udp", 1002), verdict="dropped", confidence="inferred", packets=3, died_at=rule(
        "sv", "INPUT", 1, "-A INPUT -p udp -m udp --dport 1002 -j DROP"))
    check(where("tcp", 1003), verdict="dropped", confidence="inferred", died_at=rule(
        "cl", "OUTPUT", 1, "-A OUTPUT -p tcp -m tcp --dport 1003 -j DROP"))
    answer = where("udp", 1004, "192.0.2.9")
    check(answer, verdict="discarded", confidence="observed", died_at=kernel("rt", "IP_INNOROUTES"))
    assert answer["causes"][0]["id"] == "no-route" and answer["hops"][-1]["in"] == "wan"
    answer = where("udp", 1007, "192.0.2.200")      # the kernel gives no reason: its route says it
    check(answer, verdict="discarded", confidence="inferred", died_at={"host": "rt", "kind": "kernel", "rule": None})
    assert answer["causes"][0]["id"] == "no-route"
    answer = where("udp", 1005)
    check(answer, verdict="discarded", confidence="observed", died_at={"host": "rt", "kind": "kernel", "rule": None})
    assert answer["causes"][0]["id"] == "ttl-expired"
    check(where("udp", 1006), verdict="rejected", died_at=rule(
        "rt", "FORWARD", 2, "-A FORWARD -p udp -m udp --dport 1006 -j REJECT --reject-with icmp-port-unreachable"))
    for proto, dport, dst, src in (("tcp", 81, "10.0.3.2", "10.0.1.2"), ("udp", 54, "10.0.3.2", "10.0.1.2"),
                                   ("udp", 55, "[2001:db8:3::2]", "2001:db8:1::2")):
        answer = where(proto, dport, dst, src)
        check(answer, verdict="refused", confidence="observed", died_at=kernel("sv", "NO_SOCKET", "socket"))
        assert answer["causes"][0]["id"] == "not-listening" and answer["hops"][-1]["in"] == "eth0"
    time.sleep(max(0.0, asked + 4.2 - time.monotonic()))
    answer = where("udp", 53, "10.0.3.77")
    check(answer, verdict="discarded", confidence="observed", packets=2, died_at=kernel("rt", "NEIGH_FAILED"))
    assert answer["causes"][0]["id"] == "neighbor-unreachable"

    # All of them stand in `drops`, rules with their text.
    listed = json.loads(fleet.lasthop("drops", "-s", "10.0.1.2", "--json", status=0).stdout)
    found = {(p["host"], p["class"], p["reason"], (p["died_at"] or {}).get("rule")) for p in listed["places"]}
    assert ("cl", "dropped", "NETFILTER_DROP", 1) in found
    listed = json.loads(fleet.lasthop("drops", "--on", "rt,s*", "--json", status=0).stdout)
    found = {(p["host"], p["class"], p["reason"], (p["died_at"] or {}).get("rule")) for p in listed["places"]}
    assert {("rt", "dropped", "NETFILTER_DROP", 1), ("rt", "rejected", "NETFILTER_DROP", 2),
            ("rt", "discarded", "IP_INNOROUTES", None), ("rt", "discarded", "NEIGH_FAILED", None),
            ("sv", "dropped", "NETFILTER_DROP", 1), ("sv", "refused", "NO_SOCKET", None)} <= found
    assert {p["host"] for p in listed["places"]} == {"rt", "sv"}
    assert fleet.lasthop("drops", "--on", "nobody").returncode == 2


def test_what_the_hosts_are_set_to(fleet, std):
    """Policy, reverse path filter, forwarding: one after the other, each with flows of its own."""
    std.sv.sysctl(ipv4__conf__all__rp_filter=1)
    std.sv.ip("route add 198.18.0.0/24 dev lo")
    fleet.start_collector()
    fleet.start_agents()
    std.cl.udp("10.0.3.2", 2001, timeout=0.1, count=2)
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:2001")
    check(answer, verdict="discarded", confidence="observed", packets=2, died_at=kernel("sv", "IP_RPFILTER"))
    assert answer["causes"][0]["id"] == "rp-filter" and answer["hops"][-1]["in"] == "eth0"
    std.rt.rules("-P FORWARD DROP")
    std.cl.udp("10.0.3.2", 2002, timeout=0.1)
    check(fleet.where("udp 10.0.1.2 10.0.3.2:2002"), verdict="dropped", confidence="inferred",
          died_at=rule("rt", "FORWARD", None, "-P FORWARD DROP", "policy"))
    std.rt.rules("-P FORWARD ACCEPT")
    std.rt.forward(False)
    std.cl.udp("10.0.3.2", 2003, timeout=0.1)
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:2003")
    check(answer, verdict="discarded", confidence="observed", died_at={"host": "rt", "kind": "kernel", "rule": None})
    assert answer["causes"][0]["id"] == "forwarding-disabled"


def test_counters_tell_which_of_two_rules_it_was(fleet, std):
    std.rt.rules("-A FORWARD -p udp -m length --length 1000:2000 -j DROP", "-A FORWARD -p udp --dport 3001 -j DROP",
                 "-A FORWARD -p udp -m length --length 0:999 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    time.sleep(1)       # once more than EDGE_NS after the first reading of the counters
    std.cl.udp("10.0.3.2", 3001, timeout=0.1, count=3)
    time.sleep(1)
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:3001")
    check(answer, verdict="dropped", confidence="inferred")
    died = answer["died_at"]
    if died["kind"] == "kernel":    # they were not read on both sides of it: both are told, none is named
        assert died["rule"] is None and [c["rule"] for c in died["candidates"]] == [1, 2]
    else:
        check(answer, died_at=rule("rt", "FORWARD", 2, "-A FORWARD -p udp -m udp --dport 3001 -j DROP"))


def test_healthy_traffic_is_accused_of_nothing(fleet, std):
    std.sv.serve("tcp", 443)
    std.sv.serve("udp", 53)
    fleet.start_collector()
    fleet.start_agents()
    for n in range(3):
        assert std.cl.tcp("10.0.3.2", 443, payload=b"x" * 20000, abort=n % 2, timeout=5).outcome in ("answered", "silent")
        # (`silent`: its echo came in more than one piece)
        assert std.cl.tcp("10.0.3.2", 443, abort=n % 2).outcome == "answered"
    assert std.cl.udp("10.0.3.2", 53, count=3).outcome == "answered"
    assert std.cl.ping("10.0.3.2", 77).outcome == "answered"
    for flow in ("tcp 10.0.1.2 10.0.3.2:443", "udp 10.0.1.2 10.0.3.2:53", "icmp 10.0.1.2 10.0.3.2", "-s 10.0.3.2"):
        answer = fleet.where(flow, status=(0, 1, 3))
        assert answer["verdict"] in ("unknown", "delivered") and answer["died_at"] is None, answer
        assert all(o["died_at"] is None for o in answer["others"]), answer


def test_drops_are_followed(fleet, std):
    std.rt.rules("-A FORWARD -p tcp --dport 1001 -m comment --comment INC-7 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    with subprocess.Popen([BIN / "lasthop", "drops", "--follow", "--json", "-p", "tcp", "--for", "4s"], stdout=subprocess.PIPE,
                          text=True, env=fleet.environment()) as follower:
        time.sleep(0.5)
        met = std.cl.tcp("10.0.3.2", 1001, timeout=1.2)
        lines = [json.loads(line) for line in follower.stdout]
        assert follower.wait() == 0
    assert sum(line["packets"] for line in lines) >= 2, lines
    for line in lines:      # its ruleset need not have been read since: then it is the one candidate
        died = line["died_at"]
        check(line, host="rt", flow={"dport": 1001}, died_at={"host": "rt"})
        assert died["rule"] == 1 or (died["rule"] is None and [c["rule"] for c in died["candidates"]] == [1]), line
    assert met.outcome == "silent" and len({line["flow"]["sport"] for line in lines}) == 1
    screen = fleet.lasthop("drops", "-p", "tcp", status=0).stdout
    assert 'rt  filter/FORWARD rule 1  "INC-7"' in screen
    assert fleet.lasthop("drops", "-p", "tcp", "--brief", status=0).stdout.count("\n") == 1


def test_who_follows_is_told_of_the_excess(fleet, std):
    """More than is told one by one: each packet is in a line or counted by one."""
    std.gw.rules("-A FORWARD -p udp --dport 9 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.gw)
    with subprocess.Popen([BIN / "lasthop", "drops", "--follow", "--json", "-p", "udp", "--for", "15s"], stdout=subprocess.PIPE,
                          text=True, env=fleet.environment()) as follower:
        time.sleep(0.5)
        with traffic.inside(std.cl.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
            for _ in range(20000):
                s.sendto(b"x", ("10.0.3.2", 9))
        lines = [json.loads(line) for line in follower.stdout]
        assert follower.wait() == 0
    excess = [line["excess"] for line in lines if "excess" in line and line["excess"]["reason"] == "NETFILTER_DROP"]
    assert excess and {e["host"] for e in excess} == {"gw"}, lines[-5:]
    told = sum(line["packets"] for line in lines if "excess" not in line) + sum(e["count"] for e in excess)
    assert told == std.gw.hits("filter", "FORWARD", 1), (told, excess)


def test_evidence_behind_a_burst_is_waited_for(fleet, std):
    """Each of 60,000 connections is told before the drop: until it is there, nothing found is not the last word."""
    std.gw.rules("-A FORWARD -p udp --dport 7 -j DROP", "-A FORWARD -m conntrack --ctstate NEW -j ACCEPT")
    fleet.start_collector()
    for host in (std.gw, std.rt):
        fleet.start_agent(host, config="conntrack_rate: 0\n")
    with traffic.inside(std.cl.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        for port in range(1024, 61024):
            with contextlib.suppress(OSError):      # errors of those before it
                s.sendto(b"x", ("10.0.3.2", port))
    std.cl.udp("10.0.3.2", 7, timeout=0.05)

    def found():
        answer = fleet.where("udp dport 7", status=(0, 3))
        assert answer["provisional"] or answer["verdict"] == "dropped", answer
        return answer["verdict"] == "dropped" and answer
    check(wait_until("the drop behind the burst", found, 60), died_at={"host": "gw", "chain": "FORWARD"})
    assert fleet.where("udp dport 7")["coverage"]["late"] == []
