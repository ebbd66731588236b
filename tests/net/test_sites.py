"""One address at several places: two sites behind one gateway, and a host that talks to itself."""
import threading

import pytest

from ways import check, hosts

FLOW = "tcp 10.0.1.2:%d 10.0.3.2:%d"


def test_two_sites_in_zones_of_one_gateway(fleet):
    """a and b have one address; gw keeps them apart by zones and marks. They use one port at the same time, and b is let in by nobody."""
    a, b, gw, sv = (fleet.host(n) for n in ("a", "b", "gw", "sv"))
    for client, name in ((a, "ia"), (b, "ib")):
        fleet.link(client, "eth0", "10.0.1.2/24", gw, name, "10.0.1.1/24")
        client.ip("route add default via 10.0.1.1")
    fleet.link(gw, "wan", ["10.0.3.1/24", "10.0.3.11/24", "10.0.3.12/24"], sv, "eth0", "10.0.3.2/24")
    gw.forward()
    for mark, name in ((1, "ia"), (2, "ib")):
        gw.ip("route add 10.0.1.0/24 dev %s table 10%d" % (name, mark), "rule add fwmark %d table 10%d pref 1%d" % (mark, mark, mark))
        gw.rules("-t raw -A PREROUTING -i %s -j CT --zone-orig %d" % (name, mark),
                 "-t mangle -A PREROUTING -i %s -j CONNMARK --set-mark %d" % (name, mark),
                 "-t nat -A POSTROUTING -o wan -m connmark --mark %d -j SNAT --to-source 10.0.3.1%d" % (mark, mark))
    gw.rules("-t mangle -A PREROUTING -i wan -j CONNMARK --restore-mark",
             "-A FORWARD -m connmark --mark 2 -p tcp --dport 80 -j DROP")
    sv.rules("-A INPUT -s 10.0.3.12 -p tcp --dport 443 -j DROP")
    sv.serve("tcp", 443)
    sv.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("-p tcp -s 10.0.1.2")
    met = {}

    def go(client, port):
        met[client.name, port] = client.tcp("10.0.3.2", port, sport=40000 + port, timeout=0.6).outcome

    for port in (443, 80):
        threads = [threading.Thread(target=go, args=(client, port)) for client in (a, b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert met == {("a", 443): "answered", ("a", 80): "answered", ("b", 443): "silent", ("b", 80): "silent"}

    for port, way, died in ((443, ["b", "gw", "sv"], "sv"), (80, ["b", "gw"], "gw")):
        answer = fleet.where(FLOW % (40000 + port, port))
        check(answer, verdict="dropped", matched=2, reply_seen=False, died_at={"host": died, "rule": 1})
        assert hosts(answer) == way and hosts(answer, "reply") == []
        assert [o["verdict"] for o in answer["others"]] == ["delivered"]
    answer = fleet.where("tcp 10.0.3.11 10.0.3.2:443")
    check(answer, verdict="delivered", matched=1, reply_seen=True)
    assert hosts(answer) == ["a", "gw", "sv"] and hosts(answer, "reply") == ["sv", "gw", "a"]


@pytest.mark.parametrize("traced", [True, False], ids=["traced", "untraced"])
def test_a_host_talks_to_itself(fleet, traced):
    """Its connection is tracked as soon as it has left, before it comes in and dies."""
    sv, far = fleet.host("sv"), fleet.host("far")
    fleet.link(sv, "eth0", "10.0.3.2/24", far, "eth0", "10.0.3.1/24")
    sv.rules("-A INPUT -i lo -p tcp --dport 80 -j DROP", "-t nat -A OUTPUT -p tcp --dport 99 -j REDIRECT --to-ports 443")
    sv.serve("tcp", 443)
    sv.serve("tcp", 80)
    fleet.start_collector()
    fleet.start_agents()
    for dst in ("127.0.0.1", "10.0.3.2"):
        if traced:
            fleet.trace("-p tcp -d " + dst)
        assert sv.tcp(dst, 80, timeout=0.3).outcome == "silent" and sv.tcp(dst, 99).outcome == "answered"
        answer = fleet.where("tcp %s:80" % dst)
        check(answer, verdict="dropped", reply_seen=False, died_at={"host": "sv", "chain": "INPUT", "rule": 1})
        assert hosts(answer)[-1] == "sv"
        check(fleet.where("tcp %s:99" % dst), verdict="delivered", died_at=None)
