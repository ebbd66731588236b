"""Agents whose wall clocks are minutes apart: the order is that of the packets, and the times are the collector's."""
import json
import time

from fleet import flow_of, part, seconds

FLOW = "tcp 10.0.1.2 10.0.3.2:443"
SLACK = 2    # seconds: what a loaded machine may need to measure


def check(answer, sent, **expected):
    """Everything that the answer times is from the attempt's second."""
    assert part(answer, expected) == expected
    times = [answer["first"], answer["last"], *(hop["at"] for hop in answer["hops"]),
             *(step["at"] for hop in answer["hops"] for step in hop["steps"] if step["at"])]
    wrong = [t for t in times if not sent - SLACK <= seconds(t) <= sent + 3 * SLACK]
    assert not wrong, (sent, wrong)


def attempt(fleet, std, **expected):
    sent = time.time()
    met = std.cl.tcp("10.0.3.2", 443, timeout=0.4)
    answer = fleet.where(flow_of(met, "tcp", "10.0.3.2", 443))
    check(answer, sent, **expected)
    for direction in ("original", "reply"):
        times = [hop["at"] for hop in answer["hops"] if hop["direction"] == direction and hop["packet"]]
        assert times == sorted(times), times
    return [hop["host"] for hop in answer["hops"] if hop["direction"] == "original"], answer


def test_clocks_that_are_minutes_apart(fleet, std):
    std.sv.serve("tcp", 443)
    for host, off in ((std.cl, 200), (std.gw, -180), (std.rt, 95), (std.sv, -420)):
        host.shift_clock(off)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    way, answer = attempt(fleet, std, verdict="delivered", reply_seen=True, partial=False)
    assert way == ["cl", "gw", "rt", "sv"]
    assert [hop["host"] for hop in answer["hops"] if hop["direction"] == "reply"] == ["sv", "rt", "gw", "cl"]

    for host, off in ((std.cl, 200), (std.sv, -420)):
        known = next(h for h in fleet.host_list() if h["id"] == host.name)["clock_ms"]
        assert abs(known / 1000 - off) < SLACK, known
    doctor = json.loads(fleet.lasthop("doctor", "sv", "--json").stdout)
    assert "420.0 s behind" in next(f["text"] for f in doctor["findings"] if f["kind"] == "clock")

    changed = time.time()
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP")
    time.sleep(1.5)    # the change is known
    way, answer = attempt(fleet, std, verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 1})
    assert way == ["cl", "gw", "rt", "sv"]
    since = seconds(answer["died_at"]["since"])
    assert changed - SLACK <= since <= changed + SLACK, (changed, since)

    # Somebody sets two of the clocks meanwhile.
    std.gw.shift_clock(240)
    std.sv.shift_clock(0)
    way, answer = attempt(fleet, std, verdict="dropped", died_at={"host": "sv", "chain": "INPUT", "rule": 1})
    assert way == ["cl", "gw", "rt", "sv"]


def test_an_untraced_drop_behind_a_wrong_clock(fleet, std):
    std.rt.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    std.rt.shift_clock(-300)
    fleet.start_collector()
    fleet.start_agents()
    way, answer = attempt(fleet, std, verdict="dropped", died_at={"host": "rt", "rule": 1}, confidence="inferred")
    assert way[-1:] == ["rt"]
