"""How long it takes until the first frame: of a program, of a reader, after a writer's restart.

* from nothing: in a fresh interpreter, the import of numpy and of the rival, a writer, a reader and
  the first frame; beside numpy and a `SharedMemory` that is written and read by hand;
* first: in a fresh interpreter that has numpy, from before the import of the rival, over a writer,
  a write and a reader, to the first frame;
* attach: a new reader, to the first frame, of a writer that writes 1000 frames/s;
* restart: a writer that has closed is made again, to its first frame in a reader that only reads.
"""

from __future__ import annotations

import subprocess
import sys
import time
from time import perf_counter_ns
from typing import Any

from harness.bench import Bench
from harness.child import Child
from harness.ends import open_ends, stamp
from harness.processes import Pair
from harness.stats import summarize
from harness.turns import STOP, TURN, VALUE, give_way
from report.tables import Column, Table
from rivals.base import make_frame

TABLE = Table(
    "start: until the first frame, 64 B",
    (Column("ms", "time", "floor"),),
    "from nothing: with the import of numpy. first: from the import, in a fresh interpreter that "
    "has numpy.\nattach: a new reader. restart: a new writer, the reader stays.",
)
SHAPE = (64,)
TIMES = 20
STARTS = 3
INTERPRETERS = 20
# Prints the milliseconds from nothing to the first frame of 64 B.
FROM_NOTHING = {
    "floor": """
import time; begun = time.perf_counter()
import os
import numpy as np
from multiprocessing.shared_memory import SharedMemory
name = f"from nothing {os.getpid()}"
one = SharedMemory(name, True, 64)
np.ndarray(64, np.uint8, one.buf)[:] = 1
other = SharedMemory(name)
frame = np.ndarray(64, np.uint8, other.buf).copy()
print((time.perf_counter() - begun) * 1e3)
one.unlink()
""",
    "ndsharray": """
import time; begun = time.perf_counter()
import os, sys
import numpy as np
from ndsharray import NdShArray
name = f"from nothing {os.getpid()}"
writer = NdShArray(name, np.ones(64, np.uint8), "w", transport=sys.argv[1])
reader = NdShArray(name, r_w="r", transport=sys.argv[1])
valid, frame = reader.read()
print((time.perf_counter() - begun) * 1e3)
assert valid
reader.close(); writer.close()
""",
}


def first_frame(child: Child, generation: int) -> float:
    """Return the milliseconds from the import to the first frame."""
    frame = make_frame(SHAPE)
    begin = perf_counter_ns()
    writer = child.open("Writer", frame, generation, side=0)
    reader = child.open("Reader", frame, generation, side=1)
    writer.write(frame)
    while True:
        pause = time.monotonic() + 0.001
        while time.monotonic() < pause:
            if reader.read() is not None:
                return (perf_counter_ns() - begin) / 1e6
        if perf_counter_ns() - begin > 5e9:
            raise TimeoutError("no first frame")
        if not child.rival.channels:  # else none is lost, and a full one would wait for a reader
            writer.write(frame)


def write_on(child: Child) -> None:
    """Write 1000 frames/s until the reader says stop."""
    frame = make_frame(SHAPE)
    while not child.turns[STOP]:
        child.writer.write(frame)
        time.sleep(0.001)


def attach_again(child: Child, times: int, generation: int) -> list[float]:
    """Return the milliseconds of each new reader."""
    frame, took = make_frame(SHAPE), []
    for _ in range(times):
        child.ends.pop(("Reader", 0)).close()
        begin = perf_counter_ns()
        reader = child.open("Reader", frame, generation)
        while reader.read() is None:
            give_way()
            child.turns.check(begin / 1e9 + 5, "a new reader got no frame")
        took.append((perf_counter_ns() - begin) / 1e6)
    child.turns[STOP] = 1
    return took


def write_anew(child: Child, times: int, generation: int) -> list[int]:
    """Close and make a new writer each time; return when that began."""
    frame, turns, begins = make_frame(SHAPE), child.turns, []
    for turn in range(1, times + 1):
        old = child.ends.pop(("Writer", 0))
        getattr(old, "end", old.close)()
        time.sleep(0.01)
        turns[VALUE] = turn
        stamp(frame, turn)
        begins.append(perf_counter_ns())
        writer = child.open("Writer", frame, generation)
        deadline = time.monotonic() + 5
        while turns[TURN] != turn:
            writer.write(frame)
            pause = time.monotonic() + 0.001
            while turns[TURN] != turn and time.monotonic() < pause:
                give_way()
            turns.check(deadline, "no frame after a restart")
    return begins


def read_anew(child: Child, times: int) -> list[int]:
    """Return when the first frame of each new writer was there."""
    read, turns, ends = child.reader.read, child.turns, []
    for turn in range(1, times + 1):
        deadline = time.monotonic() + 6
        while True:
            array = read()
            if array is not None and array[0] == turn:
                break
            give_way()
            turns.check(deadline, "no frame after a restart")
        ends.append(perf_counter_ns())
        turns[TURN] = turn
    return ends


def run(bench: Bench) -> None:
    run_from_nothing(bench)
    run_first(bench)
    times = TIMES // (4 if bench.short else 1)
    for case, take in (("attach", attach), ("restart", restart)):
        pairs = bench.taking_part("start", case)
        values: dict[Pair, list[float]] = {}

        def block(pair: Pair, take: Any = take, values: Any = values) -> None:
            open_ends(pair, SHAPE)
            values[pair] = take(pair, times)
            pair.close()

        for pair in bench.alternately("start", case, pairs, block):
            bench.note("start", case, pair.rival, ms=summarize(values[pair], "ms"))


def run_from_nothing(bench: Bench) -> None:
    rivals = [r for r in bench.rivals if r.name in ("floor", "mmap", "posix_shm")]
    values: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for _ in range(INTERPRETERS // (4 if bench.short else 1)):
        for rival in rivals:
            script = FROM_NOTHING.get(rival.name, FROM_NOTHING["ndsharray"])
            command = [sys.executable, "-c", script, rival.name]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            values[rival.name].append(float(ended.stdout))
    for rival in rivals:
        bench.note("start", "from nothing", rival, ms=summarize(values[rival.name], "ms"))


def run_first(bench: Bench) -> None:
    pairs = bench.taking_part("start")
    values: dict[Pair, list[float]] = {pair: [] for pair in pairs}

    def take(pair: Pair) -> None:
        pair.restart()
        for each in (pair.writer, pair.reader):
            pair.generation += 1
            values[pair].append(each.do("scenarios.start:first_frame", generation=pair.generation))
            each.do("harness.ends:close_ends")

    for pair in bench.alternately("start", "first", pairs, take, 1 if bench.short else STARTS):
        bench.note("start", "first", pair.rival, ms=summarize(values[pair], "ms"))


def attach(pair: Pair, times: int) -> list[float]:
    pair.turns.reset()
    _, took = pair.together(
        ("scenarios.start:write_on", {}),
        ("scenarios.start:attach_again", {"times": times, "generation": pair.generation}),
    )
    return took


def restart(pair: Pair, times: int) -> list[float]:
    pair.turns.reset()
    options = {"times": times}
    begins, ends = pair.together(
        ("scenarios.start:write_anew", {**options, "generation": pair.generation}),
        ("scenarios.start:read_anew", options),
    )
    return [(end - begin) / 1e6 for begin, end in zip(begins, ends)]
