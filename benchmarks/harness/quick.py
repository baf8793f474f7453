"""The quick run: guard against getting slower, by ratios to what the machine can do.

A ratio that is more than 1.5 times the stored one is measured again, up to twice, before it counts:
a busy machine is slow now and then, a slower library always. Needs nothing but this library.
"""

from __future__ import annotations

import importlib
import statistics

from report import ratios
from report.targets import TRANSPORTS, measured
from rivals import RIVALS
from scenarios import frames

from harness.bench import Bench

AGAIN = 2
NAMES = {*TRANSPORTS, *(t + " in place" for t in TRANSPORTS), "floor", "copyto", "futex"}


def run(update: bool) -> int:
    """Compare with what is stored; with `update`, store what is measured (on a quiet machine)."""
    stored = {} if update else ratios.load()
    bench = Bench([rival for rival in RIVALS if rival.name in NAMES], short=True)
    try:
        bench.start()
        found = typical(bench) if update else best_of(bench, stored)
    finally:
        bench.stop()
    if update:
        ratios.store(found)
    return ratios.show(found, stored, bench)


def measure(bench: Bench, scenarios: set[str]) -> dict[str, float]:
    """Do these scenarios; return the ratio of each row and transport."""
    for scenario in sorted(scenarios):
        bench.figures.pop(scenario, None)
        bench.failures.pop(scenario, None)
        if scenario == "frames":
            frames.run(bench, ["720p"])
        else:
            importlib.import_module("scenarios." + scenario).run(bench)
    found = {}
    for row in ratios.ROWS:
        if row.value.scenario not in scenarios:
            continue
        for transport in TRANSPORTS:
            # What sleeps has no undisturbed quartile: a bare futex may find its partner awake.
            which = "median" if row.value.scenario == "trips" else "q1"
            ratio = measured(bench.figures, row, transport, which)
            if ratio is not None:
                found[f"{transport}, {row.text}"] = ratio
    return found


def best_of(bench: Bench, stored: dict[str, float]) -> dict[str, float]:
    """Measure all, those that got worse again; return the best of each."""
    found = measure(bench, ALL)
    for _ in range(AGAIN):
        scenarios = {name.split(", ")[1] for name in ratios.worse(found, stored)}
        if not scenarios:
            break
        for name, ratio in measure(bench, scenarios).items():
            found[name] = min(ratio, found.get(name, ratio))
    return found


def typical(bench: Bench) -> dict[str, float]:
    """Return the medians of three measurements: what is worth storing."""
    runs = [measure(bench, ALL) for _ in range(3)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


ALL = {row.value.scenario for row in ratios.ROWS}
