"""A round trip of 64 B between two processes that sleep until something comes.

Once each process has a CPU of its own, and once both have the same one: waking a process on an idle
CPU and switching to it on the same CPU cost differently, and otherwise the kernel chooses for each
rival anew. For rivals with threads the kernel chooses all the same.
"""

from __future__ import annotations

import os
from time import perf_counter_ns
from typing import Any

from harness.bench import Bench
from harness.child import Child
from harness.ends import check, meet, stamp
from harness.processes import Pair
from harness.stats import summarize
from report.tables import Column, Table
from rivals.base import make_frame

from scenarios.frames import STAMPS

TABLE = Table(
    "trips: 64 B there and back, both sides sleep until it comes",
    (Column("trip", "trip", "futex"),),
    "Ratio to a bare futex ping-pong from Python.",
)
CASES = {"64 B": (0, 1), "64 B, one CPU": (0, 0)}  # and the CPUs of the two sides
SHAPE = (64,)
BLOCK, WARM, BLOCKS = 50, 5, 60
PATIENCE = 5.0


def ask(child: Child, first: int, trips: int) -> list[int]:
    """Send and await the answer; return the nanoseconds of each trip."""
    write, wait = child.ends["Writer", 0].write, child.ends["Reader", 1].wait
    frame, times = make_frame(SHAPE), []
    for i in range(first, first + trips):
        stamp(frame, i % STAMPS)
        begin = perf_counter_ns()
        write(frame)
        array = wait(PATIENCE)
        times.append(perf_counter_ns() - begin)
        verify(child, array, i)
    return times


def answer(child: Child, first: int, trips: int) -> None:
    """Send back what comes."""
    write, wait = child.ends["Writer", 1].write, child.ends["Reader", 0].wait
    for i in range(first, first + trips):
        array = wait(PATIENCE)
        if array is not None:
            write(array)
        verify(child, array, i)  # while the answer travels


def verify(child: Child, array: Any, i: int) -> None:
    if array is None:
        raise TimeoutError("no frame came back")
    if "frames" not in child.rival.cannot:
        check(array, i % STAMPS)


def stay_on(child: Child, side: int | None) -> None:
    """Stay on one CPU; None: on any again."""
    if hasattr(os, "sched_setaffinity") and not child.rival.threads:
        cpus = child.kept.setdefault("cpus", sorted(os.sched_getaffinity(0)))
        os.sched_setaffinity(0, cpus if side is None else {cpus[side % len(cpus)]})


def open_four(pair: Pair) -> None:
    """Open both ends of both ways."""
    pair.generation += 1
    options = {"shape": SHAPE, "generation": pair.generation, "waiting": True}
    for child, role, number in (
        (pair.writer, "Writer", 0),
        (pair.reader, "Writer", 1),
        (pair.reader, "Reader", 0),
        (pair.writer, "Reader", 1),
    ):
        child.do("harness.ends:open_end", role=role, number=number, **options)
    if "frames" not in pair.rival.cannot:
        meet(pair, SHAPE)
        meet(pair, SHAPE, number=1, back=True)


def run(bench: Bench) -> None:
    for case, sides in CASES.items():
        run_case(bench, case, sides)


def run_case(bench: Bench, case: str, sides: tuple[int, int]) -> None:
    pairs = bench.taking_part("trips")
    times: dict[Pair, list[float]] = {pair: [] for pair in pairs}
    counts = dict.fromkeys(pairs, 0)

    def begin(pair: Pair) -> None:
        pair.writer.do("scenarios.trips:stay_on", side=sides[0])
        pair.reader.do("scenarios.trips:stay_on", side=sides[1])
        open_four(pair)

    def block(pair: Pair) -> None:
        options = {"first": counts[pair], "trips": BLOCK}
        took, _ = pair.together(
            ("scenarios.trips:ask", options), ("scenarios.trips:answer", options)
        )
        counts[pair] += BLOCK
        times[pair] += [value / 1e3 for value in took[WARM:]]

    pairs = bench.alternately("trips", case, pairs, begin)
    blocks = BLOCKS // (3 if bench.short else 1)
    for pair in bench.alternately("trips", case, pairs, block, blocks, 4.0):
        bench.note("trips", case, pair.rival, trip=summarize(times[pair]))
        for child in (pair.writer, pair.reader):
            child.do("scenarios.trips:stay_on", side=None)
        pair.close()
