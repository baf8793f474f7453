"""Writes the arrays of three sensors, each at its own rate."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from typing import Any

import numpy as np

from ndsharray import NdShArray

SENSORS: dict[str, tuple[float, tuple[int, ...], Any]] = {  # frames per second, shape, dtype
    "camera": (30.0, (480, 640, 3), np.uint8),
    "lidar": (10.0, (16, 900), np.float32),
    "imu": (200.0, (6,), np.float64),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="(default: %(default)s)")
    parser.add_argument(
        "--linger",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="keep the last frames readable this long (default: %(default)s)",
    )
    parser.add_argument("--name", default="one_loop", help="of all three (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    with contextlib.ExitStack() as stack:
        writers = {
            sensor: stack.enter_context(
                NdShArray(f"{args.name}_{sensor}", r_w="w", transport=args.transport)
            )
            for sensor in SENSORS
        }
        print(f"writing {', '.join(writer.name for writer in writers.values())}")
        start = time.monotonic()
        for due, sensor in timetable(args.seconds):
            time.sleep(max(0.0, start + due - time.monotonic()))
            _, shape, dtype = SENSORS[sensor]
            writers[sensor].write(np.full(shape, 100 * due, dtype))
        for writer in writers.values():
            print(f"{writer.name}: the last frame is {writer.frame_id}")
        # The arrays go with their writers: a consumer that starts late still sees these frames.
        time.sleep(args.linger)


def timetable(seconds: float) -> list[tuple[float, str]]:
    """Return when each sensor has something to say, in order."""
    return sorted(
        (number / rate, sensor)
        for sensor, (rate, _, _) in SENSORS.items()
        for number in range(math.ceil(seconds * rate))
    )


if __name__ == "__main__":
    try:
        with contextlib.suppress(KeyboardInterrupt):
            main()
    except OSError as error:  # no room, or another producer exists
        sys.exit(str(error))
