"""A round trip of 64 B between two processes that sleep until something comes."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

from bench import Bench
from child import Child
from launch import Pair
from meet import check, meet, stamp
from rivals.base import make_frame
from stats import summarize
from tables import Column, Table

from works.frames import STAMPS

TABLE = Table(
    "trips: 64 B there and back, both sides sleep until it comes",
    (Column("trip", "trip", "futex"),),
    "Ratio to a bare futex ping-pong from Python.",
)
CASE = "64 B"
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
        verify(child, array, i)  # while it is under way


def verify(child: Child, array: Any, i: int) -> None:
    if array is None:
        raise TimeoutError("no frame came back")
    if "frames" not in child.rival.cannot:
        check(array, i % STAMPS)


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
        child.do("meet:open_end", role=role, number=number, **options)
    if "frames" not in pair.rival.cannot:
        meet(pair, SHAPE)
        meet(pair, SHAPE, number=1, back=True)


def run(bench: Bench) -> None:
    pairs = bench.taking_part("trips")
    times: dict[Pair, list[float]] = {pair: [] for pair in pairs}
    counts = dict.fromkeys(pairs, 0)

    def block(pair: Pair) -> None:
        options = {"first": counts[pair], "trips": BLOCK}
        took, _ = pair.together(("works.trips:ask", options), ("works.trips:answer", options))
        counts[pair] += BLOCK
        times[pair] += [value / 1e3 for value in took[WARM:]]

    pairs = bench.in_turns("trips", CASE, pairs, open_four)
    blocks = BLOCKS // (3 if bench.quick else 1)
    for pair in bench.in_turns("trips", CASE, pairs, block, blocks, 4.0):
        bench.note("trips", CASE, pair.rival, trip=summarize(times[pair]))
        pair.close()
