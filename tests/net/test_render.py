"""The text of rules as the helper makes it, against iptables-save of the same instant, byte for byte.

tests/data/rulesets/extensions.txt has rules with each extension; NAME.rules (IPv4) and NAME.rules6 are rulesets in the
manner of programs that write them, NAME.nft the same of nftables. `rules_read` reads each text as the collector does.
"""
import os
import pathlib
import re
import shlex
import socket
import struct
import subprocess

import pytest

from test_helper import BIN, DUMP, DUMP_RULESET, PART, ROOT, TEXT, ns, start      # noqa: F401

DATA = ROOT / "tests" / "data" / "rulesets"
LEGACY = {4: "iptables-legacy", 6: "ip6tables-legacy"}
NFT = {4: "iptables-nft", 6: "ip6tables-nft"}
BACKENDS = {"legacy": (0, LEGACY), "nft": (1, NFT)}
FAMILIES = {4: 1, 6: 2}
SETS = {4: socket.AF_INET, 6: socket.AF_INET6}


def attr(kind, payload):
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def tell(sock, kind, attrs, family=0):
    """One nfnetlink request; the kernel's errno."""
    body = struct.pack("=BBH", family, 0, 0) + attrs
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, 1 | 4 | 0x400, 1, 0) + body)
    return -struct.unpack_from("=i", sock.recv(4096), 16)[0]


def prepare(ns, version):
    """What rules of the data name: a chain, a set, an accounting object."""
    def make():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as sock:
            sock.bind((0, 0))
            made = tell(sock, 6 << 8 | 2, attr(1, b"\6") + attr(2, b"nets4\0") + attr(3, b"hash:ip\0") + attr(4, b"\0") +
                        attr(5, bytes([SETS[version]])) + attr(7 | 0x8000, b""))
            return made, tell(sock, 7 << 8, attr(1, b"acct1\0"))

    assert ns.enter(make) == (0, 0)


def plain(text):
    """iptables-save's output by table, without comment lines and counters."""
    tables, lines = {}, []
    for line in text.split(b"\n"):
        if line.startswith(b"#") and not lines:
            continue
        if line.startswith(b":"):
            line = line.rpartition(b"[")[0] + b"[0:0]"
        lines.append(line)
        if line == b"COMMIT":
            tables[lines[0][1:].decode()] = b"\n".join(lines) + b"\n"
            lines = []
    return tables


def told(fd):
    """Torn and text by (backend, family, table)."""
    data = os.pread(fd, 1 << 28, 0)
    found, at = {}, 0
    while at < len(data):
        backend, family, torn, kind, length, table, _ = PART.unpack_from(data, at)
        at += PART.size
        if kind == TEXT:
            found[(backend, family, table.split(b"\0")[0].decode())] = (torn, data[at:at + length])
        at += length
    return found


def compare(ns, helper, version, backend="legacy"):
    """Our text of each table against the program's own; returns ours."""
    answer = helper.ask(DUMP, what=DUMP_RULESET)
    number, programs = BACKENDS[backend]
    saved = run(ns, programs[version] + "-save").stdout
    ours = {key[2]: value for key, value in told(answer.fd()).items() if key[:2] == (number, FAMILIES[version])}
    theirs = plain(saved)
    assert set(ours) == set(theirs)
    for table, (torn, text) in ours.items():
        assert torn == 0
        for mine, his in zip(text.split(b"\n"), theirs[table].split(b"\n")):
            assert mine == his
        assert text == theirs[table]
    return [text for _, text in ours.values()]


def read_as_collector(texts):
    """common/table.c and common/rule.c read every rule."""
    for text in texts:
        done = subprocess.run([BIN / "rules_read"], input=text, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert int(done.stdout.split()[1]) == text.count(b"\n-A ")


def run(ns, *argv, text=None):
    return subprocess.run(["ip", "netns", "exec", ns.name, *argv], input=text, capture_output=True)


# Of these this kernel, or any since years, has nothing to show.
NOT_HERE = {4: {"standard", "CLUSTERIP", "ULOG", "NAT", "ipvs", "LED", "SECMARK"},
            6: {"standard", "NAT", "ipvs", "LED", "SECMARK", "osf"}}


def installed(version):
    """Extensions of the distribution's iptables."""
    names = set()
    for file in next(iter(pathlib.Path("/usr/lib").glob("*/xtables"))).iterdir():
        kind, _, name = file.stem.partition("_")
        if kind in ("libxt", {4: "libipt", 6: "libip6t"}[version]):
            names.add(name)
    return names


def extension_rules(version):
    for line in (DATA / "extensions.txt").read_text().split("\n"):
        if not line or line.startswith("#"):
            continue
        families, table, chain, rule = (line.split(" ", 3) + [""])[:4]
        if str(version) in families:
            yield families.startswith("?"), table, chain, rule


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", [4, 6])
def test_every_extension(ns, start, version, backend):
    prepare(ns, version)
    program = BACKENDS[backend][1][version]
    for table in {table for _, table, _, _ in extension_rules(version)}:
        run(ns, program, "-t", table, "-N", "user")
    loaded, refused = set(), []
    for optional, table, chain, rule in extension_rules(version):
        done = run(ns, program, "-t", table, "-A", chain, *shlex.split(rule))
        if done.returncode == 0:
            loaded |= set(re.findall(r"-[mj] (\w+)", rule))
            continue
        assert optional, f"{program} refuses {rule}: {done.stderr.decode()}"
        refused.append(rule)
    print(f"{program}: refused here: {len(refused)}", *refused, sep="\n  ")
    assert installed(version) - loaded <= NOT_HERE[version]
    read_as_collector(compare(ns, start(ns.name), version, backend))


def rulesets():
    return sorted(path.name for path in DATA.glob("*.rules*"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", rulesets())
def test_rulesets_of_the_world(ns, start, name, backend):
    version = 6 if name.endswith("6") else 4
    prepare(ns, version)
    done = run(ns, BACKENDS[backend][1][version] + "-restore", text=(DATA / name).read_bytes())
    assert done.returncode == 0, done.stderr.decode()
    read_as_collector(compare(ns, start(ns.name), version, backend))



def native_rulesets():
    return sorted(path.name for path in DATA.glob("*.nft"))


def handles_listed(text):
    """Handles of each chain's rules, as `nft -a` prints them."""
    chains, current = {}, None
    for line in text.split("\n"):
        begin = re.fullmatch(r"\tchain (\S+) \{ # handle \d+", line)
        if begin:
            current = chains.setdefault(begin[1], [])
        elif line == "\t}":
            current = None
        elif current is not None and (rule := re.search(r" # handle (\d+)$", line)):
            current.append(int(rule[1]))
    return chains


@pytest.mark.parametrize("name", native_rulesets())
def test_native_rulesets_of_the_world(ns, start, name):
    """Each table as `nft -s list table` prints it, and the numbers of its rules by their handles."""
    assert run(ns, "ip", "link", "set", "lo", "up").returncode == 0
    done = run(ns, "nft", "-f", "-", text=(DATA / name).read_bytes())
    assert done.returncode == 0, done.stderr.decode()
    data = os.pread(start(ns.name).ask(DUMP, what=DUMP_RULESET).fd(), 1 << 28, 0)
    at, texts, handles, last = 0, {}, {}, None
    while at < len(data):
        backend, family, torn, kind, length, table, _ = PART.unpack_from(data, at)
        at += PART.size
        body = data[at:at + length].decode()
        at += length
        assert (backend, torn) == (2, 0)
        if kind == TEXT:
            last = tuple(body.partition(" {")[0].split(" ")[1:])
            texts[last] = body
        else:
            handles[last] = body
    tables = {tuple(line.split(" ")[1:]) for line in run(ns, "nft", "list", "tables").stdout.decode().split("\n") if line}
    assert set(texts) == tables
    for table in tables:
        # The elements of those are the packets' own: they are left out, and so is nothing else.
        listed = run(ns, "nft", "-s", "list", "table", *table).stdout.decode()
        assert texts[table] == listed
        expected = handles_listed(run(ns, "nft", "-s", "-a", "list", "table", *table).stdout.decode())
        told_ = {}
        assert re.match(r"table \d+\n", handles[table])
        for line in handles[table].split("\n")[1:]:
            if line.startswith("chain "):
                current = told_.setdefault(line[6:], [])
            elif line:
                current.append(int(line, 10))
        assert {c: h for c, h in told_.items() if h} == {c: h for c, h in expected.items() if h}


HOSTILE = [
    b"with \"quotes\" and \\backslashes\\ and 'these'", b"", b" ", b"\\", b"\"", b"\\\"", b"a\nb", b"\n*nat\n:X - [0:0]\nCOMMIT",
    b"\x1b[31mred\x07", b"\xff\xfe invalid", "Grüße 東京 🔥".encode(), b"-j ACCEPT", b"#", b"$(reboot)", b"x" * 255, b"\xc3" * 255,
]


@pytest.mark.parametrize("version", [4, 6])
def test_hostile_texts(ns, start, version):
    program = LEGACY[version]
    for text in HOSTILE:
        done = run(ns, program, "-A", "INPUT", "-m", "comment", "--comment", text, "-j", "ACCEPT")
        assert done.returncode == 0, done.stderr
    for text in HOSTILE:
        if text and b"\n" not in text:
            run(ns, program, "-A", "INPUT", "-j", "NFLOG", "--nflog-prefix", text[:63])
            run(ns, program, "-A", "INPUT", "-j", "LOG", "--log-prefix", text[:29])
    for name in (b"+", b"a b", b"\"q\"", b"lan+", b"abcdefghijklmno", b"abcdefghijklmn+", b"x'y"):
        done = run(ns, program, "-A", "FORWARD", "-i", name, "-o", name, "-j", "DROP")
        assert done.returncode == 0, done.stderr
    answer = start(ns.name).ask(DUMP, what=DUMP_RULESET)
    saved = run(ns, program + "-save").stdout
    text = told(answer.fd())[(0, FAMILIES[version], "filter")][1]
    # Comments have lines of their own: only the first and last lines can be left out, and only headers have counters.
    body = saved.partition(b"\n-A ")[2].partition(b"\nCOMMIT\n# Completed")[0]
    assert text.partition(b"\n-A ")[2] == body + b"\nCOMMIT\n"


def load_many(ns):
    lines = ["*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += [":c%d - [0:0]" % i for i in range(500)]
    lines += ["-A c%d -s 10.%d.%d.%d/32 -p tcp -m tcp --dport %d -m comment --comment \"rule %d\" -j ACCEPT"
              % (i % 500, i >> 16, i >> 8 & 255, i & 255, i % 65535 + 1, i) for i in range(50000)]
    done = run(ns, LEGACY[4] + "-restore", text="\n".join(lines + ["COMMIT", ""]).encode())
    assert done.returncode == 0, done.stderr


def test_fifty_thousand_rules(ns, start):
    load_many(ns)
    texts = compare(ns, start(ns.name), 4)
    assert texts[0].count(b"\n-A ") == 50000


def test_what_changes_under_a_dump_shows_at_the_next(ns, start):
    """Text and digest are of one reading, so a change that came too late for it is one."""
    def add(mark):
        assert run(ns, LEGACY[4], "-t", "raw", "-A", "OUTPUT", "-m", "mark", "--mark", str(mark)).returncode == 0

    def marks(answer):
        return told(answer.fd())[(0, 1, "raw")][1].count(b"--mark")

    load_many(ns)
    add(1)
    helper = start(ns.name)
    for there in range(1, 20):      # on a busy machine the change may still be in time
        helper.send(DUMP, what=DUMP_RULESET)
        helper.child(b"--dump")
        add(there + 1)
        first = helper.receive()
        if marks(first) == there:
            break
    assert marks(first) == there
    again = helper.ask(DUMP, what=DUMP_RULESET, known=first.digest)
    assert marks(again) == there + 1
    assert helper.ask(DUMP, what=DUMP_RULESET, known=again.digest).fds == []


def hidden(tmp_path, *names):
    """A directory of extensions without these."""
    where = pathlib.Path(next(iter(pathlib.Path("/usr/lib").glob("*/xtables"))))
    kept = tmp_path / "xtables"
    kept.mkdir()
    for file in where.iterdir():
        if file.name not in names:
            (kept / file.name).symlink_to(file)
    return kept


def dump_without(ns, kept):
    """The helper's own text where extensions are missing."""
    done = subprocess.run(["ip", "netns", "exec", ns.name, "env", f"XTABLES_LIBDIR={kept}", "sh", "-c",
                           'exec "$0" --dump ipv4 >"$1"', BIN / "lasthop-helper", kept.parent / "out"], capture_output=True)
    assert done.returncode == 0, done.stderr
    data = (kept.parent / "out").read_bytes()
    return data[PART.size:].split(b"\n")


def test_unknown_extensions_are_kept_raw(ns, tmp_path):
    """Where iptables-save gives up, the rest of the rule is told, and what could not be read, byte for byte."""
    program = LEGACY[4]
    for rule in ("-s 10.0.0.1 -m u32 --u32 6&0xFF=1 -m mark --mark 1 -j DROP",
                 "-s 10.0.0.1 -m u32 --u32 6&0xFF=2 -m mark --mark 1 -j DROP",
                 "-p udp -m ttl --ttl-eq 3 -j TEE --gateway 10.0.0.1", "-p udp -j ACCEPT"):
        assert run(ns, program, "-t", "mangle", "-A", "INPUT", *rule.split()).returncode == 0
    kept = hidden(tmp_path, "libxt_u32.so", "libipt_ttl.so", "libxt_TEE.so")
    rules = [line for line in dump_without(ns, kept) if line.startswith(b"-A")]
    assert re.fullmatch(rb"-A INPUT -s 10\.0\.0\.1/32 -m u32 \[unsupported revision\] 0:[0-9a-f.+]+ -m mark --mark 0x1 -j DROP", rules[0])
    assert rules[0] != rules[1]
    assert re.fullmatch(rb"-A INPUT -p udp -m ttl \[unsupported revision\] 0:0003[0]* -j TEE \[unsupported revision\] 1:[0-9a-f.+]+", rules[2])
    assert rules[3] == b"-A INPUT -p udp -j ACCEPT"
    text = b"*mangle\n:INPUT ACCEPT [0:0]\n" + b"\n".join(rules) + b"\nCOMMIT\n"
    read_as_collector([text])
