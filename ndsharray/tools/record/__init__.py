"""``ndsharray record``: keep arrays in MCAP files; `Recorder` does the same for Python programs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..common import ToolError, common, count_of, require
from ..recording.typed import seconds, size

if TYPE_CHECKING:
    from .recorder import Recorder
    from .statistics import ArrayStatistics, Statistics

__all__ = ["EXAMPLE", "HELP", "ArrayStatistics", "Recorder", "Statistics", "arguments", "run"]

HELP = "Record arrays to MCAP files, each frame with its times, and count exactly what is lost."
EXAMPLE = "ndsharray record camera 'imu*' -o drive.mcap"


def __getattr__(name: str) -> Any:
    if name in ("Recorder", "ArrayStatistics", "Statistics"):  # which need an extra
        from . import recorder

        return getattr(recorder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="names or globs; globs include later arrays")
    add("--all", action="store_true", help="record all arrays, also those that come later")
    add(
        "--exclude", action="append", default=[], metavar="NAME", help="leave out this name or glob"
    )
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="the file; for --split-size and --split-time the folder",
    )
    add("--force", action="store_true", help="replace an existing file")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", action="store_true", help="every frame, in order (the default)")
    which.add_argument(
        "--newest", action="store_true", help="only the newest frame, when there is room"
    )
    ends = parser.add_argument_group("when it ends")
    ends.add_argument(
        "--duration", type=seconds, metavar="TIME", help="end after this time: 90, 10min, 2h"
    )
    ends.add_argument(
        "--frames", type=count_of, metavar="N", help="end after N frames of each array"
    )
    ends.add_argument(
        "--min-free",
        type=size,
        default=64 << 20,
        metavar="SIZE",
        help="end when the disk has only this room left (default: 64MiB)",
    )
    split = parser.add_argument_group("several files")
    split.add_argument(
        "--split-size", type=size, metavar="SIZE", help="begin a new file at this size: 2G"
    )
    split.add_argument(
        "--split-time", type=seconds, metavar="TIME", help="begin a new file after this time"
    )
    split.add_argument("--keep", type=count_of, metavar="N", help="keep the last N files")
    memory = parser.add_argument_group("memory")
    memory.add_argument(
        "--max-memory",
        type=size,
        default=1 << 30,
        metavar="SIZE",
        help="limit for frames that wait for the disk (default: 1GiB)",
    )
    memory.add_argument(
        "--snapshot",
        type=seconds,
        metavar="TIME",
        help="keep the frames of this time in memory, and write them at Enter or SIGUSR1",
    )
    add(
        "--encoding",
        choices=["rgb8", "bgr8"],
        default="rgb8",
        help="the order of colours that other programs read (default: rgb8)",
    )
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Record until a limit or a signal; return 3 if something was lost."""
    require("record", "mcap")
    if bool(options.names) == options.all:
        raise ToolError("name the arrays to record, or give --all", 2)
    if options.keep and options.split_size is None and options.split_time is None:
        raise ToolError("--keep needs --split-size or --split-time", 2)
    from .command import record

    return record(options)
