"""``python benchmarks/sizes.py``: two sizes in turn on one array do not thrash.

A large frame and a hundredth of it in turn, at full rate and at 30 Hz, for longer than a segment
that is too large is kept; beside them the same frames to an array each. Printed are the segments
that were begun meanwhile, and what a write takes beside a write to the array of one size. Last, one
large frame and then small ones: what the array takes after some seconds.
"""

from __future__ import annotations

import os
import time
from statistics import median
from typing import Any

import numpy as np

from ndsharray import NdShArray

SIZES = {"large": 2_764_800, "small": 27_648}  # 720p and a hundredth of it
SECONDS = 12.0
RATES = {"full rate": 0.0, "30 Hz": 1 / 30}


def timed(array: NdShArray, frame: Any) -> int:
    begin = time.perf_counter_ns()
    array.write(frame)
    return time.perf_counter_ns() - begin


def table(array: NdShArray) -> Any:
    """Return what the writer says about its segment: there is no public name for it."""
    inner: Any = array
    return inner._writer._frames.table


def in_turn(transport: str, every: float) -> str:
    """Write both sizes in turn; return what it took."""
    frames = {size: np.zeros(count, np.uint8) for size, count in SIZES.items()}
    alone = {size: open_writer(size, transport) for size in SIZES}
    both = open_writer("both", transport)
    times: dict[tuple[str, bool], list[int]] = {(s, b): [] for s in SIZES for b in (True, False)}
    with NdShArray(both.name, r_w="r", transport=transport) as reader:
        for size, frame in frames.items():
            alone[size].write(frame)
        both.write(frames["large"])
        first, end = table(both).segment, time.monotonic() + SECONDS
        while time.monotonic() < end:
            for size, frame in frames.items():
                times[size, False].append(timed(alone[size], frame))
                times[size, True].append(timed(both, frame))
                assert reader.read()[1].size == frame.size
                if every:
                    time.sleep(every)
        begun = table(both).segment - first
    for array in (both, *alone.values()):
        array.close()
    found = [f"{len(times['large', True]) * 2} frames, {begun} segments begun"]
    for size in SIZES:
        took, limit = median(times[size, True]) / 1e3, median(times[size, False]) / 1e3
        found.append(f"{size}: {took:.1f} us, {took / limit:.2f} times {limit:.1f} us alone")
    return "; ".join(found)


def after_a_large_frame(transport: str) -> str:
    """Write one large frame, then small ones at 30 Hz; return what the segment is meanwhile."""
    with open_writer("once", transport) as array:
        array.write(np.zeros(SIZES["large"], np.uint8))
        begin, sizes = time.monotonic(), [(0.0, table(array).size)]
        while time.monotonic() - begin < SECONDS:
            time.sleep(1 / 30)
            array.write(np.zeros(SIZES["small"], np.uint8))
            if table(array).size != sizes[-1][1]:
                sizes.append((time.monotonic() - begin, table(array).size))
    return ", ".join(f"{size / 1e6:.2f} MB from {since:.1f} s on" for since, size in sizes)


def open_writer(what: str, transport: str) -> NdShArray:
    return NdShArray(f"sizes {what} {os.getpid()}", r_w="w", transport=transport)


def main() -> None:
    for transport in ("mmap", "posix_shm"):
        for rate, every in RATES.items():
            print(f"{transport}, {rate}: {in_turn(transport, every)}", flush=True)
        print(f"{transport}, one large frame: {after_a_large_frame(transport)}", flush=True)


if __name__ == "__main__":
    main()
