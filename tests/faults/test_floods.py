"""A writer that floods, readers that check every frame whole."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lookers import run_lookers

from ndsharray import NdShArray

SHAPE = (720, 1280, 3)

FLOOD = """
import sys, threading
import numpy as np
from ndsharray import NdShArray

name, transport, slots = sys.argv[1:4]
writer = NdShArray(name, r_w="w", transport=transport, slots=int(slots))
frames = [np.full((720, 1280, 3), value, np.uint8) for value in range(16)]
go = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), go.set()), daemon=True).start()
count = 0
while not go.is_set():
    writer.write(frames[count % 16])
    count += 1
    if count == 1:
        print("writing", flush=True)
writer.close()
print(count, flush=True)
"""


def flood(name: str, transport: str, slots: int) -> Any:
    command = [sys.executable, "-W", "error", "-c", FLOOD, name, transport, str(slots)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    return child


def check_for(reader: NdShArray, seconds: float) -> tuple[int, int]:
    """Read for so long; return how many frames were valid, and how many were mixed."""
    valid_frames = mixed = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        valid, frame = reader.read()
        if valid:
            assert frame.shape == SHAPE
            valid_frames += 1
            mixed += not (frame == frame[0, 0, 0]).all()
    return valid_frames, mixed


@pytest.mark.parametrize("slots", [2, 3])
def test_no_frame_is_mixed_while_a_writer_floods_720p(
    name: str, transport: str, slots: int
) -> None:
    child = flood(name, transport, slots)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        valid, mixed = check_for(reader, 5 if slots == 3 else 1.5)
    out, errors = child.communicate("stop\n", timeout=30)
    print(f"{valid} valid of {out.strip()} written")
    assert errors == ""
    assert mixed == 0
    assert valid >= (100 if slots == 3 else 10)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_no_frame_is_mixed_in_two_minutes_of_flood(name: str, transport: str) -> None:
    child = flood(name, transport, 3)
    with NdShArray(name, r_w="r", transport=transport) as reader:
        valid, mixed = check_for(reader, 120)
    _, errors = child.communicate("stop\n", timeout=30)
    assert (mixed, errors) == (0, "")
    assert valid > 2000


TINY = """
import sys
import numpy as np
from ndsharray import NdShArray

writer = NdShArray(sys.argv[1], r_w="w", transport=sys.argv[2])
frame = np.zeros(8)
writer.write(frame)
print("writing", flush=True)
while True:
    writer.write(frame)
"""


@pytest.fixture
def tiny_flood(name: str, transport: str) -> Iterator[None]:
    command = [sys.executable, "-W", "error", "-c", TINY, name, transport]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    yield
    child.kill()
    child.communicate()
    NdShArray(name, r_w="w", transport=transport).close()


@pytest.mark.times(1000, 10_000)
@pytest.mark.parametrize("copy", [True, False])
def test_a_new_reader_finds_a_frame_whatever_the_writer_does_meanwhile(
    name: str, transport: str, tiny_flood: None, copy: bool, times: int
) -> None:
    for _ in range(times):
        with NdShArray(name, r_w="r", transport=transport) as reader:
            assert reader.read(copy=copy)[0]


@pytest.mark.times(5000, 100_000)
@pytest.mark.parametrize("copy", [True, False])
def test_nothing_new_means_that(
    name: str, transport: str, tiny_flood: None, copy: bool, times: int
) -> None:
    wrong = 0
    with NdShArray(name, r_w="r", transport=transport) as reader:
        reader.read(copy=copy)
        core: Any = reader._reader
        for _ in range(times):
            follower = core._source.cursor
            there = follower.side.newest() >> 1 != follower.position
            valid, _ = reader.read(copy=copy)
            wrong += there and not valid
    assert wrong == 0


# --- arrays in place


@pytest.mark.timeout(120)
def test_two_readers_look_in_place_while_a_writer_floods(name: str, transport: str) -> None:
    (count, grown, median, slowest, usual, floor), readers = run_lookers(name, transport, 5)
    print(f"{count} frames, {grown} grows, median {median} ns, p99.9 {slowest} ns, {readers}")
    print(f"a bare copy: median {usual} ns, p99.9 {floor} ns")
    assert grown <= 2
    # What the machine does to a copy, it does to a write. Windows counts in steps of 15.6 ms.
    assert slowest < 10 * floor or floor == 0
    for frames, wrong in readers:
        assert frames > 20
        assert wrong == 0
