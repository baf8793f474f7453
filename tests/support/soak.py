"""One process of the soak (`test_soak.py`): a writer, or one of several kinds of readers.

It runs until its standard input ends, and tells twice a second how far it is. Every frame is
checked: all its elements follow from its number, and numbers only go up within an instance.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ndsharray import NdShArray, WriterExistsError

RECORD = np.dtype([("a", "u1"), ("b", "<f8")])
LAYOUTS: list[tuple[tuple[int, ...], npt.DTypeLike]] = [
    ((), "f8"),
    ((50,), "u1"),
    ((0, 3), "i2"),
    ((40, 50), ">i4"),
    ((300,), RECORD),
    ((120, 160, 3), "u1"),
    ((30, 40, 50), "f4"),
    ((200, 250), "c8"),
]
PERIOD = 251  # values of frames; every dtype above can hold them
PACE = 0.004  # seconds between two frames: nothing is waited for
REPORT = 0.5  # seconds between two reports
HELD = 3  # frames that a reader in place holds


def fill(array: npt.NDArray[Any], number: int) -> None:
    value = number % PERIOD
    for part in parts(array):
        part[...] = value


def parts(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [array] if array.dtype.names is None else [array[field] for field in array.dtype.names]


def is_whole(array: npt.NDArray[Any], number: int) -> bool:
    return all(bool((part == number % PERIOD).all()) for part in parts(array))


class Process:
    """What every kind has: its end, its pace and its reports."""

    def __init__(self, name: str, transport: str, seed: int) -> None:
        self.name, self.transport = name, transport
        self.chance = random.Random(seed)
        self.ended = threading.Event()
        self.counts = {"frames": 0, "wrong": 0, "attached": 0}
        self._told = 0.0
        threading.Thread(target=self._await_end, daemon=True).start()

    def _await_end(self) -> None:
        # Not through sys.stdin: its lock, held by a daemon thread, is fatal at the end of Python.
        with open(0, "rb", buffering=0, closefd=False) as file:
            file.read()
        self.ended.set()

    def new(self, role: str, **keywords: Any) -> NdShArray:
        self.counts["attached"] += 1
        return NdShArray(self.name, r_w=role, transport=self.transport, **keywords)

    def tell(self, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._told >= REPORT:
            self._told = now
            print(json.dumps(self.counts), flush=True)

    def wrong(self, what: str) -> None:
        self.counts["wrong"] += 1
        print(what, file=sys.stderr, flush=True)

    def run(self, kind: str) -> None:
        getattr(self, kind)()
        self.tell(always=True)


class Writing(Process):
    """Other shapes and dtypes all the time; small ones first, so that every life grows."""

    def writer(self) -> None:
        """Write until the end, or a kill."""
        with self.take() as writer:
            while not self.ended.is_set():
                self.write_some(writer, 1.0)

    def reopened(self) -> None:
        """Close and open again in one process that lives long."""
        while not self.ended.is_set():
            with self.take() as writer:
                self.write_some(writer, 0.5)

    def take(self) -> NdShArray:
        while True:  # a killed writer's lock file is free once the kernel has ended it
            try:
                return self.new("w", slots=self.chance.choice([2, 3, 8]))
            except WriterExistsError:
                if self.ended.is_set():
                    raise

    def write_some(self, writer: NdShArray, seconds: float) -> None:
        """Go through all layouts."""
        for shape, dtype in LAYOUTS:
            frame = np.empty(shape, dtype)
            end = time.monotonic() + seconds / len(LAYOUTS)
            while time.monotonic() < end and not self.ended.is_set():
                fill(frame, writer.frame_id + 1)
                if self.chance.random() < 0.5:
                    writer.write(frame)
                else:
                    with writer.loan(shape, dtype) as lent:
                        lent[...] = frame
                self.counts["frames"] += 1
                self.tell()
                self.ended.wait(PACE)


class Reading(Process):
    """Checks what comes, each kind in its own way."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.last = (0, 0)  # instance, frame number
        self.held: list[tuple[npt.NDArray[Any], int]] = []

    def check(self, reader: NdShArray, frame: npt.NDArray[Any]) -> None:
        number = reader.frame_id
        inner: Any = reader
        instance = inner._reader._source.cursor.instance.instance_id
        if not is_whole(frame, number):
            self.wrong(f"frame {number} is not whole: {frame!r}")
        if instance == self.last[0] and number <= self.last[1]:
            self.wrong(f"frame {number} came after {self.last[1]}")
        self.last = (instance, number)
        self.counts["frames"] += 1

    def turns(self) -> Iterator[None]:
        while not self.ended.is_set():
            self.tell()
            yield

    def copy(self) -> None:
        with self.new("r") as reader:
            for _ in self.turns():
                valid, frame = reader.read(timeout=0.25)
                if valid:
                    self.check(reader, frame)

    def out(self) -> None:
        with self.new("r") as reader:
            buffer = np.empty(3)
            for _ in self.turns():
                try:
                    valid, frame = reader.read(timeout=0.25, out=buffer)
                except ValueError:  # of another layout: it comes again
                    valid, frame = reader.read()
                    buffer = np.empty_like(frame)
                if valid:
                    self.check(reader, frame)

    def in_place(self) -> None:
        with self.new("r") as reader:
            self.look(reader, self.turns())
        self.check_held()
        self.held.clear()

    def look(self, reader: NdShArray, turns: Iterator[None]) -> None:
        """Hold the last few frames in place; none of them may change."""
        for _ in turns:
            valid, frame = reader.read(timeout=0.25, copy=False)
            if valid:
                self.check(reader, frame)
                if self.chance.random() < 0.1:
                    self.check_held()
                    self.held.append((frame, reader.frame_id))
                    del self.held[:-HELD]

    def check_held(self) -> None:
        for frame, number in self.held:
            if not is_whole(frame, number):
                self.wrong(f"frame {number}, held in place, changed")

    def frames(self) -> None:
        with self.new("r") as reader:
            for turn, _ in enumerate(self.turns()):
                for frame in reader.frames(0.25, copy=bool(turn % 2)):
                    self.check(reader, frame)
                    self.tell()
                    if self.ended.is_set():
                        break

    def awaiting(self) -> None:
        asyncio.run(self.await_frames())

    async def await_frames(self) -> None:
        with self.new("r") as reader:
            for turn, _ in enumerate(self.turns()):
                if turn % 20 == 0:  # given up in the middle
                    task = asyncio.ensure_future(reader.read_async(timeout=10))
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                    continue
                valid, frame = await reader.read_async(timeout=0.25)
                if valid:
                    self.check(reader, frame)

    def attaching(self) -> None:
        """A new reader for every few frames; frames held in place outlive it."""
        for _ in self.turns():
            self.last = (0, 0)
            with self.new("r") as reader:
                self.look(reader, itertools.islice(self.turns(), 15))
        self.check_held()
        self.held.clear()


if __name__ == "__main__":
    kind, name, transport, seed = sys.argv[1:]
    side = Writing if kind in ("writer", "reopened") else Reading
    side(name, transport, int(seed)).run(kind)
