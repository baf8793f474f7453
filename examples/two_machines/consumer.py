"""Reads the frames of another machine as if they were written here, until their array is closed."""

from __future__ import annotations

import argparse
import sys

from ndsharray import MmapTransport, NdShArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="camera", help="of the array (default: %(default)s)")
    parser.add_argument("--root", help="directory of the arrays (default: NDSHARRAY_DIR)")
    args = parser.parse_args()

    count, torn, first, last = 0, 0, 0, 0
    with NdShArray(args.name, r_w="r", transport=MmapTransport(directory=args.root)) as reader:
        print(f"waiting for '{args.name}'")
        for frame in reader.frames(timeout=60.0):
            count += 1
            torn += bool((frame != frame.flat[0]).any())
            last = reader.time_ns
            first = first or last
    if not count:
        sys.exit(f"no frame of '{args.name}' came")
    # Both stamps are of one clock, the producer's; its distance to the clock here is unknown.
    print(f"{count} frames, {torn} torn, captured within {(last - first) / 1e9:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
