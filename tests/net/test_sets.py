"""Sets that rules name."""
from fleet import part

FLOW = "tcp 10.0.1.2 10.0.3.2:443"


def test_elements_that_packets_add_are_no_change_of_the_rules(fleet, std):
    """No notice tells of them; the next read of the tables, for another one's sake, must not take them for a change."""
    std.gw.nft("""table ip guard {
        set seen { type ipv4_addr; size 1000; flags dynamic,timeout; timeout 1m; }
        set friends { type ipv4_addr; elements = { 10.9.9.9 } }
        chain guard { type filter hook forward priority 0;
            ip saddr @friends accept
            add @seen { ip saddr }
            tcp dport 443 drop
        }
    }""")
    fleet.start_collector()
    fleet.start_agents()
    fleet.trace(FLOW)
    std.cl.tcp("10.0.3.2", 443)
    first = fleet.where(FLOW)["died_at"]
    assert part(first, {"backend": 0, "chain": 0, "rule": 0, "since": 0, "changed_by": 0}) == {
        "backend": "native", "chain": "guard", "rule": 3, "since": None, "changed_by": None}
    assert "10.0.1.2" in std.gw.run("nft", "list", "set", "ip", "guard", "seen").stdout
    std.gw.nft("add table ip other")
    std.cl.tcp("10.0.3.2", 443)
    again = fleet.where(FLOW)["died_at"]
    assert again == first
    shown = fleet.lasthop("rules", "show", "gw").stdout
    assert "table ip other" in shown and "10.9.9.9" in shown and "10.0.1.2" not in shown
    std.gw.nft("add element ip guard friends { 10.9.9.8 }")
    std.cl.tcp("10.0.3.2", 443)
    assert fleet.where(FLOW)["died_at"]["content"] != first["content"]
    std.gw.nft("flush set ip guard seen")      # the fleet looks whether all is as it was
