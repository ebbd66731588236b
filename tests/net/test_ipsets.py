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


def shown(fleet, host, at=None, status=0):
    """The sets that are shown, by name: their lines."""
    done = fleet.lasthop("rules", "show", host if at is None else "%s@%s" % (host, at), "--backend", "ipset", "--json",
                         status=status)
    if status != 0:
        return {}
    return {t["table"]: t["text"].splitlines() for t in json.loads(done.stdout)["tables"]}


def members(lines):
    return sorted(line.split(" ", 2)[2] for line in lines if line.startswith("add "))


def wait_members(fleet, host, name, expected):
    def there():
        done = fleet.lasthop("rules", "show", host, "--backend", "ipset", "--json")
        tables = json.loads(done.stdout)["tables"] if done.returncode == 0 else []
        found = [t["text"].splitlines() for t in tables if t["table"] == name and t["text"]]
        return found[0] if found and members(found[0]) == sorted(expected) else None
    return wait_until("%s of %s to be %s" % (name, host, expected), there, 8)


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
