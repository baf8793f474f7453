"""The full run: every scenario, every rival that is installed."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from typing import Any

from report import tables, targets
from rivals import RIVALS

from harness import facts, original
from harness.bench import Bench
from harness.processes import Interpreter


def run(arguments: argparse.Namespace) -> int:
    rivals = [rival for rival in RIVALS if rival.name in arguments.rivals]
    interpreters, missing = {}, {}
    for name in [rival.name for rival in rivals if rival.original]:
        python, reason = original.find(arguments.original)
        if python is None:
            missing[name] = reason
        else:
            interpreters[name] = Interpreter(python)
    bench = Bench(rivals, arguments.short, interpreters, missing)
    machine = facts.machine()
    begin = time.monotonic()
    try:
        bench.start()
        versions = {
            name: pair.writer.do("harness.facts:rival_version")
            for name, pair in bench.pairs.items()
        }
        print(", ".join(f"{key} {value}" for key, value in machine.items()))
        tables.show_rivals(bench, versions)
        for scenario in arguments.only:
            run_scenario(bench, scenario)
    finally:
        bench.stop()
    targets.show(bench)
    print(f"\n{time.monotonic() - begin:.0f} s")
    if arguments.json:
        write_json(arguments.json, bench, machine=machine, versions=versions)
    if arguments.plots:
        from report import plots  # matplotlib is not needed for anything else

        plots.draw(bench, arguments.plots)
    return 0


def run_scenario(bench: Bench, scenario: str) -> None:
    module = importlib.import_module("scenarios." + scenario)
    begin = time.monotonic()
    module.run(bench)
    print(f"{scenario}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    tables.show(bench, scenario, module.TABLE)
    sys.stdout.flush()


def write_json(path: str, bench: Bench, **more: Any) -> None:
    everything = {
        **more,
        "short": bench.short,
        "missing": bench.missing,
        "figures": bench.figures,
        "failures": bench.failures,
        "targets": targets.results(bench.figures),
    }
    with open(path, "w", encoding="utf8") as file:
        json.dump(everything, file, indent=1)
