"""Fixtures of the namespace tests; see README.md one folder up."""
import os

import pytest

from fleet import BIN, SLOW, Fleet, Standard

pytest.register_assert_rewrite("ways")    # so that check() shows what differs


def pytest_sessionstart(session):
    if not os.access(BIN / "lasthop-agent", os.X_OK):
        pytest.exit("no programs in %s: build first, or set LASTHOP_BIN" % BIN, 2)


def pytest_configure(config):
    config.addinivalue_line("markers", "timing: measures; means nothing in a build with sanitizers")
    config.addinivalue_line("markers", "bpf: needs the initial user namespace, where BPF programs may be loaded")
    config.addinivalue_line("markers", "audit: needs the initial user namespace, where the audit log may be read")


def pytest_collection_modifyitems(config, items):
    with open("/proc/self/uid_map", encoding="ascii") as f:
        initial = f.read().split() == ["0", "0", "4294967295"]
    out = [item for item in items if (SLOW > 1 and item.get_closest_marker("timing")) or
           (not initial and (item.get_closest_marker("bpf") or item.get_closest_marker("audit")))]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


@pytest.fixture
def fleet(tmp_path):
    f = Fleet(tmp_path)
    yield f
    f.close()


@pytest.fixture
def std(fleet):
    return Standard(fleet)
