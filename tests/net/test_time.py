"""Answers about the past: rulesets that change, agents that come late, a collector that was away."""
import signal
import time

import pytest

from fleet import GONE, flow_of, wait_until
from ways import check

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def saved_on(fleet, host, text):
    """Waits until the collector shows a ruleset that contains text; a change is noticed within a second."""
    wait_until("the collector knows the change",
               lambda: text in fleet.lasthop("rules", "show", host, "--format", "save").stdout, 2 * GONE)


def test_each_answer_cites_the_ruleset_of_its_time(fleet, std):
    std.sv.rules("-A INPUT -p udp -j ACCEPT", "-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    first = std.cl.tcp("10.0.3.2", 443, timeout=0.5)
    fleet.settle()
    std.sv.rules("-D INPUT 1", "-R INPUT 1 -p tcp --dport 443 -j REJECT --reject-with tcp-reset")
    saved_on(fleet, "sv", "REJECT")
    second = std.cl.tcp("10.0.3.2", 443, timeout=0.5)
    assert (first.outcome, second.outcome) == ("silent", "refused")

    old = fleet.where(flow_of(first, "tcp", "10.0.3.2", 443))
    check(old, verdict="dropped", died_at={
        "host": "sv", "rule": 2, "rule_text": "-A INPUT -p tcp -m tcp --dport 443 -j DROP"})
    new = fleet.where(flow_of(second, "tcp", "10.0.3.2", 443))
    check(new, verdict="rejected", died_at={
        "host": "sv", "rule": 1, "rule_text": "-A INPUT -p tcp -m tcp --dport 443 -j REJECT --reject-with tcp-reset"})
    assert old["died_at"]["content"] != new["died_at"]["content"]


def test_a_rule_replaced_by_one_of_its_length(fleet, std):
    """The table's size does not change; the text does."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    std.sv.rules("-R INPUT 1 -p tcp --dport 444 -j DROP")
    saved_on(fleet, "sv", "--dport 444")
    fleet.trace("tcp 10.0.1.2 10.0.3.2:444")
    assert std.cl.tcp("10.0.3.2", 444, timeout=0.5).outcome == "silent"
    check(fleet.where("tcp 10.0.1.2 10.0.3.2:444"), verdict="dropped", died_at={
        "host": "sv", "rule": 1, "rule_text": "-A INPUT -p tcp -m tcp --dport 444 -j DROP"})


def test_a_change_just_before_the_packet_never_accuses_the_wrong_rule(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP", "-A INPUT -p udp -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    std.sv.rules("-I INPUT 1 -p icmp -j ACCEPT")
    met = std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    assert met.outcome == "silent"
    answer = fleet.where(FLOW)
    check(answer, verdict="dropped", died_at={"host": "sv", "table": "filter", "chain": "INPUT"})
    died = answer["died_at"]
    assert (died["rule"], died["rule_text"]) == (2, "-A INPUT -p tcp -m tcp --dport 443 -j DROP") or \
        (died["rule"], died["reason"]) == (None, "ruleset-changed")


def test_an_agent_that_starts_late(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.cl, std.gw, std.rt)
    fleet.trace("-p tcp -d 10.0.3.2 --dport 443")
    before = std.cl.tcp("10.0.3.2", 443, timeout=0.5)
    check(fleet.where(flow_of(before, "tcp", "10.0.3.2", 443)), verdict="left")
    fleet.start_agents(std.sv)

    def joined():
        answer = fleet.lasthop("trace", "list", "--json", status=0).stdout
        return '"sv"' in answer and answer.count('"armed"') == 4

    wait_until("the lease stands on sv too", joined, 5 * GONE)
    after = std.cl.tcp("10.0.3.2", 443, timeout=0.5)
    answer = fleet.where(flow_of(after, "tcp", "10.0.3.2", 443))
    check(answer, verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 1})
    assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "rt", "sv"]
    # sv is watched now, and was not then: it must not be said that it never came there.
    earlier = fleet.where(flow_of(before, "tcp", "10.0.3.2", 443), status=(0, 3))
    assert earlier["verdict"] in ("left", "unknown") and earlier["died_at"] is None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_collector_that_was_restarted_in_between(fleet, std, how):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p tcp -d 10.0.3.2 --dport 443")
    before = std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    fleet.settle()
    if how == signal.SIGKILL:
        fleet.expected_deaths.add(fleet.collector.pid)
    fleet.collector.signal(how)
    assert fleet.collector.wait(GONE) is not None
    meanwhile = std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    fleet.start_collector()
    fleet.wait_ready("cl", "gw", "rt", "sv")
    after_start = fleet.trace("-p tcp -d 10.0.3.2 --dport 443")
    assert len(after_start["hosts"]) == 4
    after = std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    for met in (before, meanwhile, after):
        assert met.outcome == "silent"
        answer = fleet.where(flow_of(met, "tcp", "10.0.3.2", 443))
        check(answer, verdict="dropped", matched=1, packets=1,
              died_at={"host": "sv", "chain": "INPUT", "rule": 1})
        assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "rt", "sv"]


@pytest.mark.bpf
def test_routes_and_listeners_that_come_later(fleet, std):
    """The same flow before and after: what it died of then is told among the others."""
    std.rt.ip("route add blackhole 10.0.3.2/32")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.0.1.2 10.0.3.2:53")
    ask = "udp 10.0.1.2:5000 10.0.3.2:53"
    std.cl.udp("10.0.3.2", 53, sport=5000, timeout=0.2)
    check(fleet.where(ask), verdict="discarded", died_at={"host": "rt"})
    std.rt.ip("route del blackhole 10.0.3.2/32")
    time.sleep(1.2)    # the change is known
    std.cl.udp("10.0.3.2", 53, sport=5000, timeout=0.2, payload=b"nobody listens")
    check(fleet.where(ask), verdict="refused", died_at={"host": "sv"})
    std.sv.serve("udp", 53)
    std.cl.udp("10.0.3.2", 53, sport=5000, payload=b"somebody does")
    answer = fleet.where(ask)
    check(answer, verdict="delivered", died_at=None, reply_seen=True)
    assert [o["verdict"] for o in answer["others"]] == ["refused"]
