"""Connection tracking under load: a big table at the start, and more connections than are worth following."""
import os
import signal
import socket
import time

from fleet import wait_until
from traffic import inside
from test_nat import nat

MANY = 20000


def send_from_many(std, count, gap, first=20000):
    """Datagrams to a closed port, each from a port of its own."""
    def send():
        for port in range(first, first + count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind(("10.0.1.2", port))
                one.sendto(b"one of many", ("10.0.3.2", 9))
            time.sleep(gap)
    inside(std.cl.path, send)


def test_too_many_connections_are_left_alone(fleet, std):
    """Above the rate the source is off with its reason, and what it missed is told as lost; below it stays on."""
    fleet.start_collector()
    fleet.start_agent(std.gw, config="conntrack_rate: 100\n")
    fleet.start_agent(std.rt, config="conntrack_rate: 100000\n")
    send_from_many(std, 100, 0.03)
    assert fleet.source("gw", "conntrack")["state"] == "on"
    send_from_many(std, 1200, 0.004, 30000)
    off = wait_until("rest", lambda: (lambda s: s if s["state"] == "off" else None)(fleet.source("gw", "conntrack")), 3)
    assert "conntrack_rate" in off["why"]
    assert fleet.source("rt", "conntrack")["state"] == "on"
    assert std.gw.agent.said().count("source conntrack is off") == 1

    def losses():
        answer = nat(fleet, "10.0.1.2:30001", status=None)
        return [(loss["host"], loss["source"]) for loss in answer["losses"]]
    wait_until("what was missed", lambda: ("gw", "conntrack") in losses(), 8)
    assert ("rt", "conntrack") not in losses()


def test_how_full_it_is(fleet, std):
    """Count and maximum as the kernel has them; none where connections are not tracked."""
    std.gw.run("conntrack", "-I", "-p", "udp", "-s", "10.9.0.1", "-d", "10.0.3.2", "--sport", "1000", "--dport", "53", "-t", "600")
    fleet.start_collector()
    fleet.start_agents()

    def told(name):
        return next(h for h in fleet.host_list() if h["id"] == name)["conntrack"]
    first = wait_until("statistics", lambda: told("gw"), 5)
    maximum = int(std.gw.run("cat", "/proc/sys/net/netfilter/nf_conntrack_max").stdout)
    assert first["max"] == maximum and first["count"] >= 1 and first["drop"] == 0
    assert first["grew"] == {"insert_failed": 0, "drop": 0, "early_drop": 0}
    send_from_many(std, 300, 0)
    wait_until("more of them", lambda: told("gw")["count"] >= 301, 15)


def entries(first, count):
    """Lines for `conntrack --load-file`: connections that no packet began."""
    return "".join("-I -p udp -s 10.9.%d.%d -d 10.0.3.2 --sport 1000 --dport 53 -t 600 -u SEEN_REPLY\n" % divmod(i, 256)
                   for i in range(first, first + count))


def test_a_big_table_arrives_whole(fleet, std):
    """Entries that stood before the agent: all of them come, as far as the first and the last tell."""
    file = fleet.dir / "entries"
    file.write_text(entries(0, MANY))
    std.gw.run("conntrack", "--load-file", file)
    assert int(std.gw.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout) >= MANY
    fleet.start_collector()
    fleet.start_agents(std.gw)
    for i in (0, MANY // 2, MANY - 1):
        address = "10.9.%d.%d" % divmod(i, 256)
        answer = wait_until(address, lambda: (lambda a: a if a["matched"] else None)(nat(fleet, address + ":1000", status=None)), 5)
        assert answer["flows"][0]["flow"]["src"] == address
    assert not [loss for loss in answer["losses"] if loss["source"] in ("conntrack", "spool")]


def test_an_overrun_is_a_gap_and_the_table_is_read_again(fleet, std):
    """What came while the worker stood still did not fit: the gap is told, and what stands now is known all the same."""
    file = fleet.dir / "entries"
    file.write_text(entries(0, MANY))
    fleet.start_collector()
    fleet.start_agents(std.gw)
    worker = min(pid for pid, line in fleet.children() if "lasthop-agent" in line)
    os.kill(worker, signal.SIGSTOP)
    try:
        std.gw.run("conntrack", "--load-file", file)
    finally:
        os.kill(worker, signal.SIGCONT)
    for i in (0, MANY // 2, MANY - 1):
        address = "10.9.%d.%d" % divmod(i, 256)
        answer = wait_until(address, lambda: (lambda a: a if a["matched"] else None)(nat(fleet, address + ":1000", status=None)), 10)
        assert answer["flows"][0]["flow"]["src"] == address
    gaps = [loss for loss in answer["losses"] if loss["source"] == "conntrack"]
    assert len(gaps) == 1 and gaps[0]["count"] is None, answer["losses"]
