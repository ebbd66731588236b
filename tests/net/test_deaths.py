"""Whatever ends an agent, within two seconds nothing of it is left: no table, rule, sysctl, binding, process."""
import os
import re
import signal
import subprocess
import time

import pytest

from fleet import GONE, SLOW, part, wait_until

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def process_of(fleet, kind):
    """The one process of the only agent that runs: worker, helper or guard."""
    lines = {pid: line.strip() for pid, line in fleet.children() if "lasthop-collector" not in line}
    found = {
        "worker": [p for p, line in lines.items() if "lasthop-agent" in line],
        "guard": [p for p, line in lines.items() if "lasthop-helper" in line and "--guard" in line],
        "helper": [p for p, line in lines.items() if "lasthop-helper" in line and "--guard" not in line],
    }[kind]
    assert len(found) >= 1, lines
    return min(found)


def lasthop_is_there(host):
    tables = host.run("nft", "list", "tables").stdout
    logger = host.run("cat", "/proc/sys/net/netfilter/nf_log/2").stdout
    return "lasthop" in tables and "nfnetlink_log" in logger


def agent_gone(fleet):
    return not [line for _, line in fleet.children() if "lasthop-collector" not in line]


@pytest.mark.parametrize("victim, how", [
    ("worker", signal.SIGTERM), ("worker", signal.SIGKILL), ("worker", signal.SIGABRT),
    ("helper", signal.SIGKILL), ("helper", signal.SIGTERM), ("guard", signal.SIGKILL),
])
def test_nothing_is_left(fleet, std, victim, how):
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace(FLOW)
    assert lasthop_is_there(std.gw)
    fleet.expected_deaths.add(std.gw.agent.pid)
    os.kill(process_of(fleet, victim), how)
    started = time.monotonic()
    fleet.wait_clean(std.gw)
    wait_until("no process of the agent", lambda: agent_gone(fleet), GONE - (time.monotonic() - started))
    # And the next one finds the way free.
    fleet.start_agents(std.gw)
    fleet.trace(FLOW)
    std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    answer = fleet.where(FLOW)
    like = {"verdict": "dropped", "died_at": {"host": "gw", "chain": "FORWARD", "rule": 1}}
    assert part(answer, like) == like


def packets_traced(host):
    text = host.run("nft", "list", "table", "inet", "lasthop").stdout
    return sum(int(n) for n in re.findall(r"counter t_\w+ \{\s*packets (\d+)", text))


def test_a_stopped_agent_does_not_prolong_its_lease(fleet, std):
    """The kernel itself ends a lease: the patterns are set elements with a timeout."""
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace(FLOW, for_="%ds" % (2 * SLOW))
    started = time.monotonic()
    std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    pids = [process_of(fleet, kind) for kind in ("worker", "helper")]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        before = packets_traced(std.gw)
        assert before > 0
        time.sleep(max(0, started + 2 * SLOW + 0.5 - time.monotonic()))
        std.cl.tcp("10.0.3.2", 443, timeout=0.3)
        assert packets_traced(std.gw) == before
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until("the table is gone", lambda: "lasthop" not in std.gw.run("nft", "list", "tables").stdout, 2 * GONE)


def test_a_lease_ends_by_itself(fleet, std):
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace(FLOW, for_="1s")
    assert lasthop_is_there(std.gw)
    wait_until("the lease is over", lambda: not lasthop_is_there(std.gw), 1 + GONE)
    fleet.wait_clean(std.gw)


def big_ruleset(rules):
    """Like a container host's: many user chains, each jumped to, each with rules that name addresses and comments."""
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    per_chain = 100
    chains = rules // (per_chain + 1)
    lines += [":SVC-%04d - [0:0]" % chain for chain in range(chains)]
    for chain in range(chains):
        lines.append("-A FORWARD -d 10.%d.%d.0/24 -j SVC-%04d" % (64 + chain // 250, chain % 250, chain))
        lines += ['-A SVC-%04d -d 10.%d.%d.%d/32 -p tcp -m comment --comment "service %d" -m tcp --dport 8080 -j ACCEPT'
                  % (chain, 64 + chain // 250, chain % 250, i + 1, i) for i in range(per_chain)]
    return "\n".join(lines + ["COMMIT", ""])


def test_a_helper_killed_during_a_dump_of_50000_rules(fleet, std):
    rules = big_ruleset(50000)
    std.gw.rules_restore(rules)
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace(FLOW)
    assert lasthop_is_there(std.gw)
    helper = process_of(fleet, "helper")
    known = {pid for pid, _ in fleet.children()}
    fleet.expected_deaths.add(std.gw.agent.pid)
    # A change is seen at once, so that its dump may be over when the program that made it has ended.
    with subprocess.Popen(["nsenter", "--net=" + std.gw.path, "--", "iptables-legacy", "-w", "10",
                           *"-I FORWARD 1 -p icmp -j ACCEPT".split()]) as change:
        wait_until("a dump runs", lambda: {pid for pid, _ in fleet.children()} - known, 5 * GONE, 0.001)
        os.kill(helper, signal.SIGKILL)
    assert change.returncode == 0
    std.gw.changed()
    fleet.wait_clean(std.gw)
    wait_until("no process of the agent", lambda: agent_gone(fleet), GONE)
    # All of them, the one that was added, and the fleet's MASQUERADE.
    assert std.gw.rules_saved().count("\n-A ") == rules.count("\n-A ") + 2
