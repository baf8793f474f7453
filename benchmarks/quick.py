"""Guard against getting slower: compares ratios to the limits with stored ones.

Absolute times tell machines apart, ratios to what the same machine can do in the same run do not. A
ratio that is more than 1.5 times the stored one is measured again, up to twice, before it counts: a
busy machine is slow now and then, a slower library always. For the same reason these are ratios of
lower quartiles, not of medians: others who use the processor hit the longer code more. Needs
nothing but this library. ``--update`` stores what is measured; do that on a quiet machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path

from bench import Bench
from targets import TRANSPORTS, Figure, Target, measured
from works import frames

STORED = Path(__file__).with_name("ratios.json")
WORSE, AGAIN = 1.5, 2
RIVALS = [*TRANSPORTS, *(t + " in place" for t in TRANSPORTS), "floor", "copyto", "futex"]


def _row(work: str, case: str, key: str, limit: str, of: str = "", kind: str = "") -> Target:
    value = Figure(work, case, "{t}" + kind, key)
    text = f"{work}, {case}: {key}{kind} / {limit.format(t='own')} {of}".rstrip()
    return Target(text, value, Figure(work, case, limit, of or key), WORSE)


ROWS = [
    _row("small", "64 B", "write", "floor"),
    _row("small", "64 B", "read", "floor"),
    _row("small", "64 B", "poll", "floor"),
    _row("small", "64 B", "read", "floor", kind=" in place"),
    _row("frames", "720p", "write", "copyto"),
    _row("frames", "720p", "read", "copyto"),
    _row("shapes", "720p", "changing write", "{t}", "write"),
    _row("trips", "64 B", "trip", "futex"),
]


def measure(bench: Bench, works: set[str]) -> dict[str, float]:
    """Do these works; return the ratio of each row and transport."""
    for work in sorted(works):
        bench.figures.pop(work, None)
        bench.failures.pop(work, None)
        if work == "frames":
            frames.run(bench, ["720p"])
        else:
            importlib.import_module("works." + work).run(bench)
    rows = [row for row in ROWS if row.value.work in works]
    ratios = {}
    for row in rows:
        for transport in TRANSPORTS:
            # What sleeps has no undisturbed quartile: a bare futex may find its partner awake.
            which = "median" if row.value.work == "trips" else "q1"
            ratio = measured(bench.figures, row, transport, which)
            if ratio is not None:
                ratios[f"{transport}, {row.text}"] = ratio
    return ratios


def best_of(bench: Bench, stored: dict[str, float]) -> dict[str, float]:
    """Measure all, those that got worse again; return the best of each."""
    ratios = measure(bench, {row.value.work for row in ROWS})
    for _ in range(AGAIN):
        works = {name.split(", ")[1] for name in worse(ratios, stored)}
        if not works:
            break
        for name, ratio in measure(bench, works).items():
            ratios[name] = min(ratio, ratios.get(name, ratio))
    return ratios


def typical(bench: Bench) -> dict[str, float]:
    """Return the medians of three measurements: what is worth storing."""
    runs = [measure(bench, {row.value.work for row in ROWS}) for _ in range(3)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def worse(ratios: dict[str, float], stored: dict[str, float]) -> list[str]:
    """Name the rows that are worse than stored, or were not measured."""
    return [name for name, before in stored.items() if not ratios.get(name, 1e9) <= WORSE * before]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="store what is measured")
    update = parser.parse_args().update
    stored = {} if update else json.loads(STORED.read_text())
    bench = Bench(RIVALS, quick=True)
    try:
        bench.start()
        ratios = typical(bench) if update else best_of(bench, stored)
    finally:
        bench.stop()
    bad = worse(ratios, stored)
    for name, ratio in ratios.items():
        before = f"{stored[name]:9.3f}" if name in stored else ""
        print(f"{name:<64}{ratio:9.3f}{before}{'   WORSE' if name in bad else ''}")
    if update:
        STORED.write_text(json.dumps({k: round(v, 3) for k, v in ratios.items()}, indent=1) + "\n")
    for name in bad:
        print(
            f"{name}: more than {WORSE} times {stored[name]:.3f}, or not measured", file=sys.stderr
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
