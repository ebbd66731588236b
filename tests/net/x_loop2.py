import sys
from x_paths import *
six = len(sys.argv) > 1
with Fleet() as f:
    cl, r1, r2 = chain(f, "cl", "r1", "r2")
    dst = "2001:db8:99::1" if six else "10.99.0.1"
    cl.ip("route add %s via %s" % (dst, right(1, six)))
    r1.ip("route add %s via %s" % (dst, right(2, six)))
    r2.ip("route add %s via %s" % (dst, left(1, six)))
    r2.forward()
    if six: warm(cl, right(2, True))
    f.start_collector(); f.start_agents()
    e = ("[%s]:%d" if six else "%s:%d"); src = left(0, six)
    met = cl.udp(dst, 80, sport=40000, src=src, timeout=0.3)
    f.settle()
    f.trace("udp %s %s" % (src, e % (dst, 80)))
    met = cl.udp(dst, 80, sport=40001, src=src, timeout=0.3)
    f.settle()
    a = json.loads(f.lasthop("path", "udp", e % (src, 40001), e % (dst, 80), "--json").stdout)
    for j in a.get("journeys", a if isinstance(a, list) else []): print(j["host"], j["in"], j["out"], j["ttl_in"], j["ttl_out"], j["at"][-12:], j["packet"], j["link"], j["tuple_in"]["sport"], [s["checkpoint"] or s["reason"] for s in j["steps"]])
    print(json.dumps(f.host_list())[:3000] if 0 else "")
