"""Other ends of a flow than a plain DROP: answers, user chains, the sender itself, the kernel, the unwatched."""
import contextlib
import socket
import struct

import pytest

import traffic
from ways import check


def answer_for(fleet, std, flow, go, rules=lambda: None, agents=None):
    rules()
    fleet.start_collector()
    fleet.start_agents(*(agents or ()))
    fleet.trace(flow)
    met = go()
    return met, fleet.where(flow)


def test_reject_with_tcp_reset_on_a_router(fleet, std):
    """The RST bears the server's address: it is neither a reply nor a hop of the server."""
    std.sv.serve("tcp", 443)
    met, answer = answer_for(
        fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443),
        lambda: std.rt.rules("-A FORWARD -p udp -j ACCEPT",
                             "-A FORWARD -p tcp --dport 443 -j REJECT --reject-with tcp-reset"))
    assert met.outcome == "refused"
    check(answer, verdict="rejected", direction="original", reply_seen=False, packets=1, losses=[], died_at={
        "host": "rt", "table": "filter", "chain": "FORWARD", "kind": "rule", "rule": 2, "reject_with": "tcp-reset",
        "rule_text": "-A FORWARD -p tcp -m tcp --dport 443 -j REJECT --reject-with tcp-reset"})
    original = [h["host"] for h in answer["hops"] if h["direction"] == "original"]
    assert original == ["cl", "gw", "rt"]
    assert "sv" not in [h["host"] for h in answer["hops"]]
    assert answer["causes"][0]["id"] in ("reject", "explicit-drop")


def test_reject_by_icmp_of_udp_at_the_server(fleet, std):
    std.sv.serve("udp", 53)
    met, answer = answer_for(
        fleet, std, "udp 10.0.1.2 10.0.3.2:53", lambda: std.cl.udp("10.0.3.2", 53),
        lambda: std.sv.rules("-A INPUT -p udp --dport 53 -j REJECT"))
    assert met.outcome == "refused"
    check(answer, verdict="rejected", direction="original", reply_seen=False, died_at={
        "host": "sv", "table": "filter", "chain": "INPUT", "kind": "rule", "rule": 1,
        "reject_with": "icmp-port-unreachable",
        "rule_text": "-A INPUT -p udp -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable"})


def test_nobody_listens(fleet, std):
    met, answer = answer_for(fleet, std, "tcp 10.0.1.2 10.0.3.2:81", lambda: std.cl.tcp("10.0.3.2", 81),
                             lambda: std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP"))
    assert met.outcome == "refused"
    check(answer, verdict="refused", direction="original", losses=[],
          died_at={"host": "sv", "kind": "socket", "table": None, "chain": None, "rule": None})
    assert [h["host"] for h in answer["hops"] if h["direction"] == "original"] == ["cl", "gw", "rt", "sv"]
    assert answer["causes"][0]["id"] == "not-listening"


def test_nobody_listens_on_a_udp_port(fleet, std):
    met, answer = answer_for(fleet, std, "udp 10.0.1.2 10.0.3.2:54", lambda: std.cl.udp("10.0.3.2", 54))
    assert met.outcome == "refused"
    check(answer, verdict="refused", direction="original", died_at={"host": "sv", "kind": "socket", "rule": None})


def test_unconditional_drop_in_a_user_chain(fleet, std):
    """The kernel prints `return` for it, though the packet is dropped: the number decides."""
    std.sv.serve("tcp", 443)

    def rules():
        std.sv.rules("-N WEB", "-N BLOCKED", "-A INPUT -p tcp -j WEB", "-A WEB -p tcp --dport 80 -j ACCEPT",
                     "-A WEB -p tcp --dport 443 -j BLOCKED", "-A BLOCKED -s 192.0.2.0/24 -j RETURN", "-A BLOCKED -j DROP")

    met, answer = answer_for(fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443), rules)
    assert met.outcome == "silent"
    check(answer, verdict="dropped", direction="original", died_at={
        "host": "sv", "table": "filter", "chain": "BLOCKED", "kind": "rule", "rule": 2,
        "rule_text": "-A BLOCKED -j DROP"})
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("INPUT", 1), ("WEB", 2)]


def test_unconditional_drop_in_a_built_in_chain(fleet, std):
    """Printed as `policy`, while the policy is ACCEPT."""
    met, answer = answer_for(fleet, std, "udp 10.0.1.2 10.0.3.2:5000", lambda: std.cl.udp("10.0.3.2", 5000, count=3),
                             lambda: std.rt.rules("-A FORWARD -p tcp -j ACCEPT", "-A FORWARD -j DROP"))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", packets=3, died_at={
        "host": "rt", "chain": "FORWARD", "kind": "rule", "rule": 2, "rule_text": "-A FORWARD -j DROP"})


def test_policy_after_a_user_chain_came_back(fleet, std):
    met, answer = answer_for(
        fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443),
        lambda: std.sv.rules("-N WEB", "-A INPUT -j WEB", "-A WEB -p tcp --dport 80 -j ACCEPT", "-P INPUT DROP"))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={
        "host": "sv", "chain": "INPUT", "kind": "policy", "rule": None, "rule_text": "-P INPUT DROP", "jumps": []})


def test_raw_table_of_the_gateway(fleet, std):
    met, answer = answer_for(
        fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443),
        lambda: std.gw.rules("-t raw -A PREROUTING -i lan -p tcp -j DROP"))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", died_at={
        "host": "gw", "table": "raw", "chain": "PREROUTING", "kind": "rule", "rule": 1,
        "rule_text": "-A PREROUTING -i lan -p tcp -j DROP"})
    assert [h["host"] for h in answer["hops"]] == ["cl", "gw"]


def test_the_client_drops_its_own_packets(fleet, std):
    met, answer = answer_for(
        fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443),
        lambda: std.cl.rules("-A OUTPUT -o lo -j ACCEPT", "-A OUTPUT -p tcp --dport 443 -j DROP"))
    assert met.outcome in ("silent", "unreachable")
    check(answer, verdict="dropped", direction="original", died_at={
        "host": "cl", "table": "filter", "chain": "OUTPUT", "kind": "rule", "rule": 2,
        "rule_text": "-A OUTPUT -p tcp -m tcp --dport 443 -j DROP"})
    assert [h["host"] for h in answer["hops"]] == ["cl"]


def test_server_drops_its_own_answer(fleet, std):
    std.sv.serve("tcp", 443)
    met, answer = answer_for(
        fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443, timeout=0.7),
        lambda: std.sv.rules("-A OUTPUT -p tcp --sport 443 -j DROP"))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", direction="reply", died_at={
        "host": "sv", "table": "filter", "chain": "OUTPUT", "kind": "rule", "rule": 1,
        "rule_text": "-A OUTPUT -p tcp -m tcp --sport 443 -j DROP"})


def test_forwarding_is_off(fleet, std):
    """The kernel discards; the rules that are there did nothing."""
    def rules():
        std.rt.rules("-A FORWARD -p tcp --dport 443 -j DROP", "-A INPUT -j DROP")
        std.rt.forward(False)

    met, answer = answer_for(fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443), rules)
    assert met.outcome in ("silent", "unreachable")
    check(answer, verdict="discarded", direction="original",
          died_at={"host": "rt", "kind": "kernel", "table": None, "chain": None, "rule": None, "rule_text": None})


def test_no_agent_on_the_server(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    met, answer = answer_for(fleet, std, "tcp 10.0.1.2 10.0.3.2:443", lambda: std.cl.tcp("10.0.3.2", 443),
                             agents=(std.cl, std.gw, std.rt))
    assert met.outcome == "silent"
    check(answer, verdict="left", direction="original", reply_seen=False)
    assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "rt"]


def test_no_agent_on_the_router_that_translates(fleet, std):
    """Nobody knows its DNAT, so a second lease names the server's side; the path goes on where the packet reappears."""
    std.publish(443, "10.0.3.2:8443")
    std.sv.rules("-A INPUT -p tcp --dport 8443 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.cl, std.gw, std.sv)
    fleet.trace("tcp 10.0.1.2 203.0.113.10:443")
    fleet.trace("-p tcp -d 10.0.3.2 --dport 8443")
    assert std.cl.tcp("203.0.113.10", 443).outcome == "silent"
    answer = fleet.where("tcp 10.0.1.2 203.0.113.10:443")
    check(answer, verdict="dropped", direction="original", died_at={"host": "sv", "chain": "INPUT", "rule": 1})
    assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "sv"]
    assert answer["hops"][2]["link"] == "packet"


def test_a_lease_that_the_server_is_not_asked_for(fleet, std):
    """The same without the second lease: nobody traced it at sv, but its kernel said that a rule dropped it."""
    std.publish(443, "10.0.3.2:8443")
    std.sv.rules("-A INPUT -p tcp --dport 8443 -j DROP")
    met, answer = answer_for(fleet, std, "tcp 10.0.1.2 203.0.113.10:443", lambda: std.cl.tcp("203.0.113.10", 443),
                             agents=(std.cl, std.gw, std.sv))
    assert met.outcome == "silent"
    check(answer, verdict="dropped", confidence="inferred",
          died_at={"host": "sv", "kind": "rule", "chain": "INPUT", "rule": 1, "reason": "NETFILTER_DROP", "hooks": ["INPUT"]})
    assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "sv"]


def test_nothing_happened(fleet, std):
    """No traffic, every host asked and without loss: nothing matched, exit status 1."""
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:443", status=1)
    check(answer, matched=0, verdict="unknown", died_at=None, hops=[])


@pytest.mark.parametrize("expect, status", [("dropped", 0), ("delivered", 1)])
def test_expectations_of_scripts(fleet, std, expect, status):
    std.sv.rules("-A INPUT -p udp --dport 5000 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("udp 10.0.1.2 10.0.3.2:5000")
    std.cl.udp("10.0.3.2", 5000)
    fleet.where("udp 10.0.1.2 10.0.3.2:5000", "--expect", expect, status=status)


def test_a_full_queue_of_a_listening_socket(fleet, std):
    """Its program accepts nobody: the kernel throws further SYNs away without a word, and without telling anybody."""
    def listen():
        s = socket.socket()
        s.bind(("0.0.0.0", 443))
        s.listen(0)
        return s

    std.sv.sysctl(ipv4__tcp_syncookies=0)
    with traffic.inside(std.sv.path, listen), contextlib.ExitStack() as stay:
        fleet.start_collector()
        fleet.start_agents()
        fleet.trace("tcp 10.0.1.2 10.0.3.2:443")
        met = []
        for _ in range(3):
            s = stay.enter_context(traffic.inside(std.cl.path, socket.socket))
            s.settimeout(1.3)
            try:
                s.connect(("10.0.3.2", 443))
                met.append((s.getsockname()[1], True))
            except TimeoutError:
                met.append((s.getsockname()[1], False))
        fleet.traffic(lambda: None)
        assert met[0][1] and not met[-1][1]
        check(fleet.where("tcp 10.0.1.2:%d 10.0.3.2:443" % met[0][0]), verdict="delivered", reply_seen=True)
        answer = fleet.where("tcp 10.0.1.2:%d 10.0.3.2:443" % met[-1][0])
        check(answer, verdict="discarded", direction="original", reply_seen=False, confidence="inferred",
              died_at={"host": "sv", "kind": "kernel", "reason": "NO_ANSWER", "rule": None})
        assert [c["id"] for c in answer["causes"]] == ["queue-overflow"]
        assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "rt", "sv"]


def test_the_server_has_no_way_back(fleet, std):
    """Its kernel cannot answer a SYN; a program gets the datagram, and its answer goes nowhere."""
    std.sv.ip("route del default")
    std.sv.serve("tcp", 443)
    std.sv.serve("udp", 53)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-d 10.0.3.2")
    assert std.cl.tcp("10.0.3.2", 443, timeout=0.4).outcome == "silent" and std.cl.udp("10.0.3.2", 53).outcome == "silent"
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:443")
    check(answer, verdict="discarded", direction="original", died_at={"host": "sv", "kind": "kernel", "reason": "NO_ROUTE_BACK"})
    assert [c["id"] for c in answer["causes"]] == ["return-path"]
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:53")
    check(answer, verdict="delivered", reply_seen=False, died_at=None)
    assert [c["summary"] for c in answer["causes"]] == ["sv has no route back to 198.18.0.1: no answer can leave it"]


def test_a_reset_by_somebody_on_the_way(fleet, std):
    """A program on rt ends connections in the server's name, as filters of contents do; no rule of it does."""
    std.sv.serve("tcp", 443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")

    def look():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        s.bind(("wan", 0x0800))
        s.settimeout(3)
        return s

    with traffic.inside(std.rt.path, look) as seen, traffic.inside(std.cl.path, socket.socket) as s, \
            traffic.inside(std.rt.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as out:
        s.settimeout(3)
        s.connect(("10.0.3.2", 443))
        s.sendall(b"GET")
        while True:
            head = seen.recv(2000)[14:]
            if head[9] == 6 and head[12:16] == socket.inet_aton("198.18.0.1") and len(head) > 52 and head.endswith(b"GET"):
                break
        assert s.recv(9) == b"GET"
        sport, _, seq, ack = struct.unpack("!HHII", head[20:32])
        ends = socket.inet_aton("10.0.3.2") + socket.inet_aton("198.18.0.1")
        tcp = struct.pack("!HHIIBBHHH", 443, sport, ack + 3, seq + 3, 5 << 4, 4 | 16, 0, 0, 0)
        tcp = tcp[:16] + struct.pack("!H", traffic._checksum(ends + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
        out.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 40, 77, 0, 64, 6, 0) + ends + tcp, ("198.18.0.1", 0))
        with pytest.raises(ConnectionResetError):
            s.recv(9)
    fleet.traffic(lambda: None)
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:443")
    check(answer, verdict="delivered", died_at=None, reply_seen=True)
    assert [c["summary"] for c in answer["causes"]] == [
        "rt sent 198.18.0.1 a reset in the name of 10.0.3.2: the connection ends by that"]
    assert [h["host"] for h in answer["hops"] if h["direction"] == "reply"] == ["sv", "rt", "gw", "cl"]
