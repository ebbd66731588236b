"""
Several things that are right alone, together: a rule that sets the TTL before a router, a broadcast that one host drops and
its sender hears, headers that only one source can read, windows that cut a flow, old connections of a tuple. Expected answers
follow from the rules.
"""
import datetime
import socket
import struct
import time

import pytest

import traffic
import ways
from fleet import flow_of
from ways import check, hosts, told

SERVER = "10.0.3.2"


def begin(fleet, *flows, agents=()):
    fleet.start_collector()
    fleet.start_agents(*agents)
    for flow in flows:
        fleet.trace(flow)


def raw(host, make, *sends):
    """Sends (payload, address) by a socket of one's own."""
    with traffic.inside(host.path, make) as s:
        for payload, to in sends:
            s.sendto(payload, to)
    host.fleet.last_traffic = time.monotonic()


def test_a_gateway_that_gives_every_packet_a_ttl_of_its_own(fleet, std):
    std.gw.rules("-t mangle -A POSTROUTING -p tcp -j TTL --ttl-set 128")
    std.sv.rules("-A INPUT -p tcp --dport 444 -j DROP")
    std.sv.serve("tcp", 443)
    begin(fleet, "tcp 10.0.1.2 10.0.3.2")
    assert std.cl.tcp(SERVER, 443, timeout=1).outcome == "answered"
    std.cl.tcp(SERVER, 444, timeout=0.2)
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:443")
    check(answer, verdict="delivered", flow={"src": "10.0.1.2"}, matched=1, loop=None)
    assert hosts(answer) == ["cl", "gw", "rt", "sv"] and hosts(answer, "reply") == ["sv", "rt", "gw", "cl"], told(answer)
    assert all(hop["link_confidence"] in (None, "sure") and not hop["stranger"] for hop in answer["hops"]), told(answer)
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:444")
    check(answer, verdict="dropped", matched=1, died_at={"host": "sv", "rule": 1})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"], told(answer)


def test_what_is_for_everybody_on_the_link(fleet, std):
    std.gw.rules("-A INPUT -p udp --dport 67 -j DROP")

    def make():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.bind(("10.0.1.2", 4000))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.1.2"))
        return s

    begin(fleet, "udp 10.0.1.2")
    raw(std.cl, make, (b"a", ("10.0.1.255", 67)), (b"b", ("10.0.1.255", 68)), (b"c", ("224.0.0.251", 5353)))
    check(fleet.where("udp 10.0.1.2 10.0.1.255:67"), verdict="dropped", died_at={"host": "gw", "chain": "INPUT", "rule": 1})
    check(fleet.where("udp 10.0.1.2 10.0.1.255:68"), verdict="delivered", died_at=None)
    assert "DELIVERED to gw" in fleet.screen("udp 10.0.1.2 10.0.1.255:68", "--brief").stdout
    check(fleet.where("udp 10.0.1.2 224.0.0.251:5353", status=3), verdict="unknown", died_at=None)


def test_options_before_the_transport_of_ipv6(fleet, std):
    """nft's trace does not tell what stands behind them: what the legacy lines show is all, and ends nothing."""
    std.rt.rules("-A FORWARD -p udp --dport 54 -j DROP", version=6)
    std.sv.serve("udp", 53).mute = True
    ways.warm(std.cl, "2001:db8:3::2")

    def make():
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0]))
        return s

    begin(fleet, "-p udp -d 2001:db8:3::2")
    raw(std.cl, make, (b"arrives", ("2001:db8:3::2", 53)), (b"dies", ("2001:db8:3::2", 54)))
    check(fleet.where("udp 2001:db8:1::2 [2001:db8:3::2]:53", status=3), verdict="unknown", died_at=None)
    check(fleet.where("udp 2001:db8:1::2 [2001:db8:3::2]:54"), verdict="dropped", died_at={"host": "rt", "rule": 1})


def test_a_window_that_cuts_a_flow(fleet, std):
    """Before, the rule was not there; after, nothing of the handshake was."""
    std.sv.serve("tcp", 443)
    begin(fleet, "tcp 10.0.1.2 10.0.3.2:443")
    with traffic._bound(std.cl.path, socket.SOCK_STREAM, SERVER, "", 40000) as s:
        s.settimeout(1)
        s.connect((SERVER, 443))
        s.sendall(b"a")
        s.recv(9)
        time.sleep(0.2)
        cut = datetime.datetime.now(datetime.timezone.utc).isoformat()
        time.sleep(0.2)
        std.rt.rules("-I FORWARD -p tcp --dport 443 -j DROP")
        s.sendall(b"b")
        time.sleep(0.3)
        fleet.last_traffic = time.monotonic()
    flow = "tcp 10.0.1.2:40000 10.0.3.2:443"
    check(fleet.where(flow, "--until", cut), verdict="delivered", reply_seen=True, partial=False)
    answer = fleet.where(flow, "--since", cut)
    check(answer, verdict="dropped", partial=False, died_at={"host": "rt", "chain": "FORWARD"})
    assert hosts(answer) == ["cl", "gw", "rt"]
    check(fleet.where(flow), verdict="dropped", partial=True, reply_seen=True)


def test_the_line_of_a_refusal_names_the_port_that_nobody_has(fleet, std):
    std.rt.rules("-t nat -A PREROUTING -i wan -p tcp --dport 80 -j REDIRECT --to-ports 3128")
    begin(fleet, "tcp 10.0.1.2 10.0.3.2:80")
    assert std.cl.tcp(SERVER, 80, timeout=0.5).outcome == "refused"
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:80")
    check(answer, verdict="refused", direction="original", died_at={"host": "rt", "kind": "socket"})
    assert "REFUSED at rt: nobody listens on tcp 3128" in fleet.screen("tcp 10.0.1.2 10.0.3.2:80", "--brief").stdout


def test_protocols_without_ports_behind_a_gateway(fleet, std):
    """GRE, ESP and OSPF, translated: one path each, to the rule, and to who does not speak it."""
    std.rt.rules("-A FORWARD -p gre -j DROP", "-A FORWARD -p esp -j DROP")
    begin(fleet, "-s 10.0.1.2 -d 10.0.3.2")
    for proto, payload in ((47, struct.pack("!HHHH", 0x2001, 0x880b, 4, 7) + b"y" * 20),
                           (50, struct.pack("!II", 0x1234, 1) + b"z" * 24), (89, b"o" * 44)):
        raw(std.cl, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, proto), (payload, (SERVER, 0)))
    for proto, rule in (("gre", 1), ("esp", 2)):
        answer = fleet.where("-p %s -s 10.0.1.2 -d 10.0.3.2" % proto)
        check(answer, verdict="dropped", matched=1, flow={"src": "10.0.1.2"}, died_at={"host": "rt", "chain": "FORWARD", "rule": rule})
        assert hosts(answer) == ["cl", "gw", "rt"], told(answer)
        assert ways.changes(answer) == [("gw", "masquerade", "10.0.1.2", "198.18.0.1")], told(answer)
    answer = fleet.where("-p ospf -s 10.0.1.2 -d 10.0.3.2")
    check(answer, verdict="refused", matched=1, died_at={"host": "sv", "kind": "socket"})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"], told(answer)


def test_a_lease_that_names_a_port_alone(fleet, std):
    """It means both families, and TCP and UDP."""
    std.sv.rules("-A INPUT -p udp --dport 53 -j DROP")
    std.sv.rules("-A INPUT -p udp --dport 53 -j DROP", version=6)
    ways.warm(std.cl, "2001:db8:3::2")
    begin(fleet, "--dport 53")
    for kind, dst, verdict in (("udp", SERVER, "dropped"), ("udp", "2001:db8:3::2", "dropped"), ("tcp", SERVER, "refused"),
                               ("tcp", "2001:db8:3::2", "refused")):
        answer = fleet.where(flow_of(getattr(std.cl, kind)(dst, 53, timeout=0.2), kind, dst, 53))
        check(answer, verdict=verdict, confidence="observed", died_at={"host": "sv"})
        assert hosts(answer) == ["cl", "gw", "rt", "sv"], told(answer)


# --- who stands elsewhere -------------------------------------------------------------------------------------------------------


def culprit(answer):
    by = answer["causes"][0]["culprit"]
    return answer["causes"][0]["id"], by and (by["host"], by["table"], by["chain"], by["rule"])


def test_the_rule_that_set_the_ttl(fleet, std):
    std.cl.rules("-t mangle -A POSTROUTING -p udp --dport 53 -j TTL --ttl-set 2")
    std.gw.nft("""table ip mine {
        chain pre { type filter hook prerouting priority -150; udp dport 54 ip ttl set 1; }
    }""")
    begin(fleet, "udp 10.0.1.2 10.0.3.2")
    for port, host, by in ((53, "rt", ("cl", "mangle", "POSTROUTING", 1)), (54, "gw", ("gw", "mine", "pre", 1))):
        std.cl.udp(SERVER, port, timeout=0.1)
        answer = fleet.where("udp 10.0.1.2 10.0.3.2:%d" % port)
        check(answer, verdict="discarded", died_at={"host": host, "kind": "kernel", "rule": None})
        assert culprit(answer) == ("ttl-expired", by)
    assert "because of gw mine/pre rule 1" in fleet.screen("udp 10.0.1.2 10.0.3.2:54").stdout


def test_the_rule_that_hides_the_mtu(fleet, std):
    """The path's MTU is found by an ICMP error, which rt may not send: small packets arrive, large ones do not."""
    std.rt.ip("link set net mtu 1200")
    std.rt.rules("-A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")
    std.sv.serve("tcp", 443)
    begin(fleet, "tcp 10.0.1.2 10.0.3.2:443")
    assert std.cl.tcp(SERVER, 443, timeout=0.5).outcome == "answered"
    met = std.cl.tcp(SERVER, 443, payload=b"s" * 1400, timeout=0.7)
    assert met.outcome == "silent"
    answer = fleet.where(flow_of(met, "tcp", SERVER, 443))
    check(answer, verdict="discarded", direction="original", partial=True, reply_seen=True, died_at={"host": "rt", "kind": "kernel"})
    assert culprit(answer) == ("mtu", ("rt", "filter", "OUTPUT", 1))


@pytest.mark.bpf
def test_the_rule_that_hides_a_neighbour(fleet, std):
    std.sv.rules("-A INPUT -p icmpv6 --icmpv6-type neighbour-solicitation -j DROP", version=6)
    ways.wait_until("IPv6 works", lambda: std.cl.ping("2001:db8:3::1", 1).outcome == "answered", 10)
    begin(fleet, "udp 2001:db8:1::2 [2001:db8:3::2]:53")
    std.cl.udp("2001:db8:3::2", 53, timeout=0.1)
    flow = "udp 2001:db8:1::2 [2001:db8:3::2]:53"
    ways.wait_until("rt gives up", lambda: fleet.where(flow, status=None)["verdict"] == "discarded", 10)
    answer = fleet.where(flow)
    check(answer, verdict="discarded", died_at={"host": "rt", "kind": "kernel"})
    assert culprit(answer) == ("neighbor-unreachable", ("sv", "filter", "INPUT", 1))


def test_a_proxy_that_shakes_hands_for_the_server(fleet, std):
    """What it takes has not died. Now and then its timestamps are wrong, and the server ignores what comes: it arrived all the same."""
    std.rt.rules("-t raw -A PREROUTING -p tcp --dport 443 --syn -j CT --notrack",
                 "-A FORWARD -p tcp --dport 443 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7",
                 "-A FORWARD -m conntrack --ctstate INVALID -j DROP")
    std.rt.sysctl(netfilter__nf_conntrack_tcp_loose=0, ipv4__tcp_syncookies=1, ipv4__tcp_timestamps=1)
    std.sv.serve("tcp", 443)
    begin(fleet, "tcp 10.0.1.2 10.0.3.2:443")
    assert std.cl.tcp(SERVER, 443, timeout=1).outcome in ("answered", "silent")
    check(fleet.where("tcp 10.0.1.2 10.0.3.2:443"), verdict="delivered", died_at=None, reply_seen=True)


def test_a_copy_that_dies_is_not_the_packet(fleet, std):
    """rt mirrors what passes to a host that throws it away."""
    spy = fleet.host("spy")
    fleet.link(std.rt, "spy", "10.77.0.1/24", spy, "eth0", "10.77.0.2/24")
    std.rt.rules("-t mangle -A PREROUTING -p udp --dport 53 -j TEE --gateway 10.77.0.2")
    std.sv.rules("-A INPUT -p udp --sport 40001 -j DROP")
    std.sv.serve("udp", 53)
    begin(fleet, "udp 10.0.1.2 10.0.3.2:53")
    assert [std.cl.udp(SERVER, 53, sport=port, timeout=0.4).outcome for port in (40000, 40001)] == ["answered", "silent"]
    check(fleet.where("udp 10.0.1.2:40000 10.0.3.2:53"), verdict="delivered", reply_seen=True, died_at=None)
    check(fleet.where("udp 10.0.1.2:40001 10.0.3.2:53"), verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 1})


def test_a_proxy_in_the_way_that_nobody_runs(fleet, std):
    std.rt.rules("-t mangle -A PREROUTING -p tcp --dport 80 -j TPROXY --on-port 3128 --tproxy-mark 1/1")
    std.rt.ip("rule add fwmark 1/1 lookup 100", "route add local default dev lo table 100")
    begin(fleet, "tcp 10.0.1.2 10.0.3.2:80")
    assert std.cl.tcp(SERVER, 80, timeout=0.3).outcome == "silent"
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:80")
    check(answer, verdict="dropped", died_at={"host": "rt", "table": "mangle", "chain": "PREROUTING", "kind": "rule", "rule": 1})
    assert [c["id"] for c in answer["causes"]] == ["not-listening"] and hosts(answer) == ["cl", "gw", "rt"]
