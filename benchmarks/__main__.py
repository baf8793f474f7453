"""``python benchmarks``: this library beside what people would pick instead, in one run.

Every rival does the same work in the same run, alternately, as its own documentation advises. The
run prints tables (ratios to the limits first) and which targets are met. A full run takes some 12
minutes, with --short 2; leave the machine alone meanwhile. Made for Linux.

Six options choose another kind of run, which needs nothing but this library: --quick, --against,
--sizes, --record and --cores; --bridge needs zenoh, too.

The rooms: ``scenarios/`` (what is measured), ``rivals/`` (what is compared), ``harness/`` (how a
run goes), ``report/`` (what its figures say).
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from rivals import RIVALS
from scenarios import SCENARIOS


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, end)
    # Each kind of run imports what it alone needs.
    if arguments.quick:
        from harness import quick

        return quick.run(arguments.update)
    if arguments.against:
        from harness import against

        return against.run(arguments.against, arguments.rounds)
    if arguments.bridge:
        from scenarios import bridge

        return bridge.run(arguments.short, arguments.json)
    if arguments.sizes:
        from scenarios import sizes

        return sizes.run()
    if arguments.page:
        from report import page

        return page.show(arguments.page)
    if arguments.cores:
        from scenarios import cores

        return cores.run()
    if arguments.record:
        from scenarios import record

        return record.run(arguments.record)
    from harness import full

    return full.run(arguments)


def end(number: int, _: Any) -> None:
    """End by an exception, so that the children end, too, and what they have made is removed."""
    signal.signal(number, signal.SIG_IGN)  # it may come twice, to the process and to its group
    sys.exit(128 + number)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--quick",
        action="store_true",
        help="ratios to the machine's limits, beside stored ones",
    )
    kinds.add_argument(
        "--against",
        type=checkout,
        metavar="PATH",
        help="compare this checkout with another one, alternately in one run",
    )
    kinds.add_argument(
        "--page", metavar="FILE", help="print the tables of docs/performance.md from a --json file"
    )
    kinds.add_argument(
        "--cores", action="store_true", help="whether this machine has two speeds, and why"
    )
    kinds.add_argument(
        "--sizes", action="store_true", help="write two sizes alternately: what becomes of segments"
    )
    kinds.add_argument(
        "--bridge",
        action="store_true",
        help="frames over loopback TCP: bridges, bare zenoh and a plain socket",
    )
    kinds.add_argument(
        "--record",
        metavar="DIR",
        help="record into a folder, and replay: speed and losses",
    )
    parser.add_argument("--update", action="store_true", help="with --quick: store the ratios")
    parser.add_argument(
        "--rounds", type=positive, default=300, metavar="N", help="with --against (300)"
    )
    full = parser.add_argument_group("a full run")
    full.add_argument("--short", action="store_true", help="less of everything")
    full.add_argument(
        "--only",
        type=listed(SCENARIOS),
        default=SCENARIOS,
        metavar="SCENARIO,...",
        help=", ".join(SCENARIOS),
    )
    names = [rival.name for rival in RIVALS]
    full.add_argument(
        "--rivals", type=listed(names), default=names, metavar="NAME,...", help=", ".join(names)
    )
    full.add_argument("--json", metavar="FILE", help="write all figures to it")
    full.add_argument("--plots", metavar="DIR", help="draw figures there (needs matplotlib)")
    full.add_argument(
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


def checkout(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / "ndsharray" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} is no checkout of ndsharray")
    return path


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
