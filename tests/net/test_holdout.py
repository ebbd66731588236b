"""
Faults planted where an answer goes wrong easily: translations of every kind, user chains with goto, tables that few
use, packets that come back, fragments, ICMP errors cut short, rules that change around the packet. Each expected
answer follows from the rules; nobody else may be accused.
"""
import threading
import time

import pytest

import traffic
from fleet import BIN, Standard
from ways import check, hosts, warm

SERVER, PUBLIC = "10.0.3.2", "203.0.113.10"
SERVER6 = "2001:db8:3::2"
FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def begin(fleet, flow, *agents):
    fleet.start_collector()
    fleet.start_agents(*agents)
    fleet.trace(flow)


def translations(answer, host, direction="original"):
    return [n for h in answer["hops"] if h["host"] == host and h["direction"] == direction for n in h["nat"]]


@pytest.mark.parametrize("host,table,chain", [
    ("cl", "mangle", "POSTROUTING"), ("gw", "mangle", "POSTROUTING"), ("rt", "raw", "PREROUTING"),
    ("rt", "security", "FORWARD"), ("sv", "mangle", "INPUT")])
def test_tables_that_few_use(fleet, std, host, table, chain):
    getattr(std, host).rules("-t %s -A %s -p udp -j RETURN" % (table, chain),
                             "-t %s -A %s -p tcp --dport 443 -j DROP" % (table, chain))
    begin(fleet, FLOW)
    std.cl.tcp(SERVER, 443, timeout=0.3)
    answer = fleet.where(FLOW)
    check(answer, verdict="dropped", direction="original", losses=[],
          died_at={"host": host, "table": table, "chain": chain, "kind": "rule", "rule": 2})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"][:["cl", "gw", "rt", "sv"].index(host) + 1]


def test_user_chains_with_return_and_goto(fleet, std):
    """443 comes back from A, which left by goto, and dies behind it; 444 dies three deep."""
    std.sv.rules("-N A", "-N B", "-N C", "-A INPUT -p icmp -j ACCEPT", "-A INPUT -j A", "-A INPUT -p tcp -j DROP",
                 "-A A -p udp -j ACCEPT", "-A A -g B", "-A A -j ACCEPT",
                 "-A B -p tcp --dport 443 -j RETURN", "-A B -j C", "-A B -j ACCEPT", "-A C -j DROP")
    begin(fleet, "-p tcp -d 10.0.3.2")
    std.cl.tcp(SERVER, 443, timeout=0.3)
    std.cl.tcp(SERVER, 444, timeout=0.3)
    check(fleet.where(FLOW), verdict="dropped",
          died_at={"host": "sv", "chain": "INPUT", "rule": 3, "rule_text": "-A INPUT -p tcp -j DROP", "jumps": []})
    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:444")
    check(answer, verdict="dropped", died_at={"host": "sv", "chain": "C", "rule": 1, "rule_text": "-A C -j DROP"})
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("INPUT", 2), ("A", 2), ("B", 2)]


def test_translated_twice_and_asked_from_every_side(fleet, std):
    std.gw.rules("-t nat -A PREROUTING -i lan -p tcp --dport 1000 -j DNAT --to-destination 203.0.113.10:2000")
    std.rt.rules("-t nat -N PUB", "-t nat -A PREROUTING -d 203.0.113.10/32 -j PUB",
                 "-t nat -A PUB -p tcp -m multiport --dports 1999,2000 -j DNAT --to-destination 10.0.3.2:3000",
                 "-A FORWARD -p tcp -m multiport --dports 10,2999:3001 -j DROP")
    begin(fleet, "tcp 10.0.1.2 192.0.2.7:1000")
    met = std.cl.tcp("192.0.2.7", 1000, timeout=0.3)
    for flow in ("tcp 10.0.1.2 192.0.2.7:1000", "tcp 198.18.0.1 10.0.3.2:3000",
                 "tcp 10.0.3.2:3000 198.18.0.1:%d" % met.sport):
        answer = fleet.where(flow)
        check(answer, verdict="dropped", matched=1, flow={"src": "10.0.1.2", "dst": "192.0.2.7", "dport": 1000},
              died_at={"host": "rt", "chain": "FORWARD", "rule": 1})
    assert [(n["kind"], n["from"], n["to"]) for n in translations(answer, "gw")] == [
        ("dnat", "192.0.2.7:1000", "203.0.113.10:2000"),
        ("masquerade", "10.0.1.2:%d" % met.sport, "198.18.0.1:%d" % met.sport)]
    assert [n["rule_text"] for n in translations(answer, "rt")] == [
        "-A PUB -p tcp -m multiport --dports 1999,2000 -j DNAT --to-destination 10.0.3.2:3000"]


def test_dnat_in_output_and_snat_to_a_port_range(fleet):
    std = Standard(fleet, masquerade=False)
    std.gw.rules("-t nat -A POSTROUTING -p udp -j SNAT --to-source 198.18.0.9",
                 "-t nat -A POSTROUTING -o wan -p tcp -j SNAT --to-source 198.18.0.1:5000-5001")
    std.cl.rules("-t nat -A OUTPUT -p tcp -d 192.0.2.1 --dport 99 -j DNAT --to-destination 10.0.3.2:443")
    std.sv.rules("-A OUTPUT -p tcp --tcp-flags SYN,ACK SYN,ACK -j DROP")
    std.sv.serve("tcp", 443)
    begin(fleet, "tcp 10.0.1.2 192.0.2.1:99")
    std.cl.tcp("192.0.2.1", 99, timeout=0.3)
    answer = fleet.where("tcp 10.0.1.2 192.0.2.1:99")
    check(answer, verdict="dropped", direction="reply", flow={"dst": "192.0.2.1", "dport": 99},
          died_at={"host": "sv", "table": "filter", "chain": "OUTPUT", "rule": 1})
    assert hosts(answer) == ["cl", "gw", "rt", "sv"] and hosts(answer, "reply") == ["sv"]
    assert [(n["kind"], n["from"], n["to"]) for n in translations(answer, "cl")] == [
        ("dnat", "192.0.2.1:99", "10.0.3.2:443")]
    assert [(n["kind"], n["rule_text"]) for n in translations(answer, "gw")] == [
        ("snat", "-A POSTROUTING -o wan -p tcp -j SNAT --to-source 198.18.0.1:5000-5001")]


def test_redirected_to_the_router_itself(fleet, std):
    std.rt.rules("-t nat -A PREROUTING -d 203.0.113.10/32 -p tcp --dport 80 -j REDIRECT --to-ports 8080",
                 "-A INPUT -p icmp -j ACCEPT", "-A INPUT -p tcp --dport 8080 -j DROP")
    begin(fleet, "tcp 10.0.1.2 203.0.113.10:80")
    std.cl.tcp(PUBLIC, 80, timeout=0.3)
    answer = fleet.where("tcp 10.0.1.2 203.0.113.10:80")
    check(answer, verdict="dropped", died_at={"host": "rt", "chain": "INPUT", "rule": 2})
    assert [(n["kind"], n["from"], n["to"]) for n in translations(answer, "rt")] == [
        ("redirect", "203.0.113.10:80", "198.18.0.2:8080")]


def test_hairpin(fleet, std):
    """The packet comes back to its sender under other addresses."""
    std.gw.rules("-t nat -A PREROUTING -d 198.18.0.1/32 -p tcp --dport 80 -j DNAT --to-destination 10.0.1.3:8080",
                 "-t nat -A POSTROUTING -s 10.0.1.0/24 -d 10.0.1.3/32 -p tcp -j SNAT --to-source 10.0.1.1")
    std.cl.ip("addr add 10.0.1.3/24 dev eth0")
    std.cl.rules("-A INPUT -p tcp --dport 8080 -j DROP")
    begin(fleet, "tcp 10.0.1.2 198.18.0.1:80")
    std.cl.tcp("198.18.0.1", 80, src="10.0.1.2", timeout=0.3)
    answer = fleet.where("tcp 10.0.1.2 198.18.0.1:80")
    check(answer, verdict="dropped", matched=1, died_at={"host": "cl", "chain": "INPUT", "rule": 1})
    assert hosts(answer) == ["cl", "gw", "cl"]
    assert [n["kind"] for n in translations(answer, "gw")] == ["dnat", "snat"]


def test_udp_in_fragments_arrives(fleet, std):
    """What conntrack puts together is another packet than its fragments: none of them died."""
    std.sv.serve("udp", 53)
    begin(fleet, "udp 10.0.1.2 10.0.3.2:53")
    assert std.cl.udp(SERVER, 53, payload=b"q" * 4000).outcome == "answered"
    check(fleet.where("udp 10.0.1.2 10.0.3.2:53"), verdict="delivered", died_at=None, partial=False)


def test_nobody_listens_on_a_udp_port_of_ipv6(fleet, std):
    warm(std.cl, SERVER6)
    std.sv.serve("udp", 54).mute = True
    begin(fleet, "-p udp -d 2001:db8:3::2")
    std.cl.udp(SERVER6, 53, timeout=0.3)
    std.cl.udp(SERVER6, 54, timeout=0.3)
    answer = fleet.where("-p udp -d 2001:db8:3::2")
    check(answer, verdict="refused", direction="original", matched=2, reply_seen=False, flow={"dport": 53},
          died_at={"host": "sv", "kind": "socket", "reason": "NO_SOCKET"})
    assert answer["others"][0]["verdict"] == "delivered"


def test_reject_in_a_user_chain_of_ipv6(fleet, std):
    warm(std.cl, SERVER6)
    std.rt.rules("-N X", "-A FORWARD -p udp -j X",
                 "-A X -p udp --dport 53 -j REJECT --reject-with icmp6-adm-prohibited", version=6)
    begin(fleet, "udp 2001:db8:1::2 [2001:db8:3::2]:53")
    std.cl.udp(SERVER6, 53, timeout=0.3)
    answer = fleet.where("udp 2001:db8:1::2 [2001:db8:3::2]:53")
    check(answer, verdict="rejected", direction="original", reply_seen=False, died_at={
        "host": "rt", "family": "ipv6", "chain": "X", "rule": 1, "reject_with": "icmp6-adm-prohibited"})
    assert [(j["chain"], j["rule"]) for j in answer["died_at"]["jumps"]] == [("FORWARD", 1)]
    assert hosts(answer, "reply") == []


def test_ttl_ends_at_once_after_the_lease_began(fleet, std):
    """One packet, as soon as `trace start` returned, and no ICMP to tell."""
    std.cl.rules("-t mangle -A POSTROUTING -p udp -j TTL --ttl-set 2")
    std.rt.rules("-A OUTPUT -p icmp -j DROP")
    begin(fleet, "udp 10.0.1.2 10.0.3.2:53")
    std.cl.udp(SERVER, 53, timeout=0.1)
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:53")
    check(answer, verdict="discarded", died_at={"host": "rt", "kind": "kernel", "reason": "IP_INHDR", "rule": None})
    assert answer["causes"][0]["id"] == "ttl-expired"


def test_asked_at_once_the_answer_is_complete(fleet, std):
    """Neither `nothing matched` nor half of the way, but the end, within a second."""
    std.sv.rules("-A INPUT -p tcp -j DROP")
    begin(fleet, FLOW)
    std.cl.tcp(SERVER, 443, timeout=0.02)
    fleet.last_traffic = 0.0
    check(fleet.where(FLOW), verdict="dropped", provisional=False, died_at={"host": "sv", "rule": 1})


def test_a_rule_that_comes_during_the_connection(fleet, std):
    std.sv.serve("tcp", 443)
    begin(fleet, FLOW)
    with traffic._bound(std.cl.path, traffic.socket.SOCK_STREAM, SERVER, "", 0) as s:
        s.settimeout(1)
        s.connect((SERVER, 443))
        s.sendall(b"a")
        s.recv(9)
        std.rt.rules("-I FORWARD -p tcp --dport 443 -m comment --comment late -j DROP")
        time.sleep(1.3)
        s.sendall(b"b")
        time.sleep(0.3)
        fleet.last_traffic = time.monotonic()
        answer = fleet.where(FLOW)
    check(answer, verdict="dropped", direction="original", partial=True, reply_seen=True, confidence="observed",
          died_at={"host": "rt", "chain": "FORWARD", "rule": 1})
    assert answer["died_at"]["since"] is not None


def test_a_rule_replaced_right_after_the_packet(fleet, std):
    """The content in force at that moment, or none: never the rule that stands there now."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP", "-A INPUT -j ACCEPT")
    begin(fleet, FLOW)
    time.sleep(1)
    std.cl.tcp(SERVER, 443, timeout=0.02)
    std.sv.rules("-R INPUT 1 -p tcp --dport 444 -j DROP")
    answer = fleet.where(FLOW, status=(0, 3))
    check(answer, verdict="dropped")
    assert answer["died_at"]["rule_text"] in (None, "-A INPUT -p tcp -m tcp --dport 443 -j DROP")


def test_fates_of_many_flows_at_once(fleet, std):
    """Twenty connections in parallel, half of them dropped by a rule on the source port."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -m multiport --sports 41000:41009 -j DROP")
    std.sv.serve("tcp", 443)
    begin(fleet, FLOW)
    met = {}

    def go(port):
        met[port] = std.cl.tcp(SERVER, 443, sport=port, timeout=0.6).outcome

    threads = [threading.Thread(target=go, args=(port,)) for port in range(41000, 41020)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer = fleet.where(FLOW)
    check(answer, matched=20, verdict="dropped", others_omitted=0)
    told = {a["flow"]["sport"]: a["verdict"] for a in [answer] + answer["others"]}
    assert told == {port: "delivered" if outcome == "answered" else "dropped" for port, outcome in met.items()}


def test_a_frame_for_nobody_is_lost_on_the_wire(fleet, std):
    """rt sends to a link address that sv does not have."""
    std.rt.run("ip", "neigh", "replace", SERVER, "lladdr", "02:00:00:00:00:99", "dev", "net", "nud", "permanent")
    begin(fleet, FLOW)
    std.cl.tcp(SERVER, 443, timeout=1.3)
    answer = fleet.where(FLOW)
    check(answer, verdict="lost", died_at={"host": "rt", "kind": "link", "between": ["rt", "sv"], "table": None, "rule": None})
    assert answer["causes"][0]["id"] == "lost-between-hosts"


def test_an_agent_that_has_gone_is_not_accused(fleet, std):
    """Nobody watched sv when the packet came: that it saw nothing says nothing."""
    std.sv.rules("-A INPUT -p tcp -j DROP")
    begin(fleet, FLOW)
    fleet.expected_deaths.add(std.sv.agent.pid)
    std.sv.agent.signal(9)
    std.sv.agent.wait(3)
    fleet.wait_clean(std.sv)
    std.cl.tcp(SERVER, 443, timeout=0.3)
    answer = fleet.where(FLOW, status=3)
    check(answer, verdict="unknown", died_at=None, coverage={"asked": 4, "answering": 3, "silent": ["sv"]})
    assert hosts(answer) == ["cl", "gw", "rt"]


def test_an_agent_that_came_back_is_not_accused(fleet, std):
    """It was killed, a datagram passed, it was started again: its lease did not stand in between."""
    std.sv.serve("udp", 53).mute = True
    begin(fleet, "udp 10.0.1.2 10.0.3.2:53")
    fleet.expected_deaths.add(std.sv.agent.pid)
    std.sv.agent.signal(9)
    std.sv.agent.wait(3)
    fleet.wait_clean(std.sv)
    std.cl.udp("10.0.3.2", 53, timeout=0.1)
    fleet.start_agent(std.sv)
    answer = fleet.where("udp 10.0.1.2 10.0.3.2:53", status=3)
    check(answer, verdict="unknown", died_at=None)
    assert hosts(answer) == ["cl", "gw", "rt"]


def test_an_agent_that_hangs_is_not_accused(fleet, std):
    """It is connected and says nothing."""
    std.sv.serve("udp", 53).mute = True
    begin(fleet, "udp 10.0.1.2 10.0.3.2:53")
    std.sv.agent.signal(19)
    std.cl.udp(SERVER, 53, timeout=0.1)
    try:
        answer = fleet.where("udp 10.0.1.2 10.0.3.2:53", status=3)
    finally:
        std.sv.agent.signal(18)
    check(answer, verdict="unknown", died_at=None)


def test_one_agent_of_two_namespaces(fleet, std):
    """Its hosts are ID/NETNS."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.cl, std.gw)
    for host in (std.rt, std.sv):
        host.baseline = host.look()
    std.rt.agent = fleet.start("agent-two", [
        BIN / "lasthop-agent", "--id", "two", "--netns", std.rt.netns, "--netns", std.sv.netns, "--collector",
        "127.0.0.1:%d" % fleet.port, "--state", fleet.dir / "state-two", "--insecure", "--allow-trace"])
    ids = ["two/" + std.rt.netns, "two/" + std.sv.netns]
    fleet.wait_ready(*ids)
    fleet.trace(FLOW)
    std.cl.tcp(SERVER, 443, timeout=0.3)
    answer = fleet.where(FLOW)
    check(answer, verdict="dropped", died_at={"host": ids[1], "rule": 1})
    assert hosts(answer) == ["cl", "gw"] + ids
