"""Writes arrays of ever other dtypes and shapes under one name.

Array number n is filled with n, so that the consumer can tell whether it is whole. An empty array
ends the session. The consumer answers each number in a small array of its own, which goes the
other way: so none is overwritten before it was seen.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from ndsharray import NdShArray

LAYOUTS: list[tuple[Any, tuple[int, ...]]] = [
    ("float64", (3, 4)),
    ("float64", ()),
    ("uint8", (720, 1280, 3)),
    ("bool", (5,)),
    ([("time", "float64"), ("position", "float32", 3)], (100,)),
    (">i2", (2, 3, 4, 5)),
    ("complex64", (8, 1)),
    ("datetime64[s]", (7,)),
    ("float32", (2000, 1500)),
    ("int64", ()),
    ("uint8", (0,)),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the consumer's answers (default: %(default)s)",
    )
    parser.add_argument("--name", default="changing_shapes", help="(default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    with (
        NdShArray(args.name, r_w="w", transport=args.transport) as writer,
        NdShArray(args.name + "_seen", r_w="r", transport=args.transport) as answers,
    ):
        for number, (dtype, shape) in enumerate(LAYOUTS, 1):
            array = np.full(shape, number, dtype)
            print(f"array {number}: {array.dtype} {array.shape}")
            writer.write(array)
            wait_for_answer(answers, number, args.wait)


def wait_for_answer(answers: NdShArray, number: int, seconds: float) -> None:
    while True:
        valid, answer = answers.read(timeout=seconds)
        if not valid:
            sys.exit(f"nobody answered array {number}")
        if answer == number:
            return


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
