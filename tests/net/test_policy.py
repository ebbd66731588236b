"""Policy routing, reverse path filters and forwarding: the rule, route or setting that ended a packet is named, and no other."""
import time

import pytest

import ways
from fleet import GONE, end
from ways import check, left, right


def blamed(answer):
    cause = answer["causes"][0]
    culprit = cause["culprit"] or {}
    return cause["id"], culprit.get("kind"), culprit.get("rule_text")


@pytest.mark.bpf
@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_what_policy_routing_ends(fleet, six):
    """Six ways to die in one router's routing, told apart by the source port; the seventh packet has none of them.

    Their contents are equal: IPv6 has no id and a fingerprint no ports, so that only the ports keep their paths apart."""
    cl, rt, sv = ways.chain(fleet, "cl", "rt", "sv")
    src, dst, ip = left(0, six), right(2, six), ["ip", "-6" if six else "-4"]
    for line in ("rule add prio 100 ipproto udp sport 40001 blackhole",
                 "rule add prio 101 from %s iif west sport 40002 unreachable" % src,
                 "rule add prio 102 to %s sport 40003-40003 prohibit" % dst,
                 "rule add prio 103 fwmark 0x1/0x3 lookup 100",
                 "route add blackhole %s table 100" % dst,
                 "rule add prio 104 iif west sport 40005 lookup 101",
                 "route add prohibit default table 101",
                 "rule add prio 105 sport 40006 goto 200",
                 "rule add prio 110 iif nosuch blackhole",
                 "rule add prio 200 sport 40006 blackhole"):
        rt.run(*ip, *line.split())
    rt.rules("-t mangle -A PREROUTING -p udp --sport 40004 -j MARK --set-mark 5", version=6 if six else 4)
    expected = {40001: ("routing-rule", "100: from all ipproto udp sport 40001 blackhole"),
                40002: ("routing-rule", "101: from %s iif west sport 40002 unreachable" % src),
                40003: ("routing-rule", "102: from all to %s sport 40003 prohibit" % dst),
                40004: ("route", "blackhole %s table 100%s" % (dst, " metric 1024" if six else "")),
                40005: ("route", "prohibit default table 101%s" % (" metric 1024" if six else "")),
                40006: ("routing-rule", "200: from all sport 40006 blackhole")}
    sv.serve("udp", 53)
    if six:
        ways.warm(cl, dst)
    fleet.start_collector()
    fleet.start_agents()

    def ask(port):
        met = cl.udp(dst, 53, src=src, sport=port, timeout=0.1).outcome
        assert met == ("answered" if port == 40000 else "silent" if "blackhole" in expected[port][1] else met)
        return fleet.where("udp %s %s" % (end(src, port), end(dst, 53)))

    for port, (kind, text) in expected.items():
        answer = ask(port)
        check(answer, verdict="discarded", died_at={"host": "rt", "kind": "kernel", "rule": None})
        assert blamed(answer) == ("no-route", kind, text)
    fleet.trace("-p udp -d %s" % dst)
    for port, (kind, text) in expected.items():
        answer = ask(port)
        check(answer, verdict="discarded", died_at={"host": "rt", "kind": "kernel", "rule": None})
        assert blamed(answer) == ("no-route", kind, text)
    check(ask(40000), verdict="delivered", reply_seen=True)
    screen = fleet.screen("udp %s %s" % (end(src, 40001), end(dst, 53))).stdout
    assert "rule 100 of rt's policy routing is a blackhole" in " ".join(screen.split()), screen
    assert "because of rt ip rule: 100: from all ipproto udp sport 40001 blackhole" in " ".join(screen.split()), screen


@pytest.mark.bpf
@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_no_table_has_a_route(fleet, six):
    cl, rt = ways.chain(fleet, "cl", "rt", "sv")[:2]
    src, dst = left(0, six), "2001:db8:99::1" if six else "10.99.0.1"
    rt.run("ip", "-6" if six else "-4", "rule", "add", "prio", "100", "iif", "west", "lookup", "100")
    rt.run("ip", "-6" if six else "-4", "route", "add", "throw", dst, "table", "100")
    cl.ip("route add %s via %s" % (dst, right(1, six)))
    if six:
        ways.warm(cl, right(1, six))
    fleet.start_collector()
    fleet.start_agents()
    cl.udp(dst, 53, src=src, sport=40000, timeout=0.1)
    answer = fleet.where("udp %s %s" % (end(src, 40000), end(dst, 53)))
    check(answer, verdict="discarded", died_at={"host": "rt", "reason": "IP_INNOROUTES"})
    assert answer["causes"][0]["id"] == "no-route" and answer["causes"][0]["culprit"] is None
    evidence = "\n".join(answer["causes"][0]["evidence"])
    assert "100: from all iif west lookup 100" in evidence and "32766: from all lookup main" in evidence


@pytest.mark.bpf
def test_the_reverse_path_filter_of_each_interface(fleet):
    """r1 is strict and r2 loose: each refuses what it must, and the command that would help is told only where it would."""
    cl, r1, r2, sv = ways.chain(fleet, "cl", "r1", "r2", "sv")
    one, two, three, four = ("10.3%d.0.1" % n for n in range(4))
    cl.ip(*["addr add %s/32 dev lo" % a for a in (one, two, three, four)])
    r1.sysctl(ipv4__conf__west__rp_filter=1)
    r2.sysctl(ipv4__conf__west__rp_filter=2)
    r1.ip("route add %s via %s" % (one, right(2)), "route add %s via %s" % (three, left(0)), "route add %s via %s" % (four, left(0)))
    r2.ip("route add %s via %s" % (four, right(3)))
    cl.udp(right(3), 9, src=left(0), timeout=0.1)   # what asks for a neighbour bears the packet's source, and would be refused, too
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p udp -d %s" % right(3))
    answers = []
    for n, src in enumerate((one, two, three, four)):
        cl.udp(right(3), 53, src=src, sport=40000 + n, timeout=0.1)
        answers.append(fleet.where("udp %s %s" % (end(src, 40000 + n), end(right(3), 53))))
    for n, host in enumerate(("r1", "r1", "r2")):
        check(answers[n], verdict="discarded", died_at={"host": host, "reason": "IP_RPFILTER"})
        assert answers[n]["causes"][0]["id"] == "rp-filter"
    first = answers[0]["causes"][0]
    assert "strict on west, and its route to %s leads by east" % one in first["summary"]
    assert first["fix"] == ["sysctl -w net.ipv4.conf.west.rp_filter=2"] and first["fix_checked"]
    for n in (1, 2):
        cause = answers[n]["causes"][0]
        assert "has no route to" in cause["summary"] and cause["fix"] == []
    assert answers[3]["verdict"] == "refused"   # it came through both; nobody listens there
    # And the command does help.
    r1.run("sysctl", "-w", first["fix"][0].split()[-1])
    cl.udp(right(3), 53, src=one, sport=40009, timeout=0.1)
    answer = fleet.where("udp %s %s" % (end(one, 40009), end(right(3), 53)))
    check(answer, died_at={"host": "r2", "reason": "IP_RPFILTER"})


@pytest.mark.bpf
def test_one_interface_does_not_forward(fleet):
    """IPv4 asks the interface that a packet came in by; IPv6 asks the whole host."""
    cl, rt, sv = ways.chain(fleet, "cl", "rt", "sv")
    rt.sysctl(ipv4__conf__west__forwarding=0, ipv6__conf__west__forwarding=0)
    sv.serve("udp", 53)
    ways.warm(cl, right(2, True))
    fleet.start_collector()
    fleet.start_agents()
    for traced in (False, True):
        if traced:
            fleet.trace("-p udp --dport 53 -s %s" % left(0))
        cl.udp(right(2), 53, sport=40000 + traced, timeout=0.1)
        answer = fleet.where("udp %s %s" % (end(left(0), 40000 + traced), end(right(2), 53)))
        check(answer, verdict="discarded", died_at={"host": "rt", "kind": "kernel"})
        cause = answer["causes"][0]
        assert cause["id"] == "forwarding-disabled" and "west" in cause["summary"], cause
        assert cause["fix"] == ["sysctl -w net.ipv4.conf.west.forwarding=1"]
    assert cl.udp(right(2, True), 53, sport=40000, timeout=0.3).outcome == "answered"
    rt.run("sysctl", "-w", cause["fix"][0].split()[-1])
    assert cl.udp(right(2), 53, sport=40002, timeout=0.3).outcome == "answered"


@pytest.mark.parametrize("asks, known", [("ipproto udp dport 53", True), ("fwmark 1", True), ("uidrange 0-4294967294", False)])
def test_the_next_hop_by_policy(fleet, asks, known):
    """rt has two ways to the server; a rule chooses the dead one. Where it cannot be known that it did, both are told."""
    cl, rt, one, two, lan, sv = (fleet.host(name) for name in ("cl", "rt", "one", "two", "lan", "sv"))
    fleet.link(cl, "eth0", "10.1.0.1/24", rt, "in", "10.1.0.2/24")
    cl.ip("route add default via 10.1.0.2")
    lan.ip("link add br0 type bridge", "link set br0 up")
    for n, host in enumerate((rt, one, two)):
        fleet.link(host, "eth0", "10.70.0.%d/24" % (n + 1), lan, "p%d" % n, [])
        lan.ip("link set p%d master br0" % n)
    for n, host in enumerate((one, two)):
        fleet.link(host, "east", "10.7%d.0.1/24" % (n + 1), sv, "s%d" % n, "10.7%d.0.2/24" % (n + 1))
        host.ip("route add 10.99.0.1 via 10.7%d.0.2" % (n + 1), "route add 10.1.0.0/24 via 10.70.0.1")
        host.forward()
    sv.ip("addr add 10.99.0.1/32 dev lo", "route add 10.1.0.0/24 via 10.71.0.1")
    rt.forward()
    rt.ip("route add 10.99.0.1 via 10.70.0.2", "route add default via 10.70.0.3 table 100",
          "neigh replace 10.70.0.3 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    if asks == "fwmark 1":
        rt.rules("-t mangle -A PREROUTING -p udp --dport 99 -j MARK --set-mark 1")
    rt.run("ip", "rule", "add", "prio", "100", *asks.split(), "lookup", "100")
    fleet.start_collector()
    fleet.start_agents(cl, rt, one, two, sv)
    fleet.trace("-p udp -d 10.99.0.1")
    if asks == "fwmark 1":
        # No mark is on it: main's next hop is the only one that it can have gone to.
        rt.ip("neigh replace 10.70.0.2 lladdr 02:00:00:00:00:78 dev eth0 nud permanent")
    assert cl.udp("10.99.0.1", 53, sport=39999, timeout=0.3).outcome == "silent"   # what comes just after a lease's beginning proves nothing
    cl.udp("10.99.0.1", 53, sport=40000, timeout=0.1)
    time.sleep(2 * GONE)    # a packet is lost only once it could not arrive any more
    answer = fleet.where("udp 10.1.0.1:40000 10.99.0.1:53")
    expected = {"ipproto udp dport 53": "two", "fwmark 1": "one"}.get(asks) if known else None
    check(answer, verdict="lost", died_at={"host": "rt", "kind": "link", "between": ["rt", expected]})
