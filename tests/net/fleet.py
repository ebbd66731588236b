"""
A fleet of hosts, each a network namespace, with real links, rules, traffic, agents and a collector; everything
that a namespace test and the demo need, and the check that lasthop leaves no trace.

Names are unique for each fleet and recorded when they are made; close() removes exactly these, also after a
failure, and fails when an agent left a rule, a sysctl, a logger binding or a process behind.

Programs are taken from $LASTHOP_BIN (default build/gcc/bin of this checkout). $LASTHOP_SLOW multiplies every
patience: builds with sanitizers need 3.
"""
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import traffic

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LASTHOP_BIN", ROOT / "build" / "gcc" / "bin"))
SLOW = float(os.environ.get("LASTHOP_SLOW", "1"))
COMPLETE = 1.0 * SLOW       # from a packet's death to a complete answer
READY = 10.0 * SLOW         # from an agent's start to `ready`
GONE = 2.0 * SLOW           # from an agent's death to no trace of it
RUN_MARK = "LASTHOP_TEST_FLEET"

# Everything that an agent might disturb in a namespace. Nothing here loads a table that is not there.
LOOK = r"""
echo "= nft"
nft list ruleset
for v in ip ip6; do
	echo "= legacy $v"
	if [ -e /proc/net/${v}_tables_names ]; then
		echo "tables:" $(sort /proc/net/${v}_tables_names)
		[ -z "$(cat /proc/net/${v}_tables_names)" ] || ${v}tables-legacy-save
	fi
done
echo "= loggers"
for f in /proc/sys/net/netfilter/nf_log/*; do
	echo "$f $(cat $f)"
done
"""


class Trouble(AssertionError):
    """Something in the fleet is not as it must be; the text says what, and quotes the programs' last words."""


def run(argv, check=True, stdin=None, timeout=60, env=None):
    done = subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, text=True, timeout=timeout * SLOW,
                          env=env, check=False)
    if check and done.returncode != 0:
        raise Trouble("%s: exit %d\n%s%s" % (" ".join(map(str, argv)), done.returncode, done.stdout, done.stderr))
    return done


def wait_until(what, true, patience, step=0.03):
    """Waits until true() is; returns its value. Trouble after patience."""
    until = time.monotonic() + patience
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > until:
            raise Trouble("not within %.1f s: %s" % (patience, what))
        time.sleep(step)


def without_probe(text):
    """The look at a namespace as it would be without lasthop's own table, which exists during a lease only."""
    return re.sub(r"(?ms)^table (inet|bridge) lasthop \{.*?^\}\n", "", text)


def without_counts(text):
    text = re.sub(r"(?m)^#.*\n", "", text)
    text = re.sub(r"\[\d+:\d+\]", "[0:0]", text)
    return re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", text)


class Host:
    """One host of the fleet."""

    def __init__(self, fleet, name):
        self.fleet = fleet
        self.name = name
        self.netns = fleet.prefix + name
        self.path = "/run/netns/" + self.netns
        self.agent = None
        self.clock_env = None       # of an agent of which the wall clock is wrong
        self.baseline = None        # how it looked before the agent came, or after the last change of ours

    # -- what an administrator does here

    def run(self, *argv, **more):
        return run(["nsenter", "--net=" + self.path, "--", *argv], **more)

    def ip(self, *lines):
        """Lines for ip(8), without the leading `ip`."""
        run(["ip", "-n", self.netns, "-batch", "-"], stdin="".join(line + "\n" for line in lines))

    def sysctl(self, **values):
        for key, value in values.items():
            name = "/proc/sys/net/" + key.replace("__", "/")
            self.run("sh", "-c", 'printf %%s "$1" >%s' % name, "sh", value)

    def forward(self, on=True):
        self.sysctl(ipv4__ip_forward=int(on), ipv6__conf__all__forwarding=int(on))

    def rules(self, *lines, version=4):
        """Lines for iptables-legacy, without the program's name."""
        for line in lines:
            self.run("ip%stables-legacy" % ("" if version == 4 else "6"), "-w", "10", *line.split())
        self.changed()

    def rules_restore(self, text, *flags, version=4):
        self.run("ip%stables-legacy-restore" % ("" if version == 4 else "6"), "-w", "10", *flags, stdin=text)
        self.changed()

    def rules_saved(self, version=4):
        return self.run("ip%stables-legacy-save" % ("" if version == 4 else "6")).stdout

    def hits(self, table, chain, number, version=4):
        """How many packets a rule has met, as the kernel counts."""
        line = self.run("ip%stables-legacy" % ("" if version == 4 else "6"), "-w", "10", "-t", table, "-nvxL", chain,
                        str(number)).stdout
        return int(line.split()[0])

    def nft(self, text, **more):
        done = self.run("nft", "-f", "-", stdin=text, **more)
        self.changed()
        return done

    def look(self):
        return without_counts(self.run("sh", "-c", LOOK).stdout)

    def shift_clock(self, seconds):
        """The wall clock of this host's agent is off by so much: from its start on, or from now."""
        file = self.fleet.dir / ("clock-" + self.name)
        with open(file, "r+b" if file.exists() else "wb") as f:
            f.write(int(seconds * 1e9).to_bytes(8, sys.byteorder, signed=True))
        # The sanitizer's library wants to be the first one; ours calls nothing of it.
        self.clock_env = {"LD_PRELOAD": str(BIN / "clock_shift.so"), "LASTHOP_TEST_CLOCK": str(file),
                          "ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))}
        told = int(run(["date", "+%s"], env={**os.environ, **self.clock_env}).stdout)
        if abs(told - time.time() - seconds) > 5:
            raise Trouble("the clock cannot be shifted")

    def changed(self):
        """The administrator changed something: what must be left at the end is this, without lasthop's table."""
        if self.baseline is not None:
            loggers = self.baseline.partition("= loggers\n")[2]
            self.baseline = without_probe(self.look()).partition("= loggers\n")[0] + "= loggers\n" + loggers

    def pids(self):
        return [int(pid) for pid in run(["ip", "netns", "pids", self.netns]).stdout.split()]

    # -- what programs do here

    def serve(self, kind, port, address="::"):
        server = traffic.Server(self.path, kind, port, address)
        self.fleet.servers.append(server)
        return server

    def tcp(self, dst, dport, **more):
        return self.fleet.traffic(traffic.tcp, self.path, dst, dport, **more)

    def udp(self, dst, dport, **more):
        return self.fleet.traffic(traffic.udp, self.path, dst, dport, **more)

    def ping(self, dst, ident, **more):
        return self.fleet.traffic(traffic.ping, self.path, dst, ident, **more)


class Program:
    """A running program of lasthop; its stderr goes to a file that Trouble quotes."""

    def __init__(self, fleet, label, argv, more_env=None):
        self.label = label
        self.log = fleet.dir / ("%s.log" % label)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**fleet.environment(), **(more_env or {})}, start_new_session=True, cwd="/")
        self.pid = self.process.pid

    def said(self):
        return self.log.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, patience):
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return None


class Fleet:
    def __init__(self, directory=None):
        self.prefix = "lh%s-" % os.urandom(3).hex()
        self._own_dir = None if directory else tempfile.TemporaryDirectory(prefix="lasthop-fleet-")
        self.dir = pathlib.Path(directory or self._own_dir.name)
        self.hosts = {}
        self.servers = []
        self.programs = []
        self.collector = None
        self.port = self.http = None
        self.last_traffic = 0.0
        self.expected_deaths = set()    # pids that a test killed itself

    # -- building it

    def host(self, name):
        host = Host(self, name)
        self.hosts[name] = host     # recorded first: what is half made is removed too
        run(["ip", "netns", "add", host.netns])
        host.sysctl(ipv6__conf__all__accept_dad=0, ipv6__conf__default__accept_dad=0,
                    ipv6__conf__default__router_solicitations=0, ipv4__conf__all__rp_filter=0,
                    ipv4__conf__default__rp_filter=0, ipv4__ip_forward=0)
        host.ip("link set lo up")
        return host

    def link(self, a, a_if, a_addr, b, b_if, b_addr):
        """A cable from a to b. Addresses are CIDR texts, or lists of them."""
        run(["ip", "link", "add", a_if, "netns", a.netns, "type", "veth", "peer", "name", b_if, "netns", b.netns])
        for host, name, addresses in ((a, a_if, a_addr), (b, b_if, b_addr)):
            addresses = [addresses] if isinstance(addresses, str) else addresses
            host.ip(*["addr add %s dev %s%s" % (c, name, " nodad" if ":" in c else "") for c in addresses],
                    "link set %s up" % name)

    # -- lasthop's programs

    def environment(self):
        env = dict(os.environ)
        env[RUN_MARK] = self.prefix
        env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env["NO_COLOR"] = "1"
        if self.http:
            env["LASTHOP_COLLECTOR"] = "http://127.0.0.1:%d" % self.http
        return env

    def start(self, label, argv, more_env=None):
        program = Program(self, label, argv, more_env)
        self.programs.append(program)
        return program

    def start_collector(self):
        """Starts it, or starts it again: then on the ports that the agents know."""
        ports = (self.port or 0, self.http or 0)
        said = len(self.collector.said()) if self.collector else 0
        self.collector = self.start("collector", [
            BIN / "lasthop-collector", "--listen", "127.0.0.1:%d" % ports[0], "--http", "127.0.0.1:%d" % ports[1],
            "--store", self.dir / "store", "--insecure"])

        def ports_said():
            match = re.search(r"listening on 127\.0\.0\.1:(\d+), http on 127\.0\.0\.1:(\d+)", self.collector.said()[said:])
            if not match and not self.collector.running():
                raise Trouble("the collector ended:\n" + self.collector.said())
            return match

        match = wait_until("the collector listens\n" + self.collector.said(), ports_said, READY)
        self.port, self.http = int(match[1]), int(match[2])

    def start_agent(self, host, ready=True, allow_trace=True, ident=None, config=None, before=()):
        """config: text of its YAML file; before: a command that runs it."""
        host.baseline = host.look()
        argv = [*before, BIN / "lasthop-agent", "--id", ident or host.name, "--netns", host.netns,
                "--collector", "127.0.0.1:%d" % self.port, "--state", self.dir / ("state-" + host.name), "--insecure"]
        if allow_trace:
            argv.append("--allow-trace")
        if config:
            file = self.dir / ("agent-%s.yaml" % host.name)
            file.write_text(config)
            argv += ["--config", file]
        host.agent = self.start("agent-" + host.name, argv, host.clock_env)
        if ready:
            self.wait_ready(ident or host.name)
        return host.agent

    def start_agents(self, *hosts):
        for host in hosts or self.hosts.values():
            self.start_agent(host, ready=False)
        self.wait_ready(*[host.name for host in hosts or self.hosts.values()])

    def wait_ready(self, *names):
        def states():
            for program in [self.collector] + [h.agent for h in self.hosts.values() if h.agent]:
                if not program.running() and program.pid not in self.expected_deaths:
                    raise Trouble("%s ended:\n%s" % (program.label, program.said()))
            listed = {h["id"]: h["state"] for h in self.host_list()}
            return all(listed.get(name) == "ready" for name in names)

        try:
            wait_until("hosts ready: " + " ".join(names), states, READY)
        except Trouble as e:
            raise Trouble("%s\n%s" % (e, self.last_words())) from None

    def last_words(self):
        return "\n".join("--- %s\n%s" % (p.label, p.said()[-2000:]) for p in self.programs)

    def lasthop(self, *argv, status=None, timeout=30):
        """Runs the CLI. status: an exit status or a tuple of those that are right; None: any."""
        done = run([BIN / "lasthop", *argv], check=False, timeout=timeout, env=self.environment())
        if status is not None and done.returncode not in (status if isinstance(status, tuple) else (status,)):
            raise Trouble("lasthop %s: exit %d\n%s%s\n%s" % (" ".join(map(str, argv)), done.returncode, done.stdout,
                                                          done.stderr, self.last_words()))
        return done

    def host_list(self):
        return json.loads(self.lasthop("hosts", "--json", status=0).stdout)["hosts"]

    def source(self, host, name):
        """What `hosts` says of it; None: nothing."""
        listed = next(h for h in self.host_list() if h["id"] == host)
        return next((s for s in listed["sources"] if s["name"] == name), None)

    def trace(self, flow, for_="60s", rate="1000/s", on=None, status=0):
        argv = ["trace", "start", *flow.split(), "--for", for_, "--rate", rate, "--json"]
        if on:
            argv += ["--on", ",".join(on)]
        done = self.lasthop(*argv, status=status)
        return json.loads(done.stdout)

    def traffic(self, make, *args, **more):
        attempt = make(*args, **more)
        self.last_traffic = time.monotonic()
        return attempt

    def settle(self):
        """Waits out what lasthop is allowed to need between a packet's death and a complete answer."""
        left = self.last_traffic + COMPLETE - time.monotonic()
        if left > 0:
            time.sleep(left)

    def where(self, flow, *more, status=0):
        self.settle()
        return json.loads(self.lasthop("where", *flow.split(), *more, "--json", status=status).stdout)

    def screen(self, flow, *more):
        self.settle()
        return self.lasthop("where", *flow.split(), *more)

    # -- its end

    def children(self):
        """Every process that descends from a program of this fleet, by the mark in its environment."""
        found = []
        mark = ("%s=%s" % (RUN_MARK, self.prefix)).encode()
        sessions = {p.pid for p in self.programs}
        for proc in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (proc / "stat").read_text().rpartition(")")[2].split()
                if stat[0] == "Z":
                    continue
                if int(stat[3]) in sessions or mark in (proc / "environ").read_bytes().split(b"\0"):
                    found.append((int(proc.name), (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except (OSError, IndexError):
                continue    # it ended while we looked
        return found

    def check_clean(self, host):
        """Trouble if the host does not look as it must without an agent."""
        look = host.look()
        if look != host.baseline:
            raise Trouble("%s is not as it was; before:\n%s\nafter:\n%s" % (host.name, host.baseline, look))
        if host.pids():
            raise Trouble("processes are left in %s: %s" % (host.name, host.pids()))

    def wait_clean(self, *hosts, patience=GONE):
        def clean():
            try:
                for host in hosts:
                    self.check_clean(host)
                return True
            except Trouble as e:
                trouble.append(e)
                return False

        trouble = []
        try:
            wait_until("clean", clean, patience, 0.1)
        except Trouble:
            raise trouble[-1] from None

    def _stop_programs(self, troubles):
        agents = [p for p in self.programs if p.running() and p is not self.collector]
        for programs in (agents, [self.collector] if self.collector else []):
            for program in programs:
                if program.running():
                    program.signal(signal.SIGTERM)
                else:
                    programs = [p for p in programs if p is not program]
            for program in programs:
                status = program.wait(GONE)
                if status is None:
                    troubles.append("%s did not end within %.0f s of SIGTERM" % (program.label, GONE))
                    program.process.kill()
                    program.wait(5)
                elif status != 0:
                    troubles.append("%s ended with status %d" % (program.label, status))
        for program in self.programs:
            if not program.running() and program.process.returncode != 0 and program.pid not in self.expected_deaths \
               and not any(program.label in t for t in troubles):
                troubles.append("%s ended before its time, status %d" % (program.label, program.process.returncode))
            if re.search(r"ERROR: \w+Sanitizer|runtime error:|must failed|^must", program.said(), re.M):
                troubles.append("%s reported an error of its own" % program.label)

    def close(self):
        """Ends and removes everything. Trouble lists what was not as it must be."""
        troubles = []
        try:
            for server in self.servers:
                server.close()
            self._stop_programs(troubles)
            try:
                wait_until("no process left", lambda: not self.children(), GONE)
            except Trouble:
                left = self.children()
                troubles.append("processes are left: %s" % left)
                for pid, _ in left:
                    os.kill(pid, signal.SIGKILL)
            for host in self.hosts.values():
                if host.baseline is not None:
                    try:
                        self.wait_clean(host)
                    except Trouble as e:
                        troubles.append(str(e))
            if troubles:
                troubles.append(self.last_words())
        finally:
            for host in self.hosts.values():
                subprocess.run(["ip", "netns", "delete", host.netns], check=False, capture_output=True)
                if os.path.exists(host.path):
                    troubles.append("namespace %s could not be removed" % host.netns)
            if self._own_dir:
                self._own_dir.cleanup()
        if troubles:
            raise Trouble("\n".join(troubles))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.close()
        except Trouble as e:
            if kind is None:
                raise
            print("and at the end: %s" % e)


class Standard:
    """The fleet that most stories happen in.

        cl 10.0.1.2 ── 10.0.1.1 gw 198.18.0.1 ── 198.18.0.2 rt 10.0.3.1 ── 10.0.3.2 sv
           eth0        lan      wan             wan         net           eth0

    gw hides its clients (MASQUERADE); rt owns 203.0.113.10, and publish() maps ports of it to sv. IPv6
    goes the same way without translation: 2001:db8:1::/64, :18::/64, :3::/64."""

    PUBLIC = "203.0.113.10"

    def __init__(self, fleet, masquerade=True):
        self.fleet = fleet
        self.cl, self.gw, self.rt, self.sv = (fleet.host(n) for n in ("cl", "gw", "rt", "sv"))
        fleet.link(self.cl, "eth0", ["10.0.1.2/24", "2001:db8:1::2/64"], self.gw, "lan", ["10.0.1.1/24", "2001:db8:1::1/64"])
        fleet.link(self.gw, "wan", ["198.18.0.1/24", "2001:db8:18::1/64"],
                   self.rt, "wan", ["198.18.0.2/24", "2001:db8:18::2/64"])
        fleet.link(self.rt, "net", ["10.0.3.1/24", "2001:db8:3::1/64"], self.sv, "eth0", ["10.0.3.2/24", "2001:db8:3::2/64"])
        self.cl.ip("route add default via 10.0.1.1", "route add default via 2001:db8:1::1")
        self.gw.ip("route add default via 198.18.0.2", "route add default via 2001:db8:18::2")
        self.rt.ip("addr add %s/32 dev lo" % self.PUBLIC, "route add 2001:db8:1::/64 via 2001:db8:18::1")
        self.sv.ip("route add default via 10.0.3.1", "route add default via 2001:db8:3::1")
        self.gw.forward()
        self.rt.forward()
        if masquerade:
            self.gw.rules("-t nat -A POSTROUTING -o wan -j MASQUERADE")

    def publish(self, port, target):
        self.rt.rules("-t nat -A PREROUTING -d %s/32 -p tcp --dport %d -j DNAT --to-destination %s"
                      % (self.PUBLIC, port, target))

    def second_client(self):
        """c2 10.0.4.2, behind the same gateway."""
        c2 = self.fleet.host("c2")
        self.fleet.link(c2, "eth0", "10.0.4.2/24", self.gw, "lan2", "10.0.4.1/24")
        c2.ip("route add default via 10.0.4.1")
        return c2


def part(whole, like):
    """What of an answer the scenario speaks about: the same keys, so that == shows the difference."""
    if isinstance(like, dict) and isinstance(whole, dict):
        return {key: part(whole.get(key, "(no such key)"), value) for key, value in like.items()}
    if isinstance(like, list) and isinstance(whole, list) and len(like) == len(whole):
        return [part(w, l) for w, l in zip(whole, like)]
    return whole


def end(address, port):
    return ("[%s]:%d" if ":" in address else "%s:%d") % (address, port)


def seconds(text):
    """Since 1970, of a time in an answer."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + fraction)


def flow_of(attempt, proto, dst, dport):
    """The short form of the flow that an attempt made."""
    return "%s %s %s" % (proto, end(attempt.src, attempt.sport), end(dst, dport))
