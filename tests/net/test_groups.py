"""Questions that many flows answer: `path --group` counts them by their way and their end."""
import contextlib
import json
import socket
import time

import traffic

FAMILY = "-p udp -s 10.0.1.2 -d 10.0.3.2"


def send(std, count, port, first):
    """One datagram of each of so many flows; who sent it stays for the answer."""
    def all_of_them():
        with contextlib.ExitStack() as stay:
            for n in range(count):
                s = stay.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                s.bind(("10.0.1.2", first + n))
                s.sendto(b"to %d" % n, ("10.0.3.2", port))
            time.sleep(0.3)
    traffic.inside(std.cl.path, all_of_them)


def groups(fleet, *flow, status=0):
    fleet.settle()
    return json.loads(fleet.lasthop("path", *flow, "--group", "--json", status=status).stdout)


def test_many_flows_by_way_and_end(fleet, std):
    std.gw.rules("-A FORWARD -p udp --dport 4301 -j DROP", "-A FORWARD -p udp --sport 5010:5019 -j DROP")
    std.rt.rules("-t nat -A PREROUTING -p udp --dport 4302 -j DNAT --to-destination 10.0.3.2:4300")
    std.sv.serve("udp", 4300)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FAMILY)
    send(std, 40, 4300, 5000)   # ten of them die by their source port
    send(std, 20, 4301, 6000)
    send(std, 8, 4302, 7000)
    send(std, 5, 4309, 8000)    # nobody listens
    fleet.traffic(lambda: None)
    answer = groups(fleet, *FAMILY.split())
    assert answer["matched"] == 73 and answer["omitted"] == 0 and not answer["cut"], answer
    told = [(g["flows"], g["verdict"], [h["host"] for h in g["way"]], sorted({n for h in g["way"] for n in h["nat"]}),
             (g["died_at"] or {}).get("rule")) for g in answer["groups"]]
    assert told == [
        (30, "delivered", ["cl", "gw", "rt", "sv"], ["snat"], None),
        (20, "dropped", ["cl", "gw"], [], 1),
        (10, "dropped", ["cl", "gw"], [], 2),
        (8, "delivered", ["cl", "gw", "rt", "sv"], ["dnat", "snat"], None),
        (5, "refused", ["cl", "gw", "rt", "sv"], ["snat"], None),
    ], told
    assert abs(sum(g["share"] for g in answer["groups"]) - 1) < 1e-6
    # The example is one of them, and `where` agrees.
    dead = answer["groups"][2]
    flow = "udp %(src)s:%(sport)d %(dst)s:%(dport)d" % dead["example"]
    assert 5010 <= dead["example"]["sport"] <= 5019
    assert fleet.where(flow)["died_at"]["rule_text"] == dead["died_at"]["rule_text"]
    screen = fleet.lasthop("path", *FAMILY.split(), "--group", "--ascii", status=0).stdout
    lines = screen.splitlines()
    assert lines[0].split()[:3] == ["41%", "30", "flows"] and "DELIVERED" in lines[0], screen
    assert "cl -> gw <> snat -> rt -> sv" in lines[0], screen
    assert "e.g. lasthop where " + flow in screen, screen
    assert "-A FORWARD -p udp -m udp --sport 5010:5019 -j DROP" in " ".join(screen.split()), screen
    assert groups(fleet, *"-p udp -d 10.0.3.2 --dport 9".split(), status=1)["groups"] == []


def test_more_flows_than_are_worth_a_list(fleet, std):
    """A thousand flows: all are counted, in one line of two."""
    std.gw.rules("-A FORWARD -p udp --dport 4301 -j DROP")
    fleet.start_collector()
    fleet.start_agents(std.gw)
    fleet.trace("udp 10.0.1.2 10.0.3.2:4301", rate="10000/s")
    for first in range(10000, 11000, 250):
        send(std, 250, 4301, first)
    fleet.traffic(lambda: None)
    answer = groups(fleet, "udp", "10.0.1.2", "10.0.3.2:4301")
    assert [(g["flows"], g["verdict"], g["died_at"]["rule"]) for g in answer["groups"]] == [(1000, "dropped", 1)], answer
    where = fleet.where("udp 10.0.1.2 10.0.3.2:4301")
    assert where["matched"] == 1000 and len(where["others"]) == 20 and where["others_omitted"] == 979


def test_what_is_not_looked_at_is_not_lost(fleet, std):
    """More packets on four hosts than one question takes: those that it has not followed have no end, and none is invented."""
    std.sv.serve("udp", 4300)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FAMILY, rate="10000/s")
    for first in range(10000, 11200, 100):
        send(std, 100, 4300, first)
    fleet.traffic(lambda: None)
    answer = groups(fleet, *FAMILY.split())
    assert answer["matched"] == 1200, answer
    assert {g["verdict"] for g in answer["groups"]} <= {"delivered", "unknown"}, answer["groups"]
    where = fleet.where(FAMILY)
    assert where["cut"] and where["verdict"] in ("delivered", "unknown") and where["died_at"] is None
    assert {o["verdict"] for o in where["others"]} <= {"delivered", "unknown"}
