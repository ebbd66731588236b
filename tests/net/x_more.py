import x_paths as X
from x_paths import *
def c(fn): cases[fn.__name__] = fn; return fn
cases = {}

@c
def strangers(f):
    """x1 translates nothing, x2 masquerades: neither has an agent."""
    cl, g1, x1, x2, rt, sv = chain(f, "cl", "g1", "x1", "x2", "rt", "sv")
    x2.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    sv.serve("tcp", 80)
    phases(f, "strangers", cl, right(5), 80, [(x1,) + fwd(x1, "-p tcp --dport 80")[1:], fwd(rt, "-p tcp --dport 80"), inp(sv, "-p tcp --dport 80"), fwd(g1, "-p tcp --sport 80")], agents=(cl, g1, rt, sv), lease="-p tcp -d %s --dport 80" % right(5))
@c
def stranger_dnat(f):
    cl, x1, sv = chain(f, "cl", "x1", "sv")
    x1.rules("-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination %s:8080" % right(2), "-t nat -A POSTROUTING -o east -j MASQUERADE")
    sv.serve("tcp", 8080)
    f.start_collector(); f.start_agents(cl, sv)
    f.trace("tcp %s %s:80" % (left(0), right(1))); f.trace("-p tcp -d %s --dport 8080" % right(2))
    met = cl.tcp(right(1), 80, sport=40000)
    show("stranger dnat good", ask(f, "tcp %s:40000 %s:80" % (left(0), right(1))), met)
    sv.rules("-A INPUT -p tcp --dport 8080 -j DROP")
    time.sleep(0.5)
    met = cl.tcp(right(1), 80, sport=40001, timeout=0.3)
    show("stranger dnat fault", ask(f, "tcp %s:40001 %s:80" % (left(0), right(1))), met)
    print(f.screen("tcp %s:40001 %s:80" % (left(0), right(1))).stdout)
@c
def loop(f):
    for six in (False, True):
        with Fleet() as f:
            cl, r1, r2 = chain(f, "cl", "r1", "r2")
            dst = "2001:db8:99::1" if six else "10.99.0.1"
            l = "/64" if six else "/24"
            cl.ip("route add %s%s via %s" % (dst, "", right(1, six)))
            r1.ip("route add %s via %s" % (dst, right(2, six)))
            r2.ip("route add %s via %s" % (dst, left(1, six)))
            r2.forward()
            if six: warm(cl, right(2, True))
            f.start_collector(); f.start_agents()
            src = left(0, six)
            e = ("[%s]:%d" if six else "%s:%d")
            met = cl.udp(dst, 80, sport=40000, src=src, timeout=0.3)
            show("loop untraced", ask(f, "udp %s %s" % (e % (src, 40000), e % (dst, 80))), met)
            f.trace("udp %s %s" % (src, e % (dst, 80)))
            met = cl.udp(dst, 80, sport=40001, src=src, timeout=0.3)
            a = ask(f, "udp %s %s" % (e % (src, 40001), e % (dst, 80)))
            show("loop traced", a, met)
            print(f.screen("udp %s %s" % (e % (src, 40001), e % (dst, 80))).stdout[:3000])
@c
def twice(f):
    """r1 sends what comes from the client to a firewall behind it first, then on: the packet meets r1 twice."""
    cl, r1, sv = chain(f, "cl", "r1", "sv")
    fw = f.host("fw")
    f.link(r1, "fw", "10.50.0.1/24", fw, "eth0", "10.50.0.2/24")
    fw.ip("route add default via 10.50.0.1"); fw.forward()
    r1.ip("route add default via 10.50.0.2 table 100", "rule add iif west lookup 100", )
    r1.sysctl(ipv4__conf__all__send_redirects=0, ); fw.sysctl(ipv4__conf__all__send_redirects=0, ipv4__conf__eth0__send_redirects=0)
    r1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    sv.serve("tcp", 80)
    phases(f, "twice", cl, right(2), 80, [fwd(fw, "-p tcp --dport 80"), fwd(r1, "-i fw -p tcp --dport 80"), inp(sv, "-p tcp --dport 80")])
@c
def asym(f):
    """Requests by r1, replies by r2."""
    cl, r1, sv = chain(f, "cl", "r1", "sv")
    r2 = f.host("r2")
    f.link(cl, "two", "10.60.0.1/24", r2, "west", "10.60.0.2/24")
    f.link(r2, "east", "10.61.0.1/24", sv, "two", "10.61.0.2/24")
    r2.forward(); r2.ip("route add 10.20.0.0/24 via 10.60.0.1", "route add 10.21.0.0/24 via 10.61.0.2")
    sv.ip("route del 10.20.0.0/24 via 10.21.0.1", "route add 10.20.0.0/24 via 10.61.0.1")
    sv.serve("tcp", 80)
    phases(f, "asym", cl, right(2), 80, [fwd(r2, "-p tcp --sport 80"), fwd(r1, "-p tcp --dport 80"), fwd(r2, "-m conntrack --ctstate INVALID")])
@c
def ecmp(f):
    cl, r1, sv = chain(f, "cl", "r1", "sv")
    r2 = f.host("r2")
    br = None
    f.link(cl, "two", "10.60.0.1/24", r2, "west", "10.60.0.2/24")
    f.link(r2, "east", "10.61.0.1/24", sv, "two", "10.61.0.2/24")
    r2.forward(); r2.ip("route add 10.20.0.0/24 via 10.60.0.1", "route add 10.21.0.0/24 via 10.61.0.2")
    cl.sysctl(ipv4__fib_multipath_hash_policy=1)
    cl.ip("route del 10.21.0.0/24 via 10.20.0.2", "route add 10.21.0.0/24 nexthop via 10.20.0.2 nexthop via 10.60.0.2")
    sv.ip("addr add 10.21.0.2/32 dev lo")
    sv.serve("tcp", 80)
    f.start_collector(); f.start_agents(); f.trace("-p tcp -d %s --dport 80" % right(2))
    r2.rules("-A FORWARD -p tcp --dport 80 -j DROP")
    time.sleep(.3)
    for p in range(40000, 40006):
        met = cl.tcp(right(2), 80, sport=p, src=left(0), timeout=0.3)
        show("ecmp", ask(f, "tcp %s:%d %s:80" % (left(0), p, right(2))), met)
@c
def lan_ecmp(f):
    """Two routers in one LAN; the client's policy sends port 81 by the second: same interface, another next hop."""
    cl, r1, sv = (f.host(n) for n in ("cl", "r1", "sv"))
    r2, sw = f.host("r2"), f.host("sw")
    sw.ip("link add br0 type bridge", "link set br0 up")
    for i, h in enumerate((cl, r1, r2)):
        f.link(h, "eth0", "10.70.0.%d/24" % (i + 1), sw, "p%d" % i, [])
        sw.ip("link set p%d master br0" % i)
    f.link(r1, "east", "10.71.1.1/24", sv, "one", "10.71.1.2/24")
    f.link(r2, "east", "10.71.2.1/24", sv, "two", "10.71.2.2/24")
    sv.ip("addr add 10.72.0.1/32 dev lo", "route add 10.70.0.0/24 via 10.71.1.1")
    for h, via in ((r1, "10.71.1.2"), (r2, "10.71.2.2")):
        h.forward(); h.ip("route add 10.72.0.1 via " + via)
    cl.ip("route add 10.72.0.1 via 10.70.0.2", "route add default via 10.70.0.3 table 100", "rule add dport 81 ipproto tcp lookup 100")
    sv.serve("tcp", 80); sv.serve("tcp", 81)
    f.start_collector(); f.start_agents(cl, r1, r2, sv); f.trace("-p tcp -d 10.72.0.1")
    met = cl.tcp("10.72.0.1", 80, sport=40000, timeout=0.3); show("80 by r1", ask(f, "tcp 10.70.0.1:40000 10.72.0.1:80"), met)
    met = cl.tcp("10.72.0.1", 81, sport=40000, timeout=0.3); show("81 by r2", ask(f, "tcp 10.70.0.1:40000 10.72.0.1:81"), met)
    r2.ip("link set eth0 down")
    cl.ip("neigh replace 10.70.0.3 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    met = cl.tcp("10.72.0.1", 81, sport=40001, timeout=0.3); time.sleep(3); show("81 by r2 dead", ask(f, "tcp 10.70.0.1:40001 10.72.0.1:81"), met)
@c
def sites(f):
    """Two clients with the same address and port at two sites, at the same time; one is dropped at the server."""
    cl, g1, rt, sv = chain(f, "cl", "g1", "rt", "sv")
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    c9, g9 = f.host("c9"), f.host("g9")
    f.link(c9, "east", "10.20.0.1/24", g9, "west", "10.20.0.2/24")
    f.link(g9, "east", "10.90.0.1/24", rt, "nine", "10.90.0.2/24")
    c9.ip("route add default via 10.20.0.2"); g9.ip("route add default via 10.90.0.2"); g9.forward(); sv.ip("route add 10.90.0.0/24 via 10.22.0.1")
    g9.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    sv.rules("-A INPUT -s 10.21.0.1 -j DROP")
    sv.serve("tcp", 80); sv.serve("udp", 53)
    f.start_collector(); f.start_agents()
    m1 = cl.tcp(right(3), 80, sport=40000, timeout=0.3); m2 = c9.tcp(right(3), 80, sport=40000, timeout=0.3)
    show("sites untraced", ask(f, "tcp 10.20.0.1:40000 %s:80" % right(3)))
    f.trace("-p tcp -d %s" % right(3)); f.trace("-p udp -d %s" % right(3))
    m1 = cl.tcp(right(3), 80, sport=40001, timeout=0.3); m2 = c9.tcp(right(3), 80, sport=40001, timeout=0.3)
    print(m1.outcome, m2.outcome)
    show("sites tcp", ask(f, "tcp 10.20.0.1:40001 %s:80" % right(3)))
    show("sites tcp", ask(f, "tcp 10.21.0.1:40001 %s:80" % right(3)))
    show("sites tcp", ask(f, "tcp 10.90.0.1:40001 %s:80" % right(3)))
    m1 = cl.udp(right(3), 53, sport=40001, timeout=0.3); m2 = c9.udp(right(3), 53, sport=40001, timeout=0.3)
    print(m1.outcome, m2.outcome)
    show("sites udp", ask(f, "udp 10.20.0.1:40001 %s:53" % right(3)))
    show("sites udp", ask(f, "udp 10.90.0.1:40001 %s:53" % right(3)))
@c
def exhausted(f):
    cl, g1, sv = chain(f, "cl", "g1", "sv")
    g1.rules("-t nat -A POSTROUTING -o east -p tcp -j SNAT --to-source 10.21.0.1:5000-5000")
    sv.serve("tcp", 80)
    f.start_collector(); f.start_agents()
    import socket
    with traffic._bound(cl.path, socket.SOCK_STREAM, right(2), left(0), 40000) as s:
        s.connect((right(2), 80))
        m = cl.tcp(right(2), 80, sport=40001, timeout=0.3)
        show("exhausted untraced", ask(f, "tcp %s:40001 %s:80" % (left(0), right(2))), m)
        f.trace("-p tcp -d %s" % right(2))
        m = cl.tcp(right(2), 80, sport=40002, timeout=0.3)
        show("exhausted traced", ask(f, "tcp %s:40002 %s:80" % (left(0), right(2))), m)
@c
def hairpin(f):
    """Two clients behind their own gateways behind one CGN: c1 asks c2 by the CGN's address."""
    cl, g1, cgn = chain(f, "cl", "g1", "cgn")
    g2, c2 = f.host("g2"), f.host("c2")
    f.link(cgn, "two", "10.30.0.1/24", g2, "west", "10.30.0.2/24")
    f.link(g2, "east", "10.20.0.2/24", c2, "eth0", "10.20.0.1/24")
    g2.forward(); c2.ip("route add default via 10.20.0.2"); g2.ip("route add default via 10.30.0.1"); cgn.forward()
    cgn.ip("addr add 203.0.113.1/32 dev lo")
    for i, h in enumerate((cl, g1)): h.ip("route add default via " + right(i + 1))
    g1.rules("-t nat -A POSTROUTING -o east -j MASQUERADE")
    g2.rules("-t nat -A POSTROUTING -o west -j MASQUERADE", "-t nat -A PREROUTING -i west -p tcp --dport 9000 -j DNAT --to-destination 10.20.0.1:80")
    cgn.rules("-t nat -A PREROUTING -d 203.0.113.1 -p tcp --dport 9000 -j DNAT --to-destination 10.30.0.2", "-t nat -A POSTROUTING -s 10.21.0.0/24 -j SNAT --to-source 203.0.113.1")
    c2.serve("tcp", 80)
    phases(f, "hairpin", cl, "203.0.113.1", 9000, [fwd(cgn, "-p tcp --dport 9000"), fwd(g2, "-p tcp --dport 80"), inp(c2, "-p tcp")])
