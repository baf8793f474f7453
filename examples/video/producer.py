"""Plays a video into shared memory, at the video's own rate.

The consumer is told nothing beforehand, neither the size of the frames nor their dtype.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from sources import Frames, open_source

from ndsharray import NdShArray


def again_and_again(frames: Frames, source: str | None) -> Frames:
    first = next(frames, None)
    while first is not None:
        yield first
        yield from frames
        frames, _ = open_source(source)
        first = next(frames, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "source",
        nargs="?",
        help="a video, a photograph, a folder of photographs or a camera's number"
        " (default: a 720p clip)",
    )
    parser.add_argument("--loop", action="store_true", help="play it again and again")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument(
        "--linger",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="keep the last frame readable this long (default: %(default)s)",
    )
    parser.add_argument("--name", default="video", help="of the array (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    frames, rate = open_source(args.source)
    if args.loop:
        frames = again_and_again(frames, args.source)
    count = 0
    with NdShArray(args.name, r_w="w", transport=args.transport) as writer:
        print(f"playing {args.source or 'the default clip'} as '{args.name}'")
        start = time.monotonic()
        for count, frame in enumerate(frames, 1):
            writer.write(frame)
            due = start + count / rate if rate else 0.0
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() - start >= args.seconds:
                break
        print(f"played {count} frames in {time.monotonic() - start:.1f} s")
        if count:
            # The array goes with its writer: a consumer that starts late still sees this frame.
            time.sleep(args.linger)
    if not count:
        sys.exit("there was no frame in it")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the way to stop a camera
        main()
