"""What one array of 720p costs: memory and descriptors of a writer and a reader, both fresh.

Memory is the proportional share (PSS) that came with the array, of both processes: what they share
counts once. *Shared* is what its files in memory hold. After some frames, so that all is there that
will be.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.bench import Bench
from harness.child import Child
from harness.ends import open_ends
from harness.processes import Pair, mapped_files
from report.tables import Column, Table
from rivals.base import make_frame

from scenarios.frames import Times

TABLE = Table(
    "cost: one array of 720p (2.76 MB), in a writer and a reader",
    (
        Column("memory", "memory, MB", "floor"),
        Column("shared", "shared, MB", "floor"),
        Column("descriptors", "descriptors"),
        Column("threads", "threads"),
    ),
    "What came with opening it and passing some frames, of both processes; memory: PSS.",
)
CASE = "720p"
SHAPE = (720, 1280, 3)


def prepare(child: Child) -> None:
    """Have everything loaded that is not the array's."""
    assert child.module.Writer
    child.kept.update(shapes=[SHAPE], frames=[make_frame(SHAPE)])


def measure(child: Child) -> dict[str, Any]:
    own = Path("/proc/self")
    lines = (own / "smaps_rollup").read_text().splitlines()
    pss = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    files = {}
    for name in mapped_files(os.getpid()):
        if not name.endswith(".turns"):
            try:
                files[name] = os.stat(name).st_blocks * 512
            except OSError:  # its name is gone
                continue
    counts = {key: len(os.listdir(own / key)) for key in ("fd", "task")}
    return {"pss": pss * 1024, "files": files, **counts}


def run(bench: Bench) -> None:
    def take(pair: Pair) -> None:
        pair.restart()
        children = (pair.writer, pair.reader)
        for each in children:
            each.do("scenarios.cost:prepare")
        before = [each.do("scenarios.cost:measure") for each in children]
        open_ends(pair, SHAPE)
        Times().block(pair, [SHAPE], 12)
        after = [each.do("scenarios.cost:measure") for each in children]
        pair.close()
        files = {**after[0]["files"], **after[1]["files"]}
        old = {**before[0]["files"], **before[1]["files"]}
        grown = {key: total(after, key) - total(before, key) for key in ("pss", "fd", "task")}
        bench.note(
            "cost",
            CASE,
            pair.rival,
            memory=grown["pss"] / 1e6,
            shared=sum(size for name, size in files.items() if name not in old) / 1e6,
            descriptors=grown["fd"],
            threads=grown["task"],
        )

    bench.alternately("cost", CASE, bench.taking_part("cost"), take)


def total(sides: list[dict[str, Any]], key: str) -> int:
    return sum(side[key] for side in sides)
