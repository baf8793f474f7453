"""A camera that is none: writes 720p frames, 30 a second, with their times of capture."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

import numpy as np

from ndsharray import MmapTransport, NdShArray

SHAPE = (720, 1280, 3)
RATE = 30.0  # frames per second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--name", default="camera", help="of the array (default: %(default)s)")
    parser.add_argument("--root", help="directory of the arrays (default: NDSHARRAY_DIR)")
    args = parser.parse_args()

    frame = np.zeros(SHAPE, np.uint8)
    with NdShArray(args.name, r_w="w", transport=MmapTransport(directory=args.root)) as writer:
        print(f"writing {args.frames} frames as '{args.name}'")
        due = time.monotonic()
        for number in range(1, args.frames + 1):
            frame[:] = number % 256
            writer.write(frame, time_ns=time.time_ns())
            due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))
    print("closed the array")


if __name__ == "__main__":
    try:
        with contextlib.suppress(KeyboardInterrupt):
            main()
    except OSError as error:  # no room, or another producer exists
        sys.exit(str(error))
