"""Members of ipsets that rules name: captured as `ipset save` prints them, versioned, and asked when a packet died."""
import json
import re

from fleet import flow_of, wait_until

# As `ipset save` prints it, without what changes by itself.
RESTLESS = re.compile(r" (hashsize|initval|timeout|packets|bytes) \S+(?= |$)")


def ipset(host, *lines):
    for line in lines:
        host.run("ipset", *line.split(" "))


def restore(host, lines):
    host.run("ipset", "restore", stdin="".join(line + "\n" for line in lines))


def saved(host, name):
    lines = host.run("ipset", "save", name).stdout.splitlines()
    create = re.sub(r" (hashsize|initval) \S+", "", lines[0])
    return [create] + sorted(RESTLESS.sub("", line) for line in lines[1:])


def shown(fleet, host, at=None):
    """The sets that are shown, by name: their lines."""
    done = fleet.lasthop("rules", "show", host if at is None else "%s@%s" % (host, at), "--backend", "ipset", "--json")
    if done.returncode != 0:
        return {}
    return {t["table"]: t["text"].splitlines() for t in json.loads(done.stdout)["tables"] if t["text"]}


def members(lines):
    return sorted(line.split(" ", 2)[2] for line in lines if line.startswith("add "))


def wait_members(fleet, host, name, expected):
    def there():
        done = fleet.lasthop("rules", "show", host, "--backend", "ipset", "--json")
        tables = json.loads(done.stdout)["tables"] if done.returncode == 0 else []
        found = [t["text"].splitlines() for t in tables if t["table"] == name and t["text"]]
        return found[0] if found and members(found[0]) == sorted(expected) else None
    return wait_until("%s of %s to be %s" % (name, host, expected), there, 8)


def words(screen):
    return " ".join(screen.split())


def log(fleet, host, *more):
    return json.loads(fleet.lasthop("rules", "log", host, "-p", "--json", *more).stdout)["changes"]


SETS = (
    "create hi hash:ip netmask 24 comment counters", "add hi 10.0.0.5 comment %22a b%22",
    "create hi6 hash:ip family inet6", "add hi6 2001:db8::1", "add hi6 2001:db8::10",
    "create hip hash:ip,port", "add hip 10.0.0.1,tcp:80", "add hip 10.0.0.1,udp:53", "add hip 10.0.0.10,tcp:80",
    "create hipi hash:ip,port,ip", "add hipi 10.0.0.1,tcp:80,10.0.0.2",
    "create hipn hash:ip,port,net comment", "add hipn 10.0.0.1,tcp:80,10.0.2.0/24 nomatch comment %22x%22",
    "create hn hash:net comment", "add hn 10.0.0.0/24", "add hn 10.0.0.1 nomatch comment %22not he%22",
    "create hnp hash:net,port", "add hnp 10.0.0.0/24,udp:53",
    "create hni hash:net,iface", "add hni 10.0.0.0/24,lan", "add hni 0.0.0.0/0,physdev:br1 nomatch",
    "add hni 10.1.0.0/16,wan wildcard",
    "create bi bitmap:ip range 10.0.0.0/24", "add bi 10.0.0.3",
    "create bin bitmap:ip range 10.0.0.0/16 netmask 24", "add bin 10.0.3.0",
    "create bim bitmap:ip,mac range 10.0.0.0/24", "add bim 10.0.0.3", "add bim 10.0.0.4,00:11:22:33:44:55",
    "create bp bitmap:port range 1-1024", "add bp 80",
    "create skb hash:ip skbinfo maxelem 300", "add skb 1.2.3.4 skbprio 1:2 skbqueue 3",
    "add skb 1.2.3.5 skbmark 0x1/0xff", "create empty hash:net",
    "create ls list:set", "add ls hn", "add ls hi6",
)


def make_sets(host):
    restore(host, [line.replace("%22", '"') for line in SETS])


def test_sets_are_captured_as_ipset_saves_them(fleet, std):
    make_sets(std.rt)
    std.rt.run("ipset", "create", "unnamed", "hash:ip")
    for name in ("hi", "bi", "bin"):
        std.rt.rules("-A INPUT -m set --match-set %s src -j ACCEPT" % name)
    for name in ("hip", "hnp", "hni", "bim", "skb", "empty"):
        std.rt.rules("-A INPUT -m set --match-set %s src,dst -j ACCEPT" % name)
    for name in ("hipi", "hipn"):
        std.rt.run("iptables-nft", "-A", "INPUT", "-m", "set", "--match-set", name, "src,dst,dst", "-j", "ACCEPT")
    std.rt.rules("-A INPUT -m set ! --match-set bp dst -j ACCEPT")
    std.rt.rules("-A INPUT -m set --match-set ls src -j ACCEPT", version=6)
    std.rt.changed()
    fleet.start_collector()
    fleet.start_agents(std.rt)
    names = {line.split()[1] for line in SETS if line.startswith("create")}
    found = wait_until("all sets", lambda: (lambda s: s if set(s) == names else None)(shown(fleet, "rt")), 8)
    for name in names:
        lines = [found[name][0]] + sorted(found[name][1:])
        assert lines == saved(std.rt, name), name
    # Without the question for sets nothing is another than without sets.
    assert "create " not in fleet.lasthop("rules", "show", "rt", "--format", "save").stdout
    host = [h for h in json.loads(fleet.lasthop("hosts", "--json").stdout)["hosts"] if h["id"] == "rt"][0]
    assert [s["state"] for s in host["sources"] if s["name"] == "ipset"] == ["on"]
    assert host["backends"] == ["legacy", "nft"]


def cause(answer, name="set-membership"):
    found = [c for c in answer["causes"] if c["id"] == name]
    return found[0] if found else None


def test_the_entry_that_matched_then_and_now(fleet, std):
    """An entry comes, kills, goes: each instant has its own members, and no author is made up."""
    ipset(std.rt, "create bad hash:net comment", "add bad 10.9.0.0/16")
    std.rt.rules("-A FORWARD -m set --match-set bad src -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    wait_members(fleet, "rt", "bad", ["10.9.0.0/16"])
    std.sv.serve("tcp", 443)
    flow = "tcp 10.0.1.2 10.0.3.2:443"
    fleet.trace(flow)
    std.cl.tcp("10.0.3.2", 443)
    assert fleet.where(flow)["verdict"] == "delivered"
    # The router sees the client behind the gateway's MASQUERADE.
    ipset(std.rt, "add bad 198.18.0.0/24")
    wait_members(fleet, "rt", "bad", ["198.18.0.0/24", "10.9.0.0/16"])
    std.cl.tcp("10.0.3.2", 443, timeout=0.3)
    answer = fleet.where(flow)
    died = answer["died_at"]
    assert (answer["verdict"], died["host"], died["rule"]) == ("dropped", "rt", 1)
    why = cause(answer)
    assert why and why["summary"].endswith("is in the ipset bad"), answer["causes"]
    assert "add bad 198.18.0.0/24 (in the set since" in why["evidence"][0], why
    changes = [c for c in log(fleet, "rt") if c["backend"] == "ipset"]
    assert [c["kind"] for c in changes] == ["changed", "first"]
    assert changes[0]["changed_by"] is None and changes[0]["table"] == "bad"
    assert [(p["op"], p["text"]) for p in changes[0]["patch"]] == [("+", "add bad 198.18.0.0/24")]
    then = changes[0]["after"]
    assert members(shown(fleet, "rt", then)["bad"]) == ["10.9.0.0/16"]
    ipset(std.rt, "del bad 198.18.0.0/24")
    wait_members(fleet, "rt", "bad", ["10.9.0.0/16"])
    assert members(shown(fleet, "rt", changes[0]["at"])["bad"]) == ["10.9.0.0/16", "198.18.0.0/24"]
    last = std.cl.tcp("10.0.3.2", 443)
    assert fleet.where(flow_of(last, "tcp", "10.0.3.2", 443))["verdict"] == "delivered"
    diff = fleet.lasthop("rules", "diff", "rt@" + changes[0]["at"], "rt", "--ascii", "--", "bad")
    assert "ipset ipv4 bad +0 -1" in diff.stdout and "add bad 198.18.0.0/24" in diff.stdout


def test_a_drop_that_nobody_traced(fleet, std):
    """Sets rule rules out and in; what is not known accuses nobody."""
    ipset(std.rt, "create bad hash:net", "add bad 192.0.2.0/24", "create port hash:ip,port", "add port 10.0.3.2,tcp:1001",
          "create soon hash:ip timeout 500", "add soon 192.0.2.1", "create fed hash:ip", "create good hash:ip", "add good 10.0.3.2")
    std.rt.rules("-A FORWARD -p tcp -m set --match-set bad src -j DROP",
                 "-A FORWARD -m set --match-set port dst,dst -j DROP",
                 "-A FORWARD -p udp --dport 1002 -m set --match-set bad src -j DROP",
                 "-A FORWARD -p udp --dport 1002 -m set ! --match-set bad src -j DROP",
                 "-A FORWARD -p udp --dport 1003 -m set --match-set soon src -j DROP",
                 "-A FORWARD -p udp --dport 1003 -m set ! --match-set soon src -j DROP",
                 "-A FORWARD -p udp --dport 1004 -m set --match-set good dst -j DROP",
                 "-A FORWARD -p udp --dport 1004 -j REJECT",
                 "-A FORWARD -p udp --dport 1005 -m set --match-set fed src -j DROP",
                 "-A FORWARD -p udp --dport 1005 -m set ! --match-set fed src -j DROP",
                 "-A FORWARD -p udp --dport 9 -j SET --add-set fed src")
    fleet.start_collector()
    # Without counters only the sets can tell.
    fleet.start_agents()
    for name in ("bad", "port", "soon", "fed", "good"):
        wait_until(name, lambda: name in shown(fleet, "rt"), 8)
    for port in (1002, 1003, 1004, 1005):
        std.cl.udp("10.0.3.2", port, timeout=0.1)
    std.cl.tcp("10.0.3.2", 1001, timeout=0.3)
    answers = {p: fleet.where("%s 10.0.1.2 10.0.3.2:%d" % ("tcp" if p == 1001 else "udp", p)) for p in range(1001, 1006)}
    assert answers[1001]["died_at"]["rule"] == 2
    why = cause(answers[1001])
    assert why["summary"] == "10.0.3.2,tcp:1001 is in the ipset port" and "add port 10.0.3.2,tcp:1001" in why["evidence"][0]
    assert answers[1002]["died_at"]["rule"] == 4
    assert cause(answers[1002])["summary"] == "198.18.0.1 is not in the ipset bad"
    assert answers[1004]["died_at"]["rule"] == 7, answers[1004]     # and so the REJECT behind it was never met
    found = shown(fleet, "rt")
    assert found["soon"][1] == "# changes by itself: its entries have timeouts" and members(found["soon"]) == ["192.0.2.1"]
    assert found["fed"][1].startswith("# changes by itself: rules add to it")
    assert "it changes by itself" in words(fleet.lasthop("rules", "log", "rt", "--", "soon").stdout)


def test_counters_off_leaves_open_what_sets_do_not_tell(fleet, std):
    """The same without counters: nobody is accused by a set that changes by itself, or by one that changed just then."""
    ipset(std.rt, "create soon hash:ip timeout 500", "create late hash:ip", "add late 192.0.2.1")
    std.rt.rules("-A FORWARD -p udp --dport 1003 -m set --match-set soon src -j DROP",
                 "-A FORWARD -p udp --dport 1003 -m set ! --match-set soon src -j DROP",
                 "-A FORWARD -p udp --dport 1004 -m set --match-set late src -j DROP",
                 "-A FORWARD -p udp --dport 1004 -m set ! --match-set late src -j DROP")
    fleet.start_collector()
    fleet.start_agent(std.rt, config="counters_seconds: 0\n")
    wait_until("both", lambda: {"soon", "late"} <= set(shown(fleet, "rt")), 8)
    std.cl.udp("10.0.3.2", 1003, timeout=0.1)
    std.cl.udp("10.0.3.2", 1004, timeout=0.1)
    steady = fleet.where("udp 198.18.0.1 10.0.3.2:1004")
    assert steady["verdict"] == "dropped" and steady["died_at"]["rule"] == 4
    soon = fleet.where("udp 198.18.0.1 10.0.3.2:1003")
    assert soon["verdict"] == "dropped" and soon["died_at"]["rule"] is None
    told = " ".join(soon["causes"][0]["evidence"])
    assert "! --match-set soon src" in told and "-m set --match-set soon src" in told and cause(soon) is None


def test_swapped_destroyed_and_made_again(fleet, std):
    ipset(std.rt, "create live hash:ip", "add live 192.0.2.1", "create next hash:net,port", "add next 192.0.2.0/24,tcp:9")
    std.rt.rules("-A FORWARD -m set --match-set live src,dst -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    wait_members(fleet, "rt", "live", ["192.0.2.1"])
    ipset(std.rt, "destroy next", "create next hash:ip", "add next 192.0.2.7", "swap live next", "destroy next")
    wait_members(fleet, "rt", "live", ["192.0.2.7"])
    std.rt.rules("-F FORWARD")
    wait_until("it is named no more", lambda: "live" not in shown(fleet, "rt"), 8)
    ipset(std.rt, "destroy live", "create live hash:ip family inet6", "add live 2001:db8::1")
    std.rt.rules("-A FORWARD -m set --match-set live src -j DROP", version=6)
    wait_members(fleet, "rt", "live", ["2001:db8::1"])
    changes = [(c["kind"], c["family"]) for c in log(fleet, "rt", "--", "live")]
    assert changes == [("created", "ipv6"), ("deleted", "ipv4"), ("changed", "ipv4"), ("first", "ipv4")], changes
    assert all(c["changed_by"] is None for c in log(fleet, "rt", "--", "live"))
    assert "ipset ipv4 live gone, or named by no rule" in words(fleet.lasthop("rules", "log", "rt", "--", "live").stdout)
    tables = [c for c in log(fleet, "rt", "--", "filter") if c["kind"] != "first"]
    assert tables and all("tables" in c["changed_by"]["program"] for c in tables)


def test_what_is_too_much_is_said(fleet, std):
    restore(std.rt, ["create big hash:ip maxelem 100000"] +
            ["add big 10.%d.%d.%d" % (i >> 16, i >> 8 & 255, i & 255) for i in range(1, 66001)] +
            ["create full hash:ip", "add full 10.0.0.1"])
    std.rt.rules("-A FORWARD -p udp -m set --match-set big src -j DROP", "-A FORWARD -p udp -m set --match-set full src -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    found = wait_until("both", lambda: (lambda s: s if len(s) == 2 else None)(shown(fleet, "rt")), 8)
    assert found["big"][1:] == ["# not captured: more than 65536 entries"] and members(found["full"]) == ["10.0.0.1"]
    host = [h for h in json.loads(fleet.lasthop("hosts", "--json").stdout)["hosts"] if h["id"] == "rt"][0]
    said = [s for s in host["sources"] if s["name"] == "ipset"][0]
    assert said["state"] == "on" and said["why"] == "members of 1 ipset are not captured: big (more than 65536 entries)"
    assert std.rt.agent.said().count(said["why"]) == 1
    # Fewer again: they are captured, all of them.
    std.rt.run("ipset", "restore", stdin="".join("del big 10.%d.%d.%d\n" % (i >> 16, i >> 8 & 255, i & 255)
                                                 for i in range(1, 1001)))
    wait_until("its members", lambda: len(members(shown(fleet, "rt").get("big", []))) == 65000, 20)


def test_hostile_names_and_comments(fleet, std):
    names = ["-j", "<b>x", "a;b", "%n%s", "\x1b]0;t", "x" * 31]
    for name in names:
        std.rt.run("ipset", "create", name, "hash:ip", "comment")
        std.rt.run("ipset", "add", name, "10.9.0.1", "comment", "\x1b[31m <script> -m set --match-set other src \n add q 10.0.3.2")
        std.rt.run("iptables-legacy", "-A", "INPUT", "-m", "set", "--match-set", name, "src", "-j", "DROP")
    std.rt.run("iptables-legacy", "-A", "INPUT", "-m", "comment", "--comment", "\n-A INPUT -m set --match-set ghost src -j DROP",
               "-j", "ACCEPT")
    std.rt.changed()
    fleet.start_collector()
    fleet.start_agents()
    found = wait_until("all", lambda: (lambda s: s if len(s) == len(names) else None)(shown(fleet, "rt")), 8)
    assert set(found) == set(names)
    for lines in found.values():
        assert len(lines) == 2 and len(members(lines)) == 1 and "\x1b" not in "".join(lines)
        assert members(lines)[0] == '10.9.0.1 comment "?[31m <script> -m set --match-set other src ? add q 10.0.3.2"'
    screen = fleet.lasthop("rules", "log", "rt", "-p").stdout
    assert "\x1b" not in screen


def test_a_set_that_never_rests_is_told_so(fleet, std):
    """Versions are bounded: what changes with every reading is not captured, until it rests."""
    ipset(std.rt, "create busy hash:ip")
    std.rt.rules("-A FORWARD -m set --match-set busy src -j DROP")
    fleet.start_collector()
    fleet.start_agents()
    wait_members(fleet, "rt", "busy", [])
    n = 0

    def withheld():
        nonlocal n
        n += 1
        ipset(std.rt, "add busy 10.%d.0.1" % (n % 250), "del busy 10.%d.0.1" % ((n - 1) % 250)) if n > 1 else \
            ipset(std.rt, "add busy 10.1.0.1")
        return shown(fleet, "rt").get("busy", [])[1:] == ["# not captured: it changes too often"]
    wait_until("it is withheld", withheld, 30, step=0.2)
    versions = [c for c in log(fleet, "rt", "--", "busy")]
    assert len(versions) <= 11, len(versions)
