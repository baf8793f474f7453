"""Writes small records of an acceleration sensor, many at once and then none for a while.

With `slots=224` the records of seven bursts stay readable: a logger that is half a second late
loses none. The consumer answers in a small array of its own: so the producer begins when there is a
logger, and ends when that has logged the last record.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from ndsharray import NdShArray

RECORD = np.dtype([("time", "float64"), ("acceleration", "float32", 3)])
RATE = 320.0  # records per second
BURST = 32  # records that the sensor collects before it delivers them at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bursts", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the consumer's answers (default: %(default)s)",
    )
    parser.add_argument("--name", default="every_frame", help="(default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    with (
        NdShArray(args.name, r_w="w", slots=7 * BURST, transport=args.transport) as writer,
        NdShArray(args.name + "_logged", r_w="r", transport=args.transport) as answers,
    ):
        print("waiting for a logger", flush=True)
        wait_for_answer(answers, 0, args.wait)
        for burst in range(args.bursts):
            time.sleep(BURST / RATE)  # the sensor measures
            for number in range(burst * BURST, (burst + 1) * BURST):
                writer.write(measure(number))
        print(f"wrote {args.bursts * BURST} records in {args.bursts} bursts")
        wait_for_answer(answers, writer.frame_id, args.wait)


def measure(number: int) -> np.ndarray[Any, Any]:
    """Return record `number`: a machine that shakes 10 times a second, and its weight."""
    seconds = number / RATE
    phase = 2 * np.pi * 10 * seconds
    return np.array((seconds, (np.sin(phase), np.cos(phase), 9.81)), RECORD)


def wait_for_answer(answers: NdShArray, number: int, seconds: float) -> None:
    while True:
        valid, answer = answers.read(timeout=seconds)
        if not valid:
            sys.exit(f"nobody logged record {number}" if number else "there is no logger")
        if answer == number:
            return


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except OSError as error:  # no room, or another producer exists
        sys.exit(str(error))
