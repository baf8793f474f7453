"""What waiting, looking in place and other readers cost, each beside its limit in the same run.

* round trip: 64 B to another process and back, beside a bare futex ping-pong from Python;
* a reader that waits for 60 frames/s of 720p: its share of a core, in place and with copies;
* in place: ``read(copy=False)`` of 50 MB, beside ``read(out=)``;
* idle readers: a write with 16 readers attached that do something else, beside one with none;
* flood: frames that a copying reader gets while a writer floods 720p, beside those that it could
  copy if nobody wrote, and the most copies that one of them took.

Prints a line for each and, with ``--json FILE``, writes the figures. Linux (the limits are).
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import mmap
import multiprocessing
import os
import statistics
import tempfile
import time
from typing import Any, Callable

import numpy as np

from ndsharray import NdShArray
from ndsharray._memory import Memory
from ndsharray._wait import working_futex

# The same in the children, which inherit the environment.
NAME = "benchmark " + os.environ.setdefault("NDSHARRAY_BENCHMARK", str(os.getpid()))
BLOCKS, TRIPS = 20, 200
FRAME = (720, 1280, 3)


class Bare:
    """A bare futex ping-pong over two words of a mapped file: the least that Python can do."""

    def __init__(self, path: str, side: int) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 4096)
        words = np.frombuffer(self._map, np.uint32)
        at = (64 * side, 64 * (1 - side))
        self._mine, self._other = (words[byte // 4 : byte // 4 + 1] for byte in at)
        libc = ctypes.CDLL(None, use_errno=True)
        futex = working_futex()
        assert futex is not None
        self._call, long = libc.syscall, ctypes.c_long
        addresses = [ctypes.c_long(array.ctypes.data) for array in (self._mine, self._other)]
        self._wake = (futex._number, addresses[0], long(1), long(1))
        self._wait = (futex._number, addresses[1], long(0))
        self._long = long

    def send(self, value: int) -> None:
        """Store a value and wake the other side."""
        self._mine[0] = value
        self._call(*self._wake)

    def receive(self, value: int) -> None:
        """Sleep until the other side has stored that value."""
        while (seen := int(self._other[0])) != value:
            if self._call(*self._wait, self._long(seen), None) == -1:
                assert ctypes.get_errno() in (0, errno.EAGAIN, errno.EINTR)


def partner(path: str, transport: str) -> None:
    """Send back all that comes, in the order of `round_trips`."""
    bare = Bare(path, 1)
    there = NdShArray(NAME + "there", r_w="r", transport=transport)
    back = NdShArray(NAME + "back", np.zeros(8), "w", transport=transport)
    count = 0
    for _ in range(BLOCKS):
        for _ in range(TRIPS):
            count += 1
            bare.receive(count)
            bare.send(count)
        for _ in range(TRIPS):
            back.write(there.read(timeout=10)[1])
    there.read(timeout=10)  # until it has its last one
    back.close()


def round_trips(transport: str) -> tuple[float, float]:
    """Return the median microseconds of a bare round trip, and of one with arrays."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(4096))
        file.flush()
        there = NdShArray(NAME + "there", r_w="w", transport=transport)
        back = NdShArray(NAME + "back", r_w="r", transport=transport)
        child = start(partner, file.name, transport)
        back.read(timeout=10)
        bare, payload, count = Bare(file.name, 0), np.zeros(8), 0
        seconds: dict[str, list[float]] = {"bare": [], "arrays": []}
        for _ in range(BLOCKS):
            for _ in range(TRIPS):
                count += 1
                begin = time.perf_counter()
                bare.send(count)
                bare.receive(count)
                seconds["bare"].append(time.perf_counter() - begin)
            for _ in range(TRIPS):
                begin = time.perf_counter()
                there.write(payload)
                valid, _ = back.read(timeout=10)
                seconds["arrays"].append(time.perf_counter() - begin)
                assert valid
        there.close()
        child.join()
        back.close()
    return statistics.median(seconds["bare"]) * 1e6, statistics.median(seconds["arrays"]) * 1e6


def waiting_reader(
    transport: str, copy: bool, seconds: float, result: Any, start_reading: Any
) -> None:
    reader = NdShArray(NAME, r_w="r", transport=transport)
    for _ in range(10):
        reader.read(timeout=5, copy=copy)
    start_reading.set()
    begin, used, frames = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        frames += reader.read(timeout=5, copy=copy)[0]
    took = time.perf_counter() - begin
    result.send(((time.process_time() - used) / took, frames / took))
    reader.close()


def core_share(transport: str, copy: bool, seconds: float) -> tuple[float, float]:
    """Return a waiting reader's share of a core, and the frames/s that it got."""
    frame = np.random.default_rng(1).integers(0, 255, FRAME, np.uint8)
    receive, send = multiprocessing.get_context("spawn").Pipe(False)
    started = multiprocessing.get_context("spawn").Event()
    with NdShArray(NAME, frame, "w", transport=transport) as writer:
        child = start(waiting_reader, transport, copy, seconds, send, started)
        due = time.perf_counter()
        while not receive.poll():
            writer.write(frame)
            due += 1 / 60
            time.sleep(max(0.0, due - time.perf_counter()))
        share, rate = receive.recv()
        child.join()
    return share, rate


def large_writer(transport: str, stop: Any) -> None:
    frame = np.zeros(50_000_000, np.uint8)
    with NdShArray(NAME, r_w="w", transport=transport) as writer:
        while not stop.is_set():
            writer.write(frame)
            time.sleep(0.002)


def in_place(transport: str, rounds: int) -> tuple[float, float]:
    """Return the median microseconds of a read of 50 MB in place, and of one into a buffer.

    Of frames that another process writes, in blocks that take turns: a copy leaves nothing else in
    the caches of its core, and a reader in place does not copy.
    """
    stop = multiprocessing.get_context("spawn").Event()
    out = np.empty(50_000_000, np.uint8)
    times: dict[str, list[float]] = {}
    child = start(large_writer, transport, stop)
    with NdShArray(NAME, r_w="r", transport=transport) as reader:
        reader.read(timeout=10)
        follower: Any = reader._reader._follower  # type: ignore[union-attr]
        for turn in range(rounds):
            for _ in range(5):
                while not follower.has_news():
                    os.sched_yield()
                for _ in range(5):  # the same frame: the first after a pause finds cold caches
                    follower.had = (0, 0, 0)
                    if turn % 2:
                        timed(times, "in place", lambda: reader.read(copy=False))
                    else:
                        timed(times, "copy", lambda: reader.read(out=out))
        stop.set()
        child.join()
    return statistics.median(times["in place"]) * 1e6, statistics.median(times["copy"]) * 1e6


def idle_reader(transport: str, ready: Any, stop: Any) -> None:
    with NdShArray(NAME + "busy", r_w="r", transport=transport) as reader:
        reader.read(timeout=10)
        ready.release()
        stop.wait()


def idle_readers(transport: str, shape: tuple[int, ...], rounds: int) -> tuple[float, float]:
    """Return the median microseconds of a write with nobody attached, and with 16 readers."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Semaphore(0), context.Event()
    frame = np.zeros(shape, np.uint8)
    times: dict[str, list[float]] = {}
    with NdShArray(NAME + "alone", frame, "w", transport=transport) as alone:
        with NdShArray(NAME + "busy", frame, "w", transport=transport) as busy:
            children = [start(idle_reader, transport, ready, stop) for _ in range(16)]
            for _ in children:
                ready.acquire()
            for _ in range(rounds):
                timed(times, "alone", lambda: alone.write(frame))
                timed(times, "16 readers", lambda: busy.write(frame))
            stop.set()
            for child in children:
                child.join()
    return statistics.median(times["alone"]) * 1e6, statistics.median(times["16 readers"]) * 1e6


def flooding_writer(transport: str, flood: Any, stop: Any) -> None:
    frames = [np.full(FRAME, value, np.uint8) for value in range(16)]
    with NdShArray(NAME, frames[0], "w", transport=transport) as writer:
        count = 0
        while not stop.is_set():
            if not flood.wait(0.05):
                continue
            for _ in range(50):
                writer.write(frames[count % 16])
                count += 1


class Copies:
    """Counts the copies out of shared memory that a reader makes, and the most of one read."""

    def __init__(self) -> None:
        self.now = self.most = 0
        real = Memory.copy

        def copy(target: Any, source: Any) -> None:
            self.now += 1
            real(target, source)

        Memory.copy = staticmethod(copy)  # type: ignore[method-assign]

    def begin(self) -> None:
        """Begin a read."""
        self.most = max(self.most, self.now)
        self.now = 0


def flood(transport: str, seconds: float) -> tuple[float, float, float, int]:
    """Return frames/s: copied while nobody writes; under a flood, written and read; most copies."""
    context = multiprocessing.get_context("spawn")
    go, stop = context.Event(), context.Event()
    copies, rates = Copies(), {False: [0, 0, 0.0], True: [0, 0, 0.0]}
    child = start(flooding_writer, transport, go, stop)
    with NdShArray(NAME, r_w="r", transport=transport) as reader:
        reader.read(timeout=10)
        follower: Any = reader._reader._follower  # type: ignore[union-attr]
        for turn in range(10):  # quiet and flooded take turns
            flooded = bool(turn % 2)
            (go.set if flooded else go.clear)()
            time.sleep(0.2)
            reader.read()
            copies.now = 0
            first, count, begin = reader.frame_id, 0, time.perf_counter()
            while time.perf_counter() - begin < seconds / 5:
                copies.begin()
                if not flooded:
                    follower.had = (0, 0, 0)  # the same one once more
                count += reader.read()[0]
            for i, value in enumerate(
                (count, reader.frame_id - first, time.perf_counter() - begin)
            ):
                rates[flooded][i] += value
        stop.set()
        go.set()
        child.join()
    quiet, busy = rates[False], rates[True]
    return quiet[0] / quiet[2], busy[1] / busy[2], busy[0] / busy[2], copies.most


def timed(times: dict[str, list[float]], name: str, work: Callable[[], Any]) -> None:
    begin = time.perf_counter()
    work()
    times.setdefault(name, []).append(time.perf_counter() - begin)


def start(target: Callable[..., None], *args: Any) -> Any:
    child = multiprocessing.get_context("spawn").Process(target=target, args=args)
    child.start()
    return child


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each timed part")
    parser.add_argument("--only", default="", help="a word of the parts to run")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    seconds, figures = arguments.seconds, {}

    def say(part: str, text: str, value: float, limit: float, at_most: bool = True) -> None:
        figures[f"{part}, {transport}"] = value
        sign, good = ("<=", value <= limit) if at_most else (">=", value >= limit)
        verdict = "" if good else "   MISSED"
        part = f"{part}, {transport}"
        print(f"{part:<34}{text:<62}{value:8.4f} {sign} {limit}{verdict}", flush=True)

    for transport in ("mmap", "posix_shm"):
        only = arguments.only
        if only in "round trip":
            bare, arrays = round_trips(transport)
            say("round trip", f"{bare:.1f} us bare, {arrays:.1f} us", arrays / bare, 1.5)
        for copy, limit in ((False, 0.03), (True, 0.06)):
            if only in "core share":
                share, rate = core_share(transport, copy, seconds)
                part = "core share, copies" if copy else "core share, in place"
                say(part, f"{rate:.1f} frames/s", share, limit)
        if only in "in place 50 MB":
            place, whole = in_place(transport, 20)
            say("in place 50 MB", f"{place:.1f} us, copy {whole:.0f} us", place / whole, 0.01)
        for size, shape in (("64 B", (64,)), ("720p", FRAME)):
            if only in "16 idle readers":
                alone, busy = idle_readers(transport, shape, 4000 if size == "64 B" else 600)
                text = f"{alone:.1f} us alone, {busy:.1f} us"
                say(f"16 idle readers, {size}", text, busy / alone, 1.2)
        if only in "flood":
            quiet, written, got, most = flood(transport, seconds)
            text = f"{quiet:.0f}/s quiet; of {written:.0f}/s {got:.0f}/s, {most} copies at most"
            # A frame that was never written cannot be read.
            say("flood", text, got / min(quiet, written), 0.8, at_most=False)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf8") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
