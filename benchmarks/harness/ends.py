"""Opening both ends, until the first frames have arrived; and closing them.

The first lines are done by the children, the rest by the parent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rivals.base import Array, make_frame

from harness.child import Child
from harness.processes import Pair
from harness.turns import DONE, MET, PATIENCE, STOP, give_way

TRIAL, FINAL = 254, 255  # what the frames of the meeting begin and end with


def stamp(array: Array, value: int) -> None:
    """Make the frame's first and last element `value`."""
    flat = array.reshape(-1)
    flat[0] = flat[-1] = value


def check(array: Array, value: int) -> None:
    """Make sure that it is the frame with that stamp."""
    flat = array.reshape(-1)
    if flat[0] != value or flat[-1] != value:
        raise AssertionError(f"got frame {flat[0]}, {flat[-1]} instead of {value}")


def open_end(
    child: Child, role: str, shape: tuple[int, ...], generation: int, **options: Any
) -> None:
    child.kept["generation"] = generation
    child.open(role, make_frame(shape), generation, **options)


def close_ends(child: Child) -> None:
    child.close()


def stop_writer(child: Child, read: Callable[[], object]) -> None:
    """Tell the writer to stop, and read until it has: it may be waiting for its reader."""
    child.turns[STOP] = 1
    deadline = time.monotonic() + PATIENCE
    while not child.turns[DONE]:
        read()
        child.turns.check(deadline, "the writer did not stop")


def read_rest(child: Child, numbers: list[int]) -> None:
    """Read until nothing comes any more."""
    for number in numbers:
        reader = child.ends["Reader", number]
        deadline = time.monotonic() + 0.02
        while time.monotonic() < deadline:
            if reader.read() is not None:
                deadline = time.monotonic() + 0.02


def write_until_met(child: Child, shape: tuple[int, ...], number: int = 0) -> int:
    """Write until the reader has read a frame (connections may take a while), then a last one.

    Return how often the last one was written: some rivals may lose it.
    """
    frame = make_frame(shape)
    stamp(frame, TRIAL)
    write_until(child, number, frame, MET, 0.05)
    stamp(frame, FINAL)
    return write_until(child, number, frame, DONE, 1.0)


def write_until(child: Child, number: int, frame: Array, line: int, pause: float) -> int:
    writer, turns, count = child.ends["Writer", number], child.turns, 0
    deadline = time.monotonic() + PATIENCE
    while not turns[line]:
        writer.write(frame)
        count += 1
        again = time.monotonic() + pause
        while not turns[line] and time.monotonic() < again:
            give_way()
        turns.check(deadline, "the other side got no frame")
    return count


def read_until_met(child: Child, number: int = 0) -> None:
    """Read until the last frame is there, so that no older one can come after it."""
    reader, turns = child.ends["Reader", number], child.turns
    deadline = time.monotonic() + PATIENCE
    while True:
        array = reader.read()
        if array is not None:
            turns[MET] = 1
            flat = array.reshape(-1)
            if flat[0] == flat[-1] == FINAL:
                break
        turns.check(deadline, "the last frame of the meeting did not arrive")
    turns[DONE] = 1


def meet(pair: Pair, shape: tuple[int, ...], number: int = 0, back: bool = False) -> None:
    """Have frames pass from one side to the other; `back`: from the reading process."""
    pair.turns.reset()
    write = ("harness.ends:write_until_met", {"shape": shape, "number": number})
    read = ("harness.ends:read_until_met", {"number": number})
    results = pair.together(*((read, write) if back else (write, read)))
    if results[back] > 1:
        (pair.writer if back else pair.reader).do("harness.ends:read_rest", numbers=[number])
    pair.turns.reset()


def open_ends(pair: Pair, shape: tuple[int, ...], **options: Any) -> None:
    """Open a writer and a reader, and have them meet."""
    pair.generation += 1
    options = {"shape": shape, "generation": pair.generation, **options}
    pair.writer.do("harness.ends:open_end", role="Writer", **options)
    pair.reader.do("harness.ends:open_end", role="Reader", **options)
    meet(pair, shape)
