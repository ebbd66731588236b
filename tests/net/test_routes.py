"""Ways that are not straight: hosts that nobody watches, loops, hosts passed twice, answers by another way, many next hops."""
import socket
import time

import pytest

import traffic
import ways
from fleet import GONE, end, part
from ways import check, left, right


def strangers(answer, direction="original"):
    """[(host behind it, address, TTL steps, [(kind, from, to)])]"""
    return [(hop["host"], hop["stranger"]["addr"], hop["stranger"]["ttl_steps"],
             [(n["kind"], n["from"], n["to"]) for n in hop["stranger"]["nat"]])
            for hop in answer["hops"] if hop["direction"] == direction and hop["stranger"]]


@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_strangers_on_the_way(fleet, six):
    """x1 only routes, x2 translates both ends: neither has an agent. What they did shows where the packet comes out."""
    cl, g1, x1, x2, rt, sv = ways.chain(fleet, "cl", "g1", "x1", "x2", "rt", "sv")
    target = right(5, six)
    x2.rules("-t nat -A POSTROUTING -o east -j MASQUERADE",
             "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination %s" % end(target, 8080), version=6 if six else 4)
    x1.rules("-A FORWARD -p tcp --sport 40003 -j DROP", version=6 if six else 4)
    rt.rules("-A FORWARD -p tcp --sport 40001 -j DROP", version=6 if six else 4)
    g1.rules("-A FORWARD -p tcp --dport 40002 -j DROP", version=6 if six else 4)
    sv.serve("tcp", 8080)
    if six:
        ways.warm(cl, target)
    fleet.start_collector()
    fleet.start_agents(cl, g1, rt, sv)
    fleet.trace("tcp %s %s" % (left(0, six), end(target, 80)))
    fleet.trace("-p tcp -d %s --dport 8080" % target)
    met = [cl.tcp(target, 80, src=left(0, six), sport=40000 + n, timeout=0.3).outcome for n in range(4)]
    assert met == ["answered", "silent", "silent", "silent"]
    answers = [fleet.where("tcp %s %s" % (end(left(0, six), 40000 + n), end(target, 80))) for n in range(4)]

    check(answers[0], verdict="delivered", matched=1, reply_seen=True)
    assert ways.hosts(answers[0]) == ["cl", "g1", "rt", "sv"] and ways.hosts(answers[0], "reply") == ["sv", "rt", "g1", "cl"]
    made = [("dnat", end(target, 80), end(target, 8080)), ("snat", end(left(0, six), 40000), end(left(3, six), 40000))]
    assert strangers(answers[0]) == [("rt", right(2, six), 2, made)]
    assert [(host, steps) for host, _, steps, _ in strangers(answers[0], "reply")] == [("g1", 2)]
    check(answers[1], verdict="dropped", direction="original", died_at={"host": "rt", "chain": "FORWARD", "rule": 1})
    assert ways.hosts(answers[1]) == ["cl", "g1", "rt"]
    check(answers[2], verdict="dropped", direction="reply", died_at={"host": "g1", "chain": "FORWARD", "rule": 1})
    assert ways.hosts(answers[2], "reply") == ["sv", "rt", "g1"]
    check(answers[3], verdict="left", died_at=None)
    assert ways.hosts(answers[3]) == ["cl", "g1"] and strangers(answers[3]) == []
    screen = fleet.screen("tcp %s %s" % (end(left(0, six), 40000), end(target, 80))).stdout
    assert "no agent, 2 routers by the TTL" in screen and "SNAT  " + made[1][1] in screen
    packets = fleet.lasthop("path", "tcp", end(left(0, six), 40000), end(target, 80), status=0).stdout
    assert "no agent, 2 routers by the TTL" in packets


def test_a_host_that_was_not_tracing_is_no_stranger(fleet):
    """rt has an agent that the lease did not name."""
    cl, rt, sv = ways.chain(fleet, "cl", "rt", "sv")
    sv.rules("-A INPUT -p udp --dport 53 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.20.0.1 10.21.0.2:53", on=["cl", "sv"])
    cl.udp("10.21.0.2", 53, timeout=0.1)
    answer = fleet.where("udp 10.20.0.1 10.21.0.2:53")
    check(answer, verdict="dropped", died_at={"host": "sv", "rule": 1})
    assert part(answer["hops"][1]["stranger"], {"host": "rt", "ttl_steps": 1, "nat": []}) == {
        "host": "rt", "ttl_steps": 1, "nat": []}


@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_a_forwarding_loop(fleet, six):
    """Two routers send it to one another until its TTL ends: they are named, whether it was traced or not."""
    cl, r1, r2 = ways.chain(fleet, "cl", "r1", "r2")
    target = "2001:db8:99::1" if six else "10.99.0.1"
    for host, via in ((cl, right(1, six)), (r1, right(2, six)), (r2, left(1, six))):
        host.ip("route add %s via %s" % (target, via))
    r2.forward()
    r1.rules("-A FORWARD -p tcp -j DROP", version=6 if six else 4)
    if six:
        ways.warm(cl, right(2, six))
    fleet.start_collector()
    fleet.start_agents()
    cl.udp(target, 53, src=left(0, six), sport=40000, timeout=0.1)
    untraced = fleet.where("udp %s %s" % (end(left(0, six), 40000), end(target, 53)))
    check(untraced, verdict="discarded", died_at={"host": "r2", "kind": "kernel", "rule": None},
          loop={"hosts": ["r2", "r1"], "by": "routes", "rounds": None})
    assert untraced["causes"][0]["id"] == "ttl-expired" and "forwarding loop" in untraced["causes"][0]["summary"]

    fleet.trace("udp %s %s" % (left(0, six), end(target, 53)))
    cl.udp(target, 53, src=left(0, six), sport=40001, timeout=0.1)
    answer = fleet.where("udp %s %s" % (end(left(0, six), 40001), end(target, 53)))
    check(answer, verdict="discarded", matched=1, packets=1, died_at={"host": "r2", "kind": "kernel", "rule": None},
          loop={"hosts": ["r2", "r1"], "by": "packet", "rounds": 30})
    assert answer["causes"][0]["id"] == "ttl-expired"
    assert ways.hosts(answer) == ["cl"] + ["r1", "r2"] * 32
    assert [hop["ttl_in"] for hop in answer["hops"]] == [None] + list(range(64, 0, -1))
    screen = fleet.screen("udp %s %s" % (end(left(0, six), 40001), end(target, 53))).stdout
    assert "30 more rounds of r2, r1" in screen and len(screen.splitlines()) < 40


def test_a_firewall_beside_the_router(fleet):
    """The router's policy sends it to a firewall and then on: it passes the router twice, which is no loop."""
    cl, rt, sv = ways.chain(fleet, "cl", "rt", "sv")
    fw = fleet.host("fw")
    fleet.link(rt, "fw", "10.50.0.1/24", fw, "eth0", "10.50.0.2/24")
    fw.ip("route add default via 10.50.0.1")
    fw.forward()
    fw.sysctl(ipv4__conf__all__send_redirects=0, ipv4__conf__eth0__send_redirects=0)
    rt.ip("route add default via 10.50.0.2 table 100", "rule add iif west lookup 100")
    rt.rules("-A FORWARD -i fw -p tcp --sport 40002 -j DROP")
    fw.rules("-A FORWARD -p tcp --sport 40001 -j DROP")
    sv.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.20.0.1 10.21.0.2:80")
    met = [cl.tcp("10.21.0.2", 80, sport=40000 + n, timeout=0.3).outcome for n in range(3)]
    assert met == ["answered", "silent", "silent"]
    answers = [fleet.where("tcp 10.20.0.1:%d 10.21.0.2:80" % (40000 + n)) for n in range(3)]
    check(answers[0], verdict="delivered", matched=1, loop=None, reply_seen=True)
    assert ways.hosts(answers[0]) == ["cl", "rt", "fw", "rt", "sv"] and ways.hosts(answers[0], "reply") == ["sv", "rt", "cl"]
    check(answers[1], verdict="dropped", died_at={"host": "fw", "rule": 1})
    assert ways.hosts(answers[1]) == ["cl", "rt", "fw"]
    check(answers[2], verdict="dropped", died_at={"host": "rt", "rule": 1})
    assert ways.hosts(answers[2]) == ["cl", "rt", "fw", "rt"]


def two_ways(fleet):
    """A second router r2 between the client and the server."""
    cl, r1, sv = ways.chain(fleet, "cl", "r1", "sv")
    r2 = fleet.host("r2")
    fleet.link(cl, "two", "10.60.0.1/24", r2, "west", "10.60.0.2/24")
    fleet.link(r2, "east", "10.61.0.1/24", sv, "two", "10.61.0.2/24")
    r2.ip("route add 10.20.0.0/24 via 10.60.0.1", "route add 10.21.0.0/24 via 10.61.0.2")
    r2.forward()
    return cl, r1, r2, sv


def test_the_answer_goes_another_way(fleet):
    """The second router never saw the request: its answer is INVALID there, or dies by a rule."""
    cl, r1, r2, sv = two_ways(fleet)
    sv.ip("route del 10.20.0.0/24 via 10.21.0.1", "route add 10.20.0.0/24 via 10.61.0.1")
    r2.rules("-A FORWARD -p tcp --dport 40001 -j DROP", "-A FORWARD -p tcp --dport 40002 -m conntrack --ctstate INVALID -j DROP")
    sv.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.20.0.1 10.21.0.2:80")
    met = [cl.tcp("10.21.0.2", 80, src="10.20.0.1", sport=40000 + n, timeout=0.3).outcome for n in range(3)]
    assert met == ["answered", "silent", "silent"]
    answers = [fleet.where("tcp 10.20.0.1:%d 10.21.0.2:80" % (40000 + n)) for n in range(3)]
    check(answers[0], verdict="delivered", reply_seen=True)
    assert ways.hosts(answers[0]) == ["cl", "r1", "sv"] and ways.hosts(answers[0], "reply") == ["sv", "r2", "cl"]
    for n in (1, 2):
        check(answers[n], verdict="dropped", direction="reply", died_at={"host": "r2", "chain": "FORWARD", "rule": n})
        assert ways.hosts(answers[n], "reply") == ["sv", "r2"]


def test_many_ways_and_one_is_closed(fleet):
    """ECMP by ports behind the first router: each connection has its way, and only those by r2 die."""
    cl, r0, r1, sv = ways.chain(fleet, "cl", "r0", "r1", "sv")
    r2 = fleet.host("r2")
    fleet.link(r0, "two", "10.60.0.1/24", r2, "west", "10.60.0.2/24")
    fleet.link(r2, "east", "10.61.0.1/24", sv, "two", "10.61.0.2/24")
    r2.ip("route add 10.20.0.0/24 via 10.60.0.1", "route add 10.22.0.0/24 via 10.61.0.2")
    r2.forward()
    r0.sysctl(ipv4__fib_multipath_hash_policy=1)
    r0.ip("route del 10.22.0.0/24 via 10.21.0.2", "route add 10.22.0.0/24 nexthop via 10.21.0.2 nexthop via 10.60.0.2")
    r2.rules("-A FORWARD -p udp -j DROP")
    sv.serve("udp", 53)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.20.0.1 10.22.0.2:53")
    met = {port: cl.udp("10.22.0.2", 53, sport=port, timeout=0.1).outcome for port in range(40000, 40012)}
    assert set(met.values()) == {"answered", "silent"}
    answer = fleet.where("udp 10.20.0.1 10.22.0.2:53")
    check(answer, verdict="dropped", matched=12, died_at={"host": "r2", "rule": 1})
    told = {a["flow"]["sport"]: a["verdict"] for a in [answer] + answer["others"]}
    assert told == {port: "delivered" if outcome == "answered" else "dropped" for port, outcome in met.items()}
    for port, outcome in met.items():
        way = ["cl", "r0", "r1", "sv"] if outcome == "answered" else ["cl", "r0", "r2"]
        assert ways.hosts(fleet.where("udp 10.20.0.1:%d 10.22.0.2:53" % port)) == way


def test_lost_to_one_of_two_routers(fleet):
    """A rule of the client's routing chooses r2, which is gone: that r1 saw nothing does not make it the one that failed. What the
    rule asks for (a user) nobody can see in a packet: any of both."""
    cl, r1, r2, sv, lan = (fleet.host(name) for name in ("cl", "r1", "r2", "sv", "lan"))
    lan.ip("link add br0 type bridge", "link set br0 up")
    for n, host in enumerate((cl, r1, r2)):
        fleet.link(host, "eth0", "10.70.0.%d/24" % (n + 1), lan, "p%d" % n, [])
        lan.ip("link set p%d master br0" % n)
    fleet.link(r1, "east", "10.71.1.1/24", sv, "one", "10.71.1.2/24")
    fleet.link(r2, "east", "10.71.2.1/24", sv, "two", "10.71.2.2/24")
    sv.ip("addr add 10.72.0.1/32 dev lo", "route add 10.70.0.0/24 via 10.71.1.1")
    for host, via in ((r1, "10.71.1.2"), (r2, "10.71.2.2")):
        host.forward()
        host.ip("route add 10.72.0.1 via " + via)
    cl.ip("route add 10.72.0.1 via 10.70.0.2", "route add default via 10.70.0.3 table 100", "rule add dport 81 ipproto tcp uidrange 0-4294967294 lookup 100")
    sv.serve("tcp", 81)
    fleet.start_collector()
    fleet.start_agents(cl, r1, r2, sv)
    fleet.trace("-p tcp -d 10.72.0.1")
    assert cl.tcp("10.72.0.1", 81, sport=40000, timeout=0.3).outcome == "answered"
    answer = fleet.where("tcp 10.70.0.1:40000 10.72.0.1:81")
    check(answer, verdict="delivered")
    assert ways.hosts(answer) == ["cl", "r2", "sv"]
    cl.ip("neigh replace 10.70.0.3 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    assert cl.tcp("10.72.0.1", 81, sport=40001, timeout=0.3).outcome == "silent"
    time.sleep(2 * GONE)    # a packet is lost only once it could not arrive any more
    answer = fleet.where("tcp 10.70.0.1:40001 10.72.0.1:81")
    check(answer, verdict="lost", died_at={"host": "cl", "kind": "link", "between": ["cl", None]})
    assert "any of" in answer["causes"][0]["summary"]


def test_the_same_addresses_at_two_sites(fleet):
    """Two clients with one address and one port, at the same time, behind two gateways: one is let in, the other not."""
    cl, g1, rt, sv = ways.chain(fleet, "cl", "g1", "rt", "sv")
    c9, g9 = fleet.host("c9"), fleet.host("g9")
    fleet.link(c9, "east", "10.20.0.1/24", g9, "west", "10.20.0.2/24")
    fleet.link(g9, "east", "10.90.0.1/24", rt, "nine", "10.90.0.2/24")
    c9.ip("route add default via 10.20.0.2")
    g9.ip("route add default via 10.90.0.2")
    g9.forward()
    sv.ip("route add 10.90.0.0/24 via 10.22.0.1")
    for gateway in (g1, g9):
        gateway.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    sv.rules("-A INPUT -s 10.21.0.1 -j DROP")
    sv.serve("tcp", 80)
    sv.serve("udp", 53)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-d 10.22.0.2")
    for kind, port in (("tcp", 80), ("udp", 53)):
        met = [getattr(host, kind)("10.22.0.2", port, sport=40000, timeout=0.3).outcome for host in (cl, c9)]
        assert met == ["silent", "answered"]
    for kind, port in (("tcp", 80), ("udp", 53)):
        answer = fleet.where("%s 10.20.0.1:40000 10.22.0.2:%d" % (kind, port))
        check(answer, verdict="dropped", matched=2, died_at={"host": "sv", "rule": 1})
        assert ways.hosts(answer) == ["cl", "g1", "rt", "sv"] and ways.hosts(answer, "reply") == []
        assert [other["verdict"] for other in answer["others"]] == ["delivered"]
        # asked by what the gateways made of it, each is alone
        check(fleet.where("%s 10.21.0.1:40000 10.22.0.2:%d" % (kind, port)), verdict="dropped", matched=1)
        answer = fleet.where("%s 10.90.0.1:40000 10.22.0.2:%d" % (kind, port))
        check(answer, verdict="delivered", matched=1, reply_seen=True)
        assert ways.hosts(answer) == ["c9", "g9", "rt", "sv"] and ways.hosts(answer, "reply") == ["sv", "rt", "g9", "c9"]


def test_no_port_is_left_behind_one_address(fleet):
    """The gateway has one port, and it is taken: no rule is to blame."""
    cl, gw, sv = ways.chain(fleet, "cl", "gw", "sv")
    gw.rules("-t nat -A POSTROUTING -o east -p tcp -j SNAT --to-source 10.21.0.1:5000-5000", "-A FORWARD -p udp -j DROP")
    sv.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents()
    with traffic._bound(cl.path, socket.SOCK_STREAM, "10.21.0.2", "10.20.0.1", 40000) as s:
        s.connect(("10.21.0.2", 80))
        assert cl.tcp("10.21.0.2", 80, sport=40001, timeout=0.3).outcome in ("silent", "unreachable")
        fleet.trace("tcp 10.20.0.1 10.21.0.2:80")
        assert cl.tcp("10.21.0.2", 80, sport=40002, timeout=0.3).outcome in ("silent", "unreachable")
        for port in (40001, 40002):
            answer = fleet.where("tcp 10.20.0.1:%d 10.21.0.2:80" % port)
            check(answer, verdict="discarded", died_at={"host": "gw", "kind": "kernel", "table": None, "rule": None})
            assert answer["causes"][0]["id"] == "nat-exhausted", answer["causes"]
            assert "10.20.0.1:40000" in " ".join(answer["causes"][0]["evidence"])
