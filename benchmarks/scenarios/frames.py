"""Write, read and idle poll of frames that pass from process to process in lock-step.

The writer writes, then hands the turn to the reader by a word in shared memory that both poll
without sleeping: one side works at a time, and its caches are hot. Where a rival's write waits for
the reader, the reader reads meanwhile; where a thread delivers, the read polls until the frame is
there. *Delivered* is from the begin of the write to the end of the read, so it holds for those,
too. The first call of each block is not counted: it finds the caches that another rival left.

A read in place touches nothing of the frame, so after a large frame its time would be that of its
code's return into the caches. So it is run once before, on a small array of the reader's own.

A frame that has not arrived after a second is *lost*, and counted: some rivals may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

from harness.bench import Bench
from harness.child import Child
from harness.ends import check, stamp
from harness.processes import Failed, Pair
from harness.stats import summarize
from harness.turns import TURN, give_way
from report.tables import Column, Table
from rivals.base import Array, make_frame

TABLE = Table(
    "frames: from process to process in lock-step",
    (
        Column("write", "write", "copyto"),
        Column("read", "read", "copyto"),
        Column("delivered", "deliv.", "copyto"),
        Column("poll", "poll", "floor"),
        Column("lost", "lost"),
    ),
    "Ratios to np.copyto over three slots (poll: to the floor). pipe: writes and reads at the same "
    "time.\nqueue, zmq, zenoh: threads deliver; a read includes the wait for them.",
)
SIZES = {
    "64 KiB": (64, 1024),
    "720p": (720, 1280, 3),
    "4K RGB": (2160, 3840, 3),
    "50 MB": (50_000_000,),
}
SHORT = ("64 KiB", "720p", "50 MB")
CALLS = {"64 KiB": 1000, "720p": 400, "4K RGB": 80, "50 MB": 40}
BLOCK = {"64 KiB": 20, "720p": 10, "4K RGB": 5, "50 MB": 4}
WARM = 1  # calls of each block that are not counted
POLLS, LOOKS = 5, 10  # idle polls after each block: times, and polls of a time
STAMPS = 251
LOST = 1.0  # seconds
SMALL = (64,)
MOST_LOST = 5


def write_block(child: Child, shapes: list[tuple[int, ...]], first: int, calls: int) -> Any:
    """Write frames of these shapes, each in its turn; return begins and ends in nanoseconds."""
    frames, write, turns = make_frames(child, shapes), child.writer.write, child.turns
    concurrent, times = child.rival.concurrent, []
    for i in range(first, first + calls):
        frame = frames[i % len(frames)]
        stamp(frame, i % STAMPS)
        if concurrent:
            turns[TURN] = 2 * i + 1
        begin = perf_counter_ns()
        write(frame)
        end = perf_counter_ns()
        if not concurrent:
            turns[TURN] = 2 * i + 1
        turns.wait(TURN, 2 * i + 2)
        times.append((begin, end))
    return times


def make_frames(child: Child, shapes: list[tuple[int, ...]]) -> list[Array]:
    """Return a frame of each shape: the same memory."""
    if child.kept.get("shapes") != shapes:
        frame = make_frame(shapes[0])
        child.kept.update(shapes=shapes, frames=[frame.reshape(shape) for shape in shapes])
    return child.kept["frames"]


def read_block(child: Child, shapes: list[tuple[int, ...]], first: int, calls: int) -> Any:
    """Read them, each in its turn; return begins and ends, and nanoseconds of idle polls."""
    read, turns, times = child.reader.read, child.turns, []
    warm = warm_up(child) if child.rival.in_place else None
    for i in range(first, first + calls):
        turns.wait(TURN, 2 * i + 1)
        if warm is not None:
            warm()
        begin = perf_counter_ns()
        array = read()
        if array is None:
            array = look(child)
        end = perf_counter_ns()
        if array is not None:
            check(array, i % STAMPS)
            assert array.shape == shapes[i % len(shapes)]
        times.append((begin, end) if array is not None else None)
        del array
        turns[TURN] = 2 * i + 2
    return times, idle_polls(read)


def idle_polls(read: Callable[[], Any]) -> list[float]:
    polls = []
    for _ in range(POLLS):
        begin = perf_counter_ns()
        for _ in range(LOOKS):
            read()
        polls.append((perf_counter_ns() - begin) / LOOKS)
    return polls


def look(child: Child) -> Any:
    """Read until there is something; None if it is lost."""
    read, deadline = child.reader.read, perf_counter_ns() + LOST * 1e9
    while (array := read()) is None and perf_counter_ns() < deadline:
        give_way()
    return array


def warm_up(child: Child) -> Callable[[], None]:
    """Return what runs the code of a read once, on an array that only this process has."""
    if ("Reader", 1) not in child.ends:
        frame = make_frame(SMALL)
        options = {"number": 1, "generation": child.kept["generation"], "side": 0}
        child.kept["warm"] = frame, child.open("Writer", frame, **options)
        child.open("Reader", frame, **options)
    frame, writer = child.kept["warm"]
    reader = child.ends["Reader", 1]

    def warm() -> None:
        writer.write(frame)
        reader.read()

    return warm


class Times:
    """What one rival took, in microseconds."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {"write": [], "read": [], "delivered": [], "poll": []}
        self.count, self.lost = 1, 0

    def block(self, pair: Pair, shapes: list[tuple[int, ...]], calls: int) -> None:
        options = {"shapes": shapes, "first": self.count, "calls": calls}
        wrote, (got, polls) = pair.together(
            ("scenarios.frames:write_block", options), ("scenarios.frames:read_block", options)
        )
        self.count += calls
        for write, read in list(zip(wrote, got))[WARM:]:
            self.values["write"].append((write[1] - write[0]) / 1e3)
            if read is None:
                self.lost += 1
                continue
            self.values["read"].append((read[1] - read[0]) / 1e3)
            self.values["delivered"].append((read[1] - write[0]) / 1e3)
        self.values["poll"] += [poll / 1e3 for poll in polls[1:]]
        if self.lost > MOST_LOST:
            raise Failed("frames get lost")

    def figures(self) -> dict[str, Any]:
        made: dict[str, Any] = {kind: summarize(got) for kind, got in self.values.items() if got}
        return {**made, "lost": self.lost}


def run(bench: Bench, sizes: Sequence[str] | None = None) -> None:
    """Do it with frames of these sizes; by default all, or those of a quick run."""
    for size in sizes or (SHORT if bench.short else SIZES):
        run_size(bench, size, SIZES[size])


def run_size(bench: Bench, size: str, shape: tuple[int, ...]) -> None:
    times = {pair: Times() for pair in bench.taking_part("frames")}
    with bench.all_opened("frames", size, list(times), shape) as pairs:
        pairs = bench.alternately(
            "frames",
            size,
            pairs,
            lambda pair: times[pair].block(pair, [shape], BLOCK[size]),
            CALLS[size] // (BLOCK[size] - WARM) // (4 if bench.short else 1),
            0.5 if bench.short else 4.0,
        )
        for pair in pairs:
            bench.note("frames", size, pair.rival, **times[pair].figures())
