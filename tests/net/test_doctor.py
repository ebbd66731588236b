"""`lasthop doctor`: what is wrong on a host is found, and what is not is not accused."""
import json

import fleet as fleets
from fleet import wait_until

EVERY = "counters_seconds: 1\n"
LOG = "-A INPUT -p udp --dport 53 -j NFLOG --nflog-group 77"


def ask(fleet, *words, status=(0, 1, 3)):
    return json.loads(fleet.lasthop("doctor", *words, "--json", status=status).stdout)


def kinds(fleet, host):
    return {f["kind"]: f for f in ask(fleet, host)["findings"] if f["level"] != "note"}


# About a thousand packets a second that nobody answers.
FLOOD = """
import socket, time
s, end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic() + %d
while time.monotonic() < end:
    s.sendto(b"x", ("10.0.3.2", 53))
    time.sleep(0.001)
"""


def test_a_log_rule_without_a_limit_is_found(fleet, std):
    std.sv.rules(LOG, "-A INPUT -p udp --dport 53 -m limit --limit 5/min -j NFLOG --nflog-group 78", "-A INPUT -p udp -j DROP")
    fleet.start_collector()
    fleet.start_agent(std.sv, config=EVERY)
    assert "log-overload" not in kinds(fleet, "sv")
    std.cl.run("/usr/bin/python3", "-c", FLOOD % 13)
    found = {}

    def overload():
        found.update(kinds(fleet, "sv"))
        return "log-overload" in found

    wait_until("the log rule is found", overload, 5)
    finding = found["log-overload"]
    assert "filter/INPUT 1:" in finding["text"] and finding["evidence"]["packets_per_s"] > 100
    assert finding["evidence"]["seconds"] >= 10 and finding["evidence"]["rule_text"].startswith("-A INPUT -p udp")
    assert len([f for f in ask(fleet)["findings"] if f["kind"] == "log-overload"]) == 1
    screen = fleet.lasthop("doctor", "sv", status=0).stdout
    assert "! a log rule without a limit at filter/INPUT 1: " in screen and "-m limit" in screen


def test_a_mixed_host_is_found_and_only_that(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 1 -j DROP")
    std.sv.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "2", "-j", "DROP")
    std.sv.changed()
    fleet.start_collector()
    fleet.start_agents(std.gw, std.sv)
    wait_until("sv is mixed", lambda: "mixed" in kinds(fleet, "sv"), fleets.READY)
    assert {"mixed", "silent"}.isdisjoint(kinds(fleet, "gw"))
    fleet.lasthop("doctor", "nowhere", status=2)
