"""Packets that die while nobody traces: the kernel's own word about them, and what its program costs and leaves.

No test starts a lease unless it says so.
"""
import ctypes
import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess

import pytest

import traffic
from fleet import BIN, GONE, READY, SLOW, end, run, wait_until

SRC = {4: "10.0.1.2", 6: "2001:db8:1::2"}
DST = {4: "10.0.3.2", 6: "2001:db8:3::2"}


@pytest.fixture
def bare(fleet):
    """The standard fleet without translation, so that a flow has the same name everywhere."""
    import fleet as module
    std = module.Standard(fleet, masquerade=False)
    std.rt.ip("route add 10.0.1.0/24 via 198.18.0.1")
    return std


def neighbours_meet(std, version):
    """The first solicitation of a young IPv6 link goes unheard, and costs a second."""
    wait_until("the way is open", lambda: std.cl.ping(DST[version], 7, timeout=0.3).outcome == "answered", 5)


def flow(proto, src, dst, port):
    return "%s %s %s" % (proto, src, end(dst, port))


def datagram(host, dst, port, payload, src="", ttl=None):
    """Sends one datagram and does not wait."""
    with traffic._bound(host.path, socket.SOCK_DGRAM, dst, src, 0) as s:
        if ttl and ":" in dst:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        elif ttl:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        try:
            s.sendto(payload, (dst, port))
        except PermissionError:
            pass    # dropped in its own OUTPUT


def died(fleet, question):
    """(verdict, host, reason, hooks in which it may have been)"""
    answer = fleet.where(question, status=0)
    at = answer["died_at"] or {}
    return answer["verdict"], at.get("host"), at.get("reason"), at.get("hooks")


def bodies(fleet):
    """What the store has of each journey, packed."""
    for path in sorted((fleet.dir / "store" / "segments").glob("*.db")):
        with sqlite3.connect("file:%s?mode=ro" % path, uri=True) as db:
            yield from db.execute("SELECT dport, body FROM journey")


@pytest.mark.bpf
@pytest.mark.parametrize("version", [4, 6])
def test_a_rule_drops_in_each_hook(fleet, bare, version):
    cl, rt, sv = bare.cl, bare.rt, bare.sv
    neighbours_meet(bare, version)
    fleet.start_collector()
    fleet.start_agents()
    cl.rules("-A OUTPUT -p udp --dport 8001 -j DROP", "-t mangle -A POSTROUTING -p udp --dport 8002 -j DROP",
             version=version)
    rt.rules("-t raw -A PREROUTING -p udp --dport 8003 -j DROP", "-A FORWARD -p udp --dport 8004 -j DROP",
             "-t mangle -A POSTROUTING -p udp --dport 8005 -j DROP", version=version)
    sv.rules("-A INPUT -p udp --dport 8006 -j DROP", version=version)
    for port in range(8001, 8007):
        fleet.traffic(datagram, cl, DST[version], port, b"%d is where it dies" % port)
    for port, host, hook in ((8001, "cl", "OUTPUT"), (8002, "cl", "POSTROUTING"), (8003, "rt", "PREROUTING"),
                             (8004, "rt", "FORWARD"), (8005, "rt", "POSTROUTING"), (8006, "sv", "INPUT")):
        assert died(fleet, flow("udp", SRC[version], DST[version], port)) == \
            ("dropped", host, "NETFILTER_DROP", [hook])


@pytest.mark.bpf
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_discards_or_refuses(fleet, bare, version):
    cl, rt = bare.cl, bare.rt
    nowhere = {4: "172.30.0.1", 6: "2001:db8:99::1"}[version]
    neighbours_meet(bare, version)
    fleet.start_collector()
    fleet.start_agents()
    fleet.traffic(datagram, cl, nowhere, 8001, b"8001 has no route")
    fleet.traffic(datagram, cl, DST[version], 8002, b"8002 grows too old", ttl=2)
    fleet.traffic(datagram, cl, DST[version], 8003, b"8003 is not awaited")
    cl.tcp(DST[version], 8004, timeout=0.3)
    expected = [(nowhere, 8001, "udp", "discarded", "rt", "IP_INNOROUTES"),
                (DST[version], 8002, "udp", "discarded", "rt", "IP_INHDR"),
                (DST[version], 8003, "udp", "refused", "sv", "NO_SOCKET"),
                (DST[version], 8004, "tcp", "refused", "sv", "NO_SOCKET")]
    if version == 4:
        rt.sysctl(ipv4__conf__wan__rp_filter=1)
        cl.ip("addr add 10.0.77.7/32 dev lo")
        fleet.traffic(datagram, cl, DST[4], 8005, b"8005 comes from elsewhere", src="10.0.77.7")
        assert died(fleet, flow("udp", "10.0.77.7", DST[4], 8005)) == ("discarded", "rt", "IP_RPFILTER", [])
    for dst, port, proto, verdict, host, reason in expected:
        assert died(fleet, flow(proto, SRC[version], dst, port)) == (verdict, host, reason, [])


@pytest.mark.bpf
def test_nobody_answers_on_the_link(fleet, bare):
    bare.rt.sysctl(ipv4__neigh__net__retrans_time_ms=50)
    fleet.start_collector()
    fleet.start_agents()
    fleet.traffic(datagram, bare.cl, "10.0.3.77", 8001, b"8001 finds no neighbour")
    assert died(fleet, flow("udp", SRC[4], "10.0.3.77", 8001)) == ("discarded", "rt", "NEIGH_FAILED", [])


@pytest.mark.bpf
def test_equal_payloads_are_not_one_packet(fleet, bare):
    """IPv6 has no id and a fingerprint no ports: these two differ in nothing but their flow."""
    neighbours_meet(bare, 6)
    fleet.start_collector()
    fleet.start_agents()
    bare.cl.rules("-A OUTPUT -p udp --dport 8001 -j DROP", version=6)
    for port in (8001, 8002):
        fleet.traffic(datagram, bare.cl, DST[6], port, b"the same words")
    assert died(fleet, flow("udp", SRC[6], DST[6], 8001))[:3] == ("dropped", "cl", "NETFILTER_DROP")
    assert died(fleet, flow("udp", SRC[6], DST[6], 8002))[:3] == ("refused", "sv", "NO_SOCKET")


@pytest.mark.bpf
def test_what_is_traced_and_freed_is_one_journey(fleet, bare):
    fleet.start_collector()
    fleet.start_agents()
    bare.rt.rules("-A FORWARD -p tcp --dport 8001 -j DROP")
    fleet.trace("tcp %s %s" % (SRC[4], end(DST[4], 8001)))
    attempt = bare.cl.tcp(DST[4], 8001, timeout=1.4)     # a retransmission, too
    assert attempt.outcome == "silent"
    fleet.settle()
    found = json.loads(fleet.lasthop("path", "tcp", SRC[4], end(DST[4], 8001), "--json", status=0).stdout)
    at_rt = [j for j in found["journeys"] if j["host"] == "rt"]
    assert len(at_rt) == 2      # one for each packet that was sent
    for journey in at_rt:
        kinds = [step["kind"] for step in journey["steps"]]
        assert kinds[-1] == "kernel" and kinds.count("kernel") == 1 and "rule" in kinds and "checkpoint" in kinds
        assert journey["steps"][-1]["hook"] == "FORWARD"
    assert died(fleet, flow("tcp", SRC[4], DST[4], 8001))[:3] == ("dropped", "rt", "NETFILTER_DROP")


@pytest.mark.bpf
@pytest.mark.parametrize("config, most", [(None, 5000), ("limits: { drops_rate: 10 }\n", 60)],
                         ids=["as it is", "as configured"])
def test_what_exceeds_the_rate_is_counted(fleet, config, most):
    """No packet is forgotten: told one by one, or in the count of its reason."""
    sent = 30000
    a, b = fleet.host("a"), fleet.host("b")
    fleet.link(a, "eth0", "10.0.1.2/24", b, "eth0", "10.0.1.1/24")
    fleet.start_collector()
    fleet.start_agent(b, config=config)
    b.rules("-t raw -A PREROUTING -p udp --dport 8001 -j DROP")
    with traffic._bound(a.path, socket.SOCK_DGRAM, "10.0.1.1", "", 0) as s:
        s.connect(("10.0.1.1", 8001))
        for number in range(sent):
            s.send(b"%08d" % number)
    assert b.hits("raw", "PREROUTING", 1) == sent

    def told():
        lost = [(loss["source"], loss["count"]) for h in fleet.host_list() for loss in h["losses"]]
        counted = sum(count for source, count in lost if source == "drops:NETFILTER_DROP")
        return sum(1 for port, _ in bodies(fleet) if port == 8001), counted

    wait_until("all of them are accounted for: %s" % (told(),), lambda: sum(told()) == sent, 5)
    journeys, counted = told()
    assert 0 < journeys < most * SLOW and counted > 0


@pytest.mark.bpf
def test_only_what_is_watched_is_told(fleet):
    """Three equal hosts behind one router; the agent of two of them knows nothing of the third."""
    rt = fleet.host("rt")
    rt.forward()
    hosts = {}
    for i, name in enumerate(("w1", "w2", "free"), 1):
        hosts[name] = fleet.host(name)
        fleet.link(rt, "net%d" % i, "10.0.%d.1/24" % i, hosts[name], "eth0", "10.0.%d.2/24" % i)
        hosts[name].rules("-A INPUT -p udp --dport 8001 -j DROP")
    fleet.start_collector()
    fleet.start("agent-both", [BIN / "lasthop-agent", "--id", "m", "--netns", hosts["w1"].netns, "--netns", hosts["w2"].netns,
                               "--collector", "127.0.0.1:%d" % fleet.port, "--state", fleet.dir / "state", "--insecure"])
    ids = {name: "m/" + hosts[name].netns for name in ("w1", "w2")}
    fleet.wait_ready(*ids.values())
    for i in (1, 2, 3):
        fleet.traffic(datagram, rt, "10.0.%d.2" % i, 8001, b"%d of three" % i)
    for i, name in ((1, "w1"), (2, "w2")):
        assert died(fleet, "udp 10.0.%d.1 10.0.%d.2:8001" % (i, i)) == \
            ("dropped", ids[name], "NETFILTER_DROP", ["INPUT"])
    assert fleet.where("udp 10.0.3.1 10.0.3.2:8001", status=1)["matched"] == 0
    assert sum(1 for port, _ in bodies(fleet) if port == 8001) == 2


@pytest.mark.bpf
def test_a_namespace_that_came_back_is_told_of(fleet):
    """Another one under the same name: what the programs know it by has changed."""
    rt, host = fleet.host("rt"), fleet.host("h")
    fleet.start_collector()
    fleet.start("agent-h", [BIN / "lasthop-agent", "--id", "h", "--netns", host.netns, "--collector",
                            "127.0.0.1:%d" % fleet.port, "--state", fleet.dir / "state", "--insecure"])
    fleet.wait_ready("h")
    run(["ip", "netns", "delete", host.netns])
    wait_until("it is said to have gone", lambda: "ended" in fleet.programs[-1].said() or
               {h["id"]: h["state"] for h in fleet.host_list()}["h"] != "ready", READY)
    run(["ip", "netns", "add", host.netns])
    fleet.link(rt, "net", "10.0.1.1/24", host, "eth0", "10.0.1.2/24")
    fleet.wait_ready("h")
    host.rules("-A INPUT -p udp --dport 8001 -j DROP")
    fleet.traffic(datagram, rt, "10.0.1.2", 8001, b"to the new one")
    assert died(fleet, "udp 10.0.1.1 10.0.1.2:8001") == ("dropped", "h", "NETFILTER_DROP", ["INPUT"])


def programs_of(pid):
    """Ids of the BPF programs that a process has attached."""
    found = set()
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as f:
            found.update(int(n) for n in re.findall(r"(?m)^prog_id:\s*(\d+)$", f.read()))
    return found


def program_is_loaded(ident):
    BPF, PROG_GET_FD_BY_ID = 321 if os.uname().machine == "x86_64" else 280, 13
    attr = ctypes.create_string_buffer(struct.pack("=II", ident, 0).ljust(128, b"\0"))
    fd = ctypes.CDLL(None).syscall(BPF, PROG_GET_FD_BY_ID, attr, 128)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


@pytest.mark.bpf
def test_nothing_stays_of_what_was_loaded(fleet):
    host = fleet.host("h")
    fleet.start_collector()
    agent = fleet.start_agent(host)
    helper = [pid for pid, line in fleet.children() if line.startswith("lasthop-helper") and "--guard" not in line]
    assert len(helper) == 1
    programs = programs_of(helper[0])
    assert programs and all(map(program_is_loaded, programs))
    for pid in (helper[0], agent.pid):
        fleet.expected_deaths.add(pid)
        os.kill(pid, signal.SIGKILL)
    wait_until("no program of ours is loaded", lambda: not any(map(program_is_loaded, programs)), GONE)
    agent.wait(GONE)


def test_without_the_right_to_load_it_says_so_once(fleet, tmp_path):
    """Root of a user namespace may not load programs: one line, and everything else works."""
    log = tmp_path / "log"
    with open(log, "wb") as out:
        agent = subprocess.Popen(
            ["unshare", "-Urn", "unshare", "-mn", "sh", "-c",
             "mount -t tmpfs tmpfs /run && ip link set lo up && exec \"$@\"", "sh", BIN / "lasthop-agent", "--id", "u",
             "--collector", "127.0.0.1:9", "--state", tmp_path / "state", "--insecure"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=fleet.environment(), start_new_session=True, cwd="/")
    try:
        wait_until("it says that drops are not seen",
                   lambda: "source drops is failed" in log.read_text() or agent.poll() is not None, READY)
        said = [line for line in log.read_text().splitlines() if "source drops" in line]
        assert len(said) == 1 and "CAP_BPF" in said[0] and "not seen" in said[0]
        assert agent.poll() is None
    finally:
        agent.terminate()
        assert agent.wait(GONE) == 0, log.read_text()
