"""Measures the distance of a ball from two cameras' frames of one time, and a motion sensor's.

The ball moves by 20 pixels from one frame to the next: as much as the two pictures differ by. So
only frames that were captured together tell the distance, and the few milliseconds between them are
made up for by the speed that the sensor told at that time.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import numpy as np
import numpy.typing as npt

from ndsharray import ReadSet

FOCAL_LENGTH, BASELINE = 600.0, 0.12  # pixels, metres


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for each set of frames, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.010,
        metavar="SECONDS",
        help="between frames of one set (default: %(default)s)",
    )
    parser.add_argument("--name", default="stereo", help="of all three (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    names = {sensor: f"{args.name}_{sensor}" for sensor in ("left", "right", "motion")}
    distances: list[float] = []
    spreads: list[float] = []
    with ReadSet(names, tolerance=args.tolerance, transport=args.transport) as readers:
        print(f"waiting for {', '.join(names.values())}")
        for s in readers.sets(timeout=args.wait):
            later = (s.times_ns["left"] - s.times_ns["right"]) / 1e9
            moved = float(s.motion[0]) * later  # by the ball, between the two pictures
            disparity = middle(s.left) - middle(s.right) - moved
            distances.append(FOCAL_LENGTH * BASELINE / disparity)
            spreads.append(s.spread_ms)
        counts = readers.counts
    if not distances:
        sys.exit("no frames of one time came")
    print(
        f"{len(distances)} sets, {max(spreads):.1f} ms from the first to the last frame at most;"
        f" the ball is {statistics.median(distances):.2f} m away"
        f" ({min(distances):.2f} to {max(distances):.2f})"
    )
    for sensor, count in counts.items():
        print(
            f"{sensor}: {count.matched} matched, {count.unmatched} unmatched,"
            f" {count.missing} missing"
        )


def middle(picture: npt.NDArray[np.uint8]) -> float:
    """Return the column of the middle of what is bright."""
    columns = picture.sum(axis=0, dtype=np.float64)
    return float((columns * np.arange(len(columns))).sum() / columns.sum())


if __name__ == "__main__":
    try:
        main()
    except TimeoutError as error:  # it says which array has no frames
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")
