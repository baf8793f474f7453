"""Reads arrays whose dtype and shape it cannot know, and checks that each arrived whole.

Array number n is filled with n; an empty one ends the session. Each number is answered in an
array of the consumer's own, since the newest frame replaces the one before, read or not.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from ndsharray import NdShArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the next array (default: %(default)s)",
    )
    parser.add_argument("--name", default="changing_shapes", help="(default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    with (
        NdShArray(args.name, r_w="r", transport=args.transport) as reader,
        NdShArray(args.name + "_seen", r_w="w", transport=args.transport) as answers,
    ):
        print(f"waiting for '{args.name}'")
        number = 0
        while True:
            valid, array = reader.read(timeout=args.wait)
            if not valid:
                sys.exit(f"nothing came after array {number}")
            number += 1
            if not np.array_equal(array, np.full_like(array, number)):
                sys.exit(f"array {number} is not whole: {array}")
            print(f"array {number}: {array.dtype} {array.shape} is whole")
            answers.write(np.array(number))
            if array.size == 0:
                # The producer has `answers` open, so it can read the last one even after this.
                return


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
