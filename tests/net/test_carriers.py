"""
What carries packets, cuts them, puts them together and speaks about them: bridges, tunnels of the kernel and of programs, containers,
fragments, bulk data, ICMP errors of hosts that nobody watches. Each with a planted fault and without any.
"""
import array
import fcntl
import socket
import struct
import threading

import pytest

import traffic
import tun
import ways
from fleet import GONE, Trouble, flow_of, wait_until
from ways import check, hosts, told


def delivered(answer, *way):
    check(answer, verdict="delivered", matched=1, died_at=None, reply_seen=True)
    assert hosts(answer) == list(way) and hosts(answer, "reply") == list(reversed(way)), told(answer)


def dropped(answer, host, chain, rule, *way, direction="original", table="filter", **more):
    check(answer, verdict="dropped", direction=direction, matched=1,
          died_at={"host": host, "table": table, "chain": chain, "kind": "rule", "rule": rule, **more})
    assert hosts(answer, direction) == list(way), told(answer)


# --- tunnels and bridges ----------------------------------------------------------------------------------------------------


def vxlan(fleet, a, b):
    for host, local, remote in ((a, "198.18.1.1", "198.18.2.1"), (b, "198.18.2.1", "198.18.1.1")):
        host.ip("link add t0 type vxlan id 7 local %s remote %s dstport 4789" % (local, remote))


def program(fleet, a, b):
    for host, local, remote in ((a, "198.18.1.1", "198.18.2.1"), (b, "198.18.2.1", "198.18.1.1")):
        fleet.servers.append(tun.End(host, "t0", local, remote))


@pytest.mark.parametrize("make", [vxlan, program])
def test_a_tunnel_over_a_router(fleet, make):
    """cl - a == rt == b - sv: the way of the inner flow, whichever way the outer one is dropped."""
    cl, a, rt, b, sv = (fleet.host(n) for n in ("cl", "a", "rt", "b", "sv"))
    fleet.link(cl, "eth0", "10.1.0.2/24", a, "lan", "10.1.0.1/24")
    fleet.link(a, "wan", "198.18.1.1/24", rt, "w1", "198.18.1.2/24")
    fleet.link(b, "wan", "198.18.2.1/24", rt, "w2", "198.18.2.2/24")
    fleet.link(sv, "eth0", "10.2.0.2/24", b, "lan", "10.2.0.1/24")
    for host, gateway in ((cl, "10.1.0.1"), (sv, "10.2.0.1"), (a, "198.18.1.2"), (b, "198.18.2.2")):
        host.ip("route add default via " + gateway)
    make(fleet, a, b)
    a.ip("addr add 172.30.0.1/30 dev t0", "link set t0 mtu 1450 up", "route add 10.2.0.0/24 via 172.30.0.2")
    b.ip("addr add 172.30.0.2/30 dev t0", "link set t0 mtu 1450 up", "route add 10.1.0.0/24 via 172.30.0.1")
    for host in (a, rt, b):
        host.forward()
    sv.serve("tcp", 80)
    b.rules("-A FORWARD -p tcp --dport 81 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.1.0.2 10.2.0.2")

    def ask(port, outcome):
        attempt = cl.tcp("10.2.0.2", port, timeout=0.5)
        assert attempt.outcome == outcome
        return lambda: fleet.where(flow_of(attempt, "tcp", "10.2.0.2", port))

    delivered(ask(80, "answered")(), "cl", "a", "b", "sv")
    dropped(ask(81, "silent")(), "b", "FORWARD", 1, "cl", "a", "b")
    # What carries it dies: nothing between a and b is said of the inner flow but that.
    rt.rules("-A FORWARD -s 198.18.1.1 -d 198.18.2.1 -j DROP")
    lost = ask(80, "silent")
    wait_until("nothing may still come", lambda: lost()["verdict"] != "unknown", 3 * GONE)
    answer = lost()
    check(answer, verdict="lost", direction="original", died_at={"host": "a", "kind": "link", "between": ["a", "b"]})
    assert hosts(answer) == ["cl", "a"]
    check(answer["causes"][0], id="lost-between-hosts", culprit={
        "host": "rt", "table": "filter", "chain": "FORWARD", "rule": 1, "carrier": {"src": "198.18.1.1", "dst": "198.18.2.1"}})
    assert "rt filter/FORWARD rule 1" in fleet.screen("tcp 10.1.0.2 10.2.0.2:80").stdout


def bridged(fleet):
    cl, br, sv = (fleet.host(n) for n in ("cl", "br", "sv"))
    fleet.link(cl, "eth0", "10.0.0.1/24", br, "p0", [])
    fleet.link(sv, "eth0", "10.0.0.2/24", br, "p1", [])
    br.ip("link add br0 type bridge", "link set p0 master br0", "link set p1 master br0", "link set br0 up")
    br.run("sh", "-c", "echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    return cl, br, sv


@pytest.mark.parametrize("traced", [True, False])
def test_a_bridge_that_asks_iptables(fleet, traced):
    cl, br, sv = bridged(fleet)
    br.rules("-A FORWARD -p tcp --dport 81 -j DROP", "-A FORWARD -m physdev --physdev-in p1 -p tcp --sport 82 -j DROP",
             "-A FORWARD -p tcp --dport 83 -j REJECT")
    for port in (80, 81, 82, 83):
        sv.serve("tcp", port)
    fleet.start_collector()
    fleet.start_agents()
    if traced:
        fleet.trace("tcp 10.0.0.1 10.0.0.2")
    asked = {port: cl.tcp("10.0.0.2", port, timeout=0.5) for port in (80, 81, 82, 83)}
    assert [asked[port].outcome for port in (80, 81, 82)] == ["answered", "silent", "silent"]
    answers = {port: fleet.where(flow_of(met, "tcp", "10.0.0.2", port), status=None) for port, met in asked.items()}
    if traced:
        delivered(answers[80], "cl", "br", "sv")
        dropped(answers[82], "br", "FORWARD", 2, "sv", "br", direction="reply")
    assert answers[80]["died_at"] is None
    for port, direction, verdict, rule in ((81, "original", "dropped", 1), (82, "reply", "dropped", 2), (83, "original", "rejected", 3)):
        check(answers[port], verdict=verdict, direction=direction, matched=1,
              died_at={"host": "br", "table": "filter", "chain": "FORWARD", "kind": "rule", "rule": rule})


DOCKER = """*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.3:81
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-ISOLATION - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION -j RETURN
-A DOCKER-USER -s 10.0.9.9/32 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
"""

KUBE = """*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-1 - [0:0]
:KUBE-SEP-2 - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 8080 -j KUBE-SVC-A
-A KUBE-SVC-A -j KUBE-MARK-MASQ
-A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-1
-A KUBE-SVC-A -j KUBE-SEP-2
-A KUBE-SEP-1 -p tcp -m tcp -j DNAT --to-destination 172.17.0.2:80
-A KUBE-SEP-2 -p tcp -m tcp -j DNAT --to-destination 172.17.0.3:80
COMMIT
*filter
:KUBE-FORWARD - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""


def containers(fleet):
    """cl - node, whose bridge docker0 has two containers, c1 and c2."""
    cl, node, c1, c2 = (fleet.host(n) for n in ("cl", "node", "c1", "c2"))
    fleet.link(cl, "eth0", ["10.0.9.1/24", "10.0.9.9/24"], node, "eth0", "10.0.9.2/24")
    node.ip("link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up")
    for n, host in ((2, c1), (3, c2)):
        fleet.link(host, "eth0", "172.17.0.%d/16" % n, node, "veth%d" % n, [])
        node.ip("link set veth%d master docker0" % n)
        host.ip("route add default via 172.17.0.1")
    cl.ip("route add 10.96.0.0/16 via 10.0.9.2")
    node.forward()
    return cl, node, c1, c2


def test_a_host_with_rules_of_docker(fleet):
    cl, node, c1, c2 = containers(fleet)
    node.rules_restore(DOCKER)
    c1.serve("tcp", 80)
    c2.serve("tcp", 81)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.9.0/24 10.0.9.2")
    met = cl.tcp("10.0.9.2", 8080, src="10.0.9.1")
    assert met.outcome == "answered"
    answer = fleet.where(flow_of(met, "tcp", "10.0.9.2", 8080))
    delivered(answer, "cl", "node", "c1")
    assert ways.changes(answer) == [("node", "dnat", "10.0.9.2:8080", "172.17.0.2:80")]
    met = cl.tcp("10.0.9.2", 8080, src="10.0.9.9", timeout=0.5)
    dropped(fleet.where(flow_of(met, "tcp", "10.0.9.2", 8080)), "node", "DOCKER-USER", 1, "cl", "node")
    met = cl.tcp("10.0.9.2", 8081, src="10.0.9.1", timeout=0.5)
    answer = fleet.where(flow_of(met, "tcp", "10.0.9.2", 8081))
    check(answer, verdict="dropped", died_at={"host": "node", "chain": "FORWARD", "kind": "policy", "rule": None,
                                              "rule_text": "-P FORWARD DROP"})
    assert hosts(answer) == ["cl", "node"]


def test_a_node_with_rules_of_kube_proxy(fleet):
    """One of two endpoints refuses what is not its own; whichever one a connection goes to, the answer names that one."""
    cl, node, c1, c2 = containers(fleet)
    node.rules_restore(KUBE)
    c1.serve("tcp", 80)
    c2.rules("-A INPUT -p tcp --dport 80 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.9.1 10.96.0.10:8080")
    asked = [cl.tcp("10.96.0.10", 8080, src="10.0.9.1", timeout=0.3) for _ in range(8)]
    for met in asked:
        answer = fleet.where(flow_of(met, "tcp", "10.96.0.10", 8080))
        if met.outcome == "answered":
            delivered(answer, "cl", "node", "c1")
        else:
            dropped(answer, "c2", "INPUT", 1, "cl", "node", "c2")
        to = "172.17.0.2" if met.outcome == "answered" else "172.17.0.3"
        assert ways.changes(answer) == [("node", "dnat", "10.96.0.10:8080", to + ":80"),
                                        ("node", "masquerade", "10.0.9.1:%d" % met.sport, "172.17.0.1:%d" % met.sport)]


# --- packets that change their form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracked", [True, False])
def test_fragments(fleet, tracked):
    """Some hosts put the packet together, others see its fragments; it is one packet, and dies once."""
    cl, rt, r2, sv = ways.chain(fleet, "cl", "rt", "r2", "sv")
    dst, port = ways.right(3), 53
    for host in (rt, r2):
        host.ip("link set east mtu 1300")
    r2.ip("link set west mtu 1300")
    sv.ip("link set west mtu 1300")
    if tracked:
        rt.rules("-A FORWARD -m conntrack --ctstate INVALID -j ACCEPT")
    r2.rules("-A FORWARD -p udp --dport 54 -j DROP", "-A FORWARD -f -s 10.20.0.77 -j DROP")
    cl.ip("addr add 10.20.0.77/24 dev east")
    sv.serve("udp", port)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.20.0.0/24 " + dst)

    def ask(to, src):
        met = cl.udp(dst, to, src=src, payload=b"z" * 4000)
        return met, fleet.where(flow_of(met, "udp", dst, to))

    met, answer = ask(port, ways.left(0))
    assert met.outcome == "answered"
    delivered(answer, "cl", "rt", "r2", "sv")
    met, answer = ask(54, ways.left(0))
    assert met.outcome == "silent"
    dropped(answer, "r2", "FORWARD", 1, "cl", "rt", "r2")
    met, answer = ask(port, "10.20.0.77")
    assert met.outcome == "silent"
    dropped(answer, "r2", "FORWARD", 2, "cl", "rt", "r2")


@pytest.mark.parametrize("tracked", [True, False])
def test_fragments_of_ipv6(fleet, tracked):
    """A whole packet has no number there, so that its fragments are not joined to it: nobody is accused of what they met."""
    cl, rt, r2, sv = ways.chain(fleet, "cl", "rt", "r2", "sv")
    dst, port = ways.right(3, True), 53
    ways.warm(cl, dst)
    cl.ip("addr add 2001:db8:20::77/64 dev east nodad")
    if tracked:     # rt puts them together, and cuts them again
        rt.rules("-A FORWARD -m conntrack --ctstate INVALID -j ACCEPT", version=6)
    r2.rules("-A FORWARD -p udp --dport 54 -j DROP", "-A FORWARD -s 2001:db8:20::77 -m frag --fraglast -j DROP", version=6)
    sv.serve("udp", port)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p udp -s 2001:db8:20::/64 -d " + dst)

    def ask(to, src, status):
        met = cl.udp(dst, to, src=src, payload=b"z" * 4000)
        return met, fleet.where(flow_of(met, "udp", dst, to), status=status)

    met, answer = ask(port, ways.left(0, True), 0)
    assert met.outcome == "answered"
    check(answer, verdict="delivered", died_at=None)
    met, answer = ask(54, ways.left(0, True), 0)    # the first one bears the port
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={"host": "r2", "chain": "FORWARD", "kind": "rule", "rule": 1})
    met, answer = ask(port, "2001:db8:20::77", 3)
    assert met.outcome == "silent" and r2.hits("filter", "FORWARD", 2, version=6) == 1
    check(answer, verdict="unknown", died_at=None)
    # The whole one left rt in pieces; of the first of these, at r2, nothing further is known: either may be the later one.
    assert "in pieces" in answer["reason"] or "a fragment" in answer["reason"]


class Sink:
    """Takes whatever comes on a TCP port, and counts."""

    def __init__(self, netns, port):
        def make():
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("", port))
            s.listen(8)
            return s

        self.got = 0
        self._socket = traffic.inside(netns, make)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        while True:
            try:
                peer = self._socket.accept()[0]
            except OSError:
                return
            with peer:
                while data := peer.recv(65536):
                    self.got += len(data)

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def merge_what_comes(host, link):
    """GRO on a veth: its packets are put together as a network card would."""
    SIOCETHTOOL, ETHTOOL_SGRO = 0x8946, 0x2c
    s = traffic.inside(host.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with s:
        data = array.array("B", struct.pack("II", ETHTOOL_SGRO, 1))
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sP8x", link.encode(), data.buffer_info()[0]))


def bulk(host, dst, port, size, sink):
    """Sends size bytes; the source port, once the sink has them all, or 3 s later."""
    s = traffic.inside(host.path, socket.socket)
    before = sink.got
    with s:
        s.settimeout(3)
        s.connect((dst, port))
        sport = s.getsockname()[1]
        try:
            for _ in range(size // 65536):
                s.sendall(bytes(65536))
        except OSError:
            return sport
        try:
            wait_until("it came", lambda: sink.got >= before + size // 65536 * 65536, 5)
        except Trouble:
            pass
    return sport


@pytest.mark.parametrize("rate", ["1000/s", "100/s"])
def test_bulk_data(fleet, std, rate):
    """Giant packets at one host are many at the next, and other giants at the last one: nothing of it is lost."""
    sink = Sink(std.sv.path, 443)
    fleet.servers.append(sink)
    std.gw.ip("link set wan gso_max_segs 1")
    merge_what_comes(std.sv, "eth0")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443", rate=rate)
    sport = bulk(std.cl, "10.0.3.2", 443, 1 << 20, sink)
    assert sink.got == 1 << 20
    check(fleet.where("tcp 10.0.1.2:%d 10.0.3.2:443" % sport), verdict="delivered", died_at=None, direction="original",
          matched=1, partial=False)
    # Now and then one dies, and is sent again: what was acknowledged has arrived.
    std.rt.rules("-A FORWARD -p tcp --dport 443 -m length --length 1000:65535 -m limit --limit 1/hour --limit-burst 1 -j DROP")
    sport = bulk(std.cl, "10.0.3.2", 443, 1 << 20, sink)
    assert sink.got == 2 << 20 and std.rt.hits("filter", "FORWARD", 1) == 1
    check(fleet.where("tcp 10.0.1.2:%d 10.0.3.2:443" % sport), verdict="delivered", died_at=None, matched=1)
    # From a point on all of them do.
    std.rt.rules("-F FORWARD", "-A FORWARD -p tcp --dport 443 -m length --length 1000:65535 -m connbytes --connbytes 300000: "
                 "--connbytes-dir original --connbytes-mode bytes -j DROP")
    sport = bulk(std.cl, "10.0.3.2", 443, 1 << 20, sink)
    assert sink.got < 3 << 20
    check(fleet.where("tcp 10.0.1.2:%d 10.0.3.2:443" % sport), verdict="dropped", partial=True, direction="original",
          died_at={"host": "rt", "chain": "FORWARD", "kind": "rule", "rule": 1})


def test_syn_cookies(fleet, std):
    std.sv.sysctl(ipv4__tcp_syncookies=2)
    std.sv.serve("tcp", 443)
    std.rt.rules("-A FORWARD -p tcp --dport 443 -m length --length 500: -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")
    met = std.cl.tcp("10.0.3.2", 443)
    assert met.outcome == "answered"
    delivered(fleet.where(flow_of(met, "tcp", "10.0.3.2", 443)), "cl", "gw", "rt", "sv")
    met = std.cl.tcp("10.0.3.2", 443, payload=b"k" * 600, timeout=0.5)
    dropped(fleet.where(flow_of(met, "tcp", "10.0.3.2", 443)), "rt", "FORWARD", 1, "cl", "gw", "rt")


# --- what others say ----------------------------------------------------------------------------------------------------------


def test_icmp_errors_of_hosts_that_nobody_watches(fleet):
    """st and sv have no agent; what they answer is evidence all the same, and gw, where the way is lost, is accused of nothing."""
    cl, gw, st, sv = ways.chain(fleet, "cl", "gw", "st", "sv")
    dst = ways.right(3)
    gw.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    st.ip("link set east mtu 1200")
    sv.ip("link set west mtu 1200")
    st.rules("-A FORWARD -p udp --dport 90 -j REJECT --reject-with icmp-admin-prohibited",
             "-A FORWARD -p tcp --dport 90 -j REJECT --reject-with icmp-host-prohibited",
             "-A FORWARD -p udp --dport 91 -j REJECT")
    sv.serve("udp", 80)
    sv.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents(cl, gw)
    fleet.trace("-s 10.20.0.1 -d " + dst)

    def ask(kind, port, **more):
        met = getattr(cl, kind)(dst, port, timeout=0.5, **more)
        return met, fleet.where(flow_of(met, kind, dst, port))

    for kind in ("udp", "tcp"):
        met, answer = ask(kind, 80)
        assert met.outcome == "answered"
        check(answer, verdict="delivered", died_at=None)
    # A path's MTU is found by an error, and nothing has died of it.
    met, answer = ask("tcp", 80, payload=b"y" * 1400)
    assert met.outcome == "answered"
    check(answer, verdict="delivered", died_at=None)
    for kind, port, verdict, cause, by, reason in (
            ("udp", 90, "rejected", "reject", ways.right(2), "icmp-admin-prohibited"),
            ("tcp", 90, "rejected", "reject", ways.right(2), "icmp-host-prohibited"),
            ("udp", 91, "rejected", "reject", ways.right(2), "icmp-port-unreachable"),
            ("udp", 99, "refused", "not-listening", dst, "NO_SOCKET")):
        met, answer = ask(kind, port)
        check(answer, verdict=verdict, direction="original", confidence="inferred", matched=1,
              died_at={"host": "gw", "kind": "link", "between": ["gw", None], "answered_by": by, "reason": reason,
                       "table": None, "chain": None, "rule": None})
        assert [c["id"] for c in answer["causes"]] == [cause] and hosts(answer) == ["cl", "gw"]
        assert by in fleet.screen(flow_of(met, kind, dst, port), "--brief").stdout
    # Too large, and it must not be cut: the kernel of the client does not know yet.
    cl.ip("route flush cache")
    big = cl.fleet.traffic(datagram, cl.path, dst, 80, b"y" * 1300)
    answer = fleet.where(flow_of(big, "udp", dst, 80))
    check(answer, verdict="discarded", direction="original",
          died_at={"host": "gw", "kind": "link", "answered_by": ways.right(2), "reason": "PKT_TOO_BIG"})
    assert answer["causes"][0]["id"] == "mtu" and "1200" in answer["causes"][0]["summary"]


def datagram(netns, dst, port, payload):
    """One datagram that must not be cut, whatever the kernel thinks of the path."""
    IP_MTU_DISCOVER, PROBE = 10, 3

    with traffic.inside(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PROBE)
        s.connect((dst, port))
        s.send(payload)
        return traffic.Attempt("silent", *s.getsockname(), 0)
