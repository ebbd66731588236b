"""Leases by rules in the table raw, as on kernels whose nftables tables have no owner: forced here. What the administrator
has is left as it is, its numbers stay its own, and nothing remains whoever dies."""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

import fleet as fleets
from fleet import Fleet, run, wait_until

FLOW = "tcp 10.0.0.1 10.0.0.2:443"
OURS = re.compile(r'(?m)^-A (PREROUTING|OUTPUT) .*--comment "lasthop [0-9a-f]{16} lease [0-9a-f]+" -j TRACE$')
RAW = ("-t raw -A PREROUTING -s 192.0.2.1/32 -j DROP", "-t raw -A PREROUTING -p tcp -m tcp --dport 443 -j NOTRACK",
       "-t raw -A OUTPUT -d 192.0.2.2/32 -j DROP")


@pytest.fixture
def pair():
    with Fleet() as f:
        a, b = f.host("a"), f.host("b")
        f.link(a, "eth0", ["10.0.0.1/24", "2001:db8::1/64"], b, "eth0", ["10.0.0.2/24", "2001:db8::2/64"])
        f.start_collector()
        yield f


def start(fleet, host, mode="force"):
    fleet.start_agent(host, config="trace_fallback: %s\n" % mode)


def changes(fleet):
    """The history of all tables, as the store has it."""
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % (fleet.dir / "store" / "catalog.db"), uri=True)) as db:
        return db.execute("SELECT name, content, until FROM table_history ORDER BY id").fetchall()


def ours(host, version=4):
    return len(OURS.findall(host.rules_saved(version)))


def test_numbers_are_the_administrators(pair):
    a, b = pair.hosts["a"], pair.hosts["b"]
    b.rules(*RAW, "-t filter -A INPUT -p udp -j ACCEPT", "-t filter -A INPUT -p tcp --dport 443 -j DROP")
    saved = b.rules_saved()
    start(pair, b)
    log = changes(pair)
    lease = pair.trace(FLOW)
    assert lease["hosts"] == [{**lease["hosts"][0], "id": "b", "state": "armed"}]
    assert "raw" in lease["hosts"][0]["why"]
    assert ours(b) == 4 and "lasthop" not in b.run("nft", "list", "tables").stdout
    assert "-m time --datestop" in b.rules_saved() and "-m limit" in b.rules_saved()

    time.sleep(0.2)     # events of the moment in which the rules came are left out
    a.tcp("10.0.0.2", 443, timeout=0.4)
    answer = pair.where(FLOW)
    assert answer["verdict"] == "dropped"
    assert {k: answer["died_at"][k] for k in ("host", "table", "chain", "rule", "rule_text")} == {
        "host": "b", "table": "filter", "chain": "INPUT", "rule": 2,
        "rule_text": "-A INPUT -p tcp -m tcp --dport 443 -j DROP"}
    steps = [(s["table"], s["chain"], s["kind"], s["rule"], s["rule_text"]) for h in answer["hops"] for s in h["steps"]
             if s["kind"] != "kernel"]
    assert steps == [("raw", "PREROUTING", "rule", 2, "-A PREROUTING -p tcp -m tcp --dport 443 -j NOTRACK"),
                     ("raw", "PREROUTING", "policy", None, "-P PREROUTING ACCEPT"),
                     ("filter", "INPUT", "rule", 2, "-A INPUT -p tcp -m tcp --dport 443 -j DROP")]

    # The ruleset, its history and its counters know nothing of our rules.
    shown = pair.lasthop("rules", "show", "b", "--format", "save", status=0).stdout
    assert "lasthop" not in shown and "-A OUTPUT -d 192.0.2.2/32 -j DROP" in shown
    assert changes(pair) == log
    pair.lasthop("trace", "stop", "--all", status=0)
    wait_until("they are gone", lambda: ours(b) == 0, fleets.GONE)
    assert fleets.without_counts(b.rules_saved()) == fleets.without_counts(saved)
    b.rules("-t raw -A OUTPUT -d 192.0.2.3/32 -j ACCEPT")
    wait_until("a change of its own is one", lambda: len(changes(pair)) == len(log) + 1, fleets.READY)


def test_what_is_accepted_is_never_accused(pair):
    """No checkpoints, and limits of their own: that a packet is not seen further says nothing."""
    a, b = pair.hosts["a"], pair.hosts["b"]
    for host in (a, b):
        host.rules(*RAW, "-A INPUT -i lo -j ACCEPT")
        host.rules("-t raw -A PREROUTING -s 2001:db8:9::1/128 -j DROP", version=6)
        start(pair, host)
    pair.trace("tcp 2001:db8::1 [2001:db8::2]:443")
    pair.trace(FLOW)
    assert ours(b) == 4 and ours(b, 6) == 4
    time.sleep(0.2)
    b.serve("tcp", 443)
    a.tcp("10.0.0.2", 443)
    a.tcp("2001:db8::2", 443)
    for flow in (FLOW, "tcp 2001:db8::1 [2001:db8::2]:443"):
        answer = pair.where(flow, status=(0, 3))
        assert answer["verdict"] in ("delivered", "left", "unknown"), answer
        assert {h["host"] for h in answer["hops"]} >= {"a"}, answer


def test_without_the_table_there_is_no_lease(pair):
    b = pair.hosts["b"]
    b.rules("-A INPUT -i lo -j ACCEPT")
    start(pair, b)
    tables = b.run("cat", "/proc/net/ip_tables_names").stdout
    lease = pair.trace(FLOW, status=3)
    assert lease["hosts"][0]["state"] == "failed" and "raw" in lease["hosts"][0]["why"]
    assert b.run("cat", "/proc/net/ip_tables_names").stdout == tables


def test_the_lock_of_iptables_is_kept(pair):
    b = pair.hosts["b"]
    b.rules(*RAW)
    start(pair, b)
    holder = subprocess.Popen(["flock", "/run/xtables.lock", "sleep", "30"])
    try:
        time.sleep(0.2)
        lease = pair.trace(FLOW, status=3)
        assert lease["hosts"][0]["state"] == "failed" and "lock of iptables" in lease["hosts"][0]["why"]
        assert ours(b) == 0
    finally:
        for pid in [*run(["pgrep", "-P", holder.pid], check=False).stdout.split(), holder.pid]:
            os.kill(int(pid), signal.SIGTERM)
        holder.wait()


@pytest.mark.parametrize("victims", ["worker", "helper", "helper and guard"])
def test_nothing_remains_of_the_dead(pair, victims):
    b = pair.hosts["b"]
    b.rules(*RAW)
    start(pair, b)
    pair.trace(FLOW, for_="3s" if victims == "helper and guard" else "60s")
    assert ours(b) == 4
    worker = b.agent.pid
    helper = int(run(["pgrep", "-P", worker]).stdout)
    guard = int(run(["pgrep", "-P", helper]).stdout)
    pair.expected_deaths.add(worker)
    dead = {"worker": [worker], "helper": [helper], "helper and guard": [guard, helper]}[victims]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in dead:
            os.kill(pid, number)
    b.agent.wait(5)
    if victims == "helper and guard":
        assert ours(b) == 4     # inert when their time is over, and the next start removes them
        pair.lasthop("trace", "stop", "--all", status=None)
        baseline, b.baseline = b.baseline, None
        start(pair, b)
        b.baseline = baseline
    wait_until("its rules are gone", lambda: ours(b) == 0, fleets.GONE)


def test_off_unless_configured(pair):
    b = pair.hosts["b"]
    b.rules(*RAW)
    start(pair, b, mode="true")     # allowed, but this kernel needs none
    pair.trace(FLOW)
    assert ours(b) == 0 and "lasthop" in b.run("nft", "list", "tables").stdout


def test_a_lease_outlives_its_session_and_ends_without_a_collector(pair):
    b = pair.hosts["b"]
    b.rules(*RAW)
    start(pair, b, mode="false")
    pair.trace(FLOW, for_="6s")
    began = time.monotonic()

    def probes():
        return "lasthop" in b.run("nft", "list", "tables").stdout

    assert probes()
    pair.expected_deaths.add(pair.collector.pid)
    pair.collector.process.kill()
    pair.collector.wait(5)
    pair.start_collector()
    assert probes()
    pair.wait_ready("b")

    def armed():
        leases = json.loads(pair.lasthop("trace", "list", "--json", status=(0, 1)).stdout)
        return "armed" in json.dumps(leases)

    wait_until("its state is told again", armed, fleets.READY)
    pair.expected_deaths.add(pair.collector.pid)
    pair.collector.process.kill()
    pair.collector.wait(5)
    wait_until("it ends on time", lambda: not probes(), 8 - (time.monotonic() - began))
    assert time.monotonic() - began > 5
    pair.start_collector()
