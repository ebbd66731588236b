"""Kinds of flows and what makes them hard to tell apart."""
from fleet import flow_of
from ways import check, hosts, warm


def test_two_clients_with_one_source_port(fleet, std):
    """Both use port 40000; the gateway keeps it for one and changes it for the other. One is let in."""
    c2 = std.second_client()
    std.publish(443, "10.0.3.2:8443")
    std.gw.rules("-A FORWARD -i lan2 -p tcp --dport 443 -j DROP")
    std.sv.serve("tcp", 8443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p tcp -d 203.0.113.10 --dport 443")
    first = std.cl.tcp("203.0.113.10", 443, sport=40000)
    second = c2.tcp("203.0.113.10", 443, sport=40000)
    assert (first.outcome, second.outcome) == ("answered", "silent")

    answer = fleet.where(flow_of(first, "tcp", "203.0.113.10", 443))
    check(answer, verdict="delivered", matched=1, flow={"src": "10.0.1.2", "sport": 40000})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"]
    answer = fleet.where(flow_of(second, "tcp", "203.0.113.10", 443))
    check(answer, verdict="dropped", matched=1, flow={"src": "10.0.4.2", "sport": 40000},
          died_at={"host": "gw", "chain": "FORWARD", "rule": 1})
    assert hosts(answer) == ["c2", "gw"]


def test_two_clients_with_one_source_port_at_once(fleet, std):
    """Both connections live at the same time: the gateway must give the second another port."""
    c2 = std.second_client()
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p tcp -d 10.0.3.2 --dport 443")
    first = std.cl.tcp("10.0.3.2", 443, sport=40001, timeout=0.5)
    second = c2.tcp("10.0.3.2", 443, sport=40001, timeout=0.5)
    for met, name in ((first, "cl"), (second, "c2")):
        assert met.outcome == "silent"
        answer = fleet.where(flow_of(met, "tcp", "10.0.3.2", 443))
        check(answer, verdict="dropped", matched=1, packets=1, flow={"src": met.src, "sport": 40001},
              died_at={"host": "sv", "chain": "INPUT", "rule": 1})
        assert hosts(answer) == [name, "gw", "rt", "sv"]
        nat = answer["hops"][1]["nat"]
        assert len(nat) == 1 and nat[0]["from"] == "%s:40001" % met.src and nat[0]["to"].startswith("198.18.0.1:")
        assert answer["hops"][3]["tuple_in"]["sport"] == int(nat[0]["to"].split(":")[1])


def test_retransmissions_of_one_syn(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")
    met = std.cl.tcp("10.0.3.2", 443, timeout=3.5)
    assert met.outcome == "silent"
    sent = std.sv.hits("filter", "INPUT", 1)    # how many is the kernel's choice: it may try linearly at first
    assert sent >= 3
    check(fleet.where("tcp 10.0.1.2 10.0.3.2:443"), verdict="dropped", matched=1, packets=sent, partial=False,
          died_at={"host": "sv", "chain": "INPUT", "rule": 1})


def test_a_retransmission_that_arrives_counts_as_arrived(fleet, std):
    """Only the first SYN meets the rule: the second of one connection passes."""
    std.sv.serve("tcp", 443)
    std.sv.rules("-A INPUT -p tcp --dport 443 --syn -m statistic --mode nth --every 1000 --packet 0 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")
    assert std.cl.tcp("10.0.3.2", 443, timeout=2.5).outcome == "answered"
    check(fleet.where("tcp 10.0.1.2 10.0.3.2:443"), verdict="delivered", matched=1, reply_seen=True)


def test_icmp_echo(fleet, std):
    std.sv.rules("-A INPUT -p icmp --icmp-type echo-request -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("icmp 10.0.1.2 10.0.3.2")
    assert std.cl.ping("10.0.3.2", 77, count=2).outcome == "silent"
    answer = fleet.where("icmp 10.0.1.2 10.0.3.2")
    check(answer, verdict="dropped", direction="original", packets=2, died_at={
        "host": "sv", "chain": "INPUT", "rule": 1,
        "rule_text": "-A INPUT -p icmp -m icmp --icmp-type 8 -j DROP"})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"]
    assert answer["flow"]["proto"] == "icmp"


def test_icmp_echo_answered(fleet, std):
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("icmp 10.0.1.2 10.0.3.2")
    assert std.cl.ping("10.0.3.2", 78, count=2).outcome == "answered"
    answer = fleet.where("icmp 10.0.1.2 10.0.3.2")
    check(answer, verdict="delivered", reply_seen=True, died_at=None)
    assert hosts(answer) == ["cl", "gw", "rt", "sv"]
    assert hosts(answer, "reply") == ["sv", "rt", "gw", "cl"]


def test_udp_both_ways(fleet, std):
    std.sv.serve("udp", 5300)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.0.1.2 10.0.3.2:5300")
    met = std.cl.udp("10.0.3.2", 5300, count=5)
    assert met.outcome == "answered"
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:5300")
    check(answer, verdict="delivered", reply_seen=True, partial=False, matched=1, losses=[])
    assert hosts(answer) == ["cl", "gw", "rt", "sv"]
    assert answer["hops"][1]["nat"][0]["to"] == "198.18.0.1:%d" % met.sport


def test_udp_one_way(fleet, std):
    """Delivered although nobody answers."""
    std.sv.rules("-A INPUT -i lo -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.0.1.2 10.0.3.2:5301")
    sink = std.sv.serve("udp", 5301)
    sink.mute = True
    assert std.cl.udp("10.0.3.2", 5301).outcome == "silent"
    check(fleet.where("udp 10.0.1.2 10.0.3.2:5301"), verdict="delivered", reply_seen=False, died_at=None)


def test_ipv6_without_nat(fleet, std):
    std.rt.rules("-A FORWARD -p tcp --dport 80 -j ACCEPT", "-A FORWARD -p tcp --dport 443 -j DROP", version=6)
    warm(std.cl, "2001:db8:3::2")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 2001:db8:1::2 [2001:db8:3::2]:443")
    met = std.cl.tcp("2001:db8:3::2", 443)
    assert met.outcome == "silent"
    answer = fleet.where("tcp 2001:db8:1::2 [2001:db8:3::2]:443")
    check(answer, verdict="dropped", direction="original", packets=2,
          flow={"proto": "tcp", "src": "2001:db8:1::2", "sport": met.sport, "dst": "2001:db8:3::2", "dport": 443},
          died_at={"host": "rt", "backend": "legacy", "family": "ipv6", "table": "filter", "chain": "FORWARD",
                   "kind": "rule", "rule": 2, "rule_text": "-A FORWARD -p tcp -m tcp --dport 443 -j DROP"})
    assert hosts(answer) == ["cl", "gw", "rt"]
    assert all(hop["nat"] == [] for hop in answer["hops"])


def test_ipv6_delivered(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j ACCEPT", version=6)
    std.sv.serve("tcp", 443)
    warm(std.cl, "2001:db8:3::2")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 2001:db8:1::2 [2001:db8:3::2]:443")
    assert std.cl.tcp("2001:db8:3::2", 443).outcome == "answered"
    answer = fleet.where("tcp 2001:db8:1::2 [2001:db8:3::2]:443")
    check(answer, verdict="delivered", reply_seen=True)
    assert hosts(answer) == ["cl", "gw", "rt", "sv"] and hosts(answer, "reply") == ["sv", "rt", "gw", "cl"]
