"""``ndsharray replay``: play recordings; `Player` does the same for Python programs."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from ..common import common, count_of, require
from ..recording.typed import seconds

if TYPE_CHECKING:
    from .player import Player, Status

__all__ = ["EXAMPLE", "HELP", "Player", "Status", "arguments", "run"]

HELP = "Write the frames of recordings to arrays of the same names, each frame at its time."
EXAMPLE = "ndsharray replay drive.mcap --rate 0.5 --rename camera=camera2"


def __getattr__(name: str) -> Any:
    if name in ("Player", "Status"):  # which need an extra
        from . import player

        return getattr(player, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add("paths", nargs="+", metavar="FILE", help="files, or folders of files")
    add(
        "--rate",
        type=_rate,
        default=1.0,
        help="0.5: half as fast (default: 1); max: as fast as possible",
    )
    add("--loop", action="store_true", help="at the end, begin again")
    add("--start", type=seconds, default=0.0, metavar="TIME", help="begin at this time: 90, 10min")
    add("--end", type=seconds, metavar="TIME", help="end at this time")
    add("--only", action="append", default=[], metavar="NAME", help="only this name or glob")
    add(
        "--rename",
        action="append",
        default=[],
        type=_pair,
        metavar="OLD=NEW",
        help="write array OLD under the name NEW",
    )
    add("--paused", action="store_true", help="begin with a pause; Enter ends and begins one")
    add("--step", action="store_true", help="write one frame at each Enter")
    add("--slots", type=count_of, default=3, metavar="N", help="slots of each array (default: 3)")
    common(parser, wait=False, where="NDSHARRAY_TRANSPORT, else mmap")


def _rate(text: str) -> float:
    try:
        rate = math.inf if text == "max" else float(text)
    except ValueError:
        rate = 0.0
    if not rate > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate, as 1, 0.5 or max are")
    return rate


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text!r} is not OLD=NEW")
    return old, new


def run(options: argparse.Namespace) -> int:
    """Play; return 3 if some of the recording could not be."""
    require("record", "mcap")
    from .command import replay

    return replay(options)
