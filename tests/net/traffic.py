"""
Traffic made inside network namespaces without starting a program there: a socket belongs to the namespace in
which it was made, whoever uses it afterwards. Each socket is made by a thread that enters the namespace,
makes it and ends; servers are threads of the test itself. Everything here tells what the *programs* on the hosts
saw (answered, refused, nothing), which is what lasthop's answer is compared with.
"""
import collections
import ctypes
import errno
import os
import select
import socket
import struct
import threading
import time

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

# What a client met: outcome is answered, silent (it waited in vain), refused, unreachable or reset.
Attempt = collections.namedtuple("Attempt", "outcome src sport sent")


def inside(netns, make):
    """The result of make(), called by a thread that has entered the network namespace at path netns."""
    box = []

    def work():
        try:
            fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns " + netns)
            finally:
                os.close(fd)
            box.append((make(), None))
        except OSError as e:
            box.append((None, e))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    result, error = box[0]
    if error:
        raise error
    return result


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Server:
    """An echo server on a port, TCP or UDP, until close(). `seen` lists the peers that reached it; one that is
    mute hears and says nothing."""

    def __init__(self, netns, kind, port, address="::"):
        self.seen = []
        self.mute = False
        self._udp = kind == "udp"
        family = family_of(address)

        def make():
            s = socket.socket(family, socket.SOCK_DGRAM if self._udp else socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.bind((address, port))
            if not self._udp:
                s.listen(64)
            return s

        self._socket = inside(netns, make)
        self._wake, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        peers = []
        while True:
            ready = select.select([self._socket, self._wake] + peers, [], [])[0]
            if self._wake in ready:
                break
            for s in ready:
                if s is not self._socket:
                    try:
                        data = s.recv(65536)
                        if data and not self.mute:
                            s.sendall(data)
                    except OSError:
                        data = b""
                    if not data:
                        peers.remove(s)
                        s.close()
                elif self._udp:
                    data, peer = s.recvfrom(65536)
                    self.seen.append(peer[:2])
                    try:
                        if not self.mute:
                            s.sendto(data, peer)
                    except OSError:
                        pass    # its own firewall refused the answer: what the scenario may want
                else:
                    peer = s.accept()
                    self.seen.append(peer[1][:2])
                    peers.append(peer[0])
        for s in peers:
            s.close()

    def close(self):
        os.write(self._end, b".")
        self._thread.join()
        self._socket.close()
        os.close(self._wake)
        os.close(self._end)


REFUSALS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",
    errno.EPERM: "unreachable",
}


def _outcome(error):
    if isinstance(error, (socket.timeout, TimeoutError, BlockingIOError)):
        return "silent"
    if error.errno in REFUSALS:
        return REFUSALS[error.errno]
    raise error


def _bound(netns, kind, dst, src, sport):
    def make():
        s = socket.socket(family_of(dst), kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((src, sport))
        return s

    return inside(netns, make)


def tcp(netns, dst, dport, src="", sport=0, timeout=1.4, payload=b"lasthop\n", abort=True):
    """Connects, sends payload, waits for its echo. The default timeout sees one retransmission of a SYN.

    abort: close by RST, so that no FIN follows after the attempt is over."""
    with _bound(netns, socket.SOCK_STREAM, dst, src, sport) as s:
        if abort:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.settimeout(timeout)
        at = time.time()
        try:
            s.connect((dst, dport))
            s.sendall(payload)
            outcome = "answered" if s.recv(65536) == payload else "silent"
        except OSError as e:
            outcome = _outcome(e)
        name = s.getsockname()
        return Attempt(outcome, name[0], name[1], at)


def udp(netns, dst, dport, src="", sport=0, timeout=0.6, payload=b"one datagram for lasthop", count=1, gap=0.0):
    """Sends count datagrams, each numbered so that no two are alike, and waits for the last one's echo."""
    with _bound(netns, socket.SOCK_DGRAM, dst, src, sport) as s:
        s.settimeout(timeout)
        at = time.time()
        try:
            s.connect((dst, dport))
            last = b""
            for number in range(count):
                last = b"%08d %s" % (number, payload)
                s.send(last)
                if gap:
                    time.sleep(gap)
            while s.recv(65536) != last:
                pass
            outcome = "answered"
        except OSError as e:
            outcome = _outcome(e)
        name = s.getsockname()
        return Attempt(outcome, name[0], name[1], at)


def _checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def ping(netns, dst, ident, count=1, timeout=0.8):
    """ICMP echo with a given id, over a raw socket."""
    six = family_of(dst) == socket.AF_INET6
    proto = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    request, reply, skip = (128, 129, 0) if six else (8, 0, 20)

    with inside(netns, lambda: socket.socket(family_of(dst), socket.SOCK_RAW, proto)) as s:
        at = time.time()
        answered = 0
        try:
            s.connect((dst, 0))
            for number in range(1, count + 1):
                body = struct.pack("!HH", ident, number) + b"lasthop ping" + bytes(20)
                head = struct.pack("!BBH", request, 0, 0)
                if not six:    # for ICMPv6 the kernel does it
                    head = struct.pack("!BBH", request, 0, _checksum(head + body))
                s.send(head + body)
                until = time.monotonic() + timeout
                while (left := until - time.monotonic()) > 0 and select.select([s], [], [], left)[0]:
                    got = s.recv(65536)[skip:]
                    if got[0] == reply and got[4:] == body:
                        answered += 1
                        break
            outcome = "answered" if answered == count else "silent"
        except OSError as e:
            outcome = _outcome(e)
        return Attempt(outcome, s.getsockname()[0], ident, at)


def own_log_group(netns, group):
    """A stranger who listens to a log group: a socket that holds it until closed."""
    NFNL_SUBSYS_ULOG, CONFIG, CFG_CMD, CMD_BIND = 4, 1, 1, 1

    def message(kind, resource, family, attribute):
        attribute = attribute.ljust((len(attribute) + 3) & ~3, b"\0")
        body = struct.pack("=BBH", family, 0, socket.htons(resource)) + attribute
        return struct.pack("=IHHII", 16 + len(body), kind, 1 | 4, 1, 0) + body

    def make():
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        s.bind((0, 0))
        s.send(message(NFNL_SUBSYS_ULOG << 8 | CONFIG, group, socket.AF_UNSPEC,
                       struct.pack("=HHB", 5, CFG_CMD, CMD_BIND)))
        error = struct.unpack("=i", s.recv(65536)[16:20])[0]
        if error:
            s.close()
            raise OSError(-error, "log group %d" % group)
        return s

    return inside(netns, make)
