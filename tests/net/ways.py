"""
Chains of hosts for tests of paths, and what an answer says about the way of a packet, in a form that can be compared.

Each host of a chain reaches its left neighbour by `west` and its right one by `east`. The link between the hosts i and i+1
is 10.(20+i).0.0/24 and 2001:db8:(20+i)::/64, .1 on its left and .2 on its right. Every host has a route to
every link, so that only what a test plants ends a packet.
"""
from fleet import part, wait_until


def left(i, six=False):
    """Host i on its right link, where it is the left end."""
    return "2001:db8:%d::1" % (20 + i) if six else "10.%d.0.1" % (20 + i)


def right(i, six=False):
    """Host i on its left link, where it is the right end."""
    return "2001:db8:%d::2" % (19 + i) if six else "10.%d.0.2" % (19 + i)


def chain(fleet, *names):
    hosts = [fleet.host(name) for name in names]
    for i in range(len(hosts) - 1):
        fleet.link(hosts[i], "east", [left(i) + "/24", left(i, True) + "/64"],
                   hosts[i + 1], "west", [right(i + 1) + "/24", right(i + 1, True) + "/64"])
    for i, host in enumerate(hosts):
        for net in range(len(hosts) - 1):
            via = (lambda six: right(i + 1, six)) if net > i else (lambda six: left(i - 1, six)) if net < i - 1 else None
            if via:
                host.ip("route add 10.%d.0.0/24 via %s" % (20 + net, via(False)),
                        "route add 2001:db8:%d::/64 via %s" % (20 + net, via(True)))
        if 0 < i < len(hosts) - 1:
            host.forward()
    return hosts


def warm(host, dst):
    """The first second of an IPv6 interface goes by without neighbours."""
    wait_until("IPv6 works", lambda: host.ping(dst, 1).outcome == "answered", 10)


def hosts(answer, direction="original"):
    return [hop["host"] for hop in answer["hops"] if hop["direction"] == direction]


def changes(answer, direction="original"):
    """[(host, kind, from, to)], in the order of the way."""
    return [(hop["host"], n["kind"], n["from"], n["to"]) for hop in answer["hops"] if hop["direction"] == direction
            for n in hop["nat"]]


def told(answer):
    """The answer in short, for a person who reads why a test failed."""
    died = answer["died_at"]
    return {"verdict": answer["verdict"], "direction": answer["direction"], "matched": answer["matched"],
            "reason": answer.get("reason"), "confidence": answer["confidence"],
            "died": died and (died["host"], died["kind"], died["table"], died["chain"], died["rule"], died["reason"],
                              died["candidates"]),
            "out": hosts(answer), "back": hosts(answer, "reply"), "nat": changes(answer),
            "ttl": [(h["ttl_in"], h["ttl_out"]) for h in answer["hops"]],
            "links": [(h["link"], h["link_confidence"]) for h in answer["hops"]],
            "causes": [(c["id"], c["summary"]) for c in answer["causes"]], "losses": answer["losses"]}


def check(answer, **expected):
    """What of the answer the scenario speaks about is as expected."""
    assert part(answer, expected) == expected, told(answer) if "hops" in answer else answer
