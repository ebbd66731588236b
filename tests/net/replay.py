"""
Packets whose way is known, sent through four real NATs, and the judge of the links that lasthop made of them.

    ca ── na ──┐
                cr ── dn ── sv
    cb ── nb ──┘

ca and cb have the same twenty addresses; na and nb translate them to one address each, cr both to one, and dn sends all to
10.0.0.80, which is one of the clients' addresses, too. Requests are made by raw sockets, and so are the answers.

Each packet bears a serial number that neither NAT nor lasthop looks at: TCP's urgent pointer, and bytes behind the first
32 of a datagram's contents. Captures on all links read it: that is the truth, and nothing here shares code with
fingerprint or stitch.
"""
import heapq
import json
import random
import select
import socket
import sqlite3
import struct
import threading
import time
import urllib.parse
import urllib.request

from fleet import READY, Trouble, wait_until
from traffic import inside

TARGET, SERVER = "203.0.113.9", "10.0.0.80"
CLIENTS = ["10.0.0.%d" % n for n in list(range(10, 29)) + [80]]
SITES = ("ca", "cb")
MARK = 7                        # of what we send: the kernels' own answers find no route
SERIAL = 40                     # where it stands in a datagram's contents
WAYS = {site: [site, nat, "cr", "dn", "sv"] for site, nat in (("ca", "na"), ("cb", "nb"))}
LINKS = [("ca", "na"), ("cb", "nb"), ("na", "cr"), ("nb", "cr"), ("cr", "dn"), ("dn", "sv")]
KINDS = (("tcp", 55), ("udp", 20), ("equal", 8), ("ping", 8), ("again", 9))
PROTOS = {"tcp": 6, "udp": 17, "equal": 17, "ping": 1, "again": 17}
SYN, RST, PSH, ACK = 2, 4, 8, 16


# --- packets -------------------------------------------------------------------------------------------------------------


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff


def contents(what, serial):
    """64 bytes: the same for the same `what`, else other ones from the first on, but for the serial number."""
    text = ("%016x" % (what * 0x9e3779b97f4a7c15 % 2**64)).encode() * 4
    return text[:SERIAL] + struct.pack("!Q", serial) + text[SERIAL + 8:]


def transport(p, src, sport, dst, dport):
    if p.proto == 1:
        body = struct.pack("!HH", sport if p.answers is None else dport, p.number) + contents(p.what, p.serial)
        head = struct.pack("!BB", 8 if p.answers is None else 0, 0)
        return head + struct.pack("!H", checksum(head + b"\0\0" + body)) + body
    if p.proto == 17:
        return struct.pack("!HHHH", sport, dport, 72, 0) + contents(p.what, p.serial)
    options = b"\1\1\x08\x0a" + struct.pack("!II", p.stamp, 0) if p.stamp else b""
    head = struct.pack("!HHIIBBHHH", sport, dport, p.seq, p.ack, (20 + len(options)) // 4 << 4, p.flags, 502, 0,
                       p.serial) + options
    data = contents(p.what, 0) if p.flags & PSH else b""
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, 6, len(head) + len(data))
    return head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:] + data


def packet(p, src, sport, dst, dport):
    body = transport(p, src, sport, dst, dport)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), p.ident, 0x4000, 64, p.proto, 0) + \
        socket.inet_aton(src) + socket.inet_aton(dst) + body


def read_frame(frame):
    """(serial, request?, (proto, src, sport, dst, dport, marks)) of a captured frame; None: not one of ours."""
    if len(frame) < 14 + 28 or frame[12:14] != b"\x08\0" or frame[14] != 0x45 or frame[22] > 64 or not frame[20] & 0x40 or \
       frame[23] not in (1, 6, 17):
        return None
    proto, src, dst = frame[23], socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    body = frame[34:]
    if proto == 1:
        if body[0] not in (0, 8):
            return None
        ident = struct.unpack("!H", body[4:6])[0]
        return struct.unpack("!Q", body[8 + SERIAL:16 + SERIAL])[0], body[0] == 8, (1, src, ident, dst, 8, body[6:8])
    sport, dport = struct.unpack("!HH", body[:4])
    serial = struct.unpack("!Q", body[8 + SERIAL:16 + SERIAL]) if proto == 17 else struct.unpack("!H", body[18:20])
    marks = b"" if proto == 17 else frame[18:20] + body[4:12] + body[13:14]
    return serial[0], dport == 80, (proto, src, sport, dst, dport, marks)


class Packet:
    """One that is to be sent; `answers` is the packet that it answers."""

    def __init__(self, serial, site, kind, client, sport, at):
        self.serial, self.site, self.kind, self.client, self.sport, self.at = serial, site, kind, client, sport, at
        self.proto = PROTOS[kind]
        self.ident = self.number = self.seq = self.ack = self.flags = self.stamp = self.what = 0
        self.answers = self.answer = None


class Plan:
    """All packets of a replay."""

    def __init__(self, seed, count, seconds):
        self.rng = random.Random(seed)
        self.packets = []           # by serial - 1
        self.count = count
        self.used = set()
        self.flows = self.equal = 0
        self.kinds = []
        while len(self.packets) < count:
            self._flow(self.rng.uniform(0, seconds))

    def _new(self, *args):
        p = Packet(len(self.packets) + 1, *args)
        self.packets.append(p)
        return p

    def _ends(self, kind, sites):
        while True:
            client, sport = self.rng.choice(CLIENTS), 40000 + self.rng.randrange(80)
            keys = {(site, PROTOS[kind], client, sport) for site in sites}
            if not keys & self.used:
                self.used |= keys
                return client, sport

    def _send(self, flow, at, **fields):
        """The packet, and its twin's."""
        sent = []
        for number, site in enumerate(flow["sites"]):
            p = self._new(site, flow["kind"], *flow["ends"], at + (self.rng.uniform(0, 0.005) if number else 0))
            for key, value in fields.items():
                setattr(p, key, value)
            sent.append(p)
        return sent

    def _answer(self, asked, after, **fields):
        for q in asked:
            p = self._new(q.site, q.kind, q.client, q.sport, after)
            p.answers, q.answer = q, p
            p.what, p.number = q.what ^ 1 << 63, q.number
            for key, value in fields.items():
                setattr(p, key, value)

    def _flow(self, at):
        rng = self.rng
        if not self.kinds:      # each hundred flows are mixed alike
            self.kinds = [kind for kind, number in KINDS for _ in range(number)]
            rng.shuffle(self.kinds)
        kind = self.kinds.pop()
        self.flows += 1
        sites = list(SITES) if self.flows % 50 == 25 else [rng.choice(SITES)]
        flow = {"kind": kind, "sites": sites, "ends": self._ends(kind, sites)}
        what, n = rng.getrandbits(63), rng.randrange(4, 10 if kind == "again" else 24)
        if kind == "tcp":
            self._tcp(flow, at, what, n)
            return
        self.equal += kind == "equal"
        gap = 0.002 if kind == "equal" and self.equal % 5 == 3 else 0.02    # a fifth of them in bursts
        for i in range(n):
            changes = kind in ("udp", "ping")
            sent = self._send(flow, at, what=what + (i if changes else 0), number=i)
            if rng.randrange(2):
                self._answer(sent, 0.012)
            at += gap + rng.uniform(0, gap) + (1 if kind == "again" else 0)

    def _tcp(self, flow, at, what, n):
        rng = self.rng
        ident = rng.randrange(1, 60000) if rng.randrange(2) else 0
        stamp = rng.randrange(1, 1 << 30) if rng.randrange(2) else 0
        seq, ack, length = rng.getrandbits(31), rng.getrandbits(31), 64

        def fields(number, seq, flags, again=0):
            return {"seq": seq, "ack": ack + 1 if flags & ACK else 0, "flags": flags, "what": what + number,
                    "ident": (ident + number + again) & 0xffff if ident else 0,
                    "stamp": stamp and stamp + int((at + again) * 1000)}

        asked = self._send(flow, at, **fields(0, seq, SYN))
        self._answer(asked, 0.002, seq=ack, ack=seq + 1, flags=SYN | ACK, stamp=stamp)
        at += 0.15
        self._send(flow, at, **fields(1, seq + 1, ACK))
        for i in range(n):
            at += 0.02 + rng.uniform(0, 0.02)
            data = fields(i + 2, seq + 1 + i * length, ACK | PSH)
            sent = self._send(flow, at, **data)
            ok = {"seq": ack + 1, "ack": seq + 1 + (i + 1) * length, "flags": ACK, "stamp": stamp and stamp + i}
            if rng.randrange(2):
                self._answer(sent, 0.012, **ok)
            if rng.randrange(20) == 0:      # again, also with id 0 and equal contents
                self._send(flow, at + 0.2, **{**data, "ident": data["ident"] and data["ident"] + n + 2})


# --- the fleet -----------------------------------------------------------------------------------------------------------


def build(fleet):
    """Half of the hosts have legacy rules, half nftables'; 2 % of the packets are lost on their way."""
    hosts = [fleet.host(n) for n in ("ca", "cb", "na", "nb", "cr", "dn", "sv")]
    ca, cb, na, nb, cr, dn, sv = hosts
    for client, nat, net in ((ca, na, 1), (cb, nb, 2)):
        fleet.link(client, "right", [a + "/24" for a in CLIENTS], nat, "left", "10.0.0.1/24")
        fleet.link(nat, "right", "100.64.%d.1/24" % net, cr, "left%d" % net, "100.64.%d.2/24" % net)
        client.ip("route add default via 10.0.0.1")
        nat.ip("route add default via 100.64.%d.2" % net)
    fleet.link(cr, "right", "198.51.100.1/24", dn, "left", "198.51.100.2/24")
    fleet.link(dn, "right", "10.0.0.1/24", sv, "left", SERVER + "/24")
    cr.ip("route add default via 198.51.100.2")
    sv.ip("route add default via 10.0.0.1")
    for host in (na, nb, cr, dn):
        host.forward()
        host.sysctl(netfilter__nf_conntrack_tcp_be_liberal=1)
    for host in (ca, cb, sv):
        host.sysctl(ipv4__icmp_echo_ignore_all=1)
        host.ip("rule add pref 100 fwmark %d lookup main" % MARK, "rule add pref 200 iif lo blackhole")
    lost = "-A FORWARD -m conntrack --ctstate ESTABLISHED -p %s -m statistic --mode random --probability 0.005 -j DROP"
    for host in (na, dn):
        host.rules(lost % "tcp ! --tcp-flags SYN SYN", lost % "udp", lost % "icmp")
    na.rules("-t nat -A POSTROUTING -o right -j MASQUERADE")
    dn.rules("-t nat -A PREROUTING -d %s/32 -j DNAT --to-destination %s" % (TARGET, SERVER))
    for host in (nb, cr):
        host.nft("""table ip replay {
            chain lost { type filter hook forward priority filter;
                tcp flags & syn == syn accept
                ct state established numgen random mod 1000 < 5 drop
            }
            chain out { type nat hook postrouting priority srcnat; oifname "right" masquerade
            }
        }""")
    return hosts


class Wires:
    """Captures on all links, in the order of the frames there; says at once what reached the server."""

    def __init__(self, fleet, arrived):
        self.frames = {link: [] for link in LINKS}      # [(time, serial, request?, tuple)]
        self.arrived = arrived
        self._sockets = {}
        self._end = False
        for link in LINKS:
            at = "left" if link[1] != "cr" else "left%d" % (1 if link[0] == "na" else 2)
            s = inside(fleet.hosts[link[1]].path, lambda at=at: self._open(at))
            self._sockets[s] = link
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @staticmethod
    def _open(interface):
        ETH_P_ALL, SO_TIMESTAMPNS, SO_RCVBUFFORCE = 3, 35, 33

        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        s.bind((interface, 0))
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        except PermissionError:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.setblocking(False)
        return s

    def _read(self):
        while not self._end:
            for s in select.select(list(self._sockets), [], [], 0.1)[0]:
                try:
                    for _ in range(64):
                        self._take(s)
                except BlockingIOError:
                    pass

    def _take(self, s):
        frame, more, _, _ = s.recvmsg(256, 64)
        told = read_frame(frame)
        if not told or not told[0]:
            return
        seconds, ns = struct.unpack("qq", more[0][2][:16])
        link = self._sockets[s]
        self.frames[link].append((seconds * 10**9 + ns, *told))
        if link == LINKS[-1] and told[1]:
            self.arrived(told[0], told[2][1], told[2][2])

    def close(self):
        """The packets that the captures lost."""
        SOL_PACKET, PACKET_STATISTICS = 263, 6

        self._end = True
        self._thread.join()
        lost = sum(struct.unpack("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1] for s in self._sockets)
        for s in self._sockets:
            s.close()
        return lost


def send(fleet, plan):
    """Sends all of the plan; the frames of each link."""
    def raw():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        return s

    sockets = {n: inside(fleet.hosts[n].path, raw) for n in SITES + ("sv",)}
    lock, waiting = threading.Condition(), []
    begin = time.monotonic() + 0.2

    def arrived(serial, src, sport):
        p = plan.packets[serial - 1] if serial <= len(plan.packets) else None
        if p and p.answers is None and p.answer:
            with lock:
                heapq.heappush(waiting, (time.monotonic() + p.answer.at, p.answer.serial, src, sport))
                lock.notify()

    for p in plan.packets:
        if p.answers is None:
            heapq.heappush(waiting, (begin + p.at, p.serial, TARGET, 80))
    wires = Wires(fleet, arrived)
    idle = time.monotonic() + 1
    while True:
        with lock:
            now = time.monotonic()
            if not waiting and now > idle:
                break
            if not waiting or waiting[0][0] > now:
                lock.wait(min(0.2, waiting[0][0] - now) if waiting else 0.2)
                continue
            _, serial, dst, port = heapq.heappop(waiting)
        p = plan.packets[serial - 1]
        if p.answers is None:
            sockets[p.site].sendto(packet(p, p.client, p.sport, dst, port), (dst, 0))
        else:
            sockets["sv"].sendto(packet(p, SERVER, 80, dst, port), (dst, 0))
        idle = time.monotonic() + 1
    for s in sockets.values():
        s.close()
    lost = wires.close()
    if lost:
        raise Trouble("the captures lost %d frames" % lost)
    return wires.frames


# --- the truth -----------------------------------------------------------------------------------------------------------


def fields(data):
    """A protobuf message as {number: value}; of repeated ones the last."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        size = {0: None, 1: 8, 2: -1, 5: 4}[tag & 7]
        if size is None:
            found[tag >> 3] = varint()
            continue
        if size < 0:
            size = varint()
        found[tag >> 3] = data[at:at + size]
        at += size
    return found


def marks_of(proto, body):
    """What tells a stored journey from others of its addresses, as read_frame() has it."""
    if proto == 17:
        return b""
    journey = body
    for number in (2, 2, 2):    # Message.batch, its records, a record's journey
        journey = fields(journey)[number]
    journey = fields(journey)
    if proto == 1:
        return struct.pack("!H", journey.get(10, 0) & 0xffff)
    seq, ack = (journey.get(n, bytes(4))[::-1] for n in (8, 9))
    return struct.pack("!H", journey.get(6, 0)) + seq + ack + bytes([journey.get(7, 0) >> 16])


def met_by_hosts(frames):
    """What came to each host, in order: {(host, tuple and marks): [(time, serial)]}."""
    met = {}
    for (left, right), list_ in frames.items():
        for at, serial, request, told in list_:
            hosts = [right] if request else [left]
            if request and left in SITES:
                hosts.append(left)
            elif not request and right == "sv":
                hosts.append(right)
            for host in hosts:
                met.setdefault((host, told), []).append((at, serial))
    return met


def stored(fleet):
    """The journeys of the store, in order: {(host, as the packet came): [(time, row)]}."""
    found = {}
    with sqlite3.connect("file:%s?mode=ro" % (fleet.dir / "store" / "catalog.db"), uri=True) as db:
        names = dict(db.execute("SELECT id, name FROM host"))
    for file in sorted((fleet.dir / "store" / "segments").glob("*.db")):
        with sqlite3.connect("file:%s?mode=ro" % file, uri=True) as db:
            for row, host, t, src, sport, dst, dport, proto, body in db.execute(
                    "SELECT id, host, t, src, sport, dst, dport, proto, body FROM journey ORDER BY t, id"):
                if len(src) == 4:
                    key = (names[host], (proto, socket.inet_ntoa(src), sport, socket.inet_ntoa(dst), dport,
                                         marks_of(proto, body)))
                    found.setdefault(key, []).append((t, int(file.stem) << 32 | row))
    return found


class Truth:
    """Which packet each row of the store is: of equal ones on a host, the k-th is the k-th."""

    def __init__(self, plan, met, rows):
        self.plan = plan
        self.serial, self.place = {}, {}
        self.rows = {row for list_ in rows.values() for _, row in list_}
        self.missing = sum(max(0, len(seen) - len(rows.get(key, []))) for key, seen in met.items())
        self.lag = 0                # between a frame and its journey, ns
        for (host, told), list_ in rows.items():
            self._match(host, list_, met.get((host, told), []))

    def _match(self, host, rows, seen):
        if len(rows) == len(seen):
            pairs = list(zip(rows, seen))
        else:           # one was not told, or in two pieces: the nearest in time
            pairs, left = [], list(seen)
            for row in rows:
                best = min(left, key=lambda s: abs(s[0] - row[0]), default=None)
                if best:
                    left.remove(best)
                    pairs.append((row, best))
        for (t, row), (at, serial) in pairs:
            p = self.plan.packets[serial - 1]
            way = WAYS[p.site] if p.answers is None else WAYS[p.site][::-1]
            self.serial[row], self.place[row] = serial, way.index(host)
            self.lag = max(self.lag, abs(t - at))

    def links(self, rows):
        """The links there are between the rows that are left: {later row: earlier row}."""
        by_packet, links = {}, {}
        for row in rows:
            if row in self.serial:
                by_packet.setdefault(self.serial[row], []).append((self.place[row], row))
        for list_ in by_packet.values():
            list_.sort()
            links.update((b[1], a[1]) for a, b in zip(list_, list_[1:]))
        return links


# --- the judge -----------------------------------------------------------------------------------------------------------


def ask(fleet, flow, since, until):
    """The hops of all packets of a flow, as `lasthop path --json` has them, but more of them."""
    query = urllib.parse.urlencode({"flow": flow, "since": since, "until": until, "limit": 10000})
    with urllib.request.urlopen("http://127.0.0.1:%d/api/v1/journeys?%s" % (fleet.http, query), timeout=60) as f:
        return json.load(f)["journeys"]


class Numbers:
    def __init__(self):
        self.truth = self.told = self.right = self.doubted = 0
        self.wrong = []             # [(earlier row, later row, its hop)]
        self.doubts = {}            # by kind

    @property
    def precision(self):
        return self.right / max(self.told, 1)

    @property
    def recall(self):
        return self.right / max(self.truth, 1)

    def __str__(self):
        return "%d links: precision %.5f (%d wrong), linked rightly %.4f, in doubt %.4f (%s)" % (
            self.truth, self.precision, self.told - self.right, self.recall, self.doubted / max(self.truth, 1),
            ", ".join("%s %d" % item for item in sorted(self.doubts.items())))


def shown(numbers):
    """The wrong links, for a person who reads why a test failed."""
    return ["%s: rows %d and %d, %s %s -> %s" % (hop["at"], a, b, hop["host"], hop["packet"], hop["tuple_in"])
            for a, b, hop in numbers.wrong[:20]]


def judge(fleet, truth, rows, since, until):
    """One question for each client's address; a link counts once, in the answer about a packet of it."""
    right, numbers, counted = truth.links(rows), Numbers(), set()
    numbers.truth = len(right)
    for client in CLIENTS:
        before = None
        for hop in ask(fleet, "-s %s -d %s" % (client, TARGET), since, until):
            row, last = hop["row"], before
            before = row
            if hop["link"] is None:
                continue
            packets = [truth.plan.packets[truth.serial[r] - 1] for r in (last, row) if r in truth.serial]
            if (last, row) in counted or (packets and all(p.client != client for p in packets)):
                continue
            counted.add((last, row))
            if hop["link_confidence"] == "ambiguous":
                numbers.doubted += 1
                for p in packets[-1:]:
                    numbers.doubts[p.kind] = numbers.doubts.get(p.kind, 0) + 1
                continue
            numbers.told += 1
            if right.get(row) == last:
                numbers.right += 1
            else:
                numbers.wrong.append((last, row, hop))
    return numbers


def remove(fleet, rows, share, rng):
    """The collector forgets some journeys, as if they had never been told; those that are left."""
    gone = set(rng.sample(sorted(rows), round(len(rows) * share)))
    fleet.collector.signal(15)
    if fleet.collector.wait(READY) != 0:
        raise Trouble("the collector did not end")
    for file in sorted((fleet.dir / "store" / "segments").glob("*.db")):
        with sqlite3.connect(file) as db:
            db.executemany("DELETE FROM journey WHERE id = ?",
                           [(row & 0xffffffff,) for row in gone if row >> 32 == int(file.stem)])
    fleet.start_collector()
    return rows - gone


def run(fleet, seed, count, seconds, tell=print):
    """A whole replay; the numbers with all journeys, and with one in a hundred removed."""
    plan = Plan(seed, count, seconds)
    build(fleet)
    fleet.start_collector()
    for host in fleet.hosts.values():
        fleet.start_agent(host, ready=False, config="limits: { drops_rate: 1 }\n" if host.name in SITES + ("sv",) else None)
    fleet.wait_ready(*fleet.hosts)
    fleet.trace("-s 10.0.0.0/24 -d " + TARGET, for_="%ds" % (seconds + 60), rate="10000/s")
    since = time.time_ns() - 10**9
    frames = send(fleet, plan)
    fleet.lasthop("trace", "stop", "--all", status=0)
    met = met_by_hosts(frames)
    expected = sum(len(seen) for seen in met.values())
    try:
        wait_until("all journeys came", lambda: sum(map(len, stored(fleet).values())) >= expected, READY, 0.3)
    except Trouble:
        pass            # truth.missing tells
    until = time.time_ns() + 10**9
    truth = Truth(plan, met, stored(fleet))
    tell("%d packets, %d passages of hosts, %d not told, %d journeys of nobody knows what, at most %.1f ms late" % (
        len({frame[1] for list_ in frames.values() for frame in list_}), expected, truth.missing,
        len(truth.rows) - len(truth.serial), truth.lag / 1e6))
    whole = judge(fleet, truth, truth.rows, since, until)
    tell("none removed: %s" % whole)
    for line in shown(whole):
        tell("    " + line)
    less = judge(fleet, truth, remove(fleet, truth.rows, 0.01, plan.rng), since, until)
    tell("1 %% removed:  %s" % less)
    return truth, whole, less
