"""What rules count, whatever happens to them meanwhile."""
import json
import time

from fleet import wait_until

EVERY = "counters_seconds: 1\n"
PATIENCE = 8.0


def start(fleet, std, *rules, version=4):
    std.sv.rules(*rules, version=version)
    fleet.start_collector()
    fleet.start_agent(std.sv, config=EVERY)


def ask(fleet, *more):
    """The rules of sv by their text: only what concerns the scenario."""
    answer = json.loads(fleet.lasthop("counters", "sv", *more, "--json", status=(0, 1, 3)).stdout)
    rules = {}
    for r in answer["rules"]:       # hottest first: of copies the one that was hit
        rules.setdefault((r["family"], r["rule_text"]), r)
    return rules


def counted(fleet, text, *more, family="ipv4"):
    rule = ask(fleet, *more).get((family, text))
    return rule["packets"] if rule else None


def await_count(fleet, text, packets, *more, family="ipv4"):
    wait_until("%s counts %d" % (text, packets), lambda: counted(fleet, text, *more, family=family) == packets,
               PATIENCE, step=0.1)


def send(std, port, packets, dst="10.0.3.2"):
    for _ in range(packets):
        std.cl.udp(dst, port, timeout=0.01)


DNS = "-A INPUT -p udp -m udp --dport 53 -j DROP"
WEB = "-A INPUT -p tcp -m tcp --dport 443 -j DROP"


def test_rules_and_policies_by_number_text_and_rate(fleet, std):
    start(fleet, std, WEB, DNS, "-N DEEP", "-A DEEP -p udp --dport 99 -j DROP", "-A INPUT -j DEEP", "-A FORWARD -j DROP")
    send(std, 53, 5)
    send(std, 99, 2)
    send(std, 100, 1)
    await_count(fleet, DNS, 5)
    rules = ask(fleet)
    dns = rules["ipv4", DNS]
    assert (dns["backend"], dns["table"], dns["chain"], dns["rule"], dns["kind"], dns["gone"]) == (
        "legacy", "filter", "INPUT", 2, "rule", False)
    assert dns["packets_per_s"] > 0 and any(dns["trend"]) and not dns["at_least"] and not dns["at_most"]
    assert dns["counter"] == {"packets": 5, "bytes": dns["bytes"]}
    assert rules["ipv4", "-A DEEP -p udp -m udp --dport 99 -j DROP"]["packets"] == 2
    assert rules["ipv4", "-A INPUT -j DEEP"]["packets"] == 3
    policy = rules["ipv4", "-P INPUT ACCEPT"]
    assert (policy["kind"], policy["rule"], policy["packets"]) == ("policy", None, 1)
    web = rules["ipv4", WEB]
    assert (web["packets"], web["never_hit"], web["last"]) == (0, True, None) and web["idle_since"]
    # Hottest first; one chain; the two halves.
    order = [r["rule_text"] for r in json.loads(fleet.lasthop("counters", "sv", "--json", "--hot").stdout)["rules"]]
    assert order[0] == DNS and WEB not in order
    assert set(r[1] for r in ask(fleet, "filter", "DEEP")) == {"-A DEEP -p udp -m udp --dport 99 -j DROP"}
    idle = ask(fleet, "--never")
    assert ("ipv4", WEB) in idle and ("ipv4", DNS) not in idle
    text = fleet.lasthop("counters", "sv", "filter", "INPUT", "--ascii", status=0).stdout
    assert "RULE" in text and "PKTS/s" in text and "-p udp -m udp --dport 53 -j DROP" in text
    assert "since it was loaded" in fleet.lasthop("counters", "sv", "--never", status=0).stdout


def test_counts_survive_what_happens_to_rules(fleet, std):
    start(fleet, std, DNS, WEB)
    send(std, 53, 3)
    await_count(fleet, DNS, 3)
    std.sv.rules("-I INPUT 1 -p icmp -j ACCEPT")
    send(std, 53, 2)
    await_count(fleet, DNS, 5)
    assert ask(fleet)["ipv4", DNS]["rule"] == 2
    std.sv.rules("-Z")
    time.sleep(2.5)             # zero is read, twice
    send(std, 53, 4)
    await_count(fleet, DNS, 9)
    assert ask(fleet)["ipv4", DNS]["at_least"]
    # Loaded again without its counters, in another order, with a copy of it behind.
    saved = std.sv.rules_saved().replace(DNS + "\n", "").replace("COMMIT", DNS + "\n" + DNS + "\nCOMMIT")
    std.sv.rules_restore(saved)
    time.sleep(2.5)
    send(std, 53, 1)
    await_count(fleet, DNS, 10)
    both = [r for r in json.loads(fleet.lasthop("counters", "sv", "--json").stdout)["rules"] if r["rule_text"] == DNS]
    assert sorted((r["rule"], r["packets"]) for r in both) == [(3, 10), (4, 0)]
    # Removed: what it had counted stays in the answer.
    std.sv.rules("-D INPUT 4", "-D INPUT 3")
    wait_until("the rule is gone", lambda: ask(fleet)["ipv4", DNS]["gone"], PATIENCE, step=0.1)
    assert counted(fleet, DNS) == 10


def test_a_rule_that_came_with_counters(fleet, std):
    start(fleet, std, WEB)
    std.sv.rules_restore("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n[1000:99000] %s\nCOMMIT\n"
                         % DNS, "-c")
    await_count(fleet, DNS, 1000)
    assert ask(fleet)["ipv4", DNS]["at_most"]


def test_ipv6_and_a_table_that_comes_later(fleet, std):
    six = "-A INPUT -p udp -m udp --dport 53 -j DROP"
    start(fleet, std, six, version=6)
    assert ask(fleet, "--family", "ipv4") == {}
    send(std, 53, 3, dst="2001:db8:3::2")
    await_count(fleet, six, 3, family="ipv6")
    std.sv.rules("-t raw -A PREROUTING -p udp --dport 53 -j ACCEPT")
    raw = "-A PREROUTING -p udp -m udp --dport 53 -j ACCEPT"
    wait_until("the new table is read", lambda: counted(fleet, raw, "raw") == 0, PATIENCE, step=0.1)
    send(std, 53, 2)
    await_count(fleet, raw, 2, "raw", "PREROUTING")


def test_what_was_not_read_is_said(fleet, std):
    std.sv.rules(DNS)
    fleet.start_collector()
    fleet.start_agent(std.sv, config="counters_seconds: 0\n")
    done = fleet.lasthop("counters", "sv", status=3)
    assert "counters_seconds" in done.stdout and "not read" in done.stdout
    assert fleet.lasthop("counters", "nobody", status=3).stdout == ""


NATIVE = """table inet mixed {
	chain input {
		type filter hook input priority 10; policy accept;
		udp dport 53 counter packets 0 bytes 0 comment "seen"
		udp dport 99 drop
		udp dport 100 counter packets 0 bytes 0 jump deep
	}
	chain deep {
		counter packets 0 bytes 0 drop
	}
}
"""


def test_every_backend_at_once(fleet, std):
    std.sv.rules("-A INPUT -p udp --dport 53 -j ACCEPT")
    for rule in ("-A INPUT -p udp --dport 53 -j ACCEPT", "-A INPUT -p udp --dport 54 -j DROP"):
        std.sv.run("iptables-nft", *rule.split())
    std.sv.nft(NATIVE)
    fleet.start_collector()
    fleet.start_agent(std.sv, config=EVERY)
    send(std, 53, 3)
    send(std, 100, 2)
    send(std, 99, 2)

    def rules(*more):
        answer = json.loads(fleet.lasthop("counters", "sv", *more, "--json", status=0).stdout)
        return {(r["backend"], r["chain"], r["rule"]): r for r in answer["rules"]}

    wait_until("all have counted", lambda: rules().get(("native", "deep", 1), {}).get("packets") == 2, PATIENCE, step=0.1)
    found = rules()
    for backend, chain, number, packets in (("legacy", "INPUT", 1, 3), ("nft", "INPUT", 1, 3), ("nft", "INPUT", 2, 0),
                                            ("native", "input", 1, 3), ("native", "input", 3, 2), ("native", "deep", 1, 2)):
        assert found[backend, chain, number]["packets"] == packets, (backend, chain, number)
    # What has no counter is not what nothing hits.
    assert ("native", "input", 2) not in found and ("native", "input", None) not in found
    assert found["nft", "INPUT", 2]["never_hit"]
    assert found["native", "input", 1]["rule_text"].startswith("udp dport 53 counter")
    assert set(key[0] for key in rules("--backend", "nft")) == {"nft"}
    # A rule before them; and all loaded again, from zero.
    std.sv.nft("insert rule inet mixed input udp dport 7 counter")
    std.sv.run("iptables-nft", "-I", "INPUT", "1", "-p", "icmp", "-j", "ACCEPT")
    std.sv.changed()
    send(std, 53, 2)
    wait_until("they moved", lambda: rules().get(("native", "input", 2), {}).get("packets") == 5 and
               rules().get(("nft", "INPUT", 2), {}).get("packets") == 5, PATIENCE, step=0.1)
    std.sv.nft("delete table inet mixed\n" + NATIVE)
    time.sleep(2.5)
    send(std, 53, 1)
    wait_until("it counts anew", lambda: rules().get(("native", "input", 1), {}).get("packets") == 6, PATIENCE, step=0.1)
