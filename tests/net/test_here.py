"""`lasthop here`: one command on one machine, nothing to set up."""
import json
import signal
import subprocess
import threading
import time

from fleet import BIN, GONE, wait_until


class Here:
    """A running `lasthop here`, and what it has said."""

    def __init__(self, fleet, host, *argv):
        host.baseline = host.look()
        self.process = subprocess.Popen([str(BIN / "lasthop"), "here", *argv, "--netns", host.netns], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**fleet.environment(), "TMPDIR": str(fleet.dir)})
        self.directories = lambda: list(fleet.dir.glob("lasthop-here-*"))
        self.lines = {"out": [], "err": []}
        self.threads = [threading.Thread(target=self._read, args=(self.process.stdout, self.lines["out"])),
                        threading.Thread(target=self._read, args=(self.process.stderr, self.lines["err"]))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line)

    def out(self):
        return "".join(self.lines["out"])

    def end(self, patience):
        status = self.process.wait(patience)
        for thread in self.threads:
            thread.join()
        return status


def armed(host):
    return lambda: "lasthop" in host.run("nft", "list", "tables").stdout


def test_it_prints_what_happens_with_the_rule(fleet, std):
    std.gw.rules("-A FORWARD -p udp -j ACCEPT", "-A FORWARD -p tcp --dport 443 -j DROP")
    here = Here(fleet, std.gw, "tcp", "10.0.1.2", "10.0.3.2:443", "--for", "30s")
    try:
        wait_until("it traces", armed(std.gw), 8 * GONE)
        time.sleep(0.3)
        std.cl.tcp("10.0.3.2", 443, timeout=0.3)
        # While it still runs:
        wait_until("the packet is shown:\n" + here.out(),
                   lambda: "-A FORWARD -p tcp -m tcp --dport 443 -j DROP" in here.out(), 2 * GONE)
        here.process.send_signal(signal.SIGINT)
        assert here.end(4 * GONE) == 0
    finally:
        if here.process.poll() is None:
            here.process.terminate()
            here.end(10)
    assert "DROPPED" in here.out() and "FORWARD" in here.out()
    fleet.wait_clean(std.gw)
    wait_until("its children are gone", lambda: not fleet.children(), GONE)


def test_it_ends_when_it_was_told(fleet, std):
    started = time.monotonic()
    here = Here(fleet, std.gw, "tcp", "10.0.1.2", "10.0.3.2:443", "--for", "2s", "--json")
    try:
        wait_until("it traces", armed(std.gw), 8 * GONE)
        time.sleep(0.3)
        std.cl.tcp("10.0.3.2", 443, timeout=0.3)
        assert here.end(30 * GONE) == 0
    finally:
        if here.process.poll() is None:
            here.process.terminate()
            here.end(10)
    assert time.monotonic() - started < 20 * GONE
    for line in here.out().splitlines():
        json.loads(line)
    fleet.wait_clean(std.gw)


def test_it_leaves_nothing_when_it_is_killed(fleet, std):
    here = Here(fleet, std.gw, "tcp", "10.0.1.2", "10.0.3.2:443")
    wait_until("it traces", armed(std.gw), 8 * GONE)
    assert len(here.directories()) == 1
    here.process.kill()
    here.end(10)
    wait_until("its directory is gone", lambda: not here.directories(), 2 * GONE)
    fleet.wait_clean(std.gw, patience=2 * GONE)
    wait_until("its children are gone", lambda: not fleet.children(), 2 * GONE)
