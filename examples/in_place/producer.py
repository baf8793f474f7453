"""Makes 4K frames right in shared memory, about 30 a second.

`loan` lends the memory of the next frame, and numpy computes into it: no frame is ever copied.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from typing import Any

import numpy as np

from ndsharray import NdShArray

SHAPE = (2160, 3840, 3)
RATE = 30.0  # frames per second
# From black at the left edge to half bright at the right one.
GRADIENT = np.linspace(0, 127, SHAPE[1]).astype(np.uint8)
ROW = np.repeat(GRADIENT, SHAPE[2]).reshape(SHAPE[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument(
        "--linger",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="keep the last frame readable this long (default: %(default)s)",
    )
    parser.add_argument("--name", default="in_place", help="of the array (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    with NdShArray(args.name, r_w="w", transport=args.transport) as writer:
        print(f"making {args.frames} frames as '{args.name}'")
        start = time.monotonic()
        for number in range(1, args.frames + 1):
            with writer.loan(SHAPE, np.uint8) as frame:
                fill(frame, number)
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        print(f"made {args.frames} frames in {time.monotonic() - start:.1f} s")
        # The array goes with its writer: a consumer that starts late still sees this frame.
        time.sleep(args.linger)


def fill(frame: np.ndarray[Any, Any], number: int) -> None:
    """Compute frame `number` into `frame`: the gradient, brighter with every frame."""
    np.add(ROW, np.uint8(number % 128), out=frame)


if __name__ == "__main__":
    try:
        with contextlib.suppress(KeyboardInterrupt):
            main()
    except OSError as error:  # no room, or another producer exists
        sys.exit(str(error))
