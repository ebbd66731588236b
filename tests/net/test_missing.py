"""Agents that lack something: a capability, a socket that somebody else holds, a real root. Each thing costs one line, shows
in `hosts` and in the answers that would have needed it, and never leads to an accusation."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import fleet as fleets
from fleet import BIN, Fleet, run, wait_until

FLOW = "tcp 10.0.0.1 10.0.0.2:443"


@pytest.fixture
def pair():
    """a and b on one cable; b drops what comes to port 443."""
    with Fleet() as f:
        a, b = f.host("a"), f.host("b")
        f.link(a, "eth0", "10.0.0.1/24", b, "eth0", "10.0.0.2/24")
        b.rules("-A INPUT -p tcp --dport 443 -j DROP")
        f.start_collector()
        yield f


def sources(fleet, name):
    return {s["name"]: s for h in fleet.host_list() if h["id"] == name for s in h["sources"]}


def said(host, text):
    return len(re.findall(text, host.agent.said()))


def test_without_raw_sockets_rules_have_no_text(pair):
    a, b = pair.hosts["a"], pair.hosts["b"]
    pair.start_agent(a)
    pair.start_agent(b, ready=False, before=("capsh", "--drop=cap_net_raw", "--", "-c", 'exec "$@"', "sh"))
    wait_until("b's sources", lambda: sources(pair, "b"), fleets.READY)
    ruleset = sources(pair, "b")["ruleset"]
    assert ruleset["state"] == "failed" and "CAP_NET_RAW" in ruleset["why"]
    pair.wait_ready("a", "b")       # nobody waits for what cannot come
    pair.trace(FLOW)
    a.tcp("10.0.0.2", 443, timeout=0.4)
    answer = pair.where(FLOW, status=(0, 3))
    assert {"host": "b", "source": "ruleset", "why": ruleset["why"]} in answer["coverage"]["missing"]
    # The kernel says that it dropped the packet; which rule did, nobody can know here.
    assert answer["verdict"] in ("dropped", "unknown") and not (answer["died_at"] and answer["died_at"]["rule"])
    assert "no target" not in json.dumps(answer["causes"]) and "number 1 of filter/INPUT" in answer["causes"][0]["summary"]
    assert said(b, "source ruleset is failed: ") == 1
    assert "b ruleset: CAP_NET_RAW is missing" in pair.screen(FLOW).stdout


def in_mounts(script):
    """Before an agent: mounts of its own, which the script changes."""
    return ("unshare", "-m", "--propagation", "private", "sh", "-c", script + '; exec "$@"', "sh")


def test_settings_that_cannot_be_written_hide_legacy_rules(pair):
    """/proc/sys is read-only, as in a container: legacy tables cannot be traced; those of nftables are."""
    a, b = pair.hosts["a"], pair.hosts["b"]
    b.nft("table inet n { chain i { type filter hook input priority -5; tcp dport 444 drop; }; }")
    pair.start_agent(a)
    pair.start_agent(b, before=in_mounts("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys"))
    trace = pair.trace("tcp 10.0.0.1 10.0.0.2", status=0)
    assert {h["id"]: h["state"] for h in trace["hosts"]} == {"a": "armed", "b": "armed"}
    for port in (443, 444):
        a.tcp("10.0.0.2", port, timeout=0.4)
    legacy = sources(pair, "b")["trace-legacy"]
    assert legacy["state"] == "failed" and "nf_log/2 cannot be written" in legacy["why"]
    assert said(b, "source trace-legacy is failed: ") == 1
    answer = pair.where("tcp 10.0.0.1 10.0.0.2:444")
    assert answer["confidence"] == "observed" and answer["died_at"]["rule_text"] == "tcp dport 444 drop"
    answer = pair.where(FLOW, status=(0, 3))
    assert answer["confidence"] == "inferred" and (answer["died_at"] or {}).get("rule") in (None, 1)
    assert {"host": "b", "source": "trace-legacy", "why": legacy["why"]} in answer["coverage"]["missing"]


@pytest.mark.parametrize("lacks", ["nft", "extensions"])
def test_rules_that_cannot_be_read_whole(pair, lacks):
    """Programs are missing, or are older than the rules: what can be read is told, and that there is more."""
    a, b = pair.hosts["a"], pair.hosts["b"]
    b.nft("table inet n { chain i { type filter hook input priority -5; tcp dport 444 drop; }; }")
    b.rules("-I INPUT -p tcp --dport 445 -m ttl --ttl-gt 1 -j DROP")
    xtables = next(iter(pathlib.Path("/usr/lib").glob("*/xtables")))
    script = {"nft": "mount --bind /dev/null /usr/sbin/nft",
              "extensions": "cp -r {0} {1}; rm {1}/libipt_ttl.so; mount --bind {1} {0}".format(xtables, pair.dir / "xtables")}[lacks]
    pair.start_agent(a)
    pair.start_agent(b, before=in_mounts(script))
    ruleset = sources(pair, "b")["ruleset"]
    assert ruleset["state"] == "on" and {"nft": "nft is not installed", "extensions": "1 rules of ipv4"}[lacks] in ruleset["why"]
    assert said(b, "source ruleset is on, but ") == 1
    pair.trace("tcp 10.0.0.1 10.0.0.2")
    texts = {}
    for port in (443, 444, 445):
        a.tcp("10.0.0.2", port, timeout=0.3)
        answer = pair.where("tcp 10.0.0.1 10.0.0.2:%d" % port, status=(0, 3))
        assert answer["verdict"] == "dropped"
        assert {"host": "b", "source": "ruleset", "why": ruleset["why"]} in answer["coverage"]["missing"]
        texts[port] = answer["died_at"]["rule_text"]
    assert texts[443] == "-A INPUT -p tcp -m tcp --dport 443 -j DROP"
    if lacks == "nft":
        assert texts[444] is None and texts[445].endswith("-m ttl --ttl-gt 1 -j DROP")
    else:
        assert texts[444] == "tcp dport 444 drop" and "--dport 445 -m ttl [unsupported revision] 0:" in texts[445]


def test_a_group_that_ulogd_holds_hides_legacy_rules(pair):
    a, b = pair.hosts["a"], pair.hosts["b"]
    config = pair.dir / "ulogd.conf"
    config.write_text('[global]\nlogfile="%s"\nplugin="/usr/lib/x86_64-linux-gnu/ulogd/ulogd_inppkt_NFLOG.so"\n'
                      'plugin="/usr/lib/x86_64-linux-gnu/ulogd/ulogd_raw2packet_BASE.so"\n'
                      'plugin="/usr/lib/x86_64-linux-gnu/ulogd/ulogd_filter_IFINDEX.so"\n'
                      'plugin="/usr/lib/x86_64-linux-gnu/ulogd/ulogd_filter_IP2STR.so"\n'
                      'plugin="/usr/lib/x86_64-linux-gnu/ulogd/ulogd_filter_PRINTPKT.so"\n'
                      'plugin="/usr/lib/x86_64-linux-gnu/ulogd/ulogd_output_LOGEMU.so"\n'
                      'stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU\n'
                      '[log1]\ngroup=0\n[emu1]\nfile="%s"\n' % (pair.dir / "ulogd.log", pair.dir / "ulogd.out"))
    ulogd = subprocess.Popen(["nsenter", "--net=" + b.path, "--", "ulogd", "-c", str(config)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until("ulogd holds group 0", lambda: re.search(
            r"(?m)^ *0 ", b.run("cat", "/proc/net/netfilter/nfnetlink_log").stdout), 5)
        pair.start_agents(a, b)
        pair.trace(FLOW)
        legacy = sources(pair, "b")["trace-legacy"]
        assert legacy["state"] == "failed" and re.search(r"group 0 is owned by portid \d+", legacy["why"])
        a.tcp("10.0.0.2", 443, timeout=0.4)
        answer = pair.where(FLOW, status=(0, 3))
        # The rule was not seen: nobody is accused, least of all the kernel.
        assert answer["verdict"] == "unknown" or answer["died_at"]["rule"] == 1
        assert {"host": "b", "source": "trace-legacy", "why": legacy["why"]} in answer["coverage"]["missing"]
        assert not [m for m in answer["coverage"]["missing"] if m["host"] == "a" and m["source"] == "trace-legacy"]
        assert said(b, "source trace-legacy is failed: ") == 1
        pair.lasthop("trace", "stop", "--all", status=0)
        # What it could not see stays missing when it is asked about later.
        answer = pair.where(FLOW, status=(0, 3))
        assert {"host": "b", "source": "trace-legacy", "why": legacy["why"]} in answer["coverage"]["missing"]
    finally:
        ulogd.terminate()
        ulogd.wait()


def test_a_host_that_does_not_let_itself_be_traced(pair):
    a, b = pair.hosts["a"], pair.hosts["b"]
    pair.start_agent(a)
    pair.start_agent(b, allow_trace=False)
    pair.trace(FLOW, on=["a"])
    a.tcp("10.0.0.2", 443, timeout=0.4)
    answer = pair.where(FLOW, status=(0, 3))
    # What the kernel dropped is known without a trace, the rule by what counted then.
    assert answer["verdict"] == "unknown" or (answer["confidence"] == "inferred" and answer["died_at"]["rule"] == 1)
    assert {(m["host"], m["source"]) for m in answer["coverage"]["missing"]} >= {("b", "trace-legacy"), ("b", "trace-nft")}


def test_root_of_a_user_namespace_only(pair):
    """All of it in a user namespace: what cannot be had there is said, what can works."""
    script = ("set -e; mount -t tmpfs run /run; mkdir /run/netns; ip link set lo up; ip netns add in; "
              "%s --listen 127.0.0.1:9471 --http 127.0.0.1:9470 --store $1/ustore --insecure & "
              "exec %s --id u --netns in --collector 127.0.0.1:9471 --state $1/ustate --insecure --allow-trace"
              % (BIN / "lasthop-collector", BIN / "lasthop-agent"))
    log = pair.dir / "user.log"
    with open(log, "wb") as out:
        world = subprocess.Popen(["unshare", "-Urnmp", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh",
                                  str(pair.dir)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        inner = wait_until("its first process", lambda: run(["pgrep", "-P", world.pid], check=False).stdout.strip(), 5)

        def ready():
            done = run(["nsenter", "-t", inner, "-U", "-n", "-m", "-p", "--preserve-credentials", "--", BIN / "lasthop", "--collector",
                        "http://127.0.0.1:9470", "hosts", "--json"], check=False)
            return done.returncode == 0 and json.loads(done.stdout)["hosts"] and json.loads(done.stdout)["hosts"][0]

        try:
            host = wait_until("u is there", lambda: (h := ready()) and h["state"] == "ready" and h, 2 * fleets.READY)
        except fleets.Trouble as e:
            raise fleets.Trouble("%s\n%s" % (e, log.read_text())) from None
        states = {s["name"]: s["state"] for s in host["sources"]}
        assert states["ruleset"] == "on" and states["conntrack"] == "on" and states["host"] == "on"
        for source in host["sources"]:
            assert source["state"] != "failed" or source["why"]
            assert len(re.findall("source %s is failed" % source["name"], log.read_text())) == (source["state"] == "failed")
    finally:
        world.kill()
        world.wait()


def test_the_next_start_repairs_what_two_deaths_left(pair):
    """Helper and guard killed at once leave the logger bound: nobody is there to put it back."""
    b = pair.hosts["b"]
    pair.start_agent(b)

    def logger():
        return b.run("cat", "/proc/sys/net/netfilter/nf_log/2").stdout.strip()

    before = logger()
    pair.trace(FLOW, on=["b"])
    assert logger() == "nfnetlink_log" != before
    helper, guard = (int(run(["pgrep", "-f", "-P", parent, "lasthop-helper"]).stdout) for parent in
                     (b.agent.pid, run(["pgrep", "-P", b.agent.pid]).stdout.strip()))
    pair.expected_deaths.add(b.agent.pid)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in (guard, helper):
            os.kill(pid, number)
    assert b.agent.wait(5) == 1
    assert logger() == "nfnetlink_log"      # what no process could prevent

    # Somebody who uses it by now keeps it.
    holder = subprocess.Popen(["nsenter", "--net=" + b.path, "--", "/usr/bin/python3", "-c", HOLD], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    before_look, b.baseline = b.baseline, None
    agent = pair.start_agent(b)
    assert logger() == "nfnetlink_log"
    agent.signal(signal.SIGTERM)
    assert agent.wait(5) == 0
    holder.communicate("")
    pair.lasthop("trace", "stop", "--all", status=0)
    pair.start_agent(b)
    wait_until("it is repaired", lambda: logger() == before, 5)
    b.baseline = before_look


# Binds netfilter log group 0 until its stdin ends.
HOLD = """
import socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
s.send(struct.pack("=IHHIIBBHHHBxxx", 28, 0x401, 5, 1, 0, 0, 0, 0, 5, 1, 1))
answer = s.recv(4096)
assert struct.unpack_from("=i", answer, 16)[0] == 0, answer
print("held", flush=True)
sys.stdin.read()
"""
