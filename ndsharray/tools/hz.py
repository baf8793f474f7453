"""``ndsharray hz``: how fast frames come, and how evenly."""

from __future__ import annotations

import argparse
from typing import Any

from .common import common, duration, emit, hertz, milliseconds
from .common.meters import Metered, arguments_of_reports, reports
from .common.rates import has_not_written
from .common.terminal import print_rows, shown

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Print once a second the frames per second of arrays, the standard deviation (sd) of the "
    "intervals between frames, the longest interval, and the number of gaps: intervals longer than "
    "twice the median."
)
_DROP = (3, 2, 4)  # which columns a narrow terminal can do without
EXAMPLE = "ndsharray hz 'cam*' --window 5"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    arguments_of_reports(parser)
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for each array and second."""
    for arrays in reports(options):
        if options.json:
            for each in arrays:
                emit(record_of(each))
        else:
            print_rows([_cells(each) for each in arrays], _DROP)
    return 0


def record_of(each: Metered) -> dict[str, Any]:
    """Return what is known of an array's rate, as it is printed in JSON."""
    return {"name": each.info.name, **each.rate()._asdict()}


def _cells(each: Metered) -> list[str]:
    rate, info = each.rate(), each.info
    state: str = "" if info.state == "live" else info.state
    if info.problem:
        return [shown(info.name), f"{info.state}: {shown(info.problem)}"]
    if info.age is not None and has_not_written(info):
        return [shown(info.name), f"not written yet, last frame {duration(info.age)} ago"]
    if info.age is None or rate.hz is None:
        waits = "no frame yet" if not info.frame_id else "a single frame"
        return [shown(info.name), f"{waits}, {state}" if state else waits]
    if info.state != "live":
        state += f", last frame {duration(info.age)} ago"
    jitter = "" if rate.jitter_ms is None else f"jitter sd {milliseconds(rate.jitter_ms)}"
    longest = "" if rate.max_gap_ms is None else f"max {milliseconds(rate.max_gap_ms)}"
    return [shown(info.name), hertz(rate.hz), jitter, longest, f"gaps {rate.gaps}", state]
