"""Plays two cameras and a motion sensor that look at a ball; each frame has its time of capture.

The cameras are not triggered together, their frames need a while to arrive, and now and then one is
lost, as with real ones. The sensor tells how fast the ball moves across the picture.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import sys
import time

import numpy as np
import numpy.typing as npt

from ndsharray import NdShArray

HEIGHT, WIDTH = 480, 640
FOCAL_LENGTH, BASELINE, DISTANCE = 600.0, 0.12, 3.0  # pixels, metres, metres
DISPARITY = FOCAL_LENGTH * BASELINE / DISTANCE  # pixels
SWING, TURNS = 200.0, 0.5  # of the ball: pixels, per second

# Frames per second; when the first one is captured and how long a frame needs to arrive, in
# seconds; how many of a hundred are lost.
SENSORS = {
    "left": (30.0, 0.000, 0.020, 3),
    "right": (30.0, 0.004, 0.022, 3),
    "motion": (200.0, 0.001, 0.001, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="(default: %(default)s)")
    parser.add_argument("--name", default="stereo", help="of all three (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    with contextlib.ExitStack() as stack:
        writers = {
            sensor: stack.enter_context(
                NdShArray(f"{args.name}_{sensor}", r_w="w", transport=args.transport, slots=32)
            )
            for sensor in SENSORS
        }
        print(f"writing {', '.join(writer.name for writer in writers.values())}")
        start, began = time.monotonic(), time.time_ns()
        for arrives, captured, sensor in timetable(args.seconds):
            time.sleep(max(0.0, start + arrives - time.monotonic()))
            frame = motion(captured) if sensor == "motion" else picture(sensor, captured)
            writers[sensor].write(frame, time_ns=began + round(captured * 1e9))
        for writer in writers.values():
            print(f"{writer.name}: the last frame is {writer.frame_id}")
        time.sleep(0.2)  # the arrays go with their writers: the consumer gets the last frames


def timetable(seconds: float) -> list[tuple[float, float, str]]:
    """Return when each frame arrives and was captured, and whose it is, as they arrive."""
    chance = random.Random(1)
    frames = []
    for sensor, (rate, first, delay, lost) in SENSORS.items():
        for number in range(math.ceil(seconds * rate)):
            captured = first + (number + chance.uniform(-0.05, 0.05)) / rate
            if number == 0 or chance.uniform(0, 100) >= lost:
                frames.append((captured + delay, captured, sensor))
    return sorted(frames)


def picture(sensor: str, captured: float) -> npt.NDArray[np.uint8]:
    """Return what a camera sees: a bright ball before a dark background."""
    middle = WIDTH / 2 + SWING * math.sin(2 * math.pi * TURNS * captured)
    middle += DISPARITY / 2 if sensor == "left" else -DISPARITY / 2
    across = np.exp(-(((np.arange(WIDTH) - middle) / 12) ** 2))
    down = np.exp(-(((np.arange(HEIGHT) - HEIGHT / 2) / 12) ** 2))
    return (250 * down[:, None] * across).astype(np.uint8)


def motion(captured: float) -> npt.NDArray[np.float64]:
    """Return how fast the ball moves across the picture, in pixels per second."""
    speed = 2 * math.pi * TURNS
    return np.array([SWING * speed * math.cos(speed * captured)])


if __name__ == "__main__":
    try:
        with contextlib.suppress(KeyboardInterrupt):
            main()
    except OSError as error:  # no room, or another producer exists
        sys.exit(str(error))
