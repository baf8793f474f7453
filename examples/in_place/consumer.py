"""Reads 4K frames in place, in shared memory, and tells what a copy would have cost.

`copy=False` returns the frame itself. It cannot change while you hold it: the writer passes it by.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from typing import Any

import numpy as np

from ndsharray import NdShArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the first frame (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="end when no frame has come for this long (default: %(default)s)",
    )
    parser.add_argument("--name", default="in_place", help="of the array (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    ages: list[float] = []
    computations: list[float] = []
    with NdShArray(args.name, r_w="r", transport=args.transport) as reader:
        print(f"waiting for '{args.name}'")
        timeout = args.wait
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                valid, frame = reader.read(timeout=timeout, copy=False)
                if not valid:
                    break
                timeout = args.patience
                start = time.perf_counter()
                brightness = frame[::8, ::8].mean()  # every eighth pixel, in place
                computations.append(1e3 * (time.perf_counter() - start))
                ages.append(reader.read_time_ms)
                if len(ages) % 20 == 1:
                    print(f"frame {reader.frame_id}: mean brightness {brightness:.3f}")
        if not ages:
            sys.exit(f"no frame of '{args.name}' came")
        print(f"{len(ages)} frames seen, {reader.missed} missed, the last is {reader.frame_id}")
        print(
            f"median: {statistics.median(ages):.2f} ms from written to read,"
            f" {statistics.median(computations):.2f} ms to compute"
        )
        print(f"a copy of each would have cost {cost_of_copy(frame):.2f} ms more")


def cost_of_copy(frame: np.ndarray[Any, Any]) -> float:
    """Return the median milliseconds of a copy of `frame` into memory that is ready for it."""
    buffer = np.zeros_like(frame)
    np.copyto(buffer, frame)  # now the operating system has given the memory
    costs = []
    for _ in range(9):
        start = time.perf_counter()
        np.copyto(buffer, frame)
        costs.append(1e3 * (time.perf_counter() - start))
    return statistics.median(costs)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
