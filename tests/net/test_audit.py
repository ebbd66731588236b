"""The audit log as the one that tells who changed a table, and beside BPF and nftables' notices.

The log is the machine's: whoever else changes tables on it meanwhile, such as another run of these tests, is a candidate too. So a
change is made again, with another port, while several are told as `one of`; that ours is among them is checked each time.
"""
import json
import re
import threading

import pytest

import fleet as fleets
from auditing import WITHOUT_BPF, AUDIT_USER_FIRST, auditing, say
from fleet import BIN, wait_until

pytestmark = pytest.mark.audit


@pytest.fixture
def audited():
    with auditing(True):
        yield


def start_agent(fleet, *hosts, ident="m", bpf=False, config=None):
    """One agent for these hosts, without BPF: then nobody but the audit log tells of legacy tables."""
    for host in hosts:
        host.baseline = host.look()
    argv = [] if bpf else list(WITHOUT_BPF)
    argv += [BIN / "lasthop-agent", "--id", ident, "--collector", "127.0.0.1:%d" % fleet.port, "--state",
             fleet.dir / ("state-" + ident), "--insecure", "--allow-trace"]
    for host in hosts:
        argv += ["--netns", host.netns]
    if config:
        (fleet.dir / "agent.yaml").write_text(config)
        argv += ["--config", fleet.dir / "agent.yaml"]
    hosts[0].agent = fleet.start("agent-" + ident, argv)
    fleet.wait_ready(*[name(h, hosts, ident) for h in hosts])


def name(host, hosts, ident="m"):
    return ident if len(hosts) == 1 else "%s/%s" % (ident, host.netns)


def source(fleet, host, which="audit"):
    return fleet.source(host, which)


def log(fleet, host, *more):
    done = fleet.lasthop("rules", "log", "--json", host, "-p", *more, status=0)
    return [c for c in json.loads(done.stdout)["changes"] if c["kind"] != "first"]


def changes(fleet, host, count):
    return wait_until("%d changes at %s" % (count, host), lambda: (lambda c: c if len(c) >= count else None)(log(fleet, host)), 5)


def two(fleet):
    a, b = fleet.host("a"), fleet.host("b")
    for host in (a, b):
        host.rules("-A FORWARD -p udp -j ACCEPT")
    fleet.start_collector()
    return a, b


TRIES = 20


def named(fleet, host, name, make):
    """Who made the change make(port), which names that port, once nobody else did anything at that time."""
    before = len(log(fleet, name))
    for n in range(TRIES):
        port = 1000 + before + n
        make(port)
        host.changed()
        change = changes(fleet, name, before + n + 1)[0]
        by = change["changed_by"]
        if by and not by["one_of"]:
            assert by["command"] is None or " %d " % port in by["command"] + " ", change
            return change
        assert by is None or [o for o in by["one_of"] if o["command"] is None or " %d " % port in o["command"] + " "], change
    raise fleets.Trouble("nobody was named in %d tries" % TRIES)


LOGGED_IN = 'echo 1 >/proc/self/loginuid; exec "$@"'     # as `daemon`, which every Debian has


def test_the_log_alone_names_the_author(fleet, audited):
    a, _ = two(fleet)
    start_agent(fleet, a)
    assert source(fleet, "m", "changes")["state"] == "failed" and source(fleet, "m")["state"] == "on"
    change = named(fleet, a, "m", lambda port: a.rules("-A FORWARD -p tcp --dport %d -j DROP" % port))
    by = change["changed_by"]
    assert re.fullmatch(r"iptables-legacy -w 10 -A FORWARD -p tcp --dport \d+ -j DROP", by["command"])
    assert (by["program"], by["uid"], by["via"], by["one_of"]) == ("iptables-legacy", 0, "audit", [])
    assert change["since_uncertainty_ms"] is None
    # Logged in as somebody else. This process had a record before it became iptables: of such the kernel has the former command line.
    by = named(fleet, a, "m", lambda port: a.run("sh", "-c", LOGGED_IN, "sh", "iptables-legacy", "-w", "-A", "FORWARD", "-p", "tcp",
                                                 "--dport", str(port), "-j", "DROP", stdin=""))["changed_by"]
    assert (by["program"], by["user"], by["uid"], by["loginuid"]) == ("iptables-legacy", "daemon", 0, 1)
    assert by["command"] is None or by["command"].startswith("iptables-legacy -w -A")
    # IPv6, and a secret.
    by = named(fleet, a, "m", lambda port: a.rules("-A FORWARD -p tcp --dport %d -j DROP" % port, version=6))["changed_by"]
    assert by["command"].startswith("ip6tables-legacy")
    by = named(fleet, a, "m", lambda port: a.rules("-A FORWARD -m comment --comment token=hunter2 -p tcp --dport %d -j DROP"
                                                   % port))["changed_by"]
    assert "hunter2" not in json.dumps(by) and "token=***" in by["command"]


def test_the_same_table_elsewhere(fleet, audited):
    """Two watched namespaces, one after the other: each has its own author; both at once: nobody is accused of the other's."""
    a, b = two(fleet)
    start_agent(fleet, a, b)
    for host in (a, b, a, b):
        by = named(fleet, host, name(host, (a, b)), lambda port, h=host: h.rules("-A FORWARD -p tcp --dport %d -j DROP" % port))
        assert by["changed_by"]["command"]
    so_far = {h: len(log(fleet, name(h, (a, b)))) for h in (a, b)}
    for n in range(10):
        threads = [threading.Thread(target=h.run, args=("iptables-legacy", "-A", "FORWARD", "-p", "tcp", "--dport",
                                                        str(2000 + n), "-j", "DROP", "-m", "comment", "--comment", h.name),)
                   for h in (a, b)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for host in (a, b):
            changes(fleet, name(host, (a, b)), so_far[host] + n + 1)
    for host in (a, b):
        host.changed()
        for change in log(fleet, name(host, (a, b))):
            check(change, host.name)


def check(change, mine):
    """Whoever is named must have been it: the command has the comment that the new rule has."""
    by = change["changed_by"]
    text = [p["text"] for p in change["patch"] if p["op"] == "+" and "--comment" in p["text"]]
    if by is None or not text:
        return 0
    wanted = "--comment " + mine
    if by["one_of"]:
        assert any(wanted in (one["command"] or "") for one in by["one_of"]), change
        return 0
    assert wanted in by["command"], change
    return 1


def test_a_namespace_that_nobody_watches_is_busy(fleet, audited):
    """Each change there might be one of the watched host; nobody there is ever accused."""
    a, b = two(fleet)
    start_agent(fleet, a)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            b.run("iptables-legacy", "-w", "-R", "FORWARD", "1", "-p", "udp", "-j", "ACCEPT", "-m", "comment", "--comment", "b")
            stop.wait(0.03)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for n in range(12):
            a.run("iptables-legacy", "-w", "-A", "FORWARD", "-p", "tcp", "--dport", str(3000 + n), "-j", "DROP", "-m", "comment",
                  "--comment", "a")
            changes(fleet, "m", n + 1)
    finally:
        stop.set()
        thread.join()
    a.changed()
    for change in log(fleet, "m"):
        check(change, "a")
    # It has calmed down: all is told again.
    assert named(fleet, a, "m", lambda port: a.rules("-A FORWARD -p tcp --dport %d -j DROP" % port))["changed_by"]["command"]


def test_bpf_and_the_log_tell_of_one_author(fleet, audited):
    a, b = two(fleet)
    start_agent(fleet, a, bpf=True)
    assert source(fleet, "m", "changes")["state"] == "on" and source(fleet, "m")["state"] == "on"
    b.rules("-A FORWARD -p tcp --dport 443 -j ACCEPT")
    a.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    by = changes(fleet, "m", 1)[0]["changed_by"]
    assert by["command"].endswith("--dport 443 -j DROP") and by["via"] == "bpf" and by["one_of"] == []


@pytest.mark.parametrize("bpf", [True, False])
def test_nftables_with_command_and_login(fleet, audited, bpf):
    """Its own notice knows the process only; the process has ended when anybody could ask for more."""
    a, b = fleet.host("a"), fleet.host("b")
    for host in (a, b):
        host.nft("table inet mine { chain f { type filter hook forward priority 0; udp dport 1 drop; }; }")
    a.run("iptables-nft", "-A", "FORWARD", "-p", "udp", "--dport", "9", "-j", "ACCEPT")
    fleet.start_collector()
    start_agent(fleet, a, bpf=bpf)
    b.nft("add rule inet mine f tcp dport 443 accept")
    a.run("sh", "-c", LOGGED_IN, "sh", "nft", "add", "rule", "inet", "mine", "f", "tcp", "dport", "443", "drop")
    a.changed()
    by = changes(fleet, "m", 1)[0]["changed_by"]
    assert (by["program"], by["user"], by["uid"], by["loginuid"], by["via"], by["one_of"]) == ("nft", "daemon", 0, 1, "nft", [])
    # A process that had a record before it became this program: the kernel then has another's command line.
    assert by["command"] in ("nft add rule inet mine f tcp dport 443 drop", None)
    a.run("iptables-nft", "-A", "FORWARD", "-p", "tcp", "--dport", "80", "-j", "DROP")
    a.changed()
    by = changes(fleet, "m", 2)[0]["changed_by"]
    assert by["command"] == "iptables-nft -A FORWARD -p tcp --dport 80 -j DROP" and by["uid"] == 0 and by["one_of"] == []


FORGED = 'table=filter family=2 entries=5 op=xt_replace pid=4242 subj=unconfined comm="evil"'


def test_nobody_is_forged(fleet, audited):
    """What programs write into the log, and names of tables that read like the kernel's own words, name nobody."""
    a, b = two(fleet)
    start_agent(fleet, a)
    lied, told = threading.Event(), []

    def lie():
        while not lied.is_set():
            for kind in (AUDIT_USER_FIRST + 5, AUDIT_USER_FIRST + 7, 1199, 2100):
                say(kind, FORGED)
                told.append(kind)
            lied.wait(0.05)

    with pytest.raises(OSError):
        say(1325, FORGED)       # NETFILTER_CFG is the kernel's
    thread = threading.Thread(target=lie)
    thread.start()
    try:
        for _ in range(5):
            by = named(fleet, a, "m", lambda port: a.rules("-A FORWARD -p tcp --dport %d -j DROP" % port))["changed_by"]
            assert by["command"]
    finally:
        lied.set()
        thread.join()
    assert len(told) > 20
    # A table of nftables in a namespace that nobody watches. Its record cannot be read for certain, and is a loss.
    hostile(b, FORGED[len("table="):])
    wait_until("the loss", lambda: [l for h in fleet.host_list() for l in h["losses"] if l["source"] == "audit"], 5)
    assert "4242" not in json.dumps(log(fleet, "m"))


def hostile(host, table):
    """nft itself takes only words as names; the kernel takes anything."""
    code = """
import socket, struct, sys
def attr(kind, data): return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
def msg(kind, flags, family, resource, body):
    body = struct.pack("!BBH", family, 0, resource) + body
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
s.send(msg(16, 1, 0, 10, b"") + msg(10 << 8, 0x405, 2, 0, attr(1, sys.argv[1].encode() + b"\\0")) + msg(17, 1, 0, 10, b""))
assert struct.unpack_from("=i", s.recv(4096), 16)[0] == 0
"""
    host.run("/usr/bin/python3", "-c", code, table)


def test_how_to_turn_it_on_is_said(fleet):
    with auditing(False):
        a, _ = two(fleet)
        start_agent(fleet, a)
        audit = source(fleet, "m")
        assert audit["state"] == "off" and "auditctl -e 1" in audit["why"]
        assert "auditctl -e 1" in fleet.lasthop("doctor", "m").stdout.replace("\n", " ")
        a.rules("-A FORWARD -p tcp --dport 443 -j DROP")
        change = changes(fleet, "m", 1)[0]
        assert change["changed_by"] is None and 0 < change["since_uncertainty_ms"] < 3000 * fleets.SLOW
    # It is noticed when the first record comes, and when it is turned off again.
    with auditing(True):
        a.rules("-A FORWARD -p tcp --dport 80 -j DROP")
        wait_until("audit is on", lambda: source(fleet, "m")["state"] == "on", 5)
        changes(fleet, "m", 2)
        assert named(fleet, a, "m", lambda port: a.rules("-A FORWARD -p tcp --dport %d -j DROP" % port))
    wait_until("audit is off", lambda: source(fleet, "m")["state"] == "off", 5)
