"""How write and read compare with the memory's own speed, in one run.

The limit is ``np.copyto`` between a frame and as many slots of shared memory that is already there.
Every figure is a median over calls, and all kinds of work take turns call by call, so that a slow
moment of the machine, and what each leaves in the caches, hits them alike. Prints a table and, with
``--json FILE``, writes the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from multiprocessing import shared_memory
from typing import Any, Callable

import numpy as np

from ndsharray import NdShArray

SLOTS = 3
SIZES = {"64 KiB": (64, 1024), "720p": (720, 1280, 3), "4K RGB": (2160, 3840, 3)}


def measure(shape: tuple[int, ...], transport: str, rounds: int) -> dict[str, float]:
    """Return the median microseconds of each kind of work, all taking turns call by call."""
    frame = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    other = frame.reshape(-1, *shape[2:])  # another shape that fits
    memory = shared_memory.SharedMemory(create=True, size=SLOTS * frame.nbytes)
    views = [
        np.frombuffer(memory.buf, np.uint8, frame.nbytes, i * frame.nbytes).reshape(shape)
        for i in range(SLOTS)
    ]
    buffers = [np.zeros_like(frame) for _ in range(2)]
    steady = NdShArray("benchmark", frame, "w", transport=transport, slots=SLOTS)
    changing = NdShArray("benchmark 2", frame, "w", transport=transport, slots=SLOTS)
    reader = NdShArray("benchmark", r_w="r", transport=transport)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> None:
        begin = time.perf_counter()
        work()
        seconds.setdefault(name, []).append(time.perf_counter() - begin)

    def turn(i: int) -> None:
        view, buffer = views[i % SLOTS], buffers[i % 2]
        timed("copyto in", lambda: np.copyto(view, frame))
        timed("copyto out", lambda: np.copyto(buffer, view))
        timed("write", lambda: steady.write(frame))
        timed("read", reader.read)
        timed("changing", lambda: changing.write(frame if i % 2 else other))

    for i in range(rounds):
        turn(i)
    for side in (steady, changing, reader):
        side.close()
    views.clear()
    memory.close()
    memory.unlink()
    return {name: statistics.median(values) * 1e6 for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    print("microseconds; median of", arguments.rounds, "calls each, taking turns")
    print(
        f"{'':<20}{'copyto in':>10}{'write':>8}{'ratio':>7}{'copyto out':>12}{'read':>8}"
        f"{'ratio':>7}{'changing':>10}{'ratio':>7}"
    )
    for size, shape in SIZES.items():
        for transport in ("mmap", "posix_shm"):
            us = figures[f"{size}, {transport}"] = measure(shape, transport, arguments.rounds)
            print(
                f"{size + ', ' + transport:<20}{us['copyto in']:>10.1f}{us['write']:>8.1f}"
                f"{us['write'] / us['copyto in']:>7.2f}{us['copyto out']:>12.1f}"
                f"{us['read']:>8.1f}{us['read'] / us['copyto out']:>7.2f}"
                f"{us['changing']:>10.1f}{us['changing'] / us['write']:>7.2f}",
                flush=True,
            )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
