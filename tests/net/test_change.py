"""Who changed a table: told at the moment of the change, with the rule's answer."""
import time

from fleet import part, wait_until

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def died(fleet):
    return fleet.where(FLOW)["died_at"]


def traced(fleet, std):
    fleet.trace(FLOW)
    std.cl.tcp("10.0.3.2", 443)


def test_the_author_of_a_rule(fleet, std):
    std.gw.rules("-A FORWARD -p udp -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    traced(fleet, std)
    by = died(fleet)["changed_by"]
    assert part(by, {"program": 0, "command": 0, "via": 0, "one_of": 0}) == {
        "program": "iptables-legacy", "command": "iptables-legacy -w 10 -A FORWARD -p tcp --dport 443 -j DROP", "via": "bpf",
        "one_of": []}
    assert by["uid"] == 0 and by["user"] and by["pid"] > 0
    assert died(fleet)["since"]
    assert "iptables-legacy" in fleet.screen(FLOW).stdout


def test_a_restore_and_what_stood_before(fleet, std):
    """What stood at the first look has no author; what a restore brought has its."""
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    traced(fleet, std)
    assert died(fleet)["changed_by"] is None and died(fleet)["since"] is None
    std.gw.rules_restore("*filter\n-A FORWARD -p udp -j ACCEPT\n-A FORWARD -d 10.0.3.2/32 -p tcp -j DROP\nCOMMIT\n")
    std.cl.tcp("10.0.3.2", 443)
    answer = wait_until("the new table's rule", lambda: (lambda d: d if d["rule"] == 2 else None)(died(fleet)), 3)
    assert answer["changed_by"]["program"].startswith("iptables-legac")
    assert answer["changed_by"]["command"].startswith("iptables-legacy-restore")


def test_another_namespace_is_not_credited(fleet, std):
    """The same program changes the same table elsewhere at the same time; nobody watches there."""
    other = fleet.host("xx")
    std.gw.rules("-A FORWARD -p udp -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents(std.cl, std.gw, std.rt, std.sv)
    other.rules("-A FORWARD -p tcp --dport 443 -j ACCEPT")
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    other.rules("-A FORWARD -p tcp --dport 443 -j REJECT")
    traced(fleet, std)
    by = died(fleet)["changed_by"]
    assert by["command"].endswith("--dport 443 -j DROP") and by["one_of"] == []


def test_a_failed_command_is_not_credited(fleet, std):
    std.gw.rules("-A FORWARD -p udp -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    std.gw.run("iptables-legacy", "-D", "FORWARD", "-p", "tcp", "--dport", "443", "-j", "DROP", check=False)
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    traced(fleet, std)
    assert died(fleet)["changed_by"]["command"].endswith("-A FORWARD -p tcp --dport 443 -j DROP")


def test_a_later_change_of_the_table_is_not_the_rules(fleet, std):
    """Bystanders changed the table since; the rule's own author and time stay."""
    std.gw.rules("-A FORWARD -p udp -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    traced(fleet, std)
    first = died(fleet)
    std.gw.rules("-I FORWARD 1 -p tcp --dport 80 -j ACCEPT")
    std.gw.rules("-A FORWARD -p icmp -j DROP")
    std.cl.tcp("10.0.3.2", 443)
    later = wait_until("the new number", lambda: (lambda d: d if d["rule"] == 3 else None)(died(fleet)), 3)
    assert later["since"] == first["since"] and later["changed_by"] == first["changed_by"]
    assert later["content"] != first["content"]


def test_a_copy_of_the_rule_comes_later(fleet, std):
    """Whoever adds a second one is not to blame for the first; where nobody can tell which is the new one, nobody is named."""
    std.gw.rules("-A FORWARD -p udp -j ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    traced(fleet, std)
    first = died(fleet)
    assert first["changed_by"]["command"].endswith("--dport 443 -j DROP"), first
    std.gw.rules("-A FORWARD -p icmp -j DROP")
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    time.sleep(1.5)
    std.cl.tcp("10.0.3.2", 443)
    same = died(fleet)
    assert (same["rule"], same["since"], same["changed_by"]) == (2, first["since"], first["changed_by"])
    std.gw.rules("-I FORWARD 1 -p tcp --dport 443 -j DROP")
    time.sleep(1.5)
    std.cl.tcp("10.0.3.2", 443)
    second = died(fleet)
    assert second["rule"] == 1 and second["changed_by"]["command"].endswith("-I FORWARD 1 -p tcp --dport 443 -j DROP"), second
    std.gw.rules("-I FORWARD 1 -p tcp --dport 443 -j DROP")
    time.sleep(1.5)
    std.cl.tcp("10.0.3.2", 443)
    either = died(fleet)
    assert either["rule"] == 1 and either["since"] is None and either["changed_by"] is None, either


def test_a_change_of_nftables_and_a_bystander(fleet, std):
    """nft tells who committed; a lease of ours, and a change in a namespace that nobody watches, are nobody's."""
    other = fleet.host("xx")
    std.gw.nft("table inet mine { chain f { type filter hook forward priority 0; udp dport 1 drop; }; }")
    fleet.start_collector()
    fleet.start_agents(std.cl, std.gw, std.rt, std.sv)
    fleet.trace("udp dport 9")
    other.nft("table inet mine { chain f { type filter hook forward priority 0; tcp dport 1 drop; }; }")
    std.gw.run("nft", "add", "rule", "inet", "mine", "f", "tcp", "dport", "443", "drop")
    std.gw.changed()
    traced(fleet, std)
    answer = wait_until("the rule", lambda: (lambda d: d if d and d["rule"] == 2 else None)(died(fleet)), 3)
    assert answer["backend"] == "native" and answer["since"]
    assert part(answer["changed_by"], {"program": 0, "via": 0, "one_of": 0}) == {"program": "nft", "via": "nft", "one_of": []}


def test_who_changed_nothing_is_not_suspected(fleet, std):
    """A program that puts in place what stands there already, as configuration managers do, is no candidate for later changes."""
    rules = "*filter\n-A FORWARD -p udp -j ACCEPT\nCOMMIT\n"
    std.gw.rules_restore(rules)
    fleet.start_collector()
    fleet.start_agents()
    std.gw.rules_restore(rules)
    traced(fleet, std)  # its answer needs a read of the tables
    wait_until("an answer", lambda: fleet.where(FLOW)["matched"], 3)
    time.sleep(1.5)  # and there is one each second
    std.gw.rules("-A FORWARD -p tcp --dport 443 -j DROP")
    std.cl.tcp("10.0.3.2", 443)
    by = wait_until("the death", lambda: (died(fleet) or {}).get("changed_by"), 3)
    assert by["command"] and by["command"].endswith("--dport 443 -j DROP") and by["one_of"] == []


def test_a_change_by_iptables_nft(fleet, std):
    std.gw.run("iptables-nft", "-A", "FORWARD", "-p", "udp", "-j", "ACCEPT")
    fleet.start_collector()
    fleet.start_agents()
    std.gw.run("iptables-nft", "-A", "FORWARD", "-p", "tcp", "--dport", "443", "-j", "DROP")
    std.gw.changed()
    traced(fleet, std)
    answer = wait_until("the rule", lambda: (lambda d: d if d and d["rule"] == 2 else None)(died(fleet)), 3)
    assert answer["backend"] == "nft" and answer["since"]
    assert part(answer["changed_by"], {"via": 0, "one_of": 0}) == {"via": "nft", "one_of": []}
    assert answer["changed_by"]["program"].startswith("iptables")
