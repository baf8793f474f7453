"""Receives a video out of shared memory, tells how it goes, and keeps the last frame as a picture.

It may be started before the producer, and the producer may be restarted meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time

from ndsharray import NdShArray

try:
    import cv2
except ImportError:
    sys.exit('this example needs OpenCV: python -m pip install ".[examples]"')


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
        default=3.0,
        metavar="SECONDS",
        help="end when no frame has come for this long (default: %(default)s)",
    )
    parser.add_argument("--picture", default="last_frame.png", help="(default: %(default)s)")
    parser.add_argument("--name", default="video", help="of the array (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    arrivals: list[float] = []
    told, count_told = 0.0, 0
    ages: list[float] = []
    with NdShArray(args.name, r_w="r", transport=args.transport) as reader:
        print(f"waiting for '{args.name}'")
        timeout = args.wait
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                valid, frame = reader.read(timeout=timeout)
                if not valid:
                    break
                timeout = args.patience
                now = time.monotonic()
                if not arrivals:
                    told, count_told = now, 1
                arrivals.append(now)
                ages.append(reader.read_time_ms)
                if now - told >= 0.5:
                    fps = (len(arrivals) - count_told) / (now - told)
                    print(f"{frame.shape} {frame.dtype}, {fps:.1f} frames/s, age {ages[-1]:.2f} ms")
                    told, count_told = now, len(arrivals)

    if not arrivals:
        sys.exit(f"no frame of '{args.name}' came")
    seconds = arrivals[-1] - arrivals[0]
    fps = (len(arrivals) - 1) / seconds if seconds else 0.0
    age = statistics.median(ages)
    print(f"{len(arrivals)} frames, {fps:.1f} a second, median age {age:.2f} ms")
    if not (cv2.haveImageWriter(args.picture) and cv2.imwrite(args.picture, frame)):
        sys.exit(f"the last frame cannot be written to {args.picture}")
    print(f"the last frame is in {args.picture}")


if __name__ == "__main__":
    main()
