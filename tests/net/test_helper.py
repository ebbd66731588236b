"""The privileged helper, driven over its own socket: what it puts up, and that nothing of it stays.

Each test has a network namespace of its own. The helper is the real program; the tests play the worker.
"""
import array
import ctypes
import errno
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LASTHOP_BIN", ROOT / "build" / "gcc" / "bin"))

OPEN, DUMP, RCVBUF, LEASE, STOP, LEASE_STATE, FOLLOW, RELEASE, NETNS = range(1, 10)
TRACE_LEGACY, TRACE_NFT, CONNTRACK, HOST = range(4)
NFLOG = 9
DUMP_CONNTRACK, DUMP_RULESET, DUMP_COUNTERS = range(3)
PATTERNS_MAX = 32
CT, TRANSLATES, BLIND = 1, 3, 4

ANSWER = struct.Struct("=IIiIQqqqqQQ200s")
PART = struct.Struct("=IIIII64s4xQ")
TEXT, HANDLES = range(2)
SECOND = 10**9


def boot_now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def prefix(text):
    if not text:
        return bytes(18)
    addr, _, bits = text.partition("/")
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    raw = socket.inet_pton(family, addr)
    return struct.pack("=B16sB", 6 if family == socket.AF_INET6 else 4, raw, int(bits or len(raw) * 8))


def pattern(family=4, proto=0, src="", dst="", sport=0, dport=0, icmp_id=0):
    return struct.pack("=BB18s18sHHH", family, proto, prefix(src), prefix(dst), sport, dport, icmp_id)


def request(op, tag, netns=0, what=0, known=0, lease=b"", groups=()):
    return struct.pack("=IIIIQ", op, tag, netns, what, known) + lease.ljust(1440, b"\0") + \
        struct.pack("=I8H4x", len(groups), *(list(groups) + [0] * 8)[:8])


def lease_bytes(lease_id, seconds, patterns, rate=100, modulus=1, site=0, count=None):
    head = struct.pack("=QQIIII", lease_id, boot_now() + int(seconds * SECOND), rate, modulus, site,
                       len(patterns) if count is None else count)
    return head + b"".join(patterns)


class Answer:
    def __init__(self, raw, fds):
        (self.op, self.tag, self.error, self.value, self.digest, self.before, self.after, self.cpu_ns, self.spent_ns, self.traced,
         self.refused, why) = ANSWER.unpack(raw)
        self.why = why.split(b"\0")[0].decode()
        self.fds = list(fds)

    def fd(self):
        assert self.error == 0, self.why
        assert len(self.fds) == 1
        return self.fds[0]


class Helper:
    def __init__(self, *names):
        self.sock, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        args = [str(BIN / "lasthop-helper")]
        for name in names:
            args += ["--netns", name]
        fd = other.fileno()

        def place():
            if fd == 3:
                os.set_inheritable(3, True)
            else:
                os.dup2(fd, 3)

        self.proc = subprocess.Popen(args, preexec_fn=place, pass_fds=(3,), stderr=subprocess.PIPE)
        other.close()
        self.tag = 0
        self.held = []

    def send(self, op, fds=(), **fields):
        self.tag += 1
        data = request(op, self.tag, **fields)
        self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        return self.tag

    def receive(self):
        raw, fds, _, _ = socket.recv_fds(self.sock, ANSWER.size, 4)
        assert len(raw) == ANSWER.size
        self.held += fds
        return Answer(raw, fds)

    def ask(self, op, fds=(), **fields):
        tag = self.send(op, fds, **fields)
        answer = self.receive()
        assert (answer.op, answer.tag) == (op, tag)
        return answer

    def lease(self, lease_id, seconds, patterns, netns=0, **limits):
        return self.ask(LEASE, netns=netns, lease=lease_bytes(lease_id, seconds, patterns, **limits))

    def guard(self):
        return self.child(b"--guard")

    def child(self, mode):
        """The pid of the child in this mode, as soon as there is one."""
        found = []

        def look():
            found.extend(pid for pid in children(self.proc.pid) if mode in cmdline(pid).split(b"\0"))
            return found

        assert wait_until(look, 5)
        return found[0]

    def end(self):
        self.sock.close()
        return self.proc.wait(5)

    def close(self):
        for fd in self.held:
            os.close(fd)
        self.held = []
        self.sock.close()
        try:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.wait(5)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        with self.proc.stderr as complaints:
            assert complaints.read() == b""


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(entry))
    return found


def cmdline(pid):
    try:
        return pathlib.Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid):
    try:
        return pathlib.Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=2.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Netns:
    count = 0

    def __init__(self):
        Netns.count += 1
        self.name = f"lhxh{os.getpid()}n{Netns.count}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *args, **kw):
        return subprocess.run(["ip", "netns", "exec", self.name, *args], check=True, capture_output=True, text=True,
                              **kw).stdout

    def enter(self, fn):
        """fn() with this thread inside the namespace."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as back, open(f"/run/netns/{self.name}") as there:
            assert libc.setns(there.fileno(), 0x40000000) == 0
            try:
                return fn()
            finally:
                assert libc.setns(back.fileno(), 0x40000000) == 0

    def socket(self, family, kind):
        return self.enter(lambda: socket.socket(family, kind))

    def tables(self):
        return self.run("nft", "list", "tables").split("\n")

    def has_table(self):
        return "table inet lasthop" in self.tables()

    def ruleset(self):
        return self.run("nft", "list", "table", "inet", "lasthop")

    def loggers(self):
        return [self.run("cat", f"/proc/sys/net/netfilter/nf_log/{n}").strip() for n in (2, 10)]

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def ns():
    n = Netns()
    yield n
    n.close()


@pytest.fixture
def start():
    helpers = []

    def begin(*names):
        helpers.append(Helper(*names))
        return helpers[-1]

    yield begin
    for h in helpers:
        h.close()


def messages(fd, seconds=0.5):
    """Everything that arrives on a netlink socket until it has been silent for that long."""
    sock = socket.socket(fileno=os.dup(fd))
    found = []
    try:
        while select.select([sock], [], [], seconds)[0]:
            found.append(sock.recv(65536))
    finally:
        sock.close()
    return found


def trace_lines(raw):
    """The prefixes of the packets that a netfilter log socket delivered."""
    lines = []
    for datagram in raw:
        at = datagram.find(b"TRACE: ")
        while at >= 0:
            lines.append(datagram[at + 7:datagram.index(b"\0", at)].decode().strip())
            at = datagram.find(b"TRACE: ", at + 1)
    return lines


def send_udp(ns, dst="127.0.0.1", port=4444, count=1, payload=b"hello, world"):
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    with ns.socket(family, socket.SOCK_DGRAM) as s:
        for _ in range(count):
            try:
                s.sendto(payload, (dst, port))
            except ConnectionRefusedError:
                pass


UDP = 17


def test_lease_arms_legacy_trace(ns, start):
    ns.run("iptables-legacy", "-A", "INPUT", "-p", "udp", "--dport", "4444", "-j", "ACCEPT")
    before = ns.loggers()
    h = start(ns.name)
    legacy = h.ask(OPEN, what=TRACE_LEGACY).fd()
    nft = h.ask(OPEN, what=TRACE_NFT).fd()
    a = h.lease(0x4f21, 30, [pattern(proto=UDP, dst="127.0.0.1", dport=4444)])
    assert a.error == 0, a.why
    assert ns.loggers() == ["nfnetlink_log", "nfnetlink_log"]
    assert "flags owner" in ns.ruleset()

    send_udp(ns)
    send_udp(ns, port=5555)
    lines = trace_lines(messages(legacy))
    assert "filter:INPUT:rule:1" in lines
    assert "filter:OUTPUT:policy:1" in lines
    chains = b"".join(messages(nft))
    for name in (b"pre_first", b"out_first", b"in_first", b"in_last", b"post_last"):
        assert name in chains
    state = h.ask(LEASE_STATE, known=0x4f21)
    # The packet, on its way out and in, and the answer of the port that is closed, likewise.
    assert (state.traced, state.refused) == (4, 0)

    end = h.ask(STOP, known=0x4f21)
    assert (end.error, end.traced) == (0, 4)
    assert not ns.has_table()
    assert ns.loggers() == before
    assert h.end() == 0


def test_ipv6_and_prefixes(ns, start):
    ns.run("ip6tables-legacy", "-A", "OUTPUT", "-p", "udp", "-j", "ACCEPT")
    h = start(ns.name)
    legacy = h.ask(OPEN, what=TRACE_LEGACY).fd()
    assert h.lease(1, 30, [pattern(6, UDP, dst="::/127", dport=4444), pattern(6, 0, src="2001:db8::/37"),
                           pattern(4, 0, src="10.0.0.0/9", dst="10.1.2.3")]).error == 0
    send_udp(ns, "::1")
    assert "filter:OUTPUT:rule:1" in trace_lines(messages(legacy))
    send_udp(ns, "127.0.0.1")
    assert trace_lines(messages(legacy)) == []


@pytest.mark.parametrize("site", [0, CT, TRANSLATES, BLIND])
def test_nothing_is_counted_twice(ns, start, site):
    """Overlapping patterns, both directions and the forms after conntrack make one packet, not several."""
    ns.run("iptables-legacy", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    h = start(ns.name)
    assert h.lease(7, 30, [pattern(src="127.0.0.1"), pattern(dst="127.0.0.1"), pattern(proto=UDP, dport=4444)],
                   site=site).error == 0
    assert ("pre_ct" in ns.ruleset()) == (site == TRANSLATES)
    assert ("fwd_first" in ns.ruleset()) == (site == BLIND)
    send_udp(ns, "127.0.0.1", 4444)
    assert h.ask(LEASE_STATE, known=7).traced == 4	# as in test_lease_arms_legacy_trace


def test_rate_refuses_and_counts(ns, start):
    h = start(ns.name)
    assert h.lease(9, 30, [pattern(proto=UDP, dport=4444)], rate=5).error == 0
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 4444))
        send_udp(ns, count=100)
    state = h.ask(LEASE_STATE, known=9)
    assert state.traced + state.refused == 200
    assert 5 <= state.traced <= 15


def test_sample_is_by_content_and_not_a_refusal(ns, start):
    h = start(ns.name)
    assert h.lease(9, 30, [pattern(proto=UDP, dport=4444)], rate=10000, modulus=4).error == 0
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 4444))
        with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for i in range(400):
                s.sendto(struct.pack("!I", i), ("127.0.0.1", 4444))
    state = h.ask(LEASE_STATE, known=9)
    assert state.refused == 0
    assert 100 <= state.traced <= 300
    assert state.traced % 2 == 0	# each was selected on its way out and on its way in, or neither


def test_ct_forms_trace_the_reply(ns, start):
    """A connection that is named before its translation is traced after it, too."""
    ns.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "4444", "-j", "DNAT",
           "--to-destination", "127.0.0.2:5555")
    ns.run("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    h = start(ns.name)
    legacy = h.ask(OPEN, what=TRACE_LEGACY).fd()
    assert h.lease(3, 30, [pattern(proto=UDP, dst="127.0.0.1", dport=4444)], site=CT).error == 0
    with ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, ns.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        server.bind(("127.0.0.2", 5555))
        server.settimeout(2)
        s.sendto(b"there", ("127.0.0.1", 4444))
        peer = server.recvfrom(100)[1]
        messages(legacy)
        server.sendto(b"and back", peer)
        # Only the connection's origin links this packet to the lease.
        assert trace_lines(messages(legacy)) != []


def test_icmp_errors_by_what_they_embed(ns, start):
    h = start(ns.name)
    legacy = h.ask(OPEN, what=TRACE_LEGACY).fd()
    ns.run("iptables-legacy", "-A", "OUTPUT", "-p", "icmp", "-j", "ACCEPT")
    assert h.lease(3, 30, [pattern(proto=UDP, dst="127.0.0.1", dport=4444)]).error == 0
    send_udp(ns)
    assert "filter:OUTPUT:rule:1" in trace_lines(messages(legacy))


def test_kernel_ends_a_lease_by_itself(ns, start):
    ns.run("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    h = start(ns.name)
    legacy = h.ask(OPEN, what=TRACE_LEGACY).fd()
    assert h.lease(1, 1.2, [pattern(proto=UDP, dport=4444)]).error == 0
    h.proc.send_signal(signal.SIGSTOP)
    send_udp(ns)
    assert trace_lines(messages(legacy, 0.2)) != []
    time.sleep(1.5)
    assert ns.has_table()
    send_udp(ns)
    assert trace_lines(messages(legacy)) == []
    h.proc.send_signal(signal.SIGCONT)
    assert wait_until(lambda: not ns.has_table())


def test_deadline_removes_everything(ns, start):
    before = ns.loggers()
    h = start(ns.name)
    assert h.lease(1, 0.6, [pattern(proto=UDP, dport=4444)]).error == 0
    assert h.lease(2, 1.2, [pattern(proto=UDP, dport=4445)]).error == 0
    send_udp(ns, port=4444)
    time.sleep(0.8)
    assert "l_1 " not in ns.ruleset() and "l_2 " in ns.ruleset()
    assert wait_until(lambda: not ns.has_table(), 1)
    assert ns.loggers() == before
    # Who asks late is still told.
    assert h.ask(LEASE_STATE, known=1).traced == 4
    assert h.ask(STOP, known=1).traced == 4
    assert h.ask(LEASE_STATE, known=77).error == -errno.ENOENT


def test_lease_is_replaced_and_keeps_its_count(ns, start):
    h = start(ns.name)
    assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)]).error == 0
    send_udp(ns, port=4444)
    assert h.lease(1, 30, [pattern(proto=UDP, dport=4445)]).error == 0
    assert h.lease(2, 30, [pattern(proto=UDP, dport=4446)]).error == 0
    send_udp(ns, port=4444)
    send_udp(ns, port=4445)
    assert h.ask(LEASE_STATE, known=1).traced == 8
    assert h.ask(STOP, known=0).traced == 8
    assert not ns.has_table()


def test_somebody_elses_logger_is_left_alone(ns, start):
    h = start(ns.name)
    assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)]).error == 0
    ns.run("sh", "-c", "echo NONE > /proc/sys/net/netfilter/nf_log/2")
    time.sleep(2.5)
    ns.run("sh", "-c", "echo nfnetlink_log > /proc/sys/net/netfilter/nf_log/2")
    h.end()
    assert ns.loggers()[0] == "nfnetlink_log"


@pytest.mark.parametrize("death", ["kill", "term", "close", "guard", "nonsense"])
def test_no_death_leaves_anything(ns, start, death):
    before = ns.loggers()
    h = start(ns.name)
    legacy = h.ask(OPEN, what=TRACE_LEGACY).fd()
    assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)]).error == 0
    guard = h.guard()
    assert before != ns.loggers() and ns.has_table()
    if death == "kill":
        h.proc.kill()
    elif death == "term":
        h.proc.terminate()
    elif death == "close":
        h.sock.close()
    elif death == "guard":
        os.kill(guard, signal.SIGKILL)
    else:
        h.sock.send(b"x")
    status = h.proc.wait(2)
    assert status == {"kill": -9, "term": 0, "close": 0, "guard": 1, "nonsense": 1}[death]
    assert wait_until(lambda: not alive(guard))
    assert not ns.has_table()
    assert ns.loggers() == before
    os.fstat(legacy)


def test_guard_is_deaf_to_signals(ns, start):
    before = ns.loggers()
    h = start(ns.name)
    assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)]).error == 0
    guard = h.guard()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guard, number)
    time.sleep(0.1)
    assert alive(guard)
    h.proc.kill()
    assert wait_until(lambda: not alive(guard))
    assert ns.loggers() == before


def test_group_0_of_somebody_else_is_named(ns, start):
    h = start(ns.name)
    first = h.ask(OPEN, what=TRACE_LEGACY)
    second = h.ask(OPEN, what=TRACE_LEGACY)
    assert second.error == -errno.EBUSY
    assert "group 0 is owned by portid" in second.why
    # Our socket was the first of this namespace in that process: its portid is the pid.
    assert f"{h.proc.pid} (lasthop-helper)" in second.why
    os.close(first.fd())
    h.held.remove(first.fd())
    assert h.ask(OPEN, what=TRACE_LEGACY).error == 0


RULES4 = r"""
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i eth+ -p udp -m udp --dport 53 -j CT --notrack
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
-A PREROUTING -s 10.0.0.0/8 -j MARK --set-xmark 0x1/0xff
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 198.51.100.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443
-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080
-A POSTROUTING -s 10.0.1.0/24 -o wan0 -j MASQUERADE
-A POSTROUTING -s 10.0.2.0/24 -j SNAT --to-source 198.51.100.7
-A POSTROUTING -s 10.0.9.0/24 -j NETMAP --to 198.51.100.0/24
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [7:9]
:OUTPUT ACCEPT [0:0]
:deep - [0:0]
:ZZ-last - [0:0]
:empty - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "it's \"quoted\" \\ here" -j ACCEPT
-A INPUT -m comment --comment plain -j ACCEPT
-A INPUT ! -s 10.0.0.0/255.0.255.0 -d 10.1.0.0/16 ! -i lo ! -o wan+ ! -p tcp -j DROP
-A INPUT -p tcp -m multiport --dports 22,80,443,1000:2000 -m limit --limit 5/min --limit-burst 7 -j ACCEPT
-A INPUT -p tcp -m tcp ! --sport 1024:65535 --dport 25 --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset
-A INPUT -p icmp -m icmp --icmp-type 8 -m state --state NEW -j ACCEPT
-A INPUT -p 47 -j ACCEPT
-A INPUT -p 253 -j ACCEPT
-A INPUT -f -j DROP
-A FORWARD -m mark --mark 0x1/0xff -j deep
-A FORWARD -p udp -m udp --dport 53 -g deep
-A FORWARD -m iprange --src-range 10.0.0.1-10.0.0.9 -j LOG --log-prefix "odd \"one\" " --log-level 4
-A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j RETURN
-A FORWARD -m statistic --mode random --probability 0.5 -j NFLOG --nflog-prefix half --nflog-group 5
-A FORWARD -m addrtype --dst-type LOCAL -j REJECT --reject-with icmp-host-prohibited
-A FORWARD -m hashlimit --hashlimit-above 10/sec --hashlimit-mode srcip --hashlimit-name h1 -j DROP
-A FORWARD
-A deep -m ttl --ttl-lt 5 -j DROP
-A deep -m length --length 100:200 -j ZZ-last
-A ZZ-last -m string --string "GET /" --algo bm --to 100 -j ACCEPT
-A ZZ-last -j RETURN
COMMIT
"""

RULES6 = r"""
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -m dscp --dscp 0x2e -j HL --hl-set 64
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:six - [0:0]
-A INPUT -s 2001:db8::/37 -d fe80::1/128 ! -i eth0 -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j six
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW --ctorigdst 2001:db8::1 -j REJECT --reject-with icmp6-port-unreachable
-A INPUT -s 2001:db8::/ffff:0:ffff:: -j DROP
-A INPUT ! -s ::1/128 -p udp -m multiport --sports 53,123 -j LOG
-A six -m frag --fragid 1:9 -j ACCEPT
-A six -m hl --hl-gt 3 -j RETURN
COMMIT
"""


def load_rules(ns, program, text):
    """Loads what this kernel has; a rule that it lacks is left out, but not many may be."""
    lines = text.strip().split("\n")
    left_out = 0
    while True:
        done = subprocess.run(["ip", "netns", "exec", ns.name, f"{program}-legacy-restore"], capture_output=True,
                              input="\n".join(lines) + "\n", text=True)
        if done.returncode == 0:
            break
        left_out += drop_unknown(ns, program, lines)
    assert left_out <= 12, f"{left_out} rules are unknown here"


def drop_unknown(ns, program, lines):
    before = len(lines)
    table, chains = None, []
    for line in list(lines):
        if line.startswith("*"):
            table, chains = line, []
        elif line.startswith(":"):
            chains.append(line)
        elif line.startswith("-A"):
            text = "\n".join([table, *chains, line, "COMMIT", ""])
            done = subprocess.run(["ip", "netns", "exec", ns.name, f"{program}-legacy-restore", "--test"],
                                  capture_output=True, input=text, text=True)
            real = done.returncode != 0 or try_alone(ns, program, text) != 0
            if real:
                lines.remove(line)
    assert len(lines) < before, "no single rule is to blame"
    return before - len(lines)


def try_alone(ns, program, text):
    return subprocess.run(["ip", "netns", "exec", ns.name, f"{program}-legacy-restore"], capture_output=True,
                          input=text, text=True).returncode


def parts(fd):
    data = os.pread(fd, 1 << 28, 0)
    found, at = [], 0
    while at < len(data):
        backend, family, torn, kind, length, table, _ = PART.unpack_from(data, at)
        at += PART.size
        if kind == TEXT:
            found.append((backend, family, torn, table.split(b"\0")[0].decode(), data[at:at + length].decode()))
        at += length
    return found


def saved(ns, program, table):
    """The text of the program itself, without comments and counters."""
    out = []
    for line in ns.run(f"{program}-legacy-save", "-t", table).split("\n"):
        if line.startswith("#"):
            continue
        if line.startswith(":"):
            line = line.rpartition("[")[0] + "[0:0]"
        out.append(line)
    return "\n".join(out)


def test_ruleset_is_what_iptables_save_prints(ns, start):
    load_rules(ns, "iptables", RULES4)
    load_rules(ns, "ip6tables", RULES6)
    h = start(ns.name)
    a = h.ask(DUMP, what=DUMP_RULESET)
    found = parts(a.fd())
    assert a.digest != 0 and a.before <= a.after <= boot_now() and a.spent_ns > 0
    assert h.ask(DUMP, what=DUMP_RULESET, known=a.digest).spent_ns == 0
    assert [(p[0], p[1], p[2], p[3]) for p in found] == [
        (0, 1, 0, "raw"), (0, 1, 0, "mangle"), (0, 1, 0, "nat"), (0, 1, 0, "filter"),
        (0, 2, 0, "mangle"), (0, 2, 0, "filter")]
    for _, family, _, table, text in found:
        assert text == saved(ns, {1: "iptables", 2: "ip6tables"}[family], table)


def test_ruleset_unchanged_brings_no_fd(ns, start):
    load_rules(ns, "iptables", RULES4)
    h = start(ns.name)
    first = h.ask(DUMP, what=DUMP_RULESET)
    assert first.fd() >= 0
    send_udp(ns, count=20)		# only counters and limits change
    ns.run("iptables-legacy", "-Z")
    again = h.ask(DUMP, what=DUMP_RULESET, known=first.digest)
    assert (again.error, again.digest, again.fds) == (0, first.digest, [])
    assert again.cpu_ns > 0
    # A replacement by a rule of the same size.
    ns.run("iptables-legacy", "-R", "INPUT", "2", "-m", "comment", "--comment", "plaim", "-j", "ACCEPT")
    third = h.ask(DUMP, what=DUMP_RULESET, known=first.digest)
    assert third.digest != first.digest and any("plaim" in p[4] for p in parts(third.fd()))


def counted(fd):
    """Those of legacy tables, without their backend."""
    return {(family, table): chains for (backend, family, table), chains in counted_all(fd).items() if backend == 0}


def counted_all(fd):
    """What a counters memfd holds: {(backend, family, table): {chain: [(packets, bytes), ...] of rules, then of the policy}}."""
    data, at, out = os.pread(fd, 1 << 28, 0), 0, {}
    while at < len(data):
        backend, family, chain_count, values, table = struct.unpack_from("=IIII64s", data, at)
        at += 80
        chains = [struct.unpack_from("=256sII", data, at + 264 * i) for i in range(chain_count)]
        at += 264 * chain_count
        pairs = [struct.unpack_from("=QQ", data, at + 16 * i) for i in range(values)]
        at += 16 * values
        table = out.setdefault((backend, family, table.rstrip(b"\0").decode()), {})
        for name, rules, policy in chains:
            table[name.rstrip(b"\0").decode()], pairs = pairs[:rules + policy], pairs[rules + policy:]
        assert pairs == []
    return out


def counted_by_save(ns, family, program):
    out, policies = {}, {}
    for line in ns.run(program + "-legacy-save", "-c").splitlines():
        if line.startswith("*"):
            table, policies = out.setdefault((family, line[1:]), {}), {}
        elif line.startswith(":"):
            chain, policy, count = line[1:].split()
            table[chain] = []
            if policy != "-":
                policies[chain] = tuple(map(int, count[1:-1].split(":")))
        elif line.startswith("["):
            count, _, chain = line.split()[:3]
            table[chain].append(tuple(map(int, count[1:-1].split(":"))))
        elif line == "COMMIT":
            for chain, count in policies.items():
                table[chain].append(count)
    return out


def test_counters_are_what_iptables_save_prints(ns, start):
    load_rules(ns, "iptables", RULES4)
    load_rules(ns, "ip6tables", RULES6)
    h = start(ns.name)
    text = h.ask(DUMP, what=DUMP_RULESET)
    send_udp(ns, count=20)
    a = h.ask(DUMP, what=DUMP_COUNTERS)
    found = counted(a.fd())
    assert a.digest == text.digest and a.before <= a.after and a.cpu_ns > 0
    assert found == counted_by_save(ns, 1, "iptables") | counted_by_save(ns, 2, "ip6tables")
    assert sum(packets for chain in found[1, "filter"].values() for packets, _ in chain) >= 20
    ns.run("iptables-legacy", "-Z")
    assert counted(h.ask(DUMP, what=DUMP_COUNTERS).fd()) == counted_by_save(ns, 1, "iptables") | \
        counted_by_save(ns, 2, "ip6tables")


NFT = """
table inet mixed {
	counter named { }
	set s { type inet_service; elements = { 22, 23 } }
	chain in {
		type filter hook input priority 0; policy accept;
		udp dport 9 counter comment "first"
		udp dport 9 accept
		jump deep
	}
	chain deep {
		tcp dport @s counter accept
		counter name "named"
		meta mark 1 counter log prefix "x" counter
	}
	chain empty { }
}
table netdev dev {
	chain c { }
}
"""


def test_counters_of_nftables(ns, start):
    ns.run("nft", "-f", "-", input=NFT)
    for rule in ("-A INPUT -p udp --dport 9 -j ACCEPT", "-N deep", "-A deep -j RETURN", "-A INPUT -p tcp -j deep"):
        ns.run("iptables-nft", *rule.split())
    ns.run("iptables-nft-restore", "-c", input="*mangle\n:FORWARD ACCEPT [5:500]\nCOMMIT\n")
    ns.run("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    h = start(ns.name)
    send_udp(ns, port=9, count=7)
    legacy = counted(h.ask(DUMP, what=DUMP_COUNTERS).fd())
    assert set(legacy) == {(1, "filter")} and len(legacy[1, "filter"]["INPUT"]) == 2
    a = h.ask(DUMP, what=DUMP_COUNTERS, known=1)
    data = a.fd()
    assert a.value != 0
    found = counted_all(data)
    none = 2**64 - 1
    mixed = found[2, 3, "mixed"]
    assert [p for p, _ in mixed["in"]] == [7, none, none, none]
    assert [p for p, _ in mixed["deep"]] == [0, none, 0] and mixed["empty"] == []
    assert found[2, 6, "dev"] == {"c": []}
    nft = found[2, 1, "filter"]
    assert [p for p, _ in nft["INPUT"]][:2] == [7, 0] and nft["deep"] == [(0, 0)]
    assert nft["INPUT"][2] == (none, 0)     # a policy counts only where somebody has asked for it
    assert found[2, 1, "mangle"]["FORWARD"] == [(5, 500)]
    # Nothing was reset by looking, and a change shows in the generation.
    again = h.ask(DUMP, what=DUMP_COUNTERS, known=1)
    assert again.value == a.value and counted_all(again.fd()) == found
    ns.run("nft", "add", "rule", "inet", "mixed", "empty", "counter")
    third = h.ask(DUMP, what=DUMP_COUNTERS, known=1)
    assert third.value != a.value and counted_all(third.fd())[2, 3, "mixed"]["empty"] == [(0, 0)]


def test_nothing_is_loaded_by_looking(ns, start):
    h = start(ns.name)
    a = h.ask(DUMP, what=DUMP_RULESET)
    assert parts(a.fd()) == []
    assert counted(h.ask(DUMP, what=DUMP_COUNTERS).fd()) == {}
    assert ns.run("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names") == ""
    assert h.ask(DUMP, what=DUMP_RULESET, known=a.digest).fds == []


def test_ruleset_memfd_is_sealed(ns, start):
    ns.run("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT")
    h = start(ns.name)
    fd = h.ask(DUMP, what=DUMP_RULESET).fd()
    for change in (lambda: os.ftruncate(fd, 0), lambda: os.write(fd, b"x")):
        with pytest.raises(PermissionError):
            change()


def test_a_table_is_told_as_it_stood_at_one_moment(ns, start):
    """Two rules that always change together, thousands of others between them."""
    def rules(mark):
        lines = ["-A FORWARD -m mark --mark %d -j ACCEPT" % mark, *["-A FORWARD -s 10.0.%d.%d -j ACCEPT" % (i >> 8, i & 255)
                                                                for i in range(5000)], "-A FORWARD -m mark --mark %d -j DROP" % mark]
        return "*filter\n:FORWARD ACCEPT [0:0]\n" + "\n".join(lines) + "\nCOMMIT\n"

    ns.run("iptables-legacy-restore", input=rules(1))
    h = start(ns.name)
    texts = []
    with tempfile.TemporaryDirectory() as place:
        for mark in (1, 2):
            pathlib.Path(place, str(mark)).write_text(rules(mark))
        script = "while :; do iptables-legacy-restore %s/1; iptables-legacy-restore %s/2; done" % (place, place)
        with subprocess.Popen(["ip", "netns", "exec", ns.name, "sh", "-c", script]) as restless:
            for _ in range(20):
                a = h.ask(DUMP, what=DUMP_RULESET)
                texts += [p[4] for p in parts(a.fd())]
            restless.kill()
    for text in texts:
        marks = [line.split()[5] for line in text.split("\n") if "--mark" in line]
        assert len(marks) == 2 and marks[0] == marks[1]
    assert len(set(texts)) == 2
    # The last restore may outlive its shell; then nothing changes any more.
    assert wait_until(lambda: not h.ask(DUMP, what=DUMP_RULESET, known=h.ask(DUMP, what=DUMP_RULESET).digest).fds, 10)


def big_ruleset(ns, count):
    rules = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    rules += [f"-A FORWARD -s 10.{i >> 16}.{i >> 8 & 255}.{i & 255} -p tcp -m tcp --dport 80 -j ACCEPT"
              for i in range(count)]
    ns.run("iptables-legacy-restore", input="\n".join(rules + ["COMMIT", ""]))


def test_helper_stays_responsive_and_dies_clean_in_a_dump(ns, start):
    before = ns.loggers()
    big_ruleset(ns, 50000)
    h = start(ns.name)
    assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)]).error == 0
    tags = [h.send(DUMP, what=DUMP_RULESET), h.send(DUMP, what=DUMP_RULESET)]
    state = h.send(LEASE_STATE, known=1)
    assert h.receive().tag == state
    assert [h.receive().tag, h.receive().tag] == tags

    h.send(DUMP, what=DUMP_RULESET)
    guard, child = h.guard(), h.child(b"--dump")
    h.proc.kill()
    h.proc.wait()
    assert wait_until(lambda: not alive(child) and not alive(guard))
    assert not ns.has_table()
    assert ns.loggers() == before


def test_conntrack_is_dumped_for_a_process_without_rights(ns, start):
    ns.run("iptables-legacy", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    h = start(ns.name)
    events = h.ask(OPEN, what=CONNTRACK).fd()
    send_udp(ns, count=1)
    assert messages(events) != []
    dump = h.ask(DUMP, what=DUMP_CONNTRACK).fd()
    data = b"".join(messages(dump))
    assert socket.inet_aton("127.0.0.1") in data and struct.pack("!H", 4444) in data


def test_host_socket_tells_changes(ns, start):
    h = start(ns.name)
    fd = h.ask(OPEN, what=HOST).fd()
    ns.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    assert socket.inet_aton("192.0.2.1") in b"".join(messages(fd))


def test_rcvbuf(ns, start):
    h = start(ns.name)
    fd = h.ask(OPEN, what=TRACE_NFT).fd()
    # The kernel doubles it. Root of a user namespace only gets what the system's maximum allows.
    forced = pathlib.Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    most = 1 << 31 if forced else int(pathlib.Path("/proc/sys/net/core/rmem_max").read_text())
    assert h.ask(RCVBUF, fds=[fd], what=32 << 20).value == 2 * min(32 << 20, most)
    assert h.ask(RCVBUF, fds=[fd], what=1 << 31).value == 2 * min(64 << 20, most)	# our maximum
    a, b = socket.socketpair()
    with a, b:
        assert h.ask(RCVBUF, fds=[a.fileno()], what=1 << 20).error == -errno.EINVAL


def test_namespaces_are_told_apart(ns, start):
    other = Netns()
    try:
        h = start(ns.name, other.name)
        assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)], netns=1).error == 0
        assert other.has_table() and not ns.has_table()
        assert h.lease(1, 30, [pattern(proto=UDP, dport=4444)], netns=0).error == 0
        assert h.ask(STOP, netns=1).error == 0
        assert ns.has_table() and not other.has_table()
        assert h.end() == 0
        assert not ns.has_table()
    finally:
        other.close()


P = pattern(proto=UDP, dport=4444)


@pytest.mark.parametrize("lease, why", [
    (dict(seconds=16 * 60, patterns=[P]), "900 s"),
    (dict(seconds=-1, patterns=[P]), "deadline"),
    (dict(seconds=30, patterns=[P], rate=0), "rate"),
    (dict(seconds=30, patterns=[P], rate=10001), "rate"),
    (dict(seconds=30, patterns=[P], modulus=3), "power of two"),
    (dict(seconds=30, patterns=[P], modulus=0), "power of two"),
    (dict(seconds=30, patterns=[P], modulus=1 << 17), "power of two"),
    (dict(seconds=30, patterns=[]), "no pattern"),
    (dict(seconds=30, patterns=[pattern(proto=UDP)]), "pattern 1"),
    (dict(seconds=30, patterns=[P, pattern(dport=80)]), "pattern 2"),
    (dict(seconds=30, patterns=[pattern(family=5, dst="10.0.0.1")]), "pattern 1"),
])
def test_leases_beyond_the_limits_are_refused(ns, start, lease, why):
    before = ns.loggers()
    h = start(ns.name)
    a = h.lease(1, **lease)
    assert a.error == -errno.EINVAL and why in a.why
    assert not ns.has_table() and ns.loggers() == before


def test_ninth_lease_is_refused_and_the_largest_ones_fit(ns, start):
    h = start(ns.name)
    # As many shapes as there can be: every prefix length makes one.
    patterns = [pattern(6, UDP, src=f"2001:db8::/{33 + i}", dst="2001:db8::1", sport=1000 + i, dport=443)
                for i in range(PATTERNS_MAX)]
    for i in range(8):
        a = h.lease(i + 1, 30, patterns, site=TRANSLATES | BLIND)
        assert a.error == 0, a.why
    a = h.lease(9, 30, [P])
    assert a.error == -errno.ENOSPC and "8 leases" in a.why
    assert h.ask(STOP, known=3).error == 0
    assert h.lease(9, 30, [P]).error == 0


@pytest.mark.parametrize("data", [
    b"", request(OPEN, 1)[:-1], request(OPEN, 1) + b"x", request(0, 1), request(NETNS, 1), request(OPEN, 1, netns=1),
    request(OPEN, 1, what=99), request(DUMP, 1, what=99), request(RCVBUF, 1, what=1 << 20), request(LEASE_STATE, 1),
    request(LEASE, 1, lease=lease_bytes(0, 30, [P])), request(LEASE, 1, lease=lease_bytes(1, 30, [P], site=8)),
    request(LEASE, 1, lease=lease_bytes(1, 30, [P], count=33)),
    request(OPEN, 1, what=NFLOG), request(OPEN, 1, what=NFLOG, groups=[0]), request(OPEN, 1, what=NFLOG, groups=[5, 5]),
    request(OPEN, 1, what=NFLOG, groups=range(1, 10)),
])
def test_malformed_messages_are_fatal(ns, start, data):
    h = start(ns.name)
    assert h.lease(1, 30, [P]).error == 0
    h.sock.send(data)
    if data == b"":			# the same as the end of the socket
        assert h.proc.wait(2) == 0
    else:
        assert h.proc.wait(2) == 1
    assert not ns.has_table()


def test_unasked_descriptors_are_fatal(ns, start):
    h = start(ns.name)
    h.send(OPEN, fds=[0], what=HOST)
    assert h.proc.wait(2) == 1


def test_foreign_flush_leaves_the_table(ns, start):
    h = start(ns.name)
    assert h.lease(1, 30, [P]).error == 0
    saved_text = ns.run("nft", "list", "ruleset")
    ns.run("nft", "flush", "ruleset")
    assert ns.has_table()
    # A full save and reload by somebody else fails meanwhile, as a whole.
    done = subprocess.run(["ip", "netns", "exec", ns.name, "nft", "-f", "-"], capture_output=True, text=True,
                          input="flush ruleset\n" + saved_text)
    assert done.returncode != 0 and "not permitted" in done.stderr
    assert h.ask(LEASE_STATE, known=1).error == 0


def test_a_ruleset_saved_meanwhile_loads_again(ns, start):
    """Everything that we put up can be listed and read back by nft."""
    h = start(ns.name)
    patterns = [pattern(4, UDP, "10.0.0.0/9", "10.1.1.1", 5, 4444), pattern(4, 6, "10.0.0.0/9", "", 0, 443),
                pattern(4, 1, "10.0.0.1", icmp_id=7), pattern(4, 0, "10.0.0.0/8", "10.1.1.1"), pattern(4, 50, "10.0.0.1"),
                pattern(6, UDP, "2001:db8::/37", "2001:db8::1", 5, 4444), pattern(6, 6, "", "2001:db8::1", 0, 443),
                pattern(6, 58, "2001:db8::1", icmp_id=7), pattern(6, 0, "2001:db8::/32", "2001:db8::1")]
    assert h.lease(0xfedcba9876543210, 30, patterns, modulus=16, site=TRANSLATES | BLIND).error == 0
    text = ns.ruleset()
    other = Netns()
    try:
        other.run("nft", "-f", "-", input=text)
    finally:
        other.close()


def test_foreign_table_of_our_name_is_named(ns, start):
    before = ns.loggers()
    ns.run("nft", "add", "table", "inet", "lasthop")
    h = start(ns.name)
    a = h.lease(1, 30, [P])
    assert a.error == -errno.EEXIST and "inet lasthop" in a.why
    assert ns.has_table() and ns.loggers() == before
    ns.run("nft", "delete", "table", "inet", "lasthop")
    assert h.lease(1, 30, [P]).error == 0


def test_no_verdict_in_our_table(ns, start):
    """What passes our table is neither accepted nor dropped by it."""
    h = start(ns.name)
    assert h.lease(1, 30, [P, pattern(6, 58, dst="2001:db8::1", icmp_id=7), pattern(4, 1, src="10.0.0.0/9")],
                   modulus=16, site=TRANSLATES | BLIND).error == 0
    words = ns.ruleset().replace("policy accept", "").split()
    assert not {"accept", "drop", "reject", "queue", "dnat", "snat", "mark"} & set(words)
    assert ns.ruleset().count("policy accept") == 8


def test_usage(ns):
    for args in (["--netns"], ["--netns", "../x"], ["--netns", ns.name, "--netns", ns.name], ["x"]):
        done = subprocess.run([BIN / "lasthop-helper", *args], capture_output=True, text=True)
        assert done.returncode == 2 and "usage" in done.stderr
    done = subprocess.run([BIN / "lasthop-helper", "--netns", "lhxh-absent"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr != ""
