"""
Auditing of the machine's kernel, for tests: turned on only if it is off, and as it was afterwards. There is one for the machine, so
a lock keeps several runs of the tests apart.
"""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys

NETLINK_AUDIT, AUDIT_GET, AUDIT_SET, AUDIT_USER_FIRST, STATUS_ENABLED = 9, 1000, 1001, 1100, 1
LOCK = "/tmp/lasthop-test-auditing.lock"


def ask(kind, body=b"", wanted=2):
    """The body of the kernel's answer of this kind; 2: an acknowledgement, which must say 0."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as s:
        s.bind((0, 0))
        s.settimeout(5)
        s.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)
        while True:
            data = s.recv(65536)
            got = struct.unpack_from("=IH", data)[1]
            if got == 2 and struct.unpack_from("=i", data, 16)[0]:
                raise OSError(-struct.unpack_from("=i", data, 16)[0], "audit")
            if got == wanted:
                return data[16:]


def enabled():
    return struct.unpack_from("=2I", ask(AUDIT_GET, wanted=AUDIT_GET))[1]


def enable(value):
    ask(AUDIT_SET, struct.pack("=10I", STATUS_ENABLED, value, *[0] * 8))


def say(kind, text):
    """What a program with CAP_AUDIT_WRITE may put into the log."""
    ask(kind, text.encode() + b"\0")


@contextlib.contextmanager
def auditing(on):
    """Auditing is on, or off, meanwhile. Off only where it was off before, as it is where nobody asked for it."""
    with open(LOCK, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = enabled()
        try:
            if bool(before) != on:
                assert on, "auditing is on here, and is not ours to turn off"
                enable(1)
            yield
        finally:
            if enabled() != before:
                enable(before)


# What stands before a command that shall find a kernel which loads no BPF programs: bpf(2) fails in it and its children.
WITHOUT_BPF = ["/usr/bin/python3", os.path.abspath(__file__)]


class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter))]


def refuse_bpf():
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    lines = (Filter * 4)((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(4, lines)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    refuse_bpf()
    os.execvp(sys.argv[1], sys.argv[1:])
