"""Rules of the administrator that log: their lines are steps of the packet's way, and cannot pass for traces."""
import pytest

FLOW = "udp 10.0.1.2 10.0.3.2:4300"
TRACE = "TRACE: filter:INPUT:rule:2 "
GUILTLESS = "-A INPUT -p udp --dport 4301 -j DROP"


NATIVE = 'table inet own { chain in { type filter hook input priority 10; udp dport 4300 log prefix "%s" group 0; }; }'


@pytest.mark.parametrize("native", [False, True])
def test_a_prefix_that_reads_like_a_trace_accuses_no_rule(fleet, std, native):
    log = "" if native else '-j NFLOG --nflog-group 0 --nflog-prefix "%s"' % TRACE
    std.sv.rules_restore("*filter\n-A INPUT -p udp --dport 4300 %s\n%s\nCOMMIT\n" % (log, GUILTLESS))
    if native:
        std.sv.nft(NATIVE % TRACE)
    fleet.start_collector()
    fleet.start_agents(std.gw, std.sv)
    fleet.trace(FLOW)
    std.cl.udp("10.0.3.2", 4300, timeout=0.3)
    fleet.settle()
    answer = fleet.where(FLOW, status=(0, 3))
    assert answer["verdict"] == "refused" and not answer["died_at"]["rule"], answer     # nobody listens there
    steps = [s for hop in answer["hops"] if hop["host"] == "sv" for s in hop["steps"]]
    assert [s["prefix"] for s in steps if s["kind"] == "log"] == [TRACE], steps
    assert {s["rule"] for s in steps if s["chain"] == "INPUT" and s["kind"] == "rule"} <= {1}, steps
