"""What the benchmarks share: optimised programs, a place of their own to run in, CPU time, medians."""
import os
import pathlib
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = TREE / "build" / "bench"
INSIDE = "LASTHOP_BENCH_INSIDE"


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(where, *targets):
    """Builds these programs; their paths by name. $LASTHOP_BENCH_BIN: they are there already."""
    ready = os.environ.get("LASTHOP_BENCH_BIN")
    if ready:
        return {name: pathlib.Path(ready) / name for name in targets}
    if not (where / "build.ninja").exists():
        subprocess.run(["cmake", "-G", "Ninja", "-S", TREE, "-B", where], check=True, stdout=sys.stderr)
    subprocess.run(["ninja", "-C", where, *targets], check=True, stdout=sys.stderr)
    return {name: where / "bin" / name for name in targets}


def in_namespaces():
    """Starts this program again in mount and network namespaces of its own, unless it is there."""
    if os.environ.get(INSIDE):
        return
    os.environ[INSIDE] = "1"
    os.execv(TREE / "deploy" / "in-namespaces", [str(TREE / "deploy" / "in-namespaces"), sys.executable, *sys.argv])


def fleet_of(programs):
    """The module tests/net/fleet.py, for these programs."""
    os.environ["LASTHOP_BIN"] = str(next(iter(programs.values())).parent)
    sys.path.insert(0, str(TREE / "tests" / "net"))
    import fleet
    return fleet


def cpu_of(pid):
    """CPU seconds that a process and the threads in it have taken, by the scheduler's own count."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9
