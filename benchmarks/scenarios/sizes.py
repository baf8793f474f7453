"""``python benchmarks --sizes``: two sizes written alternately to one array do not thrash.

A large frame and a hundredth of it alternate, at full rate and at 30 Hz, for longer than the writer
keeps a segment that is too large; beside them the same frames go to an array each. Printed are the
segments that the writer made meanwhile, and what a write takes beside a write to the array of one
size. Last, one large frame is followed by small ones: how large the newest segment is after some
seconds.
"""

from __future__ import annotations

import os
import time
from statistics import median
from typing import Any

import numpy as np

from ndsharray import MmapTransport, NdShArray, PosixShmTransport, Segment

SIZES = {"large": 2_764_800, "small": 27_648}  # 720p and a hundredth of it
SECONDS = 12.0
RATES = {"full rate": 0.0, "30 Hz": 1 / 30}


def timed(array: NdShArray, frame: Any) -> int:
    begin = time.perf_counter_ns()
    array.write(frame)
    return time.perf_counter_ns() - begin


class Recorder:
    """Notes the sizes of the segments that the transport makes: what its writer began.

    A mixin, to stand before a transport among the bases.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def create(self, name: str, size: int) -> Segment:
        segment: Segment = super().create(name, size)  # type: ignore[misc]
        self.sizes.append(segment.size)
        return segment


class RecordedMmap(Recorder, MmapTransport):
    """mmap, with a record."""


class RecordedPosixShm(Recorder, PosixShmTransport):
    """posix_shm, with a record."""


def alternate(make: Any, every: float) -> str:
    """Write both sizes alternately; return what it took."""
    frames = {size: np.zeros(count, np.uint8) for size, count in SIZES.items()}
    alone = {size: open_writer(size, make()) for size in SIZES}
    transport = make()
    both = open_writer("both", transport)
    times: dict[tuple[str, bool], list[int]] = {(s, b): [] for s in SIZES for b in (True, False)}
    with NdShArray(both.name, r_w="r", transport=transport) as reader:
        for size, frame in frames.items():
            alone[size].write(frame)
        both.write(frames["large"])
        first, end = len(transport.sizes), time.monotonic() + SECONDS
        while time.monotonic() < end:
            for size, frame in frames.items():
                times[size, False].append(timed(alone[size], frame))
                times[size, True].append(timed(both, frame))
                assert reader.read()[1].size == frame.size
                if every:
                    time.sleep(every)
        begun = len(transport.sizes) - first
    for array in (both, *alone.values()):
        array.close()
    found = [f"{len(times['large', True]) * 2} frames, {begun} segments begun"]
    for size in SIZES:
        took, limit = median(times[size, True]) / 1e3, median(times[size, False]) / 1e3
        found.append(f"{size}: {took:.1f} us, {took / limit:.2f} times {limit:.1f} us alone")
    return "; ".join(found)


def after_a_large_frame(make: Any) -> str:
    """Write one large frame, then small ones at 30 Hz; return what the segment is meanwhile."""
    transport = make()
    with open_writer("once", transport) as array:
        array.write(np.zeros(SIZES["large"], np.uint8))
        begin, found = time.monotonic(), [(0.0, transport.sizes[-1])]
        while time.monotonic() - begin < SECONDS:
            time.sleep(1 / 30)
            array.write(np.zeros(SIZES["small"], np.uint8))
            if transport.sizes[-1] != found[-1][1]:
                found.append((time.monotonic() - begin, transport.sizes[-1]))
    return ", ".join(f"{size / 1e6:.2f} MB from {since:.1f} s on" for since, size in found)


def open_writer(what: str, transport: Any) -> NdShArray:
    return NdShArray(f"sizes {what} {os.getpid()}", r_w="w", transport=transport)


def run() -> int:
    for make in (RecordedMmap, RecordedPosixShm):
        for rate, every in RATES.items():
            print(f"{make.name}, {rate}: {alternate(make, every)}", flush=True)
        print(f"{make.name}, one large frame: {after_a_large_frame(make)}", flush=True)
    return 0
