"""The first of two consoles: shares an array, then another one of a different kind.

After each part it waits for Enter, so that there is time to look at the second console. With
`--no-pause` the second console's answers take the place of the Enter key.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import ndsharray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-pause", action="store_true", help="do not wait for Enter")
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the second console (default: %(default)s)",
    )
    parser.add_argument("--name", default="my_unique_tag123", help="(default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    answers = ndsharray.NdShArray(args.name + "_seen", r_w="r", transport=args.transport)

    def pause(part: int) -> None:
        if not args.no_pause:
            print("look at the second console, then press Enter here", flush=True)
            input()
            return
        answer = None
        while answer != part:
            valid, answer = answers.read(timeout=args.wait)
            if not valid:
                sys.exit(f"the second console did not answer part {part}")

    np.random.seed(123)  # as in the second console, which so knows what must arrive
    floats = np.random.random((4, 2))
    with ndsharray.NdShArray(
        args.name, array=floats, r_w="w", transport=args.transport
    ) as shared_array:
        print(f"name: {shared_array.name}")
        print(f"access: {shared_array.access}")
        print(f"name of this layout: {shared_array.ndarray_mmap_name}")
        print(floats)
        pause(1)

        integers = (255 * np.random.random((6, 3))).astype(np.uint8)
        print(integers)
        shared_array.write(integers)  # another dtype, another shape: another layout
        print(f"name of this layout: {shared_array.ndarray_mmap_name}")
        pause(2)
    answers.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
