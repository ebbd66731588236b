"""Rules under names and at times that make it hard to say which one it was."""
import json
import socket
import struct
import threading
import time

import traffic
from fleet import Standard, flow_of, wait_until
from ways import check


FORWARD = "table inet t { chain f { type filter hook forward priority 0; %s }; }\n"


def test_a_reload_numbers_its_handles_anew(fleet):
    """
    As `nft -f` of a file that flushes first: what handle 2 was before is another rule afterwards. Where two reloads lay between
    two reads of a busy machine the rule is not known, which must be said; another one is never named.
    """
    std = Standard(fleet, masquerade=False)
    first = FORWARD % "udp dport 9001 drop; udp dport 9002 accept;"
    second = FORWARD % 'udp dport 9002 accept; udp dport 9001 drop comment "second";'
    std.gw.nft(first)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.0.1.2 10.0.3.2:9001")
    sent = []
    for text in (second, first, second):
        before = std.cl.udp("10.0.3.2", 9001, timeout=0.01)
        std.gw.nft("delete table inet t\n" + text)
        after = std.cl.udp("10.0.3.2", 9001, timeout=0.01)
        sent += [(before, second if text is first else first), (after, text)]
    for attempt, text in sent:
        answer = fleet.where(flow_of(attempt, "udp", "10.0.3.2", 9001))
        if answer["died_at"]["rule"] is None:
            check(answer, verdict="dropped", confidence="inferred", died_at={"host": "gw", "chain": "f", "rule_text": None})
            assert "ruleset-changed" in json.dumps(answer["causes"])
            continue
        check(answer, verdict="dropped", died_at={
            "host": "gw", "table": "t", "chain": "f", "rule": 1 if text is first else 2,
            "rule_text": "udp dport 9001 drop" + ("" if text is first else ' comment "second"')})
        steps = [s for hop in answer["hops"] for s in hop["steps"] if s["table"] == "t"]
        assert [s["verdict"] for s in steps] == ["drop"] and "accept" not in steps[0]["rule_text"], steps


def test_a_table_that_is_made_anew_all_the_time(fleet):
    """
    Each life of it has another text, and handles that mean another rule; the agent reads some of them. A rule is named as it stood
    when the packet met it, or not at all; with time for a read between two lives it is named.
    """
    std = Standard(fleet, masquerade=False)

    def text(n):
        return FORWARD % ("udp dport 1 accept; " * (n % 3) + 'udp dport 9001 drop comment "life %d";' % n)

    std.gw.nft(text(0))
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace("udp 10.0.1.2 10.0.3.2:9001")
    sent = []
    for n in range(1, 31):
        if n % 5 == 0:
            std.gw.run("nft", "delete", "table", "inet", "t")
            std.gw.run("nft", "-f", "-", stdin=text(n))
        else:
            std.gw.run("nft", "-f", "-", stdin="delete table inet t\n" + text(n))
        sent.append(std.cl.udp("10.0.3.2", 9001, timeout=0.4 if n % 10 == 0 else 0.001))
    std.gw.changed()
    for n, attempt in enumerate(sent, 1):
        at = fleet.where(flow_of(attempt, "udp", "10.0.3.2", 9001))["died_at"]
        assert at["host"] == "gw" and at["rule_text"] in (None, 'udp dport 9001 drop comment "life %d"' % n), at
        assert at["rule"] in (None, n % 3 + 1)

    for n in (31, 32, 33):
        std.gw.nft("delete table inet t\n" + text(n))
        attempt = std.cl.udp("10.0.3.2", 9001, timeout=0.5)
        check(fleet.where(flow_of(attempt, "udp", "10.0.3.2", 9001)), verdict="dropped", died_at={
            "rule": n % 3 + 1, "rule_text": 'udp dport 9001 drop comment "life %d"' % n})


def test_names_as_long_as_those_of_kube_proxy(fleet):
    """Two chains whose names differ behind their hundredth letter."""
    std = Standard(fleet, masquerade=False)
    name = "endpoint-5OJB2KTY-monitoring/prometheus-kube-prometheus-operator/tcp/https__2001.db8.a.b.c.d.e.f/10250-" + "x" * 100
    std.gw.nft("table inet t { chain %s/A { udp dport 1001 counter drop; }; chain %s/B { udp dport 2 accept; udp dport 1002 drop; }; "
               "chain f { type filter hook forward priority 0; udp dport 1001 goto %s/A; udp dport 1002 goto %s/B; }; }" % (
                   (name,) * 4))
    fleet.start_collector()
    fleet.start_agents(std.cl, std.rt, std.sv)
    fleet.start_agent(std.gw, config="counters_seconds: 1\n")
    for confidence in ("inferred", "observed"):
        for port, chain, rule in ((1001, name + "/A", 1), (1002, name + "/B", 2)):
            attempt = std.cl.udp("10.0.3.2", port, timeout=0.05)
            check(fleet.where(flow_of(attempt, "udp", "10.0.3.2", port)), verdict="dropped", confidence=confidence,
                  died_at={"host": "gw", "chain": chain, "rule": rule})
        fleet.trace("udp 10.0.1.2 10.0.3.2")
    wait_until("its counter", lambda: [(r["chain"], r["rule"], r["packets"]) for r in json.loads(
        fleet.lasthop("counters", "gw", "--json", "--hot").stdout)["rules"]] == [(name + "/A", 1, 2)], 8)


def test_packets_that_pass_while_leases_come_and_go(fleet):
    """Our table is replaced each time; for a moment both arm what passes, which is one packet all the same, and none that ended."""
    std = Standard(fleet, masquerade=False)
    std.sv.serve("udp", 5000).mute = True
    std.gw.rules("-A FORWARD -p udp --dport 1 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace("udp 10.0.1.2 10.0.3.2:5000", rate="10000/s")
    end = threading.Event()

    def send():
        with traffic._bound(std.cl.path, socket.SOCK_DGRAM, "10.0.3.2", "", 40000) as s:
            s.connect(("10.0.3.2", 5000))
            number = 0
            while not end.is_set():
                s.send(struct.pack("!Q", number))
                number += 1
                if number % 8 == 0:
                    time.sleep(0.002)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for n in range(60):
            lease = fleet.trace("udp 10.9.9.%d 10.9.8.1:%d" % (n + 1, n + 1))["lease"]
            fleet.lasthop("trace", "stop", lease, status=0)
    finally:
        end.set()
        sender.join()
    fleet.traffic(lambda: None)
    answer = fleet.where("udp 10.0.1.2:40000 10.0.3.2:5000", status=None)
    assert answer["died_at"] is None and answer["verdict"] in ("left", "unknown"), answer["died_at"]
    if not answer["losses"]:
        check(answer, verdict="left", matched=1)
