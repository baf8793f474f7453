"""Tell whether a change made a call slower: two checkouts, alternately in one run.

Each checkout has a pair of processes for each transport. In a round both checkouts do a block of
the same calls, and the checkout that begins changes with each round, so a slow moment of the
machine hits both. What counts is the median of the rounds' ratios.

Where the kernel happens to place an array's pages, and a process its code, makes the calls of one
opening slower or faster for as long as it lasts: by a factor of two for 720p, on a machine with
small caches. So arrays are opened anew every few rounds, and processes are started anew as well.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from report.checkouts import Rounds, show
from report.targets import TRANSPORTS
from rivals import Rival
from scenarios.frames import SIZES, Times

from harness.bench import Bench
from harness.ends import open_ends
from harness.processes import Failed, Interpreter, Pair

THIS = Path(__file__).resolve().parents[2]
STARTS = 3
SMALL, LARGE = 250, 6  # calls of a block


class Case(NamedTuple):
    """Calls that are compared: how a pair opens its array, and a block of them."""

    open: Callable[[Pair], None]
    block: Callable[[Pair], dict[str, float]]  # gives microseconds by the kind of call
    rounds: int  # of an opening


def run(other: Path, rounds: int) -> int:
    """Measure and print; the exit code says only whether the run came to its end."""
    found: dict[str, Rounds] = defaultdict(lambda: Rounds([], []))
    starts = min(STARTS, rounds)
    try:
        for start in range(starts):
            count = rounds // starts + (start < rounds % starts)
            one_start(other, count, found, describe=start == 0)
    except Failed as error:
        sys.exit(f"python benchmarks --against: {error}")
    show(found)
    return 0


def one_start(other: Path, rounds: int, found: dict[str, Rounds], describe: bool) -> None:
    """Start processes for both checkouts, and do these rounds of each case."""
    rivals, interpreters = [], {}
    for transport in TRANSPORTS:
        for label, path in (("this", THIS), ("other", other)):
            rival = Rival(f"{transport}, {label}", "ndsharray", "", {"transport": transport})
            rivals.append(rival)
            interpreters[rival.name] = Interpreter(sys.executable, str(path))
    bench = Bench(rivals, short=True, interpreters=interpreters)
    try:
        bench.start()
        for name, reason in bench.missing.items():
            raise Failed(f"{name}: {reason}")
        for transport in TRANSPORTS:
            sides = [bench.pairs[f"{transport}, {label}"] for label in ("this", "other")]
            if describe and transport == TRANSPORTS[0]:
                for pair, path in zip(sides, (THIS, other)):
                    print(f"{pair.rival.name.split(', ')[1]}: {imported(pair, path)}")
            for name, case in CASES.items():
                for done in range(0, rounds, case.rounds):
                    count = min(case.rounds, rounds - done)
                    alternate(sides, count, case, f"{transport}, {name}", found)
                    sides.reverse()
    finally:
        bench.stop()


def imported(pair: Pair, path: Path) -> str:
    """Return version and place of the package; make sure that it is the checkout's."""
    file, version = pair.writer.do("harness.facts:imported")
    if not Path(file).is_relative_to(path):
        raise Failed(f"imported {file}, which is not in {path}")
    return f"ndsharray {version} in {path}"


def alternate(
    sides: list[Pair], rounds: int, case: Case, name: str, found: dict[str, Rounds]
) -> None:
    """Open both sides and have them do a block in each round; add what they took to `found`."""
    for pair in sides:
        case.open(pair)
        case.block(pair)  # its code and memory are warm from now on
    for turn in range(rounds):
        for pair in sides if turn % 2 else reversed(sides):
            which = 0 if pair.rival.name.endswith("this") else 1
            for kind, value in case.block(pair).items():
                found[f"{name}: {kind}"][which].append(value)
    for pair in sides:
        pair.close()


def open_small(pair: Pair) -> None:
    pair.generation += 1
    pair.writer.do("scenarios.small:open_both", generation=pair.generation)


def small(pair: Pair) -> dict[str, float]:
    (write, read, _), _ = pair.writer.do("scenarios.small:batch", calls=SMALL)
    return {"write": write / 1e3, "read": read / 1e3}


def open_frames(pair: Pair) -> None:
    open_ends(pair, SIZES["720p"])


def frames(pair: Pair) -> dict[str, float]:
    pair.turns.reset()  # each block counts from the beginning
    times = Times()
    times.block(pair, [SIZES["720p"]], LARGE)
    return {kind: median(times.values[kind]) for kind in ("write", "read")}


CASES = {"64 B": Case(open_small, small, 25), "720p": Case(open_frames, frames, 5)}
