"""
How many of the links between journeys are right: real packets through four NATs, against captures on every link. With more of
them, for the numbers in ../README.md: LASTHOP_REPLAY=10000 and pytest -s.
"""
import os

import replay


def test_links_of_a_replay(fleet):
    _, whole, less = replay.run(fleet, 1, int(os.environ.get("LASTHOP_REPLAY", "2000")), 12)
    for numbers in (whole, less):
        assert numbers.precision >= 0.999, replay.shown(numbers)
        assert numbers.recall >= 0.9    # what is in doubt grows with the machine's own delays
