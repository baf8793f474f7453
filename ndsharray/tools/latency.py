"""``ndsharray latency``: how long frames take from the write until a reader has them."""

from __future__ import annotations

import argparse
import time
from collections import deque
from typing import Any

import numpy as np

from .. import NdShArray
from .common import (
    common,
    count_of,
    duration,
    emit,
    milliseconds,
    reader_of,
    select_one,
    stop_on_signals,
)
from .common.terminal import print_rows

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = (
    "Read an array as it comes, and print once a second how long it took from the end of the write "
    "until the reader had the frame: the median, the 99th percentile, and the longest time."
)
EXAMPLE = "ndsharray latency camera --count 1000"
_REMEMBERED = 100_000  # frames that the percentiles are taken of, at most
_WAIT = 0.2  # seconds: how late the end is noticed


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("name", metavar="NAME", help="the array's name")
    parser.add_argument(
        "--count", type=count_of, metavar="N", help="end after N frames (default: by Ctrl-C)"
    )
    parser.add_argument(
        "--in-place", action="store_true", help="do not copy: read(copy=False), as a viewer does"
    )
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for each second, and one for all at the end."""
    info = select_one(options.name, options)
    taken: deque[float] = deque(maxlen=_REMEMBERED)
    frames, longest, due = 0, 0.0, time.monotonic() + 1
    with stop_on_signals() as stop, reader_of(info, options) as reader:
        reader.read(copy=False)  # its age is no latency
        while not stop.asked and frames != options.count:
            if reader.read(_WAIT, copy=not options.in_place)[0]:
                frames += 1
                taken.append(reader.read_time_ms)
                longest = max(longest, reader.read_time_ms)
            if time.monotonic() >= due:
                due += 1
                _print(
                    options, _record(options.name, frames, reader.missed, taken, longest), reader
                )
        _print(options, _record(options.name, frames, reader.missed, taken, longest), reader)
    if options.count is not None and frames < options.count:
        raise KeyboardInterrupt  # what was asked for is not done
    return 0


def _record(
    name: str, frames: int, missed: int, taken: deque[float], longest: float
) -> dict[str, Any]:
    half, most = np.percentile(taken, [50, 99]).tolist() if taken else (None, None)
    return {
        "name": name,
        "frames": frames,
        "missed": missed,
        "p50_ms": half,
        "p99_ms": most,
        "max_ms": longest if taken else None,
    }


def _print(options: argparse.Namespace, record: dict[str, Any], reader: NdShArray) -> None:
    if options.json:
        emit(record)
        return
    gone = _gone(reader)
    if record["p50_ms"] is None:
        print(gone or "no new frame yet", flush=True)
    else:
        times = [f"{key} {milliseconds(record[key + '_ms'])}" for key in ("p50", "p99", "max")]
        counts = [f"{key} {record[key]}" for key in ("frames", "missed")]
        print_rows([[*times, *counts, gone]], drop=(3, 2, 4))


def _gone(reader: NdShArray) -> str:
    """Return that the writer has died or closed, as ``hz`` says it; else ""."""
    state = reader.writer_state
    if state == "live" or not reader.frame_id:
        return "" if state == "live" else f"no frame yet, {state}"
    return f"{state}, last frame {duration((time.time_ns() - reader.write_time_ns) / 1e9)} ago"
