"""One agent and many network namespaces: those that it is told, and all that there are, as they come and go.

The agents that follow everything run in a world of their own: mounts, processes and an initial network namespace that
nothing of this machine can be seen from.
"""
import functools
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import traffic
from fleet import BIN, GONE, READY, SLOW, Fleet, Trouble, run, wait_until


class World:
    """Where /run/netns is empty and process 1 is ours."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.process = subprocess.Popen(
            ["unshare", "-m", "-n", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
             "mkdir -p /run/netns && mount -t tmpfs world /run/netns && ip link set lo up && echo made && exec sleep 600"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "made\n"
        self.init = child(self.process.pid)
        self.argv = ["nsenter", "-t", str(self.init), "-m", "-n", "-p", "--"]
        self.started = []

    def run(self, *argv, **more):
        return run([*self.argv, *argv], **more)

    def inside(self, name, *argv, **more):
        return self.run("nsenter", "--net=/run/netns/" + name, "--", *argv, **more)

    def start(self, *argv):
        """A process that lives until it is stopped."""
        process = subprocess.Popen([*self.argv, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def collector(self):
        program = self.fleet.start("collector", [*self.argv, BIN / "lasthop-collector", "--listen", "127.0.0.1:0", "--http",
                                                 "127.0.0.1:0", "--store", self.fleet.dir / "store", "--insecure"])
        said = wait_until("the collector listens", lambda: re.search(
            r"listening on 127\.0\.0\.1:(\d+), http on 127\.0\.0\.1:(\d+)", program.said()), READY)
        self.fleet.collector, self.fleet.port, self.fleet.http = program, int(said[1]), int(said[2])

    def agent(self, *argv):
        return self.fleet.start("agent", [*self.argv, BIN / "lasthop-agent", "--id", "m", "--collector",
                                          "127.0.0.1:%d" % self.fleet.port, "--state", self.fleet.dir / "state",
                                          "--insecure", "--allow-trace", *argv])

    def lasthop(self, *argv, **more):
        return run([*self.argv, BIN / "lasthop", *argv], env=self.fleet.environment(), **more)

    def states(self):
        return {h["id"]: h["state"] for h in json.loads(self.lasthop("hosts", "--json").stdout)["hosts"]}

    def wait_states(self, **wanted):
        """Keys: the part after the slash, dashes as they are; _ is the initial one."""
        wanted = {"m" if k == "_" else "m/" + k: v for k, v in wanted.items()}
        try:
            wait_until("hosts %s" % wanted, lambda: self.states() == wanted, READY, 0.1)
        except Trouble as e:
            raise Trouble("%s\nbut %s\n%s" % (e, self.states(), self.fleet.last_words())) from None

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()
        os.kill(self.init, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def fleet():
    with Fleet() as f:
        yield f


@pytest.fixture
def world(fleet):
    w = World(fleet)
    try:
        w.collector()
        yield w
        for program in reversed(fleet.programs):
            assert stop(program) == 0, fleet.last_words()
    finally:
        w.close()


def test_each_of_several_namespaces_is_a_host(fleet):
    a, b = fleet.host("a"), fleet.host("b")
    fleet.link(a, "eth0", "10.0.0.1/24", b, "eth0", "10.0.0.2/24")
    b.rules("-A INPUT -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    for host in (a, b):
        host.baseline = host.look()
    a.agent = fleet.start("agent", [BIN / "lasthop-agent", "--id", "m", "--netns", a.netns, "--netns", b.netns, "--collector",
                                    "127.0.0.1:%d" % fleet.port, "--state", fleet.dir / "state", "--insecure",
                                    "--allow-trace"])
    names = ["m/" + a.netns, "m/" + b.netns]
    fleet.wait_ready(*names)
    fleet.trace("tcp 10.0.0.1 10.0.0.2:443")
    a.tcp("10.0.0.2", 443, timeout=0.5)
    answer = fleet.where("tcp 10.0.0.1 10.0.0.2:443")
    assert answer["verdict"] == "dropped"
    assert answer["died_at"]["host"] == names[1]
    assert [h["host"] for h in answer["hops"]] == names
    assert answer["coverage"] == {**answer["coverage"], "asked": 2, "answering": 2, "silent": []}


def test_hosts_come_and_go_with_their_namespaces(world):
    world.run("ip", "netns", "add", "blue")
    world.agent("--netns", "all")
    world.wait_states(_="ready", blue="ready")
    world.run("ip", "netns", "add", "red")
    world.wait_states(_="ready", blue="ready", red="ready")

    # A cable to a namespace that is removed goes with it: nothing of ours keeps it.
    world.run("ip", "link", "add", "to-red", "type", "veth", "peer", "name", "eth0", "netns", "red")
    world.run("ip", "netns", "del", "red")
    wait_until("the cable is gone", lambda: world.run("ip", "link", "show", "to-red", check=False).returncode, GONE)
    world.wait_states(_="ready", blue="ready", red="retired")

    # The same name again, another namespace: another life of the same host, whose tables are its own.
    world.run("ip", "netns", "del", "blue")
    world.run("ip", "netns", "add", "blue")
    world.inside("blue", "iptables-legacy", "-A", "INPUT", "-s", "192.0.2.7", "-j", "DROP")
    world.wait_states(_="ready", blue="ready", red="retired")
    wait_until("its rules", lambda: "-A INPUT -s 192.0.2.7/32 -j DROP" in world.lasthop("rules", "show", "m/blue", check=False).stdout,
               READY)
    # What the kernel drops there without a trace is told of that host.
    world.run("ip", "link", "add", "to-blue", "type", "veth", "peer", "name", "eth0", "netns", "blue")
    for where, link, address in ((world.run, "to-blue", "192.0.2.7/24"), (functools.partial(world.inside, "blue"), "eth0", "192.0.2.8/24")):
        where("ip", "addr", "add", address, "dev", link)
        where("ip", "link", "set", link, "up")
    traffic.ping("/proc/%d/ns/net" % world.init, "192.0.2.8", 7, count=2)
    flow = ("where", "icmp", "192.0.2.7", "192.0.2.8", "--json")
    answer = wait_until("the drops of blue", lambda: (a := json.loads(world.lasthop(*flow, check=False).stdout or "{}"))
                        and a.get("died_at") and a, READY)
    assert (answer["died_at"]["host"], answer["died_at"]["rule"]) == ("m/blue", 1)
    # What was known is not forgotten with it.
    world.run("ip", "netns", "del", "blue")
    world.run("ip", "netns", "add", "red")
    world.wait_states(_="ready", blue="retired", red="ready")
    answer = json.loads(world.lasthop(*flow).stdout)
    assert (answer["died_at"]["host"], answer["died_at"]["rule"]) == ("m/blue", 1)


def test_namespaces_of_processes_are_hosts(world):
    world.agent("--netns", "all")
    process = world.start("unshare", "-n", "sleep", "600")
    inode = wait_until("it has its own", lambda: inode_of(process.pid, world), 5)
    world.wait_states(**{"_": "ready", "net-%d" % inode: "ready"})
    inner = child(process.pid)
    os.kill(inner, signal.SIGKILL)
    world.wait_states(**{"_": "ready", "net-%d" % inode: "retired"})


def stop(program):
    """SIGTERM to what nsenter started; the exit status."""
    os.kill(child(program.pid), signal.SIGTERM)
    return program.wait(GONE)


def child(pid):
    return int(pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()[0])


def inode_of(pid, world):
    """The network namespace of the process that nsenter started, when it is not the world's any more."""
    try:
        text = os.readlink("/proc/%d/ns/net" % child(pid))
    except (OSError, IndexError):
        return None
    return int(re.search(r"\d+", text)[0]) if text != os.readlink("/proc/%d/ns/net" % world.init) else None


def test_a_named_namespace_may_go_and_come_back(world):
    for name in ("one", "two"):
        world.run("ip", "netns", "add", name)
    world.agent("--netns", "one", "--netns", "two")
    world.wait_states(one="ready", two="ready")
    world.run("ip", "netns", "add", "three")        # nobody asked for it
    world.run("ip", "netns", "del", "two")
    world.wait_states(one="ready", two="retired")
    world.run("ip", "netns", "add", "two")
    world.wait_states(one="ready", two="ready")


def test_a_named_namespace_may_come_later(world):
    """The first of two is not there when the agent starts: told once, and everything else works."""
    world.run("ip", "netns", "add", "two")
    agent = world.agent("--netns", "one", "--netns", "two")
    world.wait_states(one="retired", two="ready")
    assert agent.said().count("there is no network namespace one") == 1
    hosts = {h["id"]: h for h in json.loads(world.lasthop("hosts", "--json").stdout)["hosts"]}
    assert all("no network namespace one" in s["why"] for s in hosts["m/one"]["sources"])
    # What is one for all namespaces is asked for by way of the first: nobody waits for it for ever.
    assert {s["state"] for s in hosts["m/two"]["sources"] if s["name"] in ("drops", "changes")} <= {"on", "failed"}
    world.run("ip", "netns", "add", "one")
    world.inside("one", "iptables-legacy", "-A", "INPUT", "-s", "192.0.2.7", "-j", "DROP")
    world.wait_states(one="ready", two="ready")
    wait_until("its rules", lambda: "192.0.2.7" in world.lasthop("rules", "show", "m/one", check=False).stdout, READY)


def test_a_name_can_be_unmounted(world):
    """Nothing of ours makes it busy."""
    world.run("ip", "netns", "add", "one")
    world.run("ip", "netns", "add", "two")
    world.agent("--netns", "all")
    world.wait_states(_="ready", one="ready", two="ready")
    world.run("umount", "/run/netns/one")
    world.wait_states(_="ready", one="retired", two="ready")


def test_more_namespaces_than_an_agent_may_have(world):
    world.run("sh", "-c", "for i in $(seq 1 66); do ip netns add n$i; done")
    agent = world.agent("--netns", "all")
    wait_until("63 of them", lambda: list(world.states().values()).count("ready") == 64, 2 * READY)
    assert len(re.findall(r"network namespace n\d+ is not watched: as many", agent.said())) == 3
    # One that goes makes room for another.
    missing = {"n%d" % i for i in range(1, 67)} - {s.partition("/")[2] for s in world.states()}
    there = next(s for s in world.states() if s != "m")
    world.run("ip", "netns", "del", there.partition("/")[2])
    wait_until("another one", lambda: any("m/" + n in world.states() for n in missing), READY, 0.2)
    if SLOW == 1:       # sanitizers need memory of their own
        assert 1 << 10 < memory(world) < 32 << 10


def memory(world):
    """KiB that are resident in worker, helper and guard together, the pages of their executables aside."""
    total = 0
    for name in ("lasthop-agent", "lasthop-helper"):
        for pid in world.run("pgrep", "-x", name).stdout.split():
            status = world.run("cat", "/proc/%s/status" % pid).stdout
            total += int(re.search(r"RssAnon:\s+(\d+)", status)[1])
    return total
