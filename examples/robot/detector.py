"""The robot's detector: finds what moves in the newest picture of the camera.

It writes two arrays: a table of the boxes, and the picture with the boxes drawn, for people. Both
have the stamp of the camera's picture, so other programs can join them with it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import part

from ndsharray import NdShArray

try:
    import cv2
except ImportError:
    sys.exit('this example needs OpenCV: python -m pip install ".[examples]"')

BOX = np.dtype([("x", "u2"), ("y", "u2"), ("width", "u2"), ("height", "u2")])
SCALE = 4  # the picture is searched at this fraction of its width and height
DIFFERENCE, SMALLEST = 14, 60  # of brightness (0 to 255); of a box, in pixels of the small picture
OLDEST = 1.0  # seconds: an older picture says nothing about now


def main() -> None:
    args = part.options(__doc__).parse_args()
    camera, boxes, drawn = (f"{args.name}_{array}" for array in ("camera", "boxes", "drawn"))
    before: npt.NDArray[np.uint8] | None = None
    told, seen = time.monotonic(), 0
    with (
        NdShArray(camera, r_w="r", transport=args.transport) as reader,
        NdShArray(boxes, r_w="w", transport=args.transport, slots=64) as table,
        NdShArray(drawn, r_w="w", transport=args.transport) as picture,
    ):
        print(f"waiting for '{camera}'")
        while True:
            valid, frame = reader.read(timeout=1.0, copy=False, max_age=OLDEST)
            if not valid:
                print(f"no picture; the camera is {reader.writer_state}")
                continue
            now = brightness(frame)
            found = moving(before, now)
            before = now
            table.write(found, time_ns=reader.time_ns)
            with picture.loan(frame.shape, frame.dtype, time_ns=reader.time_ns) as canvas:
                canvas[:] = frame
                draw(found, canvas)
            seen += 1
            if (passed := time.monotonic() - told) >= 1.0:
                print(f"{seen / passed:.1f} pictures a second, {len(found)} boxes in the last one")
                told, seen = time.monotonic(), 0


def brightness(picture: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a small picture without colours and noise."""
    small = cv2.resize(picture, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (5, 5)), np.uint8)


def moving(
    before: npt.NDArray[np.uint8] | None, now: npt.NDArray[np.uint8]
) -> npt.NDArray[np.void]:
    """Return a box around each region that differs between two pictures."""
    if before is None or before.shape != now.shape:
        return np.zeros(0, BOX)
    mask = cv2.dilate(np.uint8(255) * (cv2.absdiff(before, now) > DIFFERENCE), np.ones((9, 9)))
    _, _, regions, _ = cv2.connectedComponentsWithStats(mask)
    rows = [tuple(SCALE * side for side in row[:4]) for row in regions[1:] if row[4] >= SMALLEST]
    return np.array(rows, BOX)


def draw(boxes: npt.NDArray[np.void], canvas: npt.NDArray[np.uint8]) -> None:
    for x, y, width, height in boxes.tolist():
        cv2.rectangle(canvas, (x, y), (x + width, y + height), (0, 220, 255), 4)


if __name__ == "__main__":
    part.run(main)
