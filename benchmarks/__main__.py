"""``python benchmarks``: this library beside what people would pick instead, in one run.

Every rival does the same work in the same run, in turns, as its own documentation advises. Prints
tables (ratios to the limits first), and which of the targets are met. A full run takes some 12
minutes, a quick one 2; leave the machine alone meanwhile. Made for Linux.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from typing import Any

import facts
import original
import tables
import targets
from bench import Bench
from rivals import RIVALS
from works import WORKS


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, end)
    python, reason = original.find(arguments.original)
    bench = Bench(arguments.rivals, arguments.quick, python)
    machine = facts.machine()
    begin = time.monotonic()
    try:
        bench.start()
        if python is None:
            bench.missing["original"] = reason
        versions = {
            name: pair.writer.do("facts:rival_version") for name, pair in bench.pairs.items()
        }
        print(", ".join(f"{key} {value}" for key, value in machine.items()))
        tables.show_rivals(bench, versions)
        for work in arguments.only:
            run_work(bench, work)
    finally:
        bench.stop()
    targets.show(bench)
    print(f"\n{time.monotonic() - begin:.0f} s")
    if arguments.json:
        write_json(arguments.json, bench, machine=machine, versions=versions)
    if arguments.plots:
        import plots  # matplotlib is not needed for anything else

        plots.draw(bench, arguments.plots)
    return 0


def end(number: int, _: Any) -> None:
    """End by an exception, so that the children end, too, and what they have made is removed."""
    signal.signal(number, signal.SIG_IGN)  # it may come twice, to the process and to its group
    sys.exit(128 + number)


def run_work(bench: Bench, work: str) -> None:
    module = importlib.import_module("works." + work)
    begin = time.monotonic()
    module.run(bench)
    print(f"{work}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    tables.show(bench, work, module.TABLE)
    sys.stdout.flush()


def write_json(path: str, bench: Bench, **more: Any) -> None:
    everything = {
        **more,
        "quick": bench.quick,
        "missing": bench.missing,
        "figures": bench.figures,
        "failures": bench.failures,
        "targets": targets.results(bench.figures),
    }
    with open(path, "w", encoding="utf8") as file:
        json.dump(everything, file, indent=1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument(
        "--only", type=listed(WORKS), default=WORKS, metavar="WORK,...", help=", ".join(WORKS)
    )
    names = [rival.name for rival in RIVALS]
    parser.add_argument(
        "--rivals", type=listed(names), default=[], metavar="NAME,...", help=", ".join(names)
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to it")
    parser.add_argument("--plots", metavar="DIR", help="draw figures there (needs matplotlib)")
    parser.add_argument(
        "--original",
        metavar="PYTHON",
        help="an interpreter that has ndsharray 1.1.4; without it, an environment is made",
    )
    return parser.parse_args()


def listed(known: list[str]) -> Any:
    def parse_list(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return parse_list


if __name__ == "__main__":
    sys.exit(main())
