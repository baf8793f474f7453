"""The robot's logger: appends every table of the detector to a file, one line for each box.

A line has the time of the picture in which the box is, its number, and the box. The logger sleeps
until there is a table, gets all of them in order, and says if any was lost.
"""

from __future__ import annotations

import csv
import time

import part

from ndsharray import NdShArray


def main() -> None:
    parser = part.options(__doc__)
    parser.add_argument("--log", default="robot.csv", help="(default: %(default)s)")
    args = parser.parse_args()
    name = f"{args.name}_boxes"
    tables, told = 0, time.monotonic()
    with (
        open(args.log, "a", newline="", encoding="utf-8", buffering=1) as file,
        NdShArray(name, r_w="r", transport=args.transport) as reader,
    ):
        lines = csv.writer(file)
        print(f"waiting for '{name}'")
        try:
            while True:
                for boxes in reader.frames(timeout=1.0):
                    for box in boxes.tolist():
                        lines.writerow([reader.time_ns, reader.frame_id, *box])
                    tables += 1
                    if time.monotonic() - told >= 1.0:
                        print(f"{tables} tables, {reader.missed} lost")
                        told = time.monotonic()
                print(f"no table; the detector is {reader.writer_state}")
        finally:
            print(f"{tables} tables are in {args.log}, {reader.missed} lost")


if __name__ == "__main__":
    part.run(main)
