"""Write, read and idle poll of 64 B, in batches, both ends in one process.

Whole loops are timed: of writes, of writes with a read after each (a read is the difference), and
of idle polls. Rivals whose writes wait for a reader, or whose frames are delivered by threads, are
timed call by call, less the clock's own time. Between processes most of the time would be the
traffic of the caches; the frames of 64 KiB and the round trips measure that.
"""

from __future__ import annotations

import statistics
from time import perf_counter_ns
from typing import Any

from harness.bench import Bench
from harness.child import Child
from harness.processes import Pair
from harness.stats import summarize
from report.tables import Column, Table
from rivals.base import make_frame

from scenarios.frames import LOST, STAMPS

TABLE = Table(
    "small: 64 B, both ends in one process, batches of 1000",
    (
        Column("write", "write", "floor"),
        Column("read", "read", "floor"),
        Column("poll", "poll", "floor"),
    ),
    "Ratios to the unsafe floor. Medians of batches; pipe, queue, zmq, zenoh: timed call by call.",
)
SHAPE = (64,)
BATCH, BATCHES = 1000, 60


def open_both(child: Child, generation: int) -> None:
    """Open both ends here, and wait until frames arrive."""
    frame = make_frame(SHAPE)
    writer = child.open("Writer", frame, generation)
    reader = child.open("Reader", frame, generation, side=1)
    deadline = perf_counter_ns() + 20 * LOST * 1e9
    got = None
    while got is None and perf_counter_ns() < deadline:
        writer.write(frame)
        got = wait_for(reader, 0.05)
    while got is not None:  # none may be under way
        got = wait_for(reader, 0.05)


def wait_for(reader: Any, seconds: float) -> Any:
    deadline = perf_counter_ns() + seconds * 1e9
    while (array := reader.read()) is None and perf_counter_ns() < deadline:
        pass
    return array


def clock_cost() -> float:
    """Return the median nanoseconds between two looks at the clock."""
    costs = []
    for _ in range(1000):
        begin = perf_counter_ns()
        end = perf_counter_ns()
        costs.append(end - begin)
    return statistics.median(costs)


def batch(child: Child, calls: int) -> Any:
    """Return the nanoseconds of a write, a read and an idle poll; and how many were lost."""
    if child.rival.concurrent or child.rival.threads:
        return call_by_call(child, calls)
    write, read, frame = child.writer.write, child.reader.read, make_frame(SHAPE)
    turns, clock = range(calls), perf_counter_ns
    begin = clock()
    for _ in turns:
        write(frame)
    wrote = clock()
    for _ in turns:
        write(frame)
        array = read()
    got = clock()
    for _ in turns:
        read()
    looked = clock()
    assert array is not None
    assert array[0] == frame[0]
    writing = wrote - begin
    return [each / calls for each in (writing, got - wrote - writing, looked - got)], 0


def call_by_call(child: Child, calls: int) -> Any:
    """Return the medians of calls that are timed one by one, and how many frames were lost."""
    write, reader = child.writer.write, child.reader
    read, frame, clock = reader.read, make_frame(SHAPE), perf_counter_ns
    times: tuple[list[int], list[int], list[int]] = ([], [], [])
    lost = 0
    for i in range(calls):
        frame[0] = i % STAMPS
        begin = clock()
        write(frame)
        wrote = clock()
        array = read()
        got = clock()
        if array is None:
            array = wait_for(reader, LOST)
            got = clock()
        if array is None:
            lost += 1
            continue
        assert array[0] == i % STAMPS
        look = clock()
        read()
        looked = clock()
        for kept, value in zip(times, (wrote - begin, got - wrote, looked - look)):
            kept.append(value)
    cost = clock_cost()
    return [statistics.median(kept) - cost for kept in times], lost


def run(bench: Bench) -> None:
    case = "64 B"
    pairs = bench.taking_part("small")
    values: dict[Pair, list[list[float]]] = {pair: [] for pair in pairs}
    lost = dict.fromkeys(pairs, 0)

    def open_here(pair: Pair) -> None:
        pair.generation += 1
        pair.writer.do("scenarios.small:open_both", generation=pair.generation)

    def one(pair: Pair) -> None:
        medians, missing = pair.writer.do("scenarios.small:batch", calls=BATCH)
        values[pair].append([value / 1e3 for value in medians])
        lost[pair] += missing

    pairs = bench.alternately("small", case, pairs, open_here)
    batches = BATCHES // (3 if bench.short else 1)
    pairs = bench.alternately("small", case, pairs, one, batches, 0.5 if bench.short else 3.0)
    for pair in pairs:
        made = {
            kind: summarize([each[at] for each in values[pair][1:] or values[pair]])
            for at, kind in enumerate(("write", "read", "poll"))
        }
        bench.note("small", case, pair.rival, **made, lost=lost[pair])
        pair.writer.do("harness.ends:close_ends")
