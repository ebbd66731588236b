"""
The four stories of the main job, on the standard fleet (fleet.Standard): a client behind a NAT gateway asks for a
service that a router publishes by DNAT. Each expected answer follows from the rules set up in its test.
"""
from fleet import flow_of, part

MASQUERADE = "-A POSTROUTING -o wan -j MASQUERADE"
PUBLISH = "-A PREROUTING -d 203.0.113.10/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.0.3.2:8443"


def hops(answer):
    return [(hop["host"], hop["direction"]) for hop in answer["hops"]]


def on_the_way(*hosts):
    return [(host, "original") for host in hosts]


def on_the_way_back(*hosts):
    return [(host, "reply") for host in hosts]


def masqueraded(port):
    return [{"kind": "masquerade", "from": "10.0.1.2:%d" % port, "to": "198.18.0.1:%d" % port, "rule_text": MASQUERADE}]


PUBLISHED = [{"kind": "dnat", "from": "203.0.113.10:443", "to": "10.0.3.2:8443", "rule_text": PUBLISH}]


def test_drop_above_the_accept_that_was_meant(fleet, std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP", "-A INPUT -p tcp --dport 443 -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    std.sv.serve("tcp", 443)
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")

    met = std.cl.tcp("10.0.3.2", 443)
    assert met.outcome == "silent"

    answer = fleet.where("tcp 10.0.1.2 10.0.3.2:443")
    expected = {
        "flow": {"proto": "tcp", "src": "10.0.1.2", "sport": met.sport, "dst": "10.0.3.2", "dport": 443},
        "matched": 1, "verdict": "dropped", "direction": "original", "partial": False, "reply_seen": False,
        "provisional": False, "confidence": "observed", "packets": 2,
        "coverage": {"asked": 4, "answering": 4, "silent": []},
        "died_at": {
            "host": "sv", "backend": "legacy", "family": "ipv4", "table": "filter", "chain": "INPUT", "kind": "rule",
            "rule": 1, "handle": None, "rule_text": "-A INPUT -p tcp -m tcp --dport 443 -j DROP", "jumps": [],
            "between": None, "reject_with": None,
        },
        "others": [], "losses": [],
    }
    assert part(answer, expected) == expected
    assert hops(answer) == on_the_way("cl", "gw", "rt", "sv")
    assert [h["outcome"] for h in answer["hops"]] == ["accepted", "accepted", "accepted", "dropped"]
    assert answer["hops"][1]["nat"] == masqueraded(met.sport)
    assert answer["hops"][1]["in"] == "lan" and answer["hops"][1]["out"] == "wan"
    assert answer["hops"][3]["tuple_in"]["src"] == "198.18.0.1"
    assert [h["link"] for h in answer["hops"]] == [None, "packet", "packet", "packet"]
    assert answer["causes"][0]["id"] in ("rule-order", "explicit-drop")
    saved = fleet.lasthop("rules", "show", "sv", "--format", "save", status=0).stdout
    assert "-A INPUT -p tcp -m tcp --dport 443 -j DROP\n-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\n" in saved


def test_forward_accepts_the_port_before_the_translation(fleet, std):
    std.publish(443, "10.0.3.2:8443")
    std.rt.rules("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                 "-A FORWARD -p tcp --dport 443 -j ACCEPT", "-P FORWARD DROP")
    std.sv.serve("tcp", 8443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 203.0.113.10:443")

    met = std.cl.tcp("203.0.113.10", 443)
    assert met.outcome == "silent"

    answer = fleet.where(flow_of(met, "tcp", "203.0.113.10", 443))
    expected = {
        "verdict": "dropped", "direction": "original", "packets": 2, "reply_seen": False, "provisional": False,
        "flow": {"proto": "tcp", "src": "10.0.1.2", "sport": met.sport, "dst": "203.0.113.10", "dport": 443},
        "died_at": {
            "host": "rt", "backend": "legacy", "family": "ipv4", "table": "filter", "chain": "FORWARD",
            "kind": "policy", "rule": None, "rule_text": "-P FORWARD DROP", "jumps": [],
        },
        "losses": [],
    }
    assert part(answer, expected) == expected
    assert hops(answer) == on_the_way("cl", "gw", "rt")
    assert answer["hops"][1]["nat"] == masqueraded(met.sport)
    # The translation counts although the packet died before conntrack confirmed it.
    assert answer["hops"][2]["nat"] == PUBLISHED
    assert answer["hops"][2]["tuple_in"]["dst"] == "203.0.113.10"
    assert answer["causes"][0]["id"] == "default-policy"


def test_gateway_drops_the_reply(fleet, std):
    std.publish(443, "10.0.3.2:8443")
    std.gw.rules("-A FORWARD -i lan -j ACCEPT", "-A FORWARD -i wan -j DROP")
    server = std.sv.serve("tcp", 8443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 203.0.113.10:443")

    met = std.cl.tcp("203.0.113.10", 443, timeout=0.7)
    assert met.outcome == "silent" and not server.seen

    answer = fleet.where("tcp 10.0.1.2 203.0.113.10:443")
    expected = {
        "verdict": "dropped", "direction": "reply", "provisional": False,
        "flow": {"proto": "tcp", "src": "10.0.1.2", "sport": met.sport, "dst": "203.0.113.10", "dport": 443},
        "died_at": {
            "host": "gw", "backend": "legacy", "family": "ipv4", "table": "filter", "chain": "FORWARD",
            "kind": "rule", "rule": 2, "rule_text": "-A FORWARD -i wan -j DROP", "jumps": [],
        },
        "losses": [],
    }
    assert part(answer, expected) == expected
    assert hops(answer) == on_the_way("cl", "gw", "rt", "sv") + on_the_way_back("sv", "rt", "gw")
    assert answer["hops"][1]["nat"] == masqueraded(met.sport)
    assert answer["hops"][2]["nat"] == PUBLISHED
    assert "return-path" in [cause["id"] for cause in answer["causes"]]


def test_delivered_with_both_translations(fleet, std):
    std.publish(443, "10.0.3.2:8443")
    std.gw.rules("-A FORWARD -i lan -j ACCEPT",
                 "-A FORWARD -i wan -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-P FORWARD DROP")
    std.sv.rules("-A INPUT -p tcp --dport 8443 -j ACCEPT", "-P INPUT DROP")
    std.sv.serve("tcp", 8443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 203.0.113.10:443")

    met = std.cl.tcp("203.0.113.10", 443)
    assert met.outcome == "answered"

    answer = fleet.where("tcp 10.0.1.2 203.0.113.10:443")
    expected = {
        "verdict": "delivered", "reply_seen": True, "partial": False, "provisional": False, "confidence": "observed",
        "died_at": None, "matched": 1, "losses": [],
        "flow": {"proto": "tcp", "src": "10.0.1.2", "sport": met.sport, "dst": "203.0.113.10", "dport": 443},
    }
    assert part(answer, expected) == expected
    assert hops(answer) == on_the_way("cl", "gw", "rt", "sv") + on_the_way_back("sv", "rt", "gw", "cl")
    assert answer["hops"][1]["nat"] == masqueraded(met.sport)
    assert answer["hops"][2]["nat"] == PUBLISHED
    assert answer["hops"][2]["tuple_out"] == {"src": "198.18.0.1", "sport": met.sport, "dst": "10.0.3.2", "dport": 8443}
    back = answer["hops"][4:]
    assert (back[1]["tuple_in"]["src"], back[1]["tuple_out"]["src"]) == ("10.0.3.2", "203.0.113.10")
    assert (back[2]["tuple_in"]["dst"], back[2]["tuple_out"]["dst"]) == ("198.18.0.1", "10.0.1.2")
    assert "DELIVERED" in fleet.screen("tcp 10.0.1.2 203.0.113.10:443").stdout.splitlines()[0]
