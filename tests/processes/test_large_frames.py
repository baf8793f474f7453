"""A frame of more than 2 GiB."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ndsharray import NdShArray


@pytest.mark.alternately
def test_more_than_2_gib(name: str, transport: str) -> None:
    size = 2**31 + 2**20
    if free_bytes(Path("/dev/shm")) < 3 * size or available_memory() < 6 * size:
        pytest.skip("needs 13 GB")
    array = np.zeros(size, np.uint8)
    array[-1] = array[2**31] = 7
    with NdShArray(name, array, "w", transport=transport, slots=2) as writer:
        with NdShArray(name, r_w="r", transport=transport) as reader:
            valid, found = reader.read()
            assert valid
            assert found.shape == (size,)
            assert found[-1] == found[2**31] == 7
            assert writer.is_valid


def free_bytes(path: Path) -> int:
    if not path.is_dir():
        return 0
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def available_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
