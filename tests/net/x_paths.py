import sys, json, pprint, time, traceback
from fleet import *
from ways import *
import traffic

def ask(f, flow):
    f.settle()
    a = json.loads(f.lasthop("where", *flow.split(), "--json").stdout)
    return a

def show(name, a, met=None):
    t = told(a)
    d = t["died"]
    print("=====", name, met and met.outcome)
    print("   ", t["verdict"], t["direction"], t["confidence"], "m=%s" % t["matched"], "DIED", d and d[:6], len(d[6]) if d else "", "reason:", t["reason"] if t["verdict"] in ("unknown",) else "")
    print("   ", t["out"], "|", t["back"], "FLOW", a["flow"]["src"], a["flow"]["sport"], a["flow"]["dst"], a["flow"]["dport"])
    print("    nat", t["nat"])
    print("    ttl", t["ttl"], [l[0] and l[1] for l in t["links"]], [c for c in t["causes"]], t["losses"] or "", a.get("others") and [(o["verdict"], o["flow"]["src"], o["flow"]["sport"]) for o in a["others"]], a["unwatched"])
    for h in a["hops"]:
        if h.get("stranger"): print("      stranger before", h["host"], h["stranger"])
    if a.get("loop"): print("      loop", a["loop"])

def nat(f, *words):
    f.settle()
    a = json.loads(f.lasthop("nat", *words, "--json").stdout)
    return [([(h["host"], [(n["kind"], n["from"], n["to"]) for n in h["nat"]]) for h in fl["hops"]], fl["ambiguous"], fl["seen"], fl["becomes"]) for fl in a["flows"]]

def phases(f, name, cl, dst, port, faults, agents=(), kind="tcp", lease=None, good=True, six=False, src=None):
    f.start_collector(); f.start_agents(*agents)
    def end(a, p): return ("[%s]:%d" if ":" in a else "%s:%d") % (a, p)
    src = src or cl_addr(cl, six)
    def flow(sport): return "%s %s %s" % (kind, end(src, sport), end(dst, port))
    go = lambda sport, **m: getattr(cl, kind)(dst, port, sport=sport, src=src, **m)
    if good:
        met = go(40000, timeout=0.6)
        print("##", name, "untraced good", met.outcome)
        a = ask(f, flow(40000)); show(name+" untraced good", a)
        pprint.pprint(nat(f, *flow(40000).split()), width=150)
    n = 40001
    for host, rule, unrule in faults:
        host.rules(rule, version=6 if six else 4)
        met = go(n, timeout=0.3)
        show(name+" untraced fault %s %s"%(host.name, rule), ask(f, flow(n)), met)
        host.rules(unrule, version=6 if six else 4); n += 1
    f.trace(lease or ("%s %s %s" % (kind, src, end(dst, port))))
    if good:
        met = go(n, timeout=0.6)
        show(name+" traced good", ask(f, flow(n)), met); n += 1
    for host, rule, unrule in faults:
        host.rules(rule, version=6 if six else 4)
        met = go(n, timeout=0.3)
        show(name+" traced fault %s %s"%(host.name, rule), ask(f, flow(n)), met)
        host.rules(unrule, version=6 if six else 4); n += 1

def cl_addr(cl, six): return left(0, six)

def fwd(host, cond, table="filter"):
    return (host, "-t %s -I FORWARD %s -j DROP" % (table, cond), "-t %s -D FORWARD %s -j DROP" % (table, cond))
def inp(host, cond):
    return (host, "-I INPUT %s -j DROP" % cond, "-D INPUT %s -j DROP" % cond)

def cgnat(f):
    cl, g1, cgn, rt, sv = chain(f, "cl", "g1", "cgn", "rt", "sv")
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    cgn.rules("-t nat -A POSTROUTING -o east -p tcp -j SNAT --to-source 10.22.0.1:5000-5999")
    rt.ip("addr add 203.0.113.10/32 dev lo")
    for h in (cl, g1, cgn): h.ip("route add 203.0.113.10/32 via " + right(1 + [cl,g1,cgn].index(h)))
    rt.rules("-t nat -A PREROUTING -d 203.0.113.10/32 -p tcp --dport 80 -j DNAT --to-destination %s:8080" % right(4))
    sv.serve("tcp", 8080)
    phases(f, "cgnat", cl, "203.0.113.10", 80, [fwd(g1, "-p tcp --dport 80"), fwd(cgn, "-p tcp --dport 80"), fwd(rt, "-p tcp --dport 8080"), inp(sv, "-p tcp --dport 8080"), fwd(cgn, "-p tcp --sport 80 -i east")])

def nftnat(f):
    cl, g1, rt, sv = chain(f, "cl", "g1", "rt", "sv")
    g1.nft("table ip mine { chain post { type nat hook postrouting priority 100; oifname east masquerade; };  }")
    rt.nft("table ip mine { chain pre { type nat hook prerouting priority -100; tcp dport { 80, 81 } dnat to %s:8080; };  }" % right(3))
    sv.serve("tcp", 8080)
    phases(f, "nftnat", cl, right(2), 80, [fwd(rt, "-p tcp --dport 8080"), inp(sv, "-p tcp --dport 8080")])

def netmap(f):
    cl, g1, rt, sv = chain(f, "cl", "g1", "rt", "sv")
    g1.rules("-t nat -A POSTROUTING -o east -s 10.20.0.0/24 -j NETMAP --to 10.99.1.0/24")
    rt.ip("route add 10.99.1.0/24 via " + left(1)); sv.ip("route add 10.99.1.0/24 via " + left(2))
    rt.rules("-t nat -A PREROUTING -d 10.98.0.0/24 -j NETMAP --to 10.22.0.0/24")
    for i, h in enumerate((cl, g1)): h.ip("route add 10.98.0.0/24 via " + right(i + 1))
    sv.serve("tcp", 80)
    phases(f, "netmap", cl, "10.98.0.2", 80, [fwd(g1, "-p tcp --dport 80"), fwd(rt, "-p tcp --dport 80"), inp(sv, "-s 10.99.1.0/24")])

def nat66(f):
    cl, g1, rt, sv = chain(f, "cl", "g1", "rt", "sv")
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE", version=6)
    rt.rules("-t nat -A PREROUTING -d 2001:db8:99::10 -p tcp --dport 80 -j DNAT --to-destination [%s]:8080" % right(3, True), version=6)
    for i, h in enumerate((cl, g1)): h.ip("route add 2001:db8:99::/64 via " + right(i + 1, True))
    sv.serve("tcp", 8080)
    warm(cl, right(3, True))
    phases(f, "nat66", cl, "2001:db8:99::10", 80, [fwd(g1, "-p tcp --dport 80"), fwd(rt, "-p tcp --dport 8080"), inp(sv, "-p tcp --dport 8080")], six=True)

def ownnat(f):
    cl, rt, sv = chain(f, "cl", "rt", "sv")
    cl.ip("addr add 10.20.0.77/24 dev east")
    cl.rules("-t nat -A OUTPUT -p tcp -d 192.0.2.1 --dport 80 -j DNAT --to-destination %s:8080" % right(2), "-t nat -A POSTROUTING -p tcp -j SNAT --to-source 10.20.0.77")
    cl.ip("route add 192.0.2.1 via " + right(1))
    sv.rules("-t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 9090", "-t nat -A INPUT -p tcp --dport 9090 -j SNAT --to-source 10.21.0.9")
    sv.serve("tcp", 9090)
    phases(f, "ownnat", cl, "192.0.2.1", 80, [fwd(rt, "-p tcp --dport 8080"), inp(sv, "-p tcp --dport 9090"), (cl, "-I OUTPUT -p tcp --dport 8080 -j DROP", "-D OUTPUT -p tcp --dport 8080 -j DROP")])

def fullcone(f):
    cl, rt, g1, sv = chain(f, "cl", "rt", "g1", "sv")
    # sv is behind g1; cl is outside
    g1.rules("-t nat -A POSTROUTING -o west -p udp -s 10.22.0.2 -j SNAT --to-source 10.21.0.2", "-t nat -A PREROUTING -i west -p udp -d 10.21.0.2 --dport 5000:5010 -j DNAT --to-destination 10.22.0.2")
    sv.serve("udp", 5003)
    phases(f, "fullcone", cl, "10.21.0.2", 5003, [fwd(rt, "-p udp"), fwd(g1, "-p udp -d 10.22.0.2"), inp(sv, "-p udp")], kind="udp")

cases = dict(cgnat=cgnat, nftnat=nftnat, netmap=netmap, nat66=nat66, ownnat=ownnat, fullcone=fullcone)
if __name__ == "__main__":
    import x_more
    cases.update(x_more.cases)
    for n in sys.argv[1:] or cases:
        with Fleet() as f:
            try:
                cases[n](f)
            except Exception:
                traceback.print_exc(file=sys.stdout)
