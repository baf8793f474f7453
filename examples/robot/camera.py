"""The robot's camera: plays the clip of examples/video again and again, at its own rate.

Each picture is stamped with the time of its capture.
"""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import part

from ndsharray import NdShArray

SOURCES = Path(__file__).resolve().parents[1] / "video" / "sources.py"


def main() -> None:
    args = part.options(__doc__).parse_args()
    open_source = runpy.run_path(str(SOURCES))["open_source"]
    with NdShArray(f"{args.name}_camera", r_w="w", transport=args.transport) as camera:
        while True:
            pictures, rate = open_source(None)
            print(f"{rate:.0f} pictures a second, from number {camera.frame_id + 1} on")
            due = time.monotonic()
            for picture in pictures:
                camera.write(picture, time_ns=time.time_ns())
                due = max(due + 1 / rate, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    part.run(main)
