"""``ndsharray list``: a line for each array."""

from __future__ import annotations

import argparse
import sys

from .. import ArrayInfo
from .common import common, duration, emit, human, select

HELP = "Print a line for each array: its state, shape, dtype, rate, newest frame and size."
EXAMPLE = "ndsharray list"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or globs (default: all)")
    parser.add_argument("--all", action="store_true", help="also what killed writers have left")
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print the arrays; return 1 if there is none."""
    found = select(options.names or ["*"], options)
    for info in found:
        if options.json:
            emit(info.as_dict())
        else:
            print(line_of(info))
    if not found:
        print("no arrays", file=sys.stderr)
    return 0 if found else 1


def line_of(info: ArrayInfo) -> str:
    """Return an array's line."""
    parts = [info.name, info.state]
    if info.shape is not None:
        parts.append(f"{'x'.join(map(str, info.shape)) or 'scalar'} {info.dtype}")
    if info.frame_id:
        parts.append(f"#{info.frame_id}")
    if info.age is not None:
        parts.append(f"{duration(info.age)} old")
    if info.pid is not None:
        parts.append(f"pid {info.pid}")
    parts += [f"{info.readers} readers", human(info.nbytes)]
    return "  ".join(parts if info.problem is None else [*parts, info.problem])
