"""`lasthop nat`: who is behind a translated port, and what a connection became, without a packet traced."""
import datetime
import json
import signal
import time

from fleet import flow_of, part, wait_until


def nat(fleet, *words, status=0):
    fleet.settle()
    return json.loads(fleet.lasthop("nat", *words, "--json", status=status).stdout)


def known(fleet, *words):
    """Conntrack tells within a moment."""
    return wait_until("conntrack's word of it", lambda: (lambda a: a if a["flows"] else None)(nat(fleet, *words, status=None)), 3)


def ways(flow):
    return [(hop["host"], [(one["kind"], one["from"], one["to"]) for one in hop["nat"]]) for hop in flow["hops"]]


def test_chained_translations_from_any_end(fleet, std):
    std.publish(443, "10.0.3.2:8443")
    std.sv.serve("tcp", 8443)
    fleet.start_collector()
    fleet.start_agents()
    met = std.cl.tcp("203.0.113.10", 443, sport=40100)
    assert met.outcome == "answered"
    answer = known(fleet, flow_of(met, "tcp", "203.0.113.10", 443))
    assert answer["matched"] == 1 and not answer["cut"]
    flow = answer["flows"][0]
    assert ways(flow) == [("gw", [("snat", "10.0.1.2:40100", "198.18.0.1:40100")]),
                          ("rt", [("dnat", "203.0.113.10:443", "10.0.3.2:8443")])]
    assert part(flow, {"flow": {"src": "10.0.1.2", "sport": 40100, "dst": "203.0.113.10", "dport": 443},
                       "becomes": {"src": "198.18.0.1", "sport": 40100, "dst": "10.0.3.2", "dport": 8443},
                       "ambiguous": False}) == {
        "flow": {"src": "10.0.1.2", "sport": 40100, "dst": "203.0.113.10", "dport": 443},
        "becomes": {"src": "198.18.0.1", "sport": 40100, "dst": "10.0.3.2", "dport": 8443}, "ambiguous": False}
    # from the middle, from the server's end, from the published address
    for words in ("198.18.0.1:40100", "tcp 198.18.0.1:40100 10.0.3.2:8443", "10.0.3.2:8443", "203.0.113.10:443"):
        assert ways(nat(fleet, *words.split())["flows"][0]) == ways(flow), words
    screen = fleet.lasthop("nat", "198.18.0.1:40100").stdout
    assert "10.0.1.2:40100 → 203.0.113.10:443" in screen and "snat  10.0.1.2:40100 → 198.18.0.1:40100" in screen


def test_the_rule_is_named_where_a_packet_was_traced(fleet, std):
    std.sv.serve("tcp", 443)
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace("tcp 10.0.1.2 10.0.3.2:443")
    met = std.cl.tcp("10.0.3.2", 443, sport=40101)
    assert met.outcome == "answered"
    wait_until("the packet's word", lambda: known(fleet, "198.18.0.1:40101")["flows"][0]["hops"][0]["nat"][0]["rule_text"], 3)
    flow = known(fleet, "198.18.0.1:40101")["flows"][0]
    assert flow["hops"][0]["nat"] == [{"kind": "masquerade", "from": "10.0.1.2:40101", "to": "198.18.0.1:40101",
                                       "rule_text": "-A POSTROUTING -o wan -j MASQUERADE"}]


def test_one_port_at_two_times(fleet, std):
    """The translated port belonged to one client, later to another: --at tells them apart."""
    c2 = std.second_client()
    std.sv.serve("udp", 5353)
    fleet.start_collector()
    fleet.start_agents()
    std.cl.udp("10.0.3.2", 5353, sport=40102)
    first = time.time()
    known(fleet, "198.18.0.1:40102")
    std.gw.run("conntrack", "-D", "-p", "udp")
    wait_until("the end of the first", lambda: nat(fleet, "198.18.0.1:40102")["flows"][0]["until"], 3)
    time.sleep(2.5)
    c2.udp("10.0.3.2", 5353, sport=40102)
    second = time.time()
    wait_until("conntrack's word of both", lambda: nat(fleet, "198.18.0.1:40102")["matched"] == 2, 3)
    for at, client in ((first, "10.0.1.2"), (second, "10.0.4.2")):
        stamp = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat()
        answer = nat(fleet, "198.18.0.1:40102", "--at", stamp)
        assert [flow["flow"]["src"] for flow in answer["flows"]] == [client]


def test_nobody_saw_the_end(fleet, std):
    """The gateway's agent was away when the connection ended; its port belongs to another client now, for another server's port."""
    c2 = std.second_client()
    for port in (5353, 5355):
        std.sv.serve("udp", port)
    fleet.start_collector()
    fleet.start_agents()
    std.cl.udp("10.0.3.2", 5353, sport=40106)
    std.cl.udp("10.0.3.2", 5353, sport=40107)
    assert known(fleet, "198.18.0.1:40106")["flows"][0]["until"] is None
    known(fleet, "198.18.0.1:40107")
    std.gw.agent.signal(signal.SIGTERM)
    assert std.gw.agent.wait(5) == 0
    fleet.expected_deaths.add(std.gw.agent.pid)
    std.gw.run("conntrack", "-D", "-p", "udp", "--orig-port-src", "40106")
    screen = fleet.lasthop("nat", "198.18.0.1:40106").stdout
    assert "not known: gw is silent" in screen.replace("\n    ", " "), screen
    fleet.start_agent(std.gw)
    gone = wait_until("the end that nobody saw", lambda: (lambda f: f if f["until"] else None)(
        nat(fleet, "198.18.0.1:40106")["flows"][0]), 5)
    assert gone["from"] <= gone["last_known"] < gone["until"] and gone["flow"]["src"] == "10.0.1.2"
    assert nat(fleet, "198.18.0.1:40107")["flows"][0]["until"] is None     # it lived on
    time.sleep(2.5)
    c2.udp("10.0.3.2", 5355, sport=40106)
    stamp = datetime.datetime.now(datetime.timezone.utc).isoformat()
    answer = wait_until("conntrack's word of the other", lambda: (lambda a: a if a["flows"] else None)(
        nat(fleet, "198.18.0.1:40106", "--at", stamp, status=None)), 3)
    assert [(flow["flow"]["src"], flow["last_known"]) for flow in answer["flows"]] == [("10.0.4.2", None)]


def test_the_same_addresses_at_two_sites_are_marked(fleet, std):
    """Two gateways hide clients with one private address; from the server's end each has its own way."""
    site = fleet.host("g2")
    far = fleet.host("c9")
    fleet.link(far, "eth0", "10.0.1.2/24", site, "lan", "10.0.1.1/24")
    fleet.link(site, "wan", "198.18.9.1/24", std.rt, "wan9", "198.18.9.2/24")
    far.ip("route add default via 10.0.1.1")
    site.ip("route add default via 198.18.9.2")
    site.forward()
    site.rules("-t nat -A POSTROUTING -o wan -j MASQUERADE")
    std.sv.serve("udp", 5354)
    fleet.start_collector()
    fleet.start_agents()
    for client in (std.cl, far):
        client.udp("10.0.3.2", 5354, sport=40103)
    answer = wait_until("both", lambda: (lambda a: a if a["matched"] == 2 else None)(
        nat(fleet, "udp", "10.0.1.2:40103", "10.0.3.2:5354", status=None)), 3)
    assert sorted(flow["hops"][0]["host"] for flow in answer["flows"]) == ["g2", "gw"]
    assert all(flow["ambiguous"] for flow in answer["flows"])
    for address, host in (("198.18.0.1", "gw"), ("198.18.9.1", "g2")):
        flows = nat(fleet, address + ":40103")["flows"]
        assert [flow["hops"][0]["host"] for flow in flows] == [host]


def test_untranslated_and_unknown(fleet, std):
    """IPv6 passes untouched: said so, with the hosts that saw it. What nobody saw is not invented."""
    std.sv.serve("tcp", 443)
    for host in (std.gw, std.sv):
        host.rules("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", version=6)
    fleet.start_collector()
    fleet.start_agents()
    assert std.cl.tcp("2001:db8:3::2", 443, sport=40104).outcome == "answered"
    answer = known(fleet, "[2001:db8:1::2]:40104")
    flow = answer["flows"][0]
    assert flow["hops"] == [] and set(flow["seen"]) >= {"gw", "sv"}
    assert nat(fleet, "198.18.0.1:4", status=1)["matched"] == 0
