"""A hundred small arrays at 100 Hz: one process writes all of them, another one reads all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.bench import Bench
from harness.child import Child
from harness.ends import stop_writer
from harness.processes import Pair
from harness.turns import DONE, MET, STOP, give_way
from report.tables import Column, Table
from rivals.base import make_frame

TABLE = Table(
    "many: 100 arrays of 1 KiB at 100 Hz, one process writes them, one reads them",
    (
        Column("writer", "writer", "floor"),
        Column("reader", "reader", "floor"),
        Column("late", "late ticks"),
        Column("got", "frames got"),
    ),
    "writer, reader: shares of a core, and their ratios to the floor's. late: ticks whose work was "
    "not done\nwhen the next was due, of both sides. got: the share of the written frames that was "
    "read.",
)
CASE = "100 arrays"
ARRAYS, RATE = 100, 100
SHAPE = (1024,)
SECONDS, SHORT_SECONDS = 3.0, 1.0


def open_all(child: Child, role: str, generation: int) -> None:
    for number in range(ARRAYS):
        child.open(role, make_frame(SHAPE), generation, number)


def write_until_met(child: Child) -> None:
    """Write all until the reader has read a frame of each."""
    frame, deadline = make_frame(SHAPE), time.monotonic() + 10
    while not child.turns[MET]:
        for number in range(ARRAYS):
            child.ends["Writer", number].write(frame)
        time.sleep(0.02)
        child.turns.check(deadline, "not all arrays arrived")


def read_until_met(child: Child) -> None:
    missing, deadline = set(range(ARRAYS)), time.monotonic() + 10
    while missing:
        missing -= {n for n in missing if child.ends["Reader", n].read() is not None}
        give_way()
        child.turns.check(deadline, f"{len(missing)} arrays did not arrive")
    child.turns[MET] = 1


def tick(work: Callable[[], Any], is_over: Callable[[], Any]) -> tuple[float, int, int]:
    """Do it at that rate; return the share of a core, the ticks and how many were late."""
    begin, used = time.perf_counter(), time.process_time()
    due, ticks, late = begin, 0, 0
    while not is_over():
        due += 1 / RATE
        work()
        ticks += 1
        left = due - time.perf_counter()
        late += left < 0
        if left < 0:
            due = time.perf_counter()
        time.sleep(max(0.0, left))
    return (time.process_time() - used) / (time.perf_counter() - begin), ticks, late


def write_all(child: Child) -> Any:
    frame, turns = make_frame(SHAPE), child.turns
    writes = [child.ends["Writer", number].write for number in range(ARRAYS)]

    def work() -> None:
        for write in writes:
            write(frame)

    result = tick(work, lambda: turns[STOP])
    turns[DONE] = 1
    return result


def read_all(child: Child, seconds: float) -> Any:
    reads = [child.ends["Reader", number].read for number in range(ARRAYS)]
    got = 0

    def work() -> None:
        nonlocal got
        for read in reads:
            got += read() is not None

    over = time.perf_counter() + seconds
    share, _, late = tick(work, lambda: time.perf_counter() > over)
    stop_writer(child, work)
    work()
    return share, late, got


def run(bench: Bench) -> None:
    seconds = SHORT_SECONDS if bench.short else SECONDS

    def take(pair: Pair) -> None:
        pair.generation += 1
        for child, role in ((pair.writer, "Writer"), (pair.reader, "Reader")):
            child.do("scenarios.many:open_all", role=role, generation=pair.generation)
        pair.turns.reset()
        pair.together(("scenarios.many:write_until_met", {}), ("scenarios.many:read_until_met", {}))
        pair.drain(ARRAYS)
        pair.turns.reset()
        wrote, (reader, late, got) = pair.together(
            ("scenarios.many:write_all", {}), ("scenarios.many:read_all", {"seconds": seconds})
        )
        pair.close()
        writer, ticks, writer_late = wrote
        bench.note(
            "many",
            CASE,
            pair.rival,
            writer=float(np.round(writer, 4)),
            reader=float(np.round(reader, 4)),
            late=writer_late + late,
            got=got / (ticks * ARRAYS),
        )

    bench.alternately("many", CASE, bench.taking_part("many"), take)
