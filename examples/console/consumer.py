"""The second of two consoles: reads what the first one shares, and checks it.

After the first part it waits for Enter, unless `--no-pause` is given.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

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
        help="for the first console (default: %(default)s)",
    )
    parser.add_argument("--name", default="my_unique_tag123", help="(default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    np.random.seed(123)  # as in the first console: the same random numbers
    with (
        ndsharray.NdShArray(args.name, r_w="r", transport=args.transport) as shared_array,
        ndsharray.NdShArray(args.name + "_seen", r_w="w", transport=args.transport) as answers,
    ):
        print(f"waiting for '{args.name}'")
        show(shared_array, np.random.random((4, 2)), args.wait)
        answers.write(np.array(1))
        if not args.no_pause:
            print("press Enter in the first console, then here", flush=True)
            input()

        show(shared_array, (255 * np.random.random((6, 3))).astype(np.uint8), args.wait)
        # The first console has `answers` open: it can read this one even when we have left.
        answers.write(np.array(2))

    print("supported types:")
    for supported in ndsharray.supported_types:
        print(supported)


def show(shared_array: ndsharray.NdShArray, expected: np.ndarray[Any, Any], wait: float) -> None:
    """Read the next array, print it, and end the program if it is not the expected one."""
    status, array = shared_array.read(timeout=wait)
    print(f"status: {status}")  # always check it: False means that there is nothing new
    print(f"from write to read: {shared_array.read_time_ms} ms")
    print(f"name of this layout: {shared_array.ndarray_mmap_name}")
    print(array)
    if not status or array.dtype != expected.dtype or not np.array_equal(array, expected):
        sys.exit("this is not what the first console shared")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
