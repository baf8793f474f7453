"""A writer that floods 720p, and a reader that takes what it can.

Each frame is filled with one value, so that a mixture of two shows: in a sample of the elements,
the first and the last. Looking at them is not counted as time.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import numpy as np
from harness.bench import Bench
from harness.child import Child
from harness.ends import stop_writer
from harness.processes import Pair
from harness.stats import summarize
from harness.turns import DONE, STOP, give_way
from report.tables import Column, Table
from rivals.base import Array

TABLE = Table(
    "flood: a writer that never stops, 720p",
    (
        Column("reads", "reads/s", "iceoryx2"),
        Column("read", "read", "copyto"),
        Column("torn", "torn"),
        Column("gap", "gap, ms"),
        Column("written", "writes/s"),
    ),
    "reads: of whole new frames. read: what such a read takes, beside np.copyto while its writer "
    "floods.\ngap: the longest time without a new frame. pipe, queue: the reader holds the writer "
    "back.",
)
CASE = "720p"
SHAPE = (720, 1280, 3)
VALUES = 16
STRIDE = 4099  # of the sample: a prime, so that it hits all columns and colours
# Short and many: a virtual machine has two speeds, for seconds each (`--cores`).
SECONDS, ROUNDS = 0.25, 12
LONGEST_GAP = 4e3  # ms; after two such rounds a rival has shown what it can


def pour(child: Child) -> int:
    """Write until the reader says stop; return how many."""
    frames = [np.full(SHAPE, value, np.uint8) for value in range(VALUES)]
    write, turns, count = child.writer.write, child.turns, 0
    while not turns[STOP]:
        write(frames[count % VALUES])
        count += 1
    turns[DONE] = 1
    return count


def drink(child: Child, seconds: float) -> dict[str, Any]:
    """Read as fast as it goes."""
    read = child.reader.read
    times, gaps, torn, checking = [], [], 0, 0
    start = last = perf_counter_ns()
    while last - start - checking < seconds * 1e9:
        begin = perf_counter_ns()
        array = read()
        end = perf_counter_ns()
        if array is None:
            give_way()
            if end - last > 5e9:
                break
            continue
        times.append((end - begin) / 1e3)
        gaps.append(end - last)
        torn += is_torn(array)
        del array
        last = perf_counter_ns()
        checking += last - end
    took = (last - start - checking) / 1e9
    stop_writer(child, read)
    return {"times": times, "gap": max(gaps, default=5e9) / 1e6, "torn": torn, "took": took}


def is_torn(array: Array) -> bool:
    flat = array.reshape(-1)
    sample = flat[::STRIDE]
    return bool((sample != flat[0]).any() or flat[-1] != flat[0])


def run(bench: Bench) -> None:
    pairs = bench.taking_part("flood")
    seconds, rounds = (0.5, 1) if bench.short else (SECONDS, ROUNDS)
    results: dict[Pair, list[dict[str, Any]]] = {pair: [] for pair in pairs}

    def take(pair: Pair) -> None:
        if [each["gap"] > LONGEST_GAP for each in results[pair]].count(True) >= 2:
            return
        pair.turns.reset()
        written, result = pair.together(
            ("scenarios.flood:pour", {}), ("scenarios.flood:drink", {"seconds": seconds})
        )
        pair.drain()
        results[pair].append({**result, "written": written})

    with bench.all_opened("flood", CASE, pairs, SHAPE) as open_pairs:
        for pair in bench.alternately("flood", CASE, open_pairs, take, rounds):
            bench.note("flood", CASE, pair.rival, **summed(results[pair]))


def summed(results: list[dict[str, Any]]) -> dict[str, Any]:
    times = [time for result in results for time in result["times"]]
    took, torn = (sum(result[key] for result in results) for key in ("took", "torn"))
    return {
        "reads": (len(times) - torn) / took if took else 0.0,
        "read": summarize(times or [float("nan")]),
        "torn": torn,
        "gap": max(result["gap"] for result in results),
        "written": sum(result["written"] for result in results) / took if took else 0.0,
    }
