"""
A tunnel made by programs, as VPN daemons do: what the kernel routes into a TUN device is sent to the other end as IP in
IP (protocol 4) by a raw socket, and what comes from there is handed back. The kernel knows nothing of the two belonging together.
"""
import fcntl
import os
import select
import socket
import struct
import threading

from traffic import inside

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000


class End:
    """One end: device `name` of the host, from the address `local` to `remote`, until close()."""

    def __init__(self, host, name, local, remote):
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
            s.bind((local, 0))
            s.setblocking(False)
            return fd, s

        self._fd, self._socket = inside(host.path, make)
        self._remote = remote
        self._wake, self._end = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self):
        while True:
            ready = select.select([self._fd, self._socket, self._wake], [], [])[0]
            if self._wake in ready:
                return
            try:
                if self._fd in ready:
                    packet = os.read(self._fd, 65536)
                    if packet[0] >> 4 == 4:
                        self._socket.sendto(packet, (self._remote, 0))
                if self._socket in ready:
                    packet, peer = self._socket.recvfrom(65536)
                    if peer[0] == self._remote:
                        os.write(self._fd, packet[4 * (packet[0] & 15):])
            except OSError:
                pass    # the network refused it: the packet is gone, as in any tunnel

    def close(self):
        os.write(self._end, b".")
        self._thread.join()
        self._socket.close()
        for fd in (self._fd, self._wake, self._end):
            os.close(fd)
