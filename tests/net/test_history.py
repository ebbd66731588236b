"""The history of rulesets: what changed, when, by whom; two instants and two hosts compared."""
import json

from fleet import wait_until

BASE = ("-A FORWARD -s 10.9.0.1/32 -j ACCEPT", "-A FORWARD -s 10.9.0.1/32 -j ACCEPT", "-A FORWARD -p udp -j DROP")


def log(fleet, *argv, status=0):
    done = fleet.lasthop("rules", "log", "--json", *argv, status=status)
    return json.loads(done.stdout) if status == 0 else done


def diff(fleet, *argv):
    done = fleet.lasthop("rules", "diff", "--json", *argv)
    return json.loads(done.stdout)


def changes(fleet, host, count, *more):
    """Waits until so many changes are told after what stood first."""
    def there():
        known = [c for c in log(fleet, host, "-p", *more)["changes"] if c["kind"] != "first"]
        return known if len(known) >= count else None
    return wait_until("%d changes at %s" % (count, host), there, 5)


def seen(fleet, host, op, text):
    """Waits until a change has this line; two changes between two reads would be one. Returns all, newest first."""
    def there():
        known = changes(fleet, host, 1)
        return known if any((p["op"], p["text"]) == (op, text) for c in known for p in c["patch"]) else None
    return wait_until("%s%s at %s" % (op, text, host), there, 5)


def lines(change):
    return [(p["op"], p["chain"], p["rule"], p["text"]) for p in change["patch"]]


def test_who_changed_what_and_when(fleet, std):
    std.gw.rules(*BASE)
    fleet.start_collector()
    fleet.start_agents(std.gw)
    assert {c["kind"] for c in log(fleet, "gw")["changes"]} == {"first"}
    std.gw.rules("-N GUARD", "-A GUARD -p tcp --dport 443 -j DROP")
    seen(fleet, "gw", "+", "-A GUARD -p tcp -m tcp --dport 443 -j DROP")
    std.gw.rules("-D FORWARD 1")
    seen(fleet, "gw", "-", "-A FORWARD -s 10.9.0.1/32 -j ACCEPT")
    std.gw.rules("-P INPUT DROP")
    known = seen(fleet, "gw", "+", "-P INPUT DROP")
    assert lines(known[0]) == [("-", "INPUT", None, "-P INPUT ACCEPT"), ("+", "INPUT", None, "-P INPUT DROP")]
    assert lines(known[1]) == [("-", "FORWARD", 2, "-A FORWARD -s 10.9.0.1/32 -j ACCEPT")]
    newest = known[0]
    assert newest["table"] == "filter" and newest["backend"] == "legacy" and not newest["torn"]
    assert (newest["added"], newest["removed"], newest["chains"]) == (1, 1, ["INPUT"])
    assert newest["before"] == known[1]["content"] and newest["unknown"] is None
    assert newest["changed_by"]["program"].startswith("iptables") or "xtables" in newest["changed_by"]["program"]
    assert newest["since_uncertainty_ms"] is None       # it was told as it happened
    only = log(fleet, "gw", "--", "filter/GUARD")["changes"]
    assert only and all("GUARD" in c["chains"] for c in only)
    screen = fleet.lasthop("rules", "log", "gw", "-p", "--ascii", "-n", "1").stdout
    assert newest["content"].replace("sha256:", "")[:7] in screen and "-P INPUT DROP" in screen
    assert "older changes are not shown" in screen and "GUARD" not in screen


def test_a_script_changes_a_table_line_by_line(fleet, std):
    """What stood for a few milliseconds only is told, too: its text is asked for when it has been replaced already."""
    ports = range(8001, 8021)
    std.gw.rules(*BASE)
    fleet.start_collector()
    fleet.start_agents(std.gw)
    assert {c["kind"] for c in log(fleet, "gw")["changes"]} == {"first"}
    std.gw.rules(*["-A FORWARD -p tcp --dport %d -j DROP" % port for port in ports])
    known = seen(fleet, "gw", "+", "-A FORWARD -p tcp -m tcp --dport %d -j DROP" % ports[-1])
    assert all(c["unknown"] is None for c in known), known
    assert [text for c in reversed(known) for op, chain, rule, text in lines(c)] == [
        "-A FORWARD -p tcp -m tcp --dport %d -j DROP" % port for port in ports]


def test_instants_contents_and_hosts_compared(fleet, std):
    for host in (std.gw, std.rt):
        host.rules(*BASE)
    fleet.start_collector()
    fleet.start_agents(std.gw, std.rt)
    first = log(fleet, "gw", "--", "filter")["changes"][-1]
    same = fleet.lasthop("rules", "diff", "gw", "rt", "--exit-code", "--", "filter")
    assert same.stdout == ""
    std.gw.rules("-I FORWARD 2 -p tcp --dport 443 -m comment --comment INC-4242 -j DROP")
    changes(fleet, "gw", 1)
    expected = [("+", "FORWARD", 2,
                 "-A FORWARD -p tcp -m tcp --dport 443 -m comment --comment INC-4242 -j DROP")]
    content = first["content"].replace("sha256:", "")
    for a, b in (("gw@" + content[:12], "gw"), ("rt", "gw"), ("gw@" + first["at"], "gw")):
        answer = diff(fleet, a, b, "--", "filter/FORWARD")
        assert not answer["equal"] and [lines(t) for t in answer["tables"]] == [expected], (a, b, answer)
    assert diff(fleet, "gw", "rt", "--", "filter")["tables"][0]["removed"] == 1
    assert diff(fleet, "gw", "rt", "--", "filter/INPUT")["equal"]
    stat = fleet.lasthop("rules", "diff", "rt", "gw", "--stat", "--ascii", "--exit-code", "--", "filter", status=1).stdout
    assert "filter +1 -0  FORWARD" in stat and "INC-4242" not in stat
    late = fleet.lasthop("rules", "diff", "gw@2d", "gw", status=3)
    assert "known at that time" in late.stderr and "from 20" in late.stderr
    assert "no such host" in fleet.lasthop("rules", "diff", "gw", "nobody", status=3).stderr
    assert "had that content" in fleet.lasthop("rules", "diff", "gw@0123456789abcdef", "gw", status=3).stderr
    assert "no such host" in fleet.lasthop("rules", "log", "nobody", status=3).stderr


def test_native_tables_and_hostile_text(fleet, std):
    std.gw.nft('table inet f { set s { type ipv4_addr; elements = { 10.9.0.1 }; }; chain c { ip saddr @s drop; }; }')
    std.gw.changed()
    fleet.start_collector()
    fleet.start_agents(std.gw)
    std.gw.nft('add element inet f s { 10.9.0.2 }')
    std.gw.nft('add rule inet f c log prefix "\x1b[31mred\x1b[0m" accept')
    std.gw.changed()

    def both():
        texts = [p["text"] for c in changes(fleet, "gw", 1) for p in c["patch"]]
        return any("10.9.0.2" in t for t in texts) and any("log prefix" in t for t in texts)
    wait_until("both changes", both, 5)
    screen = fleet.lasthop("rules", "log", "gw", "-p").stdout
    assert "\x1b" not in screen and "log prefix" in screen and "10.9.0.2" in screen
    std.gw.nft("delete table inet f")
    std.gw.changed()
    wait_until("its end", lambda: any(c["kind"] == "deleted" for c in log(fleet, "gw")["changes"]), 5)
