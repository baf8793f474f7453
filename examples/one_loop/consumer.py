"""Reads three arrays in one event loop, which has a task of its own beside them.

`await reader.read_async()` waits for the next frame of one array; the loop goes on meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time

from ndsharray import NdShArray

TICK = 0.01  # seconds


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for the first frames (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="end when no frame has come for this long (default: %(default)s)",
    )
    parser.add_argument("--name", default="one_loop", help="of all three (default: %(default)s)")
    parser.add_argument("--transport", choices=["mmap", "posix_shm"])
    args = parser.parse_args()

    let_ctrl_c_cancel()
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(
                NdShArray(f"{args.name}_{sensor}", r_w="r", transport=args.transport)
            )
            for sensor in ("camera", "lidar", "imu")
        ]
        print(f"waiting for {', '.join(reader.name for reader in readers)}")
        gaps: list[float] = []
        heart = asyncio.create_task(beat(gaps))
        told = await asyncio.gather(
            *(receive(reader, args.wait, args.patience) for reader in readers)
        )
        heart.cancel()
    if None in told:
        sys.exit("no frame came of " + ", ".join(r.name for r, t in zip(readers, told) if not t))
    print("\n".join(map(str, told)))
    print(
        f"heartbeat: {len(gaps)} ticks, the longest pause was {1e3 * max(gaps, default=0.0):.1f} ms"
    )


async def receive(reader: NdShArray, wait: float, patience: float) -> str | None:
    """Read until the array is quiet; tell what came (None: nothing)."""
    arrivals: list[float] = []
    while True:
        valid, frame = await reader.read_async(timeout=patience if arrivals else wait)
        if not valid:
            break
        arrivals.append(time.monotonic())
    if not arrivals:
        return None
    seconds = arrivals[-1] - arrivals[0]
    rate = (len(arrivals) - 1) / seconds if seconds else 0.0
    return (
        f"{reader.name}: {len(arrivals)} frames of {frame.shape} {frame.dtype},"
        f" {rate:.1f} a second, {reader.missed} missed, the last is {reader.frame_id}"
    )


async def beat(gaps: list[float]) -> None:
    """Do what any other task would: tick, and note how long each tick took."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


def let_ctrl_c_cancel() -> None:
    """Do what Python 3.11 does by itself; before, KeyboardInterrupt tears asyncio anywhere."""
    task = asyncio.current_task()
    if sys.version_info < (3, 11) and os.name == "posix" and task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("interrupted")
