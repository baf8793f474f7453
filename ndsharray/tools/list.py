"""``ndsharray list``: a line for each array."""

from __future__ import annotations

import argparse
import sys

from .. import ArrayInfo
from .common import (
    common,
    describe,
    duration,
    emit,
    hertz,
    human,
    is_left,
    nothing_there,
    plural,
    select,
)
from .common.rates import has_not_written, rate_of
from .common.terminal import print_rows, shown

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Print a line for each array: name, state, shape and dtype, rate, number and age of the newest "
    "frame, the writer's process id, the number of living readers, and bytes of shared memory."
)
EXAMPLE = "ndsharray list 'cam*'"
_DROP = (6, 7, 4, 8, 5, 2)  # which columns a narrow terminal can do without
_RIGHT = (3, 4, 5, 7, 8)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or globs (default: all)")
    parser.add_argument(
        "--all",
        action="store_true",
        help="also what closed arrays left, and the arrays of the library itself",
    )
    parser.add_argument(
        "--names", dest="names_only", action="store_true", help="print only the names"
    )
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print the arrays; return 1 if there is none."""
    found = select(options.names, options, dead=True, own=options.all)
    shown_ones = [info for info in found if options.all or options.names or not is_left(info)]
    if options.json:
        for info in shown_ones:
            emit({**info.as_dict(), "hz": rate_of(info).hz})
    elif options.names_only:
        for info in shown_ones:
            print(shown(info.name))
    else:
        print_rows([_cells(info) for info in shown_ones], _DROP, _RIGHT)
        if not shown_ones:
            more = f"; 'list --all' shows what {len(found)} left" if found else ""
            print(f"{nothing_there(options)}{more}", file=sys.stderr)
    return 0 if shown_ones else 1


def _cells(info: ArrayInfo) -> list[str]:
    hz = rate_of(info).hz
    no_rate = "not written yet" if has_not_written(info) else ""
    if info.problem is not None and info.shape is None:
        return [shown(info.name), info.state, shown(info.problem)]
    return [
        shown(info.name),
        info.state,
        describe(info.shape, info.dtype) or "no frame yet",
        no_rate if hz is None else hertz(hz),
        f"#{info.frame_id}" if info.frame_id else "",
        "" if info.age is None else f"{duration(info.age)} old",
        "" if info.pid is None else f"pid {info.pid}",
        plural(info.readers, "reader"),
        human(info.nbytes),
    ]
