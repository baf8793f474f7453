"""A read set in a forked child: it goes on by itself, and holds nothing by its parent's pins."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ndsharray import NdShArray, ReadSet

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def test_a_frame_that_the_parent_held_is_looked_at_anew(name: str, transport: str) -> None:
    """The parent takes the frame and lets it go, and the writer overwrites it."""
    names = {"left": f"{name} left", "imu": f"{name} imu"}
    left = NdShArray(names["left"], r_w="w", transport=transport)
    imu = NdShArray(names["imu"], r_w="w", transport=transport, slots=64)

    def write(time: int) -> None:
        left.write(np.full(5000, time), time_ns=time * 10**9)

    with ReadSet(names, tolerance=0.001, pivot="left", transport=transport) as readers:
        write(1)
        assert readers.read() is None
        to_child, from_parent = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.read(to_child, 1)
                sets = list(iter(readers.read, None))
                assert all((s.left * 10**9 == s.times_ns["left"]).all() for s in sets)
                assert [int(s.left[0]) for s in sets] == [10]
                code = 0
            finally:
                os._exit(code)
        for time in (1, 10):
            imu.write(np.zeros(6), time_ns=time * 10**9)
        found = readers.read()
        assert found is not None
        assert found.left[0] == 1
        for time in range(2, 11):
            write(time)
        os.write(from_parent, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(to_child)
        os.close(from_parent)
    left.close()
    imu.close()
