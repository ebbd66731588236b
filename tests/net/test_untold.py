"""Drops that nobody traced, and whose reason is not what the kernel's word for it seems to say."""
import json

import pytest

from fleet import flow_of, wait_until
from ways import check

DST = {4: "10.0.3.2", 6: "2001:db8:3::2"}


def asked(fleet, host, proto, dst, port, **more):
    attempt = getattr(host, proto)(dst, port, timeout=0.05, **more)
    return fleet.where(flow_of(attempt, proto, dst, port))


@pytest.mark.bpf
@pytest.mark.parametrize("version, key", [(4, "ipv4__conf__wan__forwarding"), (6, "ipv6__conf__all__forwarding")])
def test_an_interface_that_does_not_forward(fleet, std, version, key):
    """There is a route; and what stands in the sysctl when somebody asks need not be what stood there then."""
    wait_until("the way is open", lambda: std.cl.ping(DST[version], 7, timeout=0.3).outcome == "answered", 5)
    fleet.start_collector()
    fleet.start_agents()
    std.rt.sysctl(**{key: 0})
    attempt = std.cl.udp(DST[version], 8001, timeout=0.05)
    std.rt.sysctl(**{key: 1})
    answer = fleet.where(flow_of(attempt, "udp", DST[version], 8001))
    check(answer, verdict="discarded", confidence="observed", died_at={"host": "rt", "kind": "kernel"})
    assert [c["id"] for c in answer["causes"]] == ["forwarding-disabled"]
    assert answer["causes"][0]["summary"].startswith("rt does not forward what comes in by wan")


@pytest.mark.bpf
def test_a_queue_that_nobody_reads(fleet, std):
    """The kernel frees it without a reason; a rule with --queue-bypass lets it go on, one that it does not match is innocent."""
    std.rt.rules("-A FORWARD -p udp --dport 8001 -j NFQUEUE --queue-num 9", "-A FORWARD -p udp --dport 8002 -j NFQUEUE --queue-num 9 --queue-bypass",
                 "-A FORWARD -p tcp -j NFQUEUE --queue-num 8")
    fleet.start_collector()
    fleet.start_agents()
    answer = asked(fleet, std.cl, "udp", DST[4], 8001)
    check(answer, verdict="discarded", confidence="inferred", died_at={"host": "rt", "kind": "kernel", "reason": "NOT_SPECIFIED"})
    assert [(c["chain"], c["rule"]) for c in answer["died_at"]["candidates"]] == [("FORWARD", 1)]
    assert [c["id"] for c in answer["causes"]] == ["nfqueue-no-listener"] and "route" not in json.dumps(answer["causes"])
    check(asked(fleet, std.cl, "udp", DST[4], 8002), verdict="refused", died_at={"host": "sv"})


@pytest.mark.bpf
def test_connection_tracking_saw_the_retransmission(fleet, std):
    """Nobody traced: the first SYN died, the second made its connection, of which the server's tracking tells, too."""
    std.sv.serve("tcp", 443)
    std.sv.rules("-A INPUT -m conntrack --ctstate INVALID -j DROP")
    std.gw.rules("-A FORWARD -p tcp --dport 443 --syn -m limit --limit 1/hour --limit-burst 1 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    attempt = std.cl.tcp(DST[4], 443, timeout=3)
    assert attempt.outcome == "answered"
    answer = fleet.where(flow_of(attempt, "tcp", DST[4], 443))
    check(answer, verdict="delivered", confidence="inferred", died_at=None)
    assert [h["host"] for h in answer["hops"]] == ["gw", "sv"]
    assert [(o["verdict"], o["died_at"]["host"], o["died_at"]["rule"]) for o in answer["others"]] == [("dropped", "gw", 1)]


@pytest.mark.bpf
def test_a_bridge_that_drops_what_is_for_its_own_host(fleet):
    """Its INPUT is no hook of IP: a rule of iptables in POSTROUTING, where such a packet never comes, is not suspected."""
    a, br = fleet.host("a"), fleet.host("br")
    fleet.link(a, "e0", "10.0.9.1/24", br, "p0", [])
    br.ip("link add br0 type bridge", "link set p0 master br0", "addr add 10.0.9.9/24 dev br0", "link set br0 up")
    br.ip("link set br0 type bridge nf_call_iptables 1")
    br.nft("table bridge b { chain in { type filter hook input priority 0; policy accept; udp dport 445 drop; }; }")
    br.rules("-t mangle -A POSTROUTING -p udp -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    answer = asked(fleet, a, "udp", "10.0.9.9", 445)
    check(answer, verdict="dropped", confidence="inferred")
    assert "POSTROUTING" not in answer["died_at"]["hooks"], answer["died_at"]
    assert "b" in [c["table"] for c in answer["died_at"]["candidates"]], answer["died_at"]
