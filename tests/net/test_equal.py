"""
Packets of several senders with the same contents, byte for byte, at the same moment, as agents, loggers and probes of one kind send
them: without a number in their headers nothing but addresses, TTL and time tells them apart. What ends one of them is not
said to have ended another one, whichever hosts have told of it.
"""
import socket
import struct

import pytest

import traffic
import ways
from fleet import Standard, part

LINE = b"<134>Nov 28 06:52:07 app: all is well"
SERVER, PORT, SPORT = "10.0.3.2", 514, 40000


def check(answer, **expected):
    assert part(answer, expected) == expected, ways.told(answer)


def send(fleet, host, src, dst, proto, body):
    """A packet without a number: the kernel gives its own ones none either, or one, as its version has it."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, proto, 0)
    with traffic.inside(host.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)) as s:
        fleet.traffic(s.sendto, head + socket.inet_aton(src) + socket.inet_aton(dst) + body, (dst, 0))


def say(fleet, *senders):
    """Each of (host, source, destination) sends the line from the same port."""
    for host, src, dst in senders:
        send(fleet, host, src, dst, socket.IPPROTO_UDP, struct.pack("!HHHH", SPORT, PORT, 8 + len(LINE), 0) + LINE)


def asked(fleet, src, dst=SERVER):
    return fleet.where("udp %s:%d %s:%d" % (src, SPORT, dst, PORT))


def far_client(fleet, gw):
    """c3 10.0.6.2, behind a router that nobody watches."""
    c3, x = fleet.host("c3"), fleet.host("x")
    fleet.link(c3, "eth0", "10.0.6.2/24", x, "left", "10.0.6.1/24")
    fleet.link(x, "right", "10.0.5.2/24", gw, "lan3", "10.0.5.1/24")
    c3.ip("route add default via 10.0.6.1")
    x.ip("route add default via 10.0.5.1")
    x.forward()
    gw.ip("route add 10.0.6.0/24 via 10.0.5.2")


def clients(fleet, masquerade):
    """Two neighbours of the gateway, and one far away; the server takes what comes."""
    std = Standard(fleet, masquerade)
    std.second_client()
    far_client(fleet, std.gw)
    if not masquerade:
        std.rt.ip(*["route add 10.0.%d.0/24 via 198.18.0.1" % n for n in (1, 4, 6)])
    std.sv.serve("udp", PORT).mute = True
    return std


WAY = {"10.0.1.2": "cl", "10.0.4.2": "c2", "10.0.6.2": "c3"}


@pytest.mark.parametrize("backend, masquerade, watched", [
    ("legacy", True, "all"),
    ("legacy", True, "no client and not the gateway"),
    ("legacy", False, "no client"),
    ("nft", True, "no client"),
    ("nft", False, "not the gateway"),
    ("nft", False, "no client and not the gateway")])
def test_one_of_three_is_dropped(fleet, backend, masquerade, watched):
    """By a rule of the gateway, behind which the ports collide."""
    std = clients(fleet, masquerade)
    if backend == "legacy":
        std.gw.rules("-A FORWARD -s 10.0.4.2 -p udp -j DROP")
    else:
        std.gw.nft("table ip mine { chain forward { type filter hook forward priority 0; ip saddr 10.0.4.2 udp dport 514 drop; }; }")
    silent = [h for h in fleet.hosts.values() if h.name == "x" or (h.name in WAY.values() and "client" in watched)]
    fleet.start_collector()
    fleet.start_agents(*[h for h in fleet.hosts.values() if h not in silent])
    traced = [h.name for h in fleet.hosts.values() if h not in silent and ("gateway" not in watched or h != std.gw)]
    fleet.trace("-p udp -d %s --dport %d" % (SERVER, PORT), on=traced)
    say(fleet, *[(fleet.hosts[name], src, SERVER) for src, name in WAY.items()])
    for src, name in WAY.items():
        answer = asked(fleet, src)
        way = [host for host in (name, "gw", "rt", "sv") if host in traced]
        if name == "c2":
            check(answer, verdict="dropped", matched=1, packets=1, died_at={"host": "gw", "kind": "rule"})
            assert ways.hosts(answer) == [host for host in ("c2", "gw") if host in traced or host == "gw"], ways.told(answer)
        elif masquerade and "client" in watched and "gateway" in watched:
            assert answer["verdict"] in ("delivered", "unknown"), ways.told(answer)
        else:
            check(answer, verdict="delivered", matched=1, packets=1, died_at=None)
            assert [h for h in ways.hosts(answer) if h in traced] == way, ways.told(answer)


@pytest.mark.parametrize("watched", [["cl", "c2", "c3", "gw", "rt"], ["gw", "rt"], ["gw"], ["gw", "sv"]], ids="-".join)
def test_the_far_one_is_dropped(fleet, watched):
    """It comes to the gateway with a lower TTL than the others, as something would that had been there before."""
    std = clients(fleet, False)
    std.gw.rules("-A FORWARD -s 10.0.6.2 -p udp -j DROP")
    fleet.start_collector()
    fleet.start_agents(*[fleet.hosts[n] for n in watched])
    fleet.trace("-p udp -d %s --dport %d" % (SERVER, PORT))
    say(fleet, *[(fleet.hosts[name], src, SERVER) for src, name in WAY.items()])
    for src, name in WAY.items():
        answer = asked(fleet, src)
        if name == "c3":
            check(answer, verdict="dropped", matched=1, packets=1, died_at={"host": "gw", "chain": "FORWARD", "rule": 1})
        else:
            check(answer, verdict="delivered" if "sv" in watched else "left", matched=1, packets=1, died_at=None)
        way = [name, "gw"] if name == "c3" else [name, "gw", "rt", "sv"]
        assert ways.hosts(answer) == [host for host in way if host in watched], ways.told(answer)


@pytest.mark.bpf
def test_only_the_other_one_was_traced(fleet):
    """The kernel's word of the death of a packet that nobody traced is no word of the traced ones."""
    std = clients(fleet, False)
    std.gw.rules("-A FORWARD -s 10.0.4.2 -p udp -j DROP")
    std.sv.rules("-A INPUT -s 10.0.6.2 -p udp -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.gw, std.rt, std.sv)
    fleet.trace("udp 10.0.1.2 %s:%d" % (SERVER, PORT))
    say(fleet, *[(fleet.hosts[name], src, SERVER) for src, name in WAY.items()])
    answer = asked(fleet, "10.0.1.2")
    check(answer, verdict="delivered", matched=1, packets=1, died_at=None)
    assert ways.hosts(answer) == ["gw", "rt", "sv"]
    check(asked(fleet, "10.0.4.2"), verdict="dropped", matched=1, packets=1, died_at={"host": "gw", "chain": "FORWARD", "rule": 1})
    check(asked(fleet, "10.0.6.2"), verdict="dropped", matched=1, packets=1, died_at={"host": "sv", "chain": "INPUT", "rule": 1})


@pytest.mark.parametrize("table", ["raw", "filter"])
@pytest.mark.parametrize("traced", ["both", "one"])
def test_one_sender_to_two_servers(fleet, table, traced):
    """One socket sends the same to two addresses, and one of the two packets is dropped on the way, traced or not."""
    std = clients(fleet, False)
    std.sv.ip("addr add 10.0.3.9/24 dev eth0")
    std.gw.rules("-t %s -A %s -d 10.0.3.9 -p udp -j DROP" % (table, "PREROUTING" if table == "raw" else "FORWARD"))
    fleet.start_collector()
    fleet.start_agents(std.gw, std.rt, std.sv)
    fleet.trace("-p udp -s 10.0.1.2 --dport %d" % PORT + (" -d %s" % SERVER if traced == "one" else ""))
    say(fleet, (std.cl, "10.0.1.2", SERVER), (std.cl, "10.0.1.2", "10.0.3.9"))
    answer = asked(fleet, "10.0.1.2")
    check(answer, verdict="delivered", matched=1, packets=1, died_at=None)
    assert ways.hosts(answer) == ["gw", "rt", "sv"]
    answer = asked(fleet, "10.0.1.2", "10.0.3.9")
    check(answer, verdict="dropped", matched=1, packets=1, died_at={"host": "gw", "rule": 1})
    assert ways.hosts(answer) == ["gw"]


def test_equal_pings_of_two_clients(fleet):
    """One id and one number, without a time in them; the gateway gives one of them another id. The server drops that one."""
    std = clients(fleet, True)
    # Who comes second is translated; the first one's id is kept.
    std.sv.nft("table ip mine { chain in { type filter hook input priority 0; icmp type echo-request icmp id != 7 drop; }; }")
    fleet.start_collector()
    fleet.start_agents(std.gw, std.rt, std.sv)
    fleet.trace("-p icmp -d " + SERVER)

    body = struct.pack("!HH", 7, 1) + b"lasthop ping"
    body = struct.pack("!BBH", 8, 0, traffic._checksum(b"\x08\0\0\0" + body)) + body
    for host, src in ((std.cl, "10.0.1.2"), (fleet.hosts["c2"], "10.0.4.2")):
        send(fleet, host, src, SERVER, socket.IPPROTO_ICMP, body)
    answer = fleet.where("icmp 10.0.1.2 %s --icmp-id 7" % SERVER)
    check(answer, verdict="delivered", matched=1, died_at=None, reply_seen=True)
    answer = fleet.where("icmp 10.0.4.2 %s --icmp-id 7" % SERVER)
    check(answer, verdict="dropped", matched=1, packets=1, died_at={"host": "sv", "table": "mine", "chain": "in"})
    assert ways.hosts(answer) == ["gw", "rt", "sv"]


def test_a_port_that_only_connection_tracking_saw_change(fleet):
    """The gateway, which nobody traced, changes no more than the source port."""
    std = Standard(fleet, False)
    std.rt.ip("route add 10.0.1.0/24 via 198.18.0.1")
    std.gw.rules("-t nat -A POSTROUTING -p udp -j SNAT --to-source 10.0.1.2:61000-61009")
    std.sv.rules("-A INPUT -p udp --dport %d -j DROP" % PORT)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p udp -d %s --dport %d" % (SERVER, PORT), on=["cl", "rt", "sv"])
    say(fleet, (std.cl, "10.0.1.2", SERVER))
    answer = asked(fleet, "10.0.1.2")
    check(answer, verdict="dropped", matched=1, packets=1, flow={"src": "10.0.1.2", "sport": SPORT},
          died_at={"host": "sv", "chain": "INPUT", "rule": 1})
    assert [h for h in ways.hosts(answer) if h != "gw"] == ["cl", "rt", "sv"], ways.told(answer)
