"""The frames that brought traced packets: who sent them to whom, on hosts of both kinds of tables."""
import json

import pytest

from fleet import Standard


def mac(host, device):
    return json.loads(host.run("ip", "-j", "link", "show", "dev", device).stdout)[0]["address"]


def frame(sender, receiver, ethertype):
    return {"src": mac(*sender), "dst": mac(*receiver), "ethertype": ethertype, "vlan": None}


@pytest.mark.parametrize("kind", ["legacy", "nft"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_hop_tells_the_frame_that_brought_the_packet(fleet, kind, version):
    std = Standard(fleet, masquerade=False)
    std.rt.ip("route add 10.0.1.0/24 via 198.18.0.1")
    for host in (std.rt, std.sv):
        if kind == "legacy":
            host.rules("-t raw -A PREROUTING -j ACCEPT", "-A FORWARD -j ACCEPT", "-A INPUT -j ACCEPT", version=version)
        else:
            host.nft("table inet t { chain f { type filter hook forward priority 0; accept; }; "
                     "chain i { type filter hook input priority 0; accept; }; }")
            host.changed()
    to = "10.0.3.2" if version == 4 else "2001:db8:3::2"
    ethertype = "0x0800" if version == 4 else "0x86dd"
    flow = "udp 10.0.1.2 10.0.3.2:5000" if version == 4 else "udp 2001:db8:1::2 [2001:db8:3::2]:5000"
    std.sv.serve("udp", 5000)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(flow)
    fleet.traffic(std.cl.udp, to, 5000)
    hops = {h["host"]: h["link_layer"] for h in fleet.where(flow)["hops"] if h["direction"] == "original"}
    assert hops == {
        "cl": None,     # it was made there
        "gw": frame((std.cl, "eth0"), (std.gw, "lan"), ethertype),
        "rt": frame((std.gw, "wan"), (std.rt, "wan"), ethertype),
        "sv": frame((std.rt, "net"), (std.sv, "eth0"), ethertype)}
    assert "frame %s → %s %s" % (mac(std.rt, "net"), mac(std.sv, "eth0"), ethertype) in fleet.screen(flow, "--detail").stdout
