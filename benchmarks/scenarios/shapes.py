"""A shape that changes at each write, beside one that does not: the same memory, of 720p.

In lock-step, as `frames` does it; blocks with and without change take turns.
"""

from __future__ import annotations

from harness.bench import Bench
from harness.processes import Pair
from harness.stats import summarize
from report.tables import Column, Table

from scenarios.frames import Times

TABLE = Table(
    "shapes: another shape at each write",
    (
        Column("changing write", "write", "own", "write"),
        Column("changing read", "read", "own", "read"),
        Column("changing write", "write", "original"),
        Column("changing read", "read", "original"),
    ),
    "First two: ratios to the same rival's calls without change; then to the original's with it.",
)
CASE = "720p"
STEADY = [(720, 1280, 3)]
CHANGING = [(720, 1280, 3), (1280, 720, 3)]
BLOCK, BLOCKS = 10, 40


def run(bench: Bench) -> None:
    pairs = bench.taking_part("shapes")
    steady = {pair: Times() for pair in pairs}
    changing = {pair: Times() for pair in pairs}

    def block(pair: Pair) -> None:
        steady[pair].block(pair, STEADY, BLOCK)
        changing[pair].count = steady[pair].count  # both count the pair's turns
        changing[pair].block(pair, CHANGING, BLOCK)
        steady[pair].count = changing[pair].count

    blocks, budget = (BLOCKS // 4, 1.0) if bench.short else (BLOCKS, 5.0)
    with bench.all_opened("shapes", CASE, pairs, STEADY[0]) as open_pairs:
        for pair in bench.alternately("shapes", CASE, open_pairs, block, blocks, budget):
            for prefix, times in (("", steady[pair]), ("changing ", changing[pair])):
                for kind in ("write", "read"):
                    summary = summarize(times.values[kind])
                    bench.note("shapes", CASE, pair.rival, **{prefix + kind: summary})
