"""Changes of legacy tables where nobody tells of them: neither BPF nor the audit log. They are looked for, within 1 % of a core,
and how exactly their time is known is shown."""
import contextlib
import json
import os
import pathlib
import time

import pytest

from auditing import WITHOUT_BPF, auditing
from fleet import run, seconds, wait_until


def unheard():
    """In a user namespace nobody hears the audit log in any case."""
    return auditing(False) if pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "4294967295" else contextlib.nullcontext()


def start(fleet, host):
    fleet.start_collector()
    fleet.start_agent(host, allow_trace=False, ident="m", config="counters_seconds: 0\n", before=WITHOUT_BPF)


def changes(fleet):
    done = fleet.lasthop("rules", "log", "--json", "m", status=0)
    return [c for c in json.loads(done.stdout)["changes"] if c["kind"] != "first"]


def check_time(change, begun, ended):
    """It happened between the two, as far as the answer claims to know."""
    unsure = change["since_uncertainty_ms"] / 1000
    assert change["changed_by"] is None
    assert seconds(change["at"]) - unsure <= ended + 0.05 and seconds(change["at"]) >= begun - 0.05, (change, begun, ended)
    return unsure


def test_each_second_and_how_exactly(fleet):
    a = fleet.host("a")
    a.rules("-A FORWARD -p udp -j ACCEPT")
    with unheard():
        start(fleet, a)
        for n in range(3):
            begun = time.time()
            a.rules("-A FORWARD -p tcp --dport %d -j DROP" % (443 + n))
            ended = time.time()
            known = wait_until("the change", lambda: (lambda c: c if len(c) > n else None)(changes(fleet)), 5)
            assert 0 < check_time(known[0], begun, ended) < 2
        # A rule that is replaced by one of the same size: nothing but a whole read shows it.
        begun = time.time()
        a.rules("-R FORWARD 2 -p tcp --dport 444 -j DROP")
        ended = time.time()
        known = wait_until("the change", lambda: (lambda c: c if len(c) > 3 else None)(changes(fleet)), 5)
        assert 0 < check_time(known[0], begun, ended) < 2
        assert "~" in fleet.lasthop("rules", "log", "m").stdout or known[0]["since_uncertainty_ms"] < 1000


def used(pids):
    """Seconds of CPU that the processes and the children that they waited for have had."""
    ticks = 0
    for pid in pids:
        stat = pathlib.Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
        ticks += sum(int(t) for t in stat[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.timing
def test_a_large_table_is_read_rarely(fleet):
    a = fleet.host("a")
    a.rules_restore("*filter\n" + "".join("-A FORWARD -s 10.%d.%d.%d/32 -p tcp --dport 443 -j DROP\n" % (
        n >> 16, n >> 8 & 255, n & 255) for n in range(30000)) + "COMMIT\n")
    with unheard():
        start(fleet, a)
        time.sleep(3)       # what the first read of the texts cost is none of this
        helper = int(run(["pgrep", "-P", a.agent.pid, "lasthop-helper"]).stdout)
        before, at = used([helper]), time.monotonic()
        time.sleep(15)
        share = (used([helper]) - before) / (time.monotonic() - at)
        assert share < 0.02, share      # 1 %, and how exactly 15 s and the kernel's ticks tell it
        begun = time.time()
        a.rules("-A FORWARD -p udp -j DROP")
        ended = time.time()
        known = wait_until("the change", lambda: changes(fleet), 15)
        print("share %.4f, uncertainty %.3f s" % (share, check_time(known[0], begun, ended)))
