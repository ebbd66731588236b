"""Fixtures of the namespace tests; see README.md one folder up."""
import os
import pathlib
import subprocess

import pytest

from fleet import Fleet, Standard


def pytest_sessionstart(session):
    session.netns_before = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()


@pytest.fixture
def fleet(tmp_path):
    f = Fleet(tmp_path)
    yield f
    f.close()


@pytest.fixture
def std(fleet):
    return Standard(fleet)
