"""Others on the same host: administrators who save and reload, strangers who own the log group, other traffic."""
import os
import threading
import time

import pytest

import traffic
from fleet import flow_of
from ways import check

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def test_legacy_save_and_restore_under_a_lease(fleet, std):
    """A reload of the same rules disturbs nothing: not the lease, not the answer."""
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP", "-A INPUT -p tcp --dport 80 -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    text = std.sv.rules_saved()
    std.sv.rules_restore(text)
    assert std.cl.tcp("10.0.3.2", 443, timeout=0.5).outcome == "silent"
    check(fleet.where(FLOW), verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 1})


def test_nft_save_and_reload_under_a_lease(fleet, std):
    """Documented: while a lease stands, a file that contains our table cannot be loaded, as a whole; afterwards it can."""
    std.sv.nft("table inet mine { chain input { type filter hook input priority 0; tcp dport 443 drop; }; }")
    fleet.start_collector()
    fleet.start_agents()
    lease = fleet.trace(FLOW)["lease"]
    saved = std.sv.run("nft", "list", "ruleset").stdout
    assert "table inet lasthop" in saved and "table inet mine" in saved
    done = std.sv.nft("flush ruleset\n" + saved, check=False)
    assert done.returncode != 0 and "Operation not permitted" in done.stderr
    assert "tcp dport 443 drop" in std.sv.run("nft", "list", "table", "inet", "mine").stdout
    # Someone else's flush alone spares a table that has an owner, and tracing goes on.
    std.sv.nft("flush ruleset")
    assert "table inet lasthop" in std.sv.run("nft", "list", "tables").stdout
    fleet.lasthop("trace", "stop", lease, status=0)
    std.sv.nft("table inet mine { chain input { type filter hook input priority 0; tcp dport 443 drop; }; }")
    again = std.sv.run("nft", "list", "ruleset").stdout
    assert "lasthop" not in again
    std.sv.nft("flush ruleset\n" + again)
    assert "tcp dport 443 drop" in std.sv.run("nft", "list", "ruleset").stdout


def test_another_owner_of_log_group_0(fleet, std):
    """Reported with the owner; everything else goes on, and the owner keeps what is his."""
    stranger = traffic.own_log_group(std.gw.path, 0)
    portid = stranger.getsockname()[0]
    try:
        std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
        fleet.start_collector()
        fleet.start_agents()
        fleet.lasthop("trace", "start", *FLOW.split(), "--for", "30s", "--rate", "1000/s", status=(0, 3))
        source = {s["name"]: s for h in fleet.host_list() if h["id"] == "gw" for s in h["sources"]}["trace-legacy"]
        assert source["state"] != "on"
        assert "group 0" in source["why"] and str(portid) in source["why"]
        assert std.cl.tcp("10.0.3.2", 443, timeout=0.5).outcome == "silent"
        answer = fleet.where(FLOW)
        check(answer, verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 1})
        assert [h["host"] for h in answer["hops"]] == ["cl", "gw", "rt", "sv"]
        owners = std.gw.run("cat", "/proc/net/netfilter/nfnetlink_log").stdout.split()
        assert owners[:2] == ["0", str(portid)]
    finally:
        stranger.close()


def test_a_drop_behind_another_owner_of_log_group_0_accuses_nobody_wrongly(fleet, std):
    stranger = traffic.own_log_group(std.gw.path, 0)
    try:
        std.gw.rules("-A FORWARD -p udp -j ACCEPT", "-A FORWARD -p tcp --dport 443 -j DROP", "-A FORWARD -p tcp -j ACCEPT")
        fleet.start_collector()
        fleet.start_agents()
        fleet.lasthop("trace", "start", *FLOW.split(), "--for", "30s", "--rate", "1000/s", status=(0, 3))
        assert std.cl.tcp("10.0.3.2", 443, timeout=0.5).outcome == "silent"
        answer = fleet.where(FLOW, status=(0, 3))
        died = answer["died_at"]
        assert answer["verdict"] not in ("delivered", "lost", "left", "refused", "rejected")
        assert died is None or died["rule"] in (None, 2)
        assert died is None or died["host"] == "gw"
    finally:
        stranger.close()


def test_a_lease_under_ten_times_its_rate(fleet, std):
    """Other traffic of the lease on one hop only: the hosts still choose the same packets, and nothing is `lost`."""
    std.sv.serve("udp", 5000).mute = True
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p udp -d 10.0.3.2 --dport 5000", rate="40/s")
    met = []

    def flood(host, count, gap, sport):
        met.append(host.udp("10.0.3.2", 5000, count=count, gap=gap, timeout=0.1, sport=sport))

    threads = [threading.Thread(target=flood, args=(std.cl, 600, 0.004, 41000)),
               threading.Thread(target=flood, args=(std.rt, 1200, 0.002, 42000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) == 2
    for flow in [flow_of(m, "udp", "10.0.3.2", 5000) for m in met] + ["-p udp -d 10.0.3.2 --dport 5000"]:
        answer = fleet.where(flow, status=(0, 3))
        assert answer["matched"] >= 1, flow
        assert answer["verdict"] in ("delivered", "unknown"), flow
        assert "lost" not in [other["verdict"] for other in answer["others"]]


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_kib(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total


@pytest.mark.timing
def test_an_idle_agent_costs_next_to_nothing(fleet, std):
    std.gw.rules(*["-A FORWARD -p tcp --dport %d -j ACCEPT" % port for port in range(1000, 1040)])
    fleet.start_collector()
    fleet.start_agents(std.gw)
    pids = [pid for pid, line in fleet.children() if "lasthop-collector" not in line]
    assert len(pids) >= 2
    time.sleep(2)
    spent = cpu_seconds(pids)
    time.sleep(6)
    spent = cpu_seconds(pids) - spent
    assert spent < 0.06 + 0.01, "%.2f s of 6" % spent
    assert resident_kib(pids) < 16 << 10
