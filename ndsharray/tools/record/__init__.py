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

HELP = "Record arrays into MCAP files, each frame with its times; count exactly what is lost."
EXAMPLE = "ndsharray record camera 'imu*' -o drive.mcap"


def __getattr__(name: str) -> Any:
    if name in ("Recorder", "ArrayStatistics", "Statistics"):  # which need an extra
        from . import recorder

        return getattr(recorder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="names or globs; what comes later is taken up")
    add("--all", action="store_true", help="all arrays, also those that come later")
    add("--exclude", action="append", default=[], metavar="NAME", help="but not this name or glob")
    add("-o", "--output", metavar="FILE", help="the file (the folder, where it is split)")
    add("--force", action="store_true", help="replace what is there")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", action="store_true", help="each frame, in order (the default)")
    which.add_argument("--newest", action="store_true", help="the newest frame, if there is room")
    ends = parser.add_argument_group("when it ends")
    ends.add_argument("--duration", type=seconds, metavar="TIME", help="after 90, 10min, 2h")
    ends.add_argument("--frames", type=count_of, metavar="N", help="after N frames of each array")
    ends.add_argument(
        "--min-free",
        type=size,
        default=64 << 20,
        metavar="SIZE",
        help="when the disk has no more left (default: 64MiB)",
    )
    split = parser.add_argument_group("several files")
    split.add_argument("--split-size", type=size, metavar="SIZE", help="bytes of a file: 2G")
    split.add_argument("--split-time", type=seconds, metavar="TIME", help="seconds of a file")
    split.add_argument("--keep", type=count_of, metavar="N", help="keep the last N files")
    memory = parser.add_argument_group("memory")
    memory.add_argument(
        "--max-memory",
        type=size,
        default=1 << 30,
        metavar="SIZE",
        help="of frames that wait for the disk (default: 1GiB)",
    )
    memory.add_argument(
        "--snapshot",
        type=seconds,
        metavar="TIME",
        help="keep the last seconds in memory, and write them on Enter or SIGUSR1",
    )
    add(
        "--encoding",
        choices=["rgb8", "bgr8"],
        default="rgb8",
        help="what images of 3 or 4 bytes a pixel are, for other programs (default: rgb8)",
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
