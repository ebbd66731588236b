"""
The way of a packet through translations of every kind: `where`, `path` and `nat` tell the same, right way, and a rule
planted at any hop is named, before a translation or behind it; with a trace, and where nothing was traced but the kernel's
word of a drop and connection tracking. Nothing that was not planted is accused.

Each case sends one packet of its own source port to each fault, all planted from the beginning.
"""
import json

import pytest

import ways
from fleet import flow_of, part, wait_until
from ways import left, right


class Case:
    """nat: (host, kind, from, to), where {p} stands for the client's port. faults: (host, chain, direction)."""

    def __init__(self, hosts, prepare, dst, port, served, nat, faults, kind="tcp", six=False):
        self.hosts, self.prepare, self.dst, self.port, self.served = hosts, prepare, dst, port, served
        self.nat, self.faults, self.kind, self.six = nat, faults, kind, six


def public(hosts, address, six=False):
    """The chain's last hosts are reached by an address that is nobody's."""
    for i, host in enumerate(hosts):
        host.ip("route add %s via %s" % (address, right(i + 1, six)))


def cgnat(cl, g1, cgn, rt, sv):
    """Two gateways hide the client, a router publishes the server."""
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    cgn.rules("-t nat -A POSTROUTING -o east -p tcp -j SNAT --to-source 10.22.0.77")
    cgn.ip("addr add 10.22.0.77/24 dev east")
    public((cl, g1, cgn), "203.0.113.10/32")
    rt.rules("-t nat -A PREROUTING -d 203.0.113.10/32 -p tcp --dport 80 -j DNAT --to-destination 10.23.0.2:8080")


def native(cl, g1, rt, sv):
    """The same by nftables, in sets and maps."""
    g1.nft("""table ip mine {
        chain post { type nat hook postrouting priority 100; oifname "east" masquerade; }
    }""")
    rt.nft("""table ip mine {
        map published { type inet_service : ipv4_addr . inet_service; elements = { 80 : 10.22.0.2 . 8080 }; }
        chain pre { type nat hook prerouting priority -100; ip daddr 10.21.0.2 dnat ip to tcp dport map @published; }
    }""")


def netmap(cl, g1, rt, sv):
    g1.rules("-t nat -A POSTROUTING -o east -s 10.20.0.0/24 -j NETMAP --to 10.99.1.0/24")
    rt.rules("-t nat -A PREROUTING -d 10.98.0.0/24 -j NETMAP --to 10.22.0.0/24")
    public((cl, g1), "10.98.0.0/24")
    rt.ip("route add 10.99.1.0/24 via " + left(1))
    sv.ip("route add 10.99.1.0/24 via " + left(2))


def nat66(cl, g1, rt, sv):
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE", version=6)
    rt.rules("-t nat -A PREROUTING -d 2001:db8:99::/64 -p tcp --dport 80 -j DNAT --to-destination [2001:db8:22::2]:8080", version=6)
    public((cl, g1), "2001:db8:99::/64", six=True)
    ways.warm(cl, right(3, True))


def at_both_ends(cl, rt, sv):
    """The sender and the receiver translate themselves: OUTPUT and POSTROUTING, PREROUTING and INPUT."""
    cl.ip("addr add 10.20.0.77/24 dev east", "route add 192.0.2.1 via " + right(1))
    cl.rules("-t nat -A OUTPUT -p tcp -d 192.0.2.1 --dport 80 -j DNAT --to-destination 10.21.0.2:8080",
             "-t nat -A POSTROUTING -p tcp -j SNAT --to-source 10.20.0.77")
    sv.rules("-t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 9090",
             "-t nat -A INPUT -p tcp --dport 9090 -j SNAT --to-source 10.21.0.9")


def full_cone(out, rt, gw, sv):
    """A gateway lets everybody in by ports that it keeps for its client."""
    gw.rules("-t nat -A POSTROUTING -o west -p udp -s 10.22.0.2 -j SNAT --to-source 10.21.0.2",
             "-t nat -A PREROUTING -i west -p udp -d 10.21.0.2 --dport 5000:5010 -j DNAT --to-destination 10.22.0.2")


def hairpin(cl, g1, cgn, g2, c2):
    """Two clients behind gateways of their own behind one more: the way leads by its public address and back down."""
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    g2.rules("-t nat -A PREROUTING -i west -p tcp --dport 9000 -j DNAT --to-destination 10.23.0.2:80")
    cgn.ip("addr add 203.0.113.1/32 dev lo")
    public((cl, g1), "203.0.113.1/32")
    cgn.rules("-t nat -A PREROUTING -d 203.0.113.1 -p tcp --dport 9000 -j DNAT --to-destination 10.22.0.2",
              "-t nat -A POSTROUTING -s 10.21.0.0/24 -j SNAT --to-source 203.0.113.1")
    g2.ip("route add 203.0.113.1 via " + left(2))
    c2.ip("route add 203.0.113.1 via " + left(3))


CASES = {
    "cgnat": Case(
        ("cl", "g1", "cgn", "rt", "sv"), cgnat, "203.0.113.10", 80, 8080,
        [("g1", "masquerade", "10.20.0.1:{p}", "10.21.0.1:{p}"), ("cgn", "snat", "10.21.0.1:{p}", "10.22.0.77:{p}"),
         ("rt", "dnat", "203.0.113.10:80", "10.23.0.2:8080")],
        [("g1", "FORWARD", "original"), ("cgn", "FORWARD", "original"), ("rt", "FORWARD", "original"),
         ("sv", "INPUT", "original"), ("cgn", "FORWARD", "reply"), ("g1", "FORWARD", "reply")]),
    "nftables": Case(
        ("cl", "g1", "rt", "sv"), native, "10.21.0.2", 80, 8080,
        [("g1", "masquerade", "10.20.0.1:{p}", "10.21.0.1:{p}"), ("rt", "dnat", "10.21.0.2:80", "10.22.0.2:8080")],
        [("g1", "FORWARD", "original"), ("rt", "FORWARD", "original"), ("sv", "INPUT", "original"),
         ("rt", "FORWARD", "reply")]),
    "netmap": Case(
        ("cl", "g1", "rt", "sv"), netmap, "10.98.0.2", 80, 80,
        [("g1", "netmap", "10.20.0.1:{p}", "10.99.1.1:{p}"), ("rt", "netmap", "10.98.0.2:80", "10.22.0.2:80")],
        [("rt", "FORWARD", "original"), ("sv", "INPUT", "original")]),
    "nat66": Case(
        ("cl", "g1", "rt", "sv"), nat66, "2001:db8:99::10", 80, 8080,
        [("g1", "masquerade", "[2001:db8:20::1]:{p}", "[2001:db8:21::1]:{p}"),
         ("rt", "dnat", "[2001:db8:99::10]:80", "[2001:db8:22::2]:8080")],
        [("g1", "FORWARD", "original"), ("rt", "FORWARD", "original"), ("sv", "INPUT", "original"),
         ("g1", "FORWARD", "reply")], six=True),
    "both ends": Case(
        ("cl", "rt", "sv"), at_both_ends, "192.0.2.1", 80, 9090,
        [("cl", "dnat", "192.0.2.1:80", "10.21.0.2:8080"), ("cl", "snat", "10.20.0.1:{p}", "10.20.0.77:{p}"),
         ("sv", "redirect", "10.21.0.2:8080", "10.21.0.2:9090"), ("sv", "snat", "10.20.0.77:{p}", "10.21.0.9:{p}")],
        [("cl", "OUTPUT", "original"), ("rt", "FORWARD", "original"), ("sv", "INPUT", "original")]),
    "full cone": Case(
        ("out", "rt", "gw", "sv"), full_cone, "10.21.0.2", 5003, 5003, [("gw", "dnat", "10.21.0.2:5003", "10.22.0.2:5003")],
        [("rt", "FORWARD", "original"), ("gw", "FORWARD", "original"), ("sv", "INPUT", "original")], kind="udp"),
    "hairpin": Case(
        ("cl", "g1", "cgn", "g2", "c2"), hairpin, "203.0.113.1", 9000, 80,
        [("g1", "masquerade", "10.20.0.1:{p}", "10.21.0.1:{p}"), ("cgn", "dnat", "203.0.113.1:9000", "10.22.0.2:9000"),
         ("cgn", "snat", "10.21.0.1:{p}", "203.0.113.1:{p}"), ("g2", "dnat", "10.22.0.2:9000", "10.23.0.2:80")],
        [("cgn", "FORWARD", "original"), ("g2", "FORWARD", "original"), ("c2", "INPUT", "original")]),
}

UNTRACED, TRACED = 40000, 41000     # first source ports; the n-th fault's is n more


def plant(case, number, fault):
    """The rule that drops this fault's packets, traced and untraced; returns its text."""
    host, chain, direction = fault
    where = "-p %s -m multiport --%sports %d,%d" % (case.kind, "s" if direction == "original" else "d", UNTRACED + number,
                                                    TRACED + number)
    host.rules("-A %s %s -j DROP" % (chain, where), version=6 if case.six else 4)
    return "-A %s %s -j DROP" % (chain, where)


def kinds(nat):
    """What nobody traced is a change of addresses; which target made it is not known."""
    return [(host, "dnat" if kind in ("dnat", "redirect") or (kind == "netmap" and old.endswith(":80")) else "snat", old, new)
            for host, kind, old, new in nat]


def translators(nat):
    """The hosts that translate, in order: connection tracking runs there, and nowhere else."""
    return list(dict.fromkeys(host for host, _, _, _ in nat))


def known(fleet, flow):
    """Conntrack's word of it, which comes within a moment."""
    def asked():
        answer = json.loads(fleet.lasthop("nat", *flow.split(), "--json").stdout)
        return answer if answer["flows"] else None

    return wait_until("conntrack's word of " + flow, asked, 3)


@pytest.mark.parametrize("name", CASES)
def test_translated(fleet, name):
    case = CASES[name]
    chain = dict(zip(case.hosts, ways.chain(fleet, *case.hosts)))
    case.prepare(*chain.values())
    client, server = chain[case.hosts[0]], chain[case.hosts[-1]]
    faults = [(chain[host], table, direction) for host, table, direction in case.faults]
    rules = [plant(case, n, fault) for n, fault in enumerate(faults, 1)]
    server.serve(case.kind, case.served)
    fleet.start_collector()
    fleet.start_agents()

    def send(port, timeout=0.25):
        attempt = getattr(client, case.kind)(case.dst, case.port, src=left(0, case.six), sport=port, timeout=timeout)
        return attempt, flow_of(attempt, case.kind, case.dst, case.port)

    def nat(port):
        return [(host, kind, old.format(p=port), new.format(p=port)) for host, kind, old, new in case.nat]

    def ends(answer, n):
        host, table, direction = faults[n - 1]
        expected = {"verdict": "dropped", "direction": direction, "matched": 1, "losses": [],
                    "flow": {"src": left(0, case.six), "dst": case.dst, "dport": case.port},
                    "died_at": {"host": host.name, "table": "filter", "chain": table, "kind": "rule", "rule_text": rules[n - 1]}}
        assert part(answer, expected) == expected, ways.told(answer)

    # Nothing is traced: the kernel's word of the drop, and conntrack's of those that passed.
    attempt, flow = send(UNTRACED, 1.0)
    assert attempt.outcome == "answered"
    asked = [send(UNTRACED + n) for n in range(1, len(faults) + 1)]
    assert {attempt.outcome for attempt, _ in asked} <= {"silent", "unreachable"}
    assert [(hop["host"], n["kind"], n["from"], n["to"]) for hop in known(fleet, flow)["flows"][0]["hops"]
            for n in hop["nat"]] == kinds(nat(UNTRACED))
    answer = fleet.where(flow, status=None)
    assert ways.hosts(answer) == translators(case.nat), ways.told(answer)
    assert ways.changes(answer) == kinds(nat(UNTRACED))
    assert part(answer, {"matched": 1, "confidence": "inferred", "died_at": None}) == {
        "matched": 1, "confidence": "inferred", "died_at": None}
    assert answer["verdict"] == ("delivered" if case.hosts[-1] in translators(case.nat) else "unknown")
    for n, (_, flow) in enumerate(asked, 1):
        answer = fleet.where(flow)
        ends(answer, n)
        host, _, direction = faults[n - 1]
        behind = list(case.hosts).index(host.name) if direction == "original" else len(case.hosts)
        known_by = [name for name in translators(case.nat) if list(case.hosts).index(name) < behind]
        assert ways.hosts(answer) == known_by + ([host.name] if direction == "original" else []), ways.told(answer)
        assert ways.hosts(answer, "reply") == ([] if direction == "original" else [host.name])

    fleet.trace("%s %s %s" % (case.kind, left(0, case.six),
                              ("[%s]:%d" if case.six else "%s:%d") % (case.dst, case.port)))
    attempt, flow = send(TRACED, 1.0)
    assert attempt.outcome == "answered"
    asked = [send(TRACED + n) for n in range(1, len(faults) + 1)]
    answer = fleet.where(flow)
    expected = {"verdict": "delivered", "reply_seen": True, "died_at": None, "matched": 1, "losses": [], "loop": None}
    assert part(answer, expected) == expected, ways.told(answer)
    assert ways.hosts(answer) == list(case.hosts)
    assert ways.hosts(answer, "reply") == list(reversed(case.hosts))
    assert ways.changes(answer) == nat(TRACED)
    assert all(hop["link_confidence"] in (None, "sure") and hop["stranger"] is None for hop in answer["hops"])
    for n, (_, flow) in enumerate(asked, 1):
        answer = fleet.where(flow)
        ends(answer, n)
        host, _, direction = faults[n - 1]
        way = list(case.hosts) if direction == "original" else list(reversed(case.hosts))
        assert ways.hosts(answer, direction) == way[:way.index(host.name) + 1], ways.told(answer)
