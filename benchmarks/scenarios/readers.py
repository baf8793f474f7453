"""What readers that are attached, and do nothing, cost the writer.

Two arrays of one writing process, one with readers in as many processes and one with none, are
written alternately, call by call.
"""

from __future__ import annotations

import time
from time import perf_counter_ns
from typing import Any

from harness.bench import Bench
from harness.child import Child
from harness.processes import Pair
from harness.stats import summarize
from harness.turns import STOP, give_way
from report.tables import Column, Table
from rivals.base import make_frame

TABLE = Table(
    "readers: a write with idle readers attached",
    (Column("busy", "write", "own", "alone"), Column("alone", "alone")),
    "Ratio to a write with none.",
)
SIZES = {"64 B": (64,), "720p": (720, 1280, 3)}
COUNTS = (1, 4, 16)
CALLS = {"64 B": 4000, "720p": 500}
LONGEST = 2.0  # seconds, however slow a rival is
SHORT = ("mmap", "posix_shm")


def write_until_stop(child: Child, number: int, shape: tuple[int, ...]) -> None:
    writer, frame = child.ends["Writer", number], make_frame(shape)
    while not child.turns[STOP]:
        writer.write(frame)
        time.sleep(0.001)


def attach(child: Child, shape: tuple[int, ...], **options: Any) -> None:
    """Open a reader, and read one frame."""
    reader = child.open("Reader", make_frame(shape), **options)
    deadline = time.monotonic() + 10
    while reader.read() is None:
        give_way()
        child.turns.check(deadline, "an idle reader got no frame")


def write_both(child: Child, shape: tuple[int, ...], calls: int) -> tuple[list[int], list[int]]:
    """Write to the one without and the one with readers; return the nanoseconds."""
    frame, times = make_frame(shape), ([], [])
    writes = [child.ends["Writer", number].write for number in (0, 1)]
    over = time.monotonic() + LONGEST
    while calls and time.monotonic() < over:
        calls -= 1
        for write, kept in zip(writes, times):
            begin = perf_counter_ns()
            write(frame)
            kept.append(perf_counter_ns() - begin)
    return times


def run(bench: Bench) -> None:
    counts = COUNTS[-1:] if bench.short else COUNTS
    for pair in bench.taking_part("readers"):
        if bench.short and pair.rival.name not in SHORT:
            bench.leave_out("readers", pair.rival)
            continue
        for size, shape in SIZES.items():
            case = f"{size}, {counts[-1]} readers"
            with bench.failing("readers", case, pair):
                pair.add_readers(max(counts) - 1)
                measure(bench, pair, size, shape, counts)
        pair.stop_more()


def measure(
    bench: Bench, pair: Pair, size: str, shape: tuple[int, ...], counts: tuple[int, ...]
) -> None:
    pair.generation += 1
    options = {"shape": shape, "generation": pair.generation, "readers": max(counts)}
    for number in (0, 1):
        pair.writer.do("harness.ends:open_end", role="Writer", number=number, **options)
    children = [pair.reader, *pair.more]
    attached = 0
    calls = CALLS[size] // (4 if bench.short else 1)
    for count in counts:
        attach_some(pair, children[attached:count], options)
        attached = count
        alone, busy = pair.writer.do("scenarios.readers:write_both", shape=shape, calls=calls)
        figures = {"alone": alone[10:], "busy": busy[10:]}
        summaries = {key: summarize([ns / 1e3 for ns in got]) for key, got in figures.items()}
        bench.note("readers", f"{size}, {count} readers", pair.rival, **summaries)
    pair.close()


def attach_some(pair: Pair, children: list[Any], options: dict[str, Any]) -> None:
    """Attach readers while the writer writes: some rivals keep no frame for a later reader."""
    pair.turns.reset()
    pair.writer.ask("scenarios.readers:write_until_stop", {"number": 1, "shape": options["shape"]})
    try:
        for each in children:
            each.ask("scenarios.readers:attach", {"number": 1, **options})
        for each in children:
            each.result()
    finally:
        pair.turns[STOP] = 1
        pair.writer.result()
