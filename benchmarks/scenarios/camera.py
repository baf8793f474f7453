"""A camera of 60 frames/s of 720p, and a reader that waits for each.

The latency is from right before the write to the end of the wait, in another process, copies
included. The reader sleeps as its rival's documentation says; the original and the floor have
nothing to sleep on, and look each millisecond.
"""

from __future__ import annotations

import time
from time import perf_counter_ns
from typing import Any

import numpy as np
from harness.bench import Bench
from harness.child import Child
from harness.ends import stop_writer
from harness.processes import Pair
from harness.stats import summarize
from harness.turns import DONE, STOP
from report.tables import Column, Table
from rivals.base import make_frame

TABLE = Table(
    "camera: 60 frames/s of 720p, a reader that waits",
    (
        Column("latency", "latency", "floor"),
        Column("p99", "p99, us", "pyshmem"),
        Column("reader", "reader"),
        Column("writer", "writer"),
        Column("rate", "frames/s"),
    ),
    "Latency from before the write to the end of the wait, copies included; p99 in us; reader and "
    "writer:\nshares of a core. The original and the floor poll each millisecond.",
)
CASE = "720p"
SHAPE = (720, 1280, 3)
RATE = 60
WARM = 10
SECONDS, SHORT_SECONDS, ROUNDS = 4.0, 1.5, 2


def film(child: Child) -> float:
    """Write frames at that rate until the reader says stop; return the share of a core."""
    frame, write, turns = make_frame(SHAPE), child.writer.write, child.turns
    when = frame.reshape(-1)[:8].view(np.int64)
    begin, used = time.perf_counter(), time.process_time()
    due = begin
    while not turns[STOP]:
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        when[0] = perf_counter_ns()
        write(frame)
    share = (time.process_time() - used) / (time.perf_counter() - begin)
    turns[DONE] = 1
    return share


def watch(child: Child, seconds: float) -> Any:
    """Wait for frames; return the latencies in microseconds, and the share of a core."""
    wait, latencies = child.reader.wait, []
    for _ in range(WARM):
        wait(5.0)
    begin, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        array = wait(5.0)
        now = perf_counter_ns()
        if array is not None:
            latencies.append((now - int(array.reshape(-1)[:8].view(np.int64)[0])) / 1e3)
    share = (time.process_time() - used) / (time.perf_counter() - begin)
    stop_writer(child, child.reader.read)
    return latencies, share


def run(bench: Bench) -> None:
    pairs = bench.taking_part("camera")
    seconds, rounds = (SHORT_SECONDS, 1) if bench.short else (SECONDS, ROUNDS)
    latencies: dict[Pair, list[float]] = {pair: [] for pair in pairs}
    shares: dict[Pair, list[tuple[float, float]]] = {pair: [] for pair in pairs}

    def take(pair: Pair) -> None:
        pair.turns.reset()
        share, (took, reader) = pair.together(
            ("scenarios.camera:film", {}), ("scenarios.camera:watch", {"seconds": seconds})
        )
        pair.drain()
        latencies[pair] += took
        shares[pair].append((share, reader))

    with bench.all_opened("camera", CASE, pairs, SHAPE, waiting=True) as open_pairs:
        for pair in bench.alternately("camera", CASE, open_pairs, take, rounds):
            writer, reader = np.mean(shares[pair], axis=0)
            bench.note(
                "camera",
                CASE,
                pair.rival,
                latency=summarize(latencies[pair]),
                p99=float(np.percentile(latencies[pair], 99)),
                reader=float(reader),
                writer=float(writer),
                rate=len(latencies[pair]) / seconds / rounds,
            )
