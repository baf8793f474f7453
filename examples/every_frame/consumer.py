"""Logs every record that the producer writes, until it closes its array.

Each record is answered with its number in an array of the logger's own (0: ready), so that the
producer knows whether somebody is there.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ndsharray import NdShArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the next record (default: %(default)s)",
    )
    parser.add_argument("--log", default="records.npy", help="(default: %(default)s)")
    parser.add_argument("--name", default="every_frame", help="(default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    records: list[np.ndarray[Any, Any]] = []
    with (
        NdShArray(args.name, r_w="r", transport=args.transport) as reader,
        NdShArray(args.name + "_logged", np.array(0), "w", transport=args.transport) as answers,
    ):
        print(f"waiting for '{args.name}'")
        with contextlib.suppress(KeyboardInterrupt):  # what came until then is logged
            for record in reader.frames(timeout=args.wait):  # ends when the writer closes
                records.append(record)
                answers.write(np.array(reader.frame_id))
                if len(records) % 160 == 0:
                    print(f"{len(records)} records so far")
        missed = reader.missed

    if not records:
        sys.exit(f"no record of '{args.name}' came")
    try:
        with Path(args.log).open("wb") as log:
            np.save(log, np.stack(records))
    except OSError as error:
        sys.exit(f"the log cannot be written: {error}")
    print(f"logged {len(records)} records, missed {missed}")
    print(f"the log is in {args.log}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except OSError as error:  # no room, or another consumer exists
        sys.exit(str(error))
