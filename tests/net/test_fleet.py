"""The harness itself: a check that cannot fail proves nothing, so each of its looks is shown what it looks for."""
import subprocess

import pytest

from fleet import Trouble, part


def dirty(fleet, host, make):
    host.baseline = host.look()
    fleet.check_clean(host)
    make()
    with pytest.raises(Trouble):
        fleet.check_clean(host)


def test_it_sees_a_table_that_was_left(fleet):
    host = fleet.host("h")
    dirty(fleet, host, lambda: host.run("nft", "add", "table", "inet", "lasthop"))
    host.run("nft", "delete", "table", "inet", "lasthop")


def test_it_sees_a_legacy_rule_that_was_left(fleet):
    host = fleet.host("h")
    host.rules("-A INPUT -p tcp -j ACCEPT")
    dirty(fleet, host, lambda: host.run("iptables-legacy", "-A", "INPUT", "-p", "udp", "-j", "ACCEPT"))
    host.run("iptables-legacy", "-D", "INPUT", "2")


def test_it_sees_a_legacy_table_that_was_loaded(fleet):
    host = fleet.host("h")
    dirty(fleet, host, lambda: host.run("iptables-legacy", "-t", "raw", "-nL"))
    host.baseline = None


def test_it_sees_a_logger_that_was_left(fleet):
    host = fleet.host("h")
    dirty(fleet, host, lambda: host.run("sh", "-c", "echo NONE >/proc/sys/net/netfilter/nf_log/2"))
    host.run("sh", "-c", "echo nf_log_ipv4 >/proc/sys/net/netfilter/nf_log/2")


def test_it_sees_a_process_that_was_left(fleet):
    host = fleet.host("h")
    children = []
    dirty(fleet, host, lambda: children.append(subprocess.Popen(["nsenter", "--net=" + host.path, "--", "sleep", "60"],
                                                                env=fleet.environment(), start_new_session=True))
          or wait_for_child(fleet))
    assert len(fleet.children()) == 1
    children[0].kill()
    children[0].wait()


def wait_for_child(fleet):
    for _ in range(200):
        if any("sleep 60" in line and "nsenter" not in line for _, line in fleet.children()):
            return
        subprocess.run(["sleep", "0.01"], check=True)
    raise AssertionError("sleep did not start")


def test_it_sees_a_program_that_fails(fleet):
    program = fleet.start("failing", ["/bin/sh", "-c", "exit 3"])
    assert program.wait(10) == 3
    troubles = []
    fleet._stop_programs(troubles)
    assert troubles == ["failing ended before its time, status 3"]
    fleet.expected_deaths.add(program.pid)


def test_it_sees_a_sanitizer_that_complained(fleet):
    program = fleet.start("hurt", ["/bin/sh", "-c", "echo '==1==ERROR: AddressSanitizer: heap-use-after-free' >&2"])
    assert program.wait(10) == 0
    troubles = []
    fleet._stop_programs(troubles)
    assert troubles == ["hurt reported an error of its own"]
    program.log.write_text("")


def test_parts_of_answers_differ_where_they_must():
    answer = {"verdict": "dropped", "died_at": {"host": "sv", "rule": 1}, "hops": [1, 2]}
    for wrong in ({"verdict": "delivered"}, {"died_at": None}, {"died_at": {"rule": 2}}, {"no such key": None}, {"hops": [1]}):
        assert part(answer, wrong) != wrong
    right = {"died_at": {"host": "sv"}}
    assert part(answer, right) == right
