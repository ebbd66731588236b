"""
Bridges that see a packet more than once: what containers send out, to their host and to one another, and a one-armed router.
A bridge that asks iptables shows a packet to PREROUTING at the port, and again when it hands it up.
"""
import pytest

from ways import changes, check, hosts, told

RULES = """*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP [0:0]
-A INPUT -i docker0 -p tcp -m tcp --dport 22 -j DROP
-A INPUT -j ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 -p tcp -m tcp --dport 97 -j DROP
-A FORWARD -i docker0 -j ACCEPT
COMMIT
"""


def delivered(answer, *way, verdict="delivered", back=True):
    check(answer, verdict=verdict, matched=1)
    assert hosts(answer) == list(way), told(answer)
    assert not back or hosts(answer, "reply") == list(reversed(way)), told(answer)


def dropped(answer, host, chain, rule, *way):
    check(answer, verdict="dropped", matched=1, died_at={"host": host, "chain": chain, "rule": rule})
    assert hosts(answer) == list(way), told(answer)


@pytest.mark.parametrize("program", ["iptables-legacy-restore", "iptables-nft-restore"])
def test_what_containers_send(fleet, program):
    """c1, c2 - node - out: to the outside behind MASQUERADE, to the node itself, to one another's published port."""
    out, node, c1, c2 = (fleet.host(n) for n in ("out", "node", "c1", "c2"))
    fleet.link(out, "eth0", "10.0.9.1/24", node, "eth0", "10.0.9.2/24")
    node.ip("link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up")
    for n, host in ((2, c1), (3, c2)):
        fleet.link(host, "eth0", "172.17.0.%d/16" % n, node, "veth%d" % n, [])
        node.ip("link set veth%d master docker0" % n)
        host.ip("route add default via 172.17.0.1")
    node.forward()
    node.run("sh", "-c", "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    node.run(program, "-w", "10", stdin=RULES)
    out.serve("tcp", 98)
    node.serve("tcp", 22)
    node.serve("tcp", 23)
    c1.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p tcp -s 172.17.0.0/16")
    met = {(c.name, dst, port): c.tcp(dst, port, timeout=0.4) for c, dst, port in (
        (c1, "10.0.9.1", 98), (c1, "10.0.9.1", 99), (c1, "10.0.9.1", 97), (c2, "172.17.0.1", 23), (c2, "172.17.0.1", 24),
        (c2, "172.17.0.1", 22), (c2, "10.0.9.2", 8080), (c2, "172.17.0.2", 81))}
    assert [m.outcome for m in met.values()] == ["answered", "refused", "silent", "answered", "refused", "silent", "answered", "refused"]

    def ask(client, dst, port):
        return fleet.where("tcp %s:%d %s:%d" % (*met[client, dst, port][1:3], dst, port))

    answer = ask("c1", "10.0.9.1", 98)
    delivered(answer, "c1", "node", "out")
    sport = met["c1", "10.0.9.1", 98].sport
    assert changes(answer) == [("node", "masquerade", "172.17.0.2:%d" % sport, "10.0.9.2:%d" % sport)]
    delivered(ask("c1", "10.0.9.1", 99), "c1", "node", "out", verdict="refused")
    dropped(ask("c1", "10.0.9.1", 97), "node", "FORWARD", 2, "c1", "node")
    delivered(ask("c2", "172.17.0.1", 23), "c2", "node")
    delivered(ask("c2", "172.17.0.1", 24), "c2", "node", verdict="refused")
    dropped(ask("c2", "172.17.0.1", 22), "node", "INPUT", 1, "c2", "node")
    delivered(ask("c2", "10.0.9.2", 8080), "c2", "node", "c1")
    delivered(ask("c2", "172.17.0.2", 81), "c2", "node", "c1", verdict="refused")


def test_a_router_with_one_arm(fleet):
    """a, b and the router are ports of one switch: it sees each packet on its way to the router, and again on its way from there."""
    a, b, fw, sw = (fleet.host(n) for n in ("a", "b", "fw", "sw"))
    sw.ip("link add br0 type bridge", "link set br0 up")
    for host, name, addresses in ((a, "pa", "10.1.0.2/24"), (b, "pb", "10.2.0.2/24"), (fw, "pf", ["10.1.0.1/24", "10.2.0.1/24"])):
        fleet.link(host, "eth0", addresses, sw, name, [])
        sw.ip("link set %s master br0" % name)
    sw.run("sh", "-c", "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    a.ip("route add default via 10.1.0.1")
    b.ip("route add default via 10.2.0.1")
    fw.forward()
    fw.sysctl(ipv4__conf__all__send_redirects=0)
    fw.rules("-A FORWARD -p tcp --dport 80 -j DROP")
    b.serve("tcp", 443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-s 10.1.0.2")
    assert a.tcp("10.2.0.2", 443).outcome == "answered" and a.tcp("10.2.0.2", 80, timeout=0.3).outcome == "silent"
    answer = fleet.where("tcp 10.1.0.2 10.2.0.2:443")
    delivered(answer, "a", "sw", "fw", "sw", "b")
    check(answer, loop=None)
    assert not [h["stranger"] for h in answer["hops"] if h["stranger"]]
    dropped(fleet.where("tcp 10.1.0.2 10.2.0.2:80"), "fw", "FORWARD", 1, "a", "sw", "fw")
