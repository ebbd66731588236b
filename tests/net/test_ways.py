"""More translations, and ends that the kernel chooses outside the rules."""
import time

import pytest

from fleet import GONE
from ways import check, hosts

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def answer_to(fleet, std, flow, go):
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(flow)
    return go(), fleet.where(flow)


def test_snat_to_a_fixed_source(fleet, std):
    std.gw.rules("-t nat -F POSTROUTING", "-t nat -A POSTROUTING -s 10.0.1.0/24 -o wan -j SNAT --to-source 198.18.0.1")
    std.sv.serve("tcp", 443)
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443))
    assert met.outcome == "answered"
    check(answer, verdict="delivered", reply_seen=True)
    assert answer["hops"][1]["nat"] == [{
        "kind": "snat", "from": "10.0.1.2:%d" % met.sport, "to": "198.18.0.1:%d" % met.sport,
        "rule_text": "-A POSTROUTING -s 10.0.1.0/24 -o wan -j SNAT --to-source 198.18.0.1"}]


def test_redirect_on_the_server_and_a_rule_for_the_old_port(fleet, std):
    std.sv.rules("-t nat -A PREROUTING -p tcp --dport 443 -j REDIRECT --to-ports 8443",
                 "-A INPUT -p tcp --dport 443 -j ACCEPT", "-A INPUT -p tcp -j DROP")
    std.sv.serve("tcp", 8443)
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 2, "rule_text": "-A INPUT -p tcp -j DROP"})
    assert answer["hops"][3]["nat"] == [{
        "kind": "redirect", "from": "10.0.3.2:443", "to": "10.0.3.2:8443",
        "rule_text": "-A PREROUTING -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 8443"}]


def test_dnat_in_output_belongs_to_the_sender(fleet, std):
    std.cl.rules("-t nat -A OUTPUT -d 192.0.2.1/32 -p tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443")
    std.rt.rules("-A FORWARD -p tcp --dport 8443 -j DROP")
    flow = "tcp 10.0.1.2 192.0.2.1:443"
    met, answer = answer_to(fleet, std, flow, lambda: std.cl.tcp("192.0.2.1", 443))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={"host": "rt", "chain": "FORWARD", "rule": 1})
    assert hosts(answer) == ["cl", "gw", "rt"]
    check(answer["hops"][0], nat=[{
        "kind": "dnat", "from": "192.0.2.1:443", "to": "10.0.3.2:8443",
        "rule_text": "-A OUTPUT -d 192.0.2.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443"}])


def test_dropped_where_no_trace_goes(fleet, std):
    """A netdev chain eats it before any hook that is traced: the kernel says a rule did, which only one can have been."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    std.sv.nft("table netdev mine { chain eat { type filter hook ingress device eth0 priority 0; ip protocol tcp drop; }; }")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    assert std.cl.tcp("10.0.3.2", 443).outcome == "silent"
    time.sleep(2 * GONE)
    answer = fleet.where(FLOW)
    check(answer, verdict="dropped", direction="original", confidence="inferred",
          died_at={"host": "sv", "kind": "rule", "reason": "NETFILTER_DROP", "family": "netdev", "table": "mine",
                   "chain": "eat", "rule": 1, "hooks": ["INGRESS", "PREROUTING"]})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"]


def test_a_queue_that_nobody_reads(fleet, std):
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j NFQUEUE --queue-num 5")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    assert std.cl.tcp("10.0.3.2", 443, timeout=0.4).outcome == "silent"
    answer = fleet.where(FLOW)
    check(answer, verdict="discarded", direction="original", confidence="inferred",
          died_at={"host": "gw", "kind": "kernel", "rule": None})
    cause = answer["causes"][0]
    assert cause["id"] == "nfqueue-no-listener" and "filter/FORWARD number 1" in cause["summary"], cause
    assert any("--queue-num 5" in e for e in cause["evidence"]), cause


def test_loopback_addresses_from_outside(fleet, std):
    """DNAT to 127.0.0.1 without route_localnet: no cause of ours fits, the kernel's reason is told in words."""
    std.sv.rules("-t nat -A PREROUTING -p tcp --dport 443 -j DNAT --to-destination 127.0.0.1:8080")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    assert std.cl.tcp("10.0.3.2", 443, timeout=0.4).outcome == "silent"
    answer = fleet.where(FLOW)
    check(answer, verdict="discarded", direction="original", died_at={"host": "sv", "kind": "kernel"})
    assert "route_localnet" in (answer["died_at"]["reason_text"] or ""), answer["died_at"]
    assert "route_localnet" in fleet.screen(FLOW).stdout.replace("\n", " ")


def test_lost_where_nobody_watches(fleet, std):
    """A host without agent between the router and the server eats it; rules further on are innocent."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    std.sv.ip("link set eth0 down")
    std.sv.ip("link set eth0 address 02:00:00:00:00:99", "link set eth0 up", "route add default via 10.0.3.1")
    std.rt.ip("neigh replace 10.0.3.2 lladdr 02:00:00:00:00:77 dev net nud permanent")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    assert std.cl.tcp("10.0.3.2", 443).outcome == "silent"
    time.sleep(2 * GONE)    # a packet is lost only once it could not arrive any more
    answer = fleet.where(FLOW)
    check(answer, verdict="lost", direction="original",
          died_at={"host": "rt", "kind": "link", "between": ["rt", "sv"], "table": None, "chain": None, "rule": None})
    assert hosts(answer) == ["cl", "gw", "rt"]
    assert answer["causes"][0]["id"] == "lost-between-hosts"


def no_route(std):
    std.rt.ip("route add unreachable 10.0.9.0/24")


def short_ttl(std):
    std.gw.rules("-t mangle -A PREROUTING -i lan -j TTL --ttl-set 2")


@pytest.mark.parametrize("prepare, dst, cause, patience", [
    (no_route, "10.0.9.9", "no-route", 1.4),
    (short_ttl, "10.0.3.2", "ttl-expired", 1.4),
    (lambda std: None, "10.0.3.99", "neighbor-unreachable", 4.5),
], ids=["no route", "ttl", "no neighbour"])
def test_discarded_by_the_kernel_of_the_router(fleet, std, prepare, dst, cause, patience):
    prepare(std)
    std.rt.rules("-A FORWARD -p udp -j DROP")
    met, answer = answer_to(fleet, std, "tcp 10.0.1.2 %s:443" % dst, lambda: std.cl.tcp(dst, 443, timeout=patience))
    assert met.outcome == "unreachable"
    check(answer, verdict="discarded", direction="original", died_at={
        "host": "rt", "kind": "kernel", "table": None, "chain": None, "rule": None, "rule_text": None})
    assert hosts(answer) == ["cl", "gw", "rt"]
    assert answer["causes"][0]["id"] == cause


def test_the_reply_is_rejected(fleet, std):
    """A REJECT on the reply is `rejected`, `reply`, whatever the client saw."""
    std.gw.rules("-A FORWARD -i wan -p tcp --tcp-flags SYN,ACK SYN,ACK -j REJECT --reject-with icmp-host-prohibited")
    std.sv.serve("tcp", 443)
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443, timeout=0.7))
    assert met.outcome == "silent"
    check(answer, verdict="rejected", direction="reply",
          died_at={"host": "gw", "chain": "FORWARD", "rule": 1, "reject_with": "icmp-host-prohibited"})
    assert hosts(answer, "reply") == ["sv", "rt", "gw"]


def test_the_handshake_passes_and_the_data_does_not(fleet, std):
    std.rt.rules("-A FORWARD -p tcp -m length --length 200:1500 -j DROP")
    std.sv.serve("tcp", 443)
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443, payload=b"x" * 600, timeout=0.7))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", direction="original", partial=True, packets=std.rt.hits("filter", "FORWARD", 1),
          died_at={"host": "rt", "chain": "FORWARD", "rule": 1,
                   "rule_text": "-A FORWARD -p tcp -m length --length 200:1500 -j DROP"})


def test_goto_comes_back_to_the_policy(fleet, std):
    """RETURN out of a chain that a goto led to goes back to before the goto: to INPUT's policy."""
    std.sv.rules("-N A", "-N B", "-A INPUT -p tcp -g A", "-A INPUT -j ACCEPT", "-A A -p tcp --dport 443 -j B",
                 "-A B -p tcp -j RETURN", "-P INPUT DROP")
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={
        "host": "sv", "chain": "INPUT", "kind": "policy", "rule": None, "rule_text": "-P INPUT DROP", "jumps": []})


def test_mangle_after_routing(fleet, std):
    std.gw.rules("-t mangle -A POSTROUTING -o wan -p tcp --dport 443 -j DROP")
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={"host": "gw", "table": "mangle", "chain": "POSTROUTING", "rule": 1})
    assert hosts(answer) == ["cl", "gw"] and answer["hops"][1]["nat"] == []


def test_rules_that_log_and_rules_with_comments(fleet, std):
    std.sv.rules("-A INPUT -p tcp -j LOG", "-A INPUT -m conntrack --ctstate NEW -m comment --comment closed -j DROP")
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={
        "host": "sv", "chain": "INPUT", "rule": 2,
        "rule_text": "-A INPUT -m conntrack --ctstate NEW -m comment --comment closed -j DROP"})


def test_ends_of_a_link_with_different_mtus(fleet, std):
    """rt's interface takes less than gw sends: its driver throws large packets away, and tells nobody."""
    std.rt.ip("link set wan mtu 1200")
    std.sv.serve("tcp", 443)
    met, answer = answer_to(fleet, std, FLOW, lambda: std.cl.tcp("10.0.3.2", 443, payload=b"z" * 1400, timeout=1))
    assert met.outcome == "silent"
    check(answer, verdict="lost", direction="original", partial=True, reply_seen=True,
          died_at={"host": "gw", "kind": "link", "between": ["gw", "rt"]})
    assert [c["id"] for c in answer["causes"]] == ["mtu", "lost-between-hosts"]
    assert "wan of rt takes 1200" in answer["causes"][0]["summary"]
