"""``ndsharray bridge``: arrays of one machine on another one, as ordinary arrays.

Here: the command, and the names that Python programs use. How it works: ``bridge`` puts ``exports``
and ``imports`` together over an ``engine``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import time

from ..common import ToolError, common, emit, rate, stop_on_signals
from ..common.terminal import shown
from .bridge import MAX_MEMORY, Bridge
from .counts import Totals
from .engine import Engine, Offer, Outlet, Payload, Receive, Reply
from .zenoh_engine import ZenohEngine

__all__ = [
    "Bridge",
    "Engine",
    "Offer",
    "Outlet",
    "Payload",
    "Receive",
    "Reply",
    "Totals",
    "ZenohEngine",
    "engines",
]

HELP = "Copy arrays to other machines: export some by name, import those of others."
EXAMPLE = "ndsharray bridge zenoh --connect tcp/10.0.0.1:7447 --import 'cam*'"
GROUP = "ndsharray.bridges"


def engines() -> dict[str, type[Engine]]:
    """Return the engines by name: zenoh, and those that other packages bring."""
    found: dict[str, type[Engine]] = {"zenoh": ZenohEngine}
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            found.setdefault(entry.name, entry.load())
        except Exception as error:  # somebody else's package must not stop the others
            print(f"ndsharray: engine {entry.name!r} cannot be loaded: {error}", file=sys.stderr)
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the engines, each with its arguments and those of every bridge."""
    chosen = parser.add_subparsers(dest="engine", metavar="ENGINE", required=True)
    for name, engine in engines().items():
        each = chosen.add_parser(name, help=engine.HELP, description=engine.HELP)
        engine.arguments(each)
        group = each.add_argument_group("what it carries")
        group.add_argument(
            "--export",
            action="append",
            default=[],
            metavar="NAME",
            help="export arrays of this name or glob",
        )
        group.add_argument(
            "--import",
            action="append",
            default=[],
            metavar="NAME",
            dest="import_",
            help="import arrays of this name or glob",
        )
        group.add_argument(
            "--every",
            action="store_true",
            help="send every frame, as far as memory reaches, not only the newest",
        )
        group.add_argument(
            "--slots", type=int, default=3, help="slots of imported arrays (default: 3)"
        )
        group.add_argument(
            "--max-memory",
            type=int,
            default=MAX_MEMORY >> 20,
            metavar="MIB",
            help=f"limit for the frames of each array that wait (default: {MAX_MEMORY >> 20})",
        )
        common(each, wait=False, where="export: all; import: NDSHARRAY_TRANSPORT, else mmap")


def run(options: argparse.Namespace) -> int:
    """Carry arrays until a signal; print a line a second for each."""
    if not options.export and not options.import_:
        raise ToolError("bridge: nothing to do; give --export NAME or --import NAME", 2)
    if not 2 <= options.slots <= 250 or options.max_memory < 1:
        raise ToolError("bridge: --slots is 2 to 250, --max-memory 1 or more", 2)
    with stop_on_signals() as stop:
        bridge = Bridge(
            engines()[options.engine].of_options(options),
            export=options.export,
            import_=options.import_,
            every=options.every,
            slots=options.slots,
            max_memory=options.max_memory << 20,
            transport=options.transport,
            directory=options.root,
            report=lambda line: print(f"ndsharray: {shown(line)}", file=sys.stderr, flush=True),
        )
        with bridge:
            meter = _Meter()
            while not stop.wait(1.0):
                for record in meter.records(bridge.counts()):
                    emit(record) if options.json else print(shown(_line(record)), flush=True)
    return 0


class _Meter:
    """Turns counts into rates."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], Totals] = {}
        self._then = time.monotonic()

    def records(self, totals: list[Totals]) -> list[dict[str, object]]:
        """Return what is to be printed: the counts, and frames and bytes a second."""
        now = time.monotonic()
        seconds, self._then = max(now - self._then, 1e-6), now
        records = []
        for each in totals:
            key = each.name, each.direction
            before = self._before.get(key, each._replace(frames=0, nbytes=0))
            records.append(
                {
                    **each.as_dict(),
                    "hz": (each.frames - before.frames) / seconds,
                    "bytes_per_s": (each.nbytes - before.nbytes) / seconds,
                }
            )
        self._before = {(each.name, each.direction): each for each in totals}
        return records


def _line(record: dict[str, object]) -> str:
    verb = "sent" if record["direction"] == "out" else "received"
    parts = [
        f"{record['name']} {record['direction']}",
        f"{record['hz']:.1f} Hz",
        rate(float(str(record["bytes_per_s"]))),
        f"{verb} {record['frames']}",
        f"dropped {record['dropped']}",
    ]
    return "  ".join(parts + ([f"refused {record['refused']}"] if record["refused"] else []))
