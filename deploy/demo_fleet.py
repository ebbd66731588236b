"""
The fleet and the stories of deploy/demo. It is the fleet of the namespace tests (tests/net/fleet.py); each story
gets a fresh one, so that nothing that an earlier one left explains a later answer.
"""
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "net"))

from fleet import BIN, Fleet, Standard, Trouble, part  # noqa: E402

MAP = """
    cl ──────────── gw ───────────── rt ─────────── sv
    client          NAT gateway      router         server
    10.0.1.2        198.18.0.1       203.0.113.10   10.0.3.2
                    MASQUERADE       443 → sv:8443
"""

MET = {
    "answered": "got an answer",
    "silent": "waited in vain",
    "refused": "was refused",
    "unreachable": "was told that it cannot be reached",
    "reset": "was cut off",
}


def broken_server(std):
    std.sv.rules("-A INPUT -p tcp --dport 443 -j DROP", "-A INPUT -p tcp --dport 443 -j ACCEPT")
    std.sv.serve("tcp", 443)


def broken_router(std):
    std.rt.rules("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                 "-A FORWARD -p tcp --dport 443 -j ACCEPT", "-P FORWARD DROP")
    std.sv.serve("tcp", 8443)


def broken_gateway(std):
    std.gw.rules("-A FORWARD -i lan -j ACCEPT", "-A FORWARD -i wan -j DROP")
    std.sv.serve("tcp", 8443)


def nothing_broken(std):
    std.gw.rules("-A FORWARD -i lan -j ACCEPT",
                 "-A FORWARD -i wan -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-P FORWARD DROP")
    std.sv.rules("-A INPUT -p tcp --dport 8443 -j ACCEPT", "-P INPUT DROP")
    std.sv.serve("tcp", 8443)


# What is said, what is set up, who is asked, and what the answer must be: a demo that is wrong says so.
STORIES = [
    ("The server drops what it meant to accept",
     "On sv somebody appended an ACCEPT for port 443, below a DROP that was there already.",
     broken_server, "10.0.3.2",
     {"verdict": "dropped", "direction": "original", "died_at": {"host": "sv", "chain": "INPUT", "rule": 1}}),
    ("The router accepts the port that nobody has any more",
     "rt publishes 203.0.113.10:443 as 10.0.3.2:8443. Its FORWARD chain accepts port 443; but when a packet comes there, "
     "the translation is done already, and the port is 8443. The policy is DROP.",
     broken_router, "203.0.113.10",
     {"verdict": "dropped", "direction": "original", "died_at": {"host": "rt", "chain": "FORWARD", "kind": "policy"}}),
    ("The way there is fine, the way back is not",
     "The server answers; gw drops everything that comes in from outside, answers too.",
     broken_gateway, "203.0.113.10",
     {"verdict": "dropped", "direction": "reply", "died_at": {"host": "gw", "chain": "FORWARD", "rule": 2}}),
    ("All is well",
     "The rules are right. The answer shows both translations, hop by hop.",
     nothing_broken, "203.0.113.10",
     {"verdict": "delivered", "died_at": None, "reply_seen": True}),
]


def say(text="", width=96):
    print("\n".join(textwrap.wrap(text, width)) if text else "", flush=True)


def title(text):
    print("\n%s\n%s" % (text, "─" * len(text)), flush=True)


def ask(fleet, flow):
    """lasthop itself writes on this terminal."""
    env = fleet.environment()
    if "NO_COLOR" not in os.environ:
        del env["NO_COLOR"]
    fleet.settle()
    print("$ lasthop where %s" % flow, flush=True)
    subprocess.run([str(BIN / "lasthop"), "where", *flow.split()], env=env, check=False)


def story(fleet, number, name, what, broken, address, expected):
    title("%s. %s" % ("abcd"[number], name))
    say(what)
    std = Standard(fleet)
    std.publish(443, "10.0.3.2:8443")
    broken(std)
    fleet.start_collector()
    fleet.start_agents()
    flow = "tcp 10.0.1.2 %s:443" % address
    say()
    say("$ lasthop trace start %s --for 60s" % flow)
    fleet.trace(flow)
    met = std.cl.tcp(address, 443, timeout=1.2)
    say("(cl connects to %s:443 and %s)" % (address, MET[met.outcome]))
    ask(fleet, flow)
    answer = fleet.where(flow)
    if part(answer, expected) != expected:
        raise Trouble("that is not what happened; it should say %s" % expected)


def keep(fleet):
    """Leaves this fleet up; another terminal gets in by nsenter."""
    rc = fleet.dir / "shellrc"
    names = {name: host.netns for name, host in fleet.hosts.items()}
    rc.write_text('PS1="demo# "\nexport PATH=%s:$PATH LASTHOP_COLLECTOR=http://127.0.0.1:%d\n' % (BIN, fleet.http)
                  + "".join("%s() { nsenter --net=/run/netns/%s -- \"$@\"; }\n" % pair for pair in names.items()))
    user = "" if open("/proc/self/uid_map").read().split()[2] == "4294967295" else "-U --preserve-credentials "
    title("The fleet stays up until Ctrl-C")
    say("In another terminal:")
    print("  nsenter -t %d %s-m -n bash --rcfile %s" % (os.getpid(), user, rc))
    say("There, cl, gw, rt and sv run a command on that host:")
    for line in ("lasthop hosts", "lasthop rules show gw", "lasthop trace start -p tcp -s 10.0.1.2 --dport 443 --for 5m",
                 "cl bash -c 'echo >/dev/tcp/203.0.113.10/443'", "lasthop where tcp 10.0.1.2 203.0.113.10:443",
                 "lasthop path tcp 10.0.1.2 203.0.113.10:443", "gw iptables-legacy -I FORWARD 1 -p tcp -j DROP"):
        print("  " + line)
    sys.stdout.flush()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def main():
    kept = sys.argv[1:] == ["--keep"]
    say("A fleet of four hosts, each a network namespace with an agent of its own:")
    print(MAP, end="")
    for number, (name, what, broken, address, expected) in enumerate(STORIES):
        with Fleet() as fleet:
            story(fleet, number, name, what, broken, address, expected)
            if kept and number == len(STORIES) - 1:
                keep(fleet)
    say()
    say("The fleet is gone: its namespaces, rules, agents and collector.")


if __name__ == "__main__":
    try:
        main()
    except Trouble as e:
        sys.exit("demo: %s" % e)
    except KeyboardInterrupt:
        sys.exit("demo: stopped; the fleet is removed")
