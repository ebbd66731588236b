"""The collector's answers about ipsets against the kernel's own: random sets, random packets, the same answer."""
import random
import re

import pytest

from fleet import BIN, run

SEED = 20260
PORTS = (53, 80, 443)
RULES = 40


class Kernel:
    """One namespace whose loopback owns 10.0.0.0/16 and 2001:db8::/112, and the rules that ask."""

    def __init__(self, host):
        self.host = host
        self.rules = {4: [], 6: []}
        # What the kernel answers to a packet of ours bears no mark.
        for version in (4, 6):
            host.rules("-A OUTPUT -m mark ! --mark 7 -j ACCEPT", version=version)
        host.ip("link set lo up", "route add local 10.0.0.0/16 dev lo", "route add local 2001:db8::/112 dev lo")

    def make(self, lines):
        self.host.run("ipset", "-!", "restore", stdin="".join(line + "\n" for line in lines))

    def rule(self, version, match):
        self.host.rules("-A OUTPUT -m set " + match, version=version)
        self.rules[version].append("-A OUTPUT -m set " + match)

    def answers(self, version, packet):
        """What each rule says of it, by its counter."""
        tool = "ip%stables-legacy" % ("" if version == 4 else "6")
        self.host.run(tool, "-w", "10", "-Z", "OUTPUT")
        send(self.host, *packet)
        text = self.host.run(tool, "-w", "10", "-nvxL", "OUTPUT").stdout.splitlines()[3:]
        return "".join("y" if int(line.split()[0]) else "n" for line in text)


def send(host, proto, src, sport, dst, dport):
    code = ("import socket as s,sys;p,a,ap,b,bp=sys.argv[1:];f=s.AF_INET6 if ':' in a else s.AF_INET;"
            "k=s.socket(f,s.SOCK_DGRAM if p=='udp' else s.SOCK_STREAM);k.settimeout(0.3);"
            "k.setsockopt(s.SOL_SOCKET,s.SO_REUSEADDR,1);k.setsockopt(s.SOL_SOCKET,36,7);"
            "f==s.AF_INET6 and k.setsockopt(41,78,1);k.bind((a,int(ap)))\n"
            "try:\n k.connect((b,int(bp)));p=='udp' and k.send(b'x')\nexcept OSError: pass")
    host.run("/usr/bin/python3", "-Sc", code, proto, src, str(sport), dst, str(dport))


def address(rnd, version):
    """Few enough that sets are often met."""
    return "10.0.%d.%d" % (rnd.choice((0, 1)), rnd.randrange(1, 5)) if version == 4 else \
        "2001:db8::%x:%x" % (0, rnd.choice((1, 2, 3, 0x101, 0x102)))


def net(rnd, version):
    a = address(rnd, version)
    if version == 4:
        bits = rnd.choice((16, 24, 30, 31, 32))
        n = sum(int(b) << 8 * (3 - i) for i, b in enumerate(a.split("."))) & (0xffffffff << 32 - bits)
        return "%d.%d.%d.%d/%d" % (n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255, bits)
    bits = rnd.choice((112, 120, 127, 128))
    n = int(a.rsplit(":", 1)[1], 16) & (0xffff << 128 - bits)
    return "2001:db8::%x/%d" % (n, bits)


def port(rnd):
    return "%s:%d" % (rnd.choice(("tcp", "udp")), rnd.choice(PORTS))


TYPES = {"ip": address, "net": net, "port": lambda rnd, version: port(rnd),
         "iface": lambda rnd, version: rnd.choice(("lo", "eth0"))}
HASHES = ("ip", "net", "ip,port", "net,port", "ip,port,ip", "ip,port,net", "net,net", "net,port,net", "net,iface")


def random_set(rnd, name, kind, version):
    create = "create %s hash:%s family %s" % (name, kind, "inet" if version == 4 else "inet6")
    if kind == "ip" and rnd.random() < 0.4:
        create += " netmask %d" % (rnd.choice((24, 31)) if version == 4 else rnd.choice((120, 127)))
    lines = {create: None}
    for _ in range(rnd.randrange(0, 7)):
        element = ",".join(TYPES[p](rnd, version) for p in kind.split(","))
        if any(line.startswith("add %s %s" % (name, element)) for line in lines):
            continue
        lines["add %s %s%s" % (name, element, " nomatch" if "net" in kind and rnd.random() < 0.3 else "")] = None
    return list(lines)


def flags(rnd, count):
    return ",".join(rnd.choice(("src", "dst")) for _ in range(count))


@pytest.mark.parametrize("version", (4, 6))
def test_random_sets_and_packets(fleet, version):
    rnd = random.Random(SEED + version)
    kernel = Kernel(fleet.host("k"))
    names = []
    supported = []
    for kind in HASHES:
        done = kernel.host.run("ipset", "create", "probe", "hash:" + kind, check=False)
        if done.returncode == 0:
            kernel.host.run("ipset", "destroy", "probe")
            supported.append(kind)
    assert len(supported) >= 7, supported
    for i in range(24):
        kind = supported[i % len(supported)]
        name = "s%d" % i
        kernel.make([re.sub(r"^(add \S+ )(\S+?)/(32|128)(?=[ ,]|$)", r"\1\2", line) if kind == "ip" else line
                     for line in random_set(rnd, name, kind, version)])
        names.append((name, len(kind.split(","))))
    # iptables refuses sets of another family.
    kernel.make(["create bp bitmap:port range 1-1024", "add bp 80", "create bi bitmap:ip range 10.0.0.0-10.0.255.255",
                 "add bi 10.0.0.2", "add bi 10.0.1.3", "create bn bitmap:ip range 10.0.0.0/16 netmask 24", "add bn 10.0.1.0",
                 "create ls list:set", "add ls s0", "add ls s2", "create lm list:set", "add lm s1", "add lm s3"])
    names += [("bp", 1), ("ls", 2), ("lm", 2)] + [("bi", 1), ("bn", 1)] * (version == 4)
    for i in range(RULES):
        name, count = names[i % len(names)]
        count = max(1, count + rnd.choice((0, 0, 0, 0, -1, 1)))
        kernel.rule(version, "%s--match-set %s %s" % ("! " if rnd.random() < 0.3 else "", name, flags(rnd, count)))
    packets = []
    for i in range(60):
        proto = rnd.choice(("tcp", "udp"))
        packets.append((proto, address(rnd, version), rnd.choice(PORTS), address(rnd, version), rnd.choice(PORTS)))
    packets = [p for p in packets if (p[1], p[2]) != (p[3], p[4])]
    said = [kernel.answers(version, p) for p in packets]

    question = ""
    for name, _ in names:
        text = kernel.host.run("ipset", "save", name).stdout
        question += "set %s %d\n%s" % (name, len(text), text)
    question += "".join("rule %s\n" % r for r in kernel.rules[version])
    question += "".join("packet %s %s %d %s %d - lo\n" % p for p in packets)
    ours = run([BIN / "sets_read"], stdin=question).stdout.splitlines()
    assert len(ours) == len(said) > 40
    unknown = 0
    for p, kernels, mine in zip(packets, said, ours):
        for rule, k, m in zip(kernel.rules[version], kernels, mine):
            unknown += m == "?"
            assert m in (k, "?"), (p, rule, k, m, [kernel.host.run("ipset", "save", n[0]).stdout for n in names
                                                   if n[0] in rule])
    total = len(said) * RULES
    assert sum(k.count("y") for k in said) > total / 20     # they are met
    assert unknown < total / 10, unknown                    # interfaces that are asked of a packet that came from nowhere
