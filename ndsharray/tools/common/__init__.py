"""What the commands have in common: options, choosing arrays, JSON; and no command.

The names of ``stopping`` (signals), ``names`` (patterns) and ``units`` (numbers for people) are
here as well, so that a command imports from one place.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ... import ArrayInfo, NdShArray, NoArrayError, Transport, arrays, info
from ..._registry.inspection import transports
from ..._registry.names import alike
from ...backends.base import resolve_root
from .names import fits, is_own, matches
from .stopping import Stop, stop_on_signals
from .units import (
    bytes_of,
    describe,
    duration,
    hertz,
    human,
    milliseconds,
    plural,
    rate,
)

__all__ = [
    "Stop",
    "ToolError",
    "above_0",
    "as_json",
    "bytes_of",
    "common",
    "count_of",
    "describe",
    "duration",
    "emit",
    "fits",
    "hertz",
    "human",
    "is_left",
    "is_own",
    "listed",
    "matches",
    "milliseconds",
    "nothing_there",
    "plural",
    "rate",
    "reader_of",
    "require",
    "select",
    "select_one",
    "stop_on_signals",
    "transport_of",
]

NOTHING_FOUND = 1
_NAMED = 5  # names that a message holds at most
_POLL = 0.1  # seconds between two looks for a writer that is to come


class ToolError(Exception):
    """What a command tells its user in one line, and its exit code.

    Parameters
    ----------
    message : str
        The line, without the program's name.
    code : int
        1 nothing found, 2 wrong usage, 3 lost data or stopped by a limit.
    """

    def __init__(self, message: str, code: int = NOTHING_FOUND) -> None:
        super().__init__(message)
        self.code = code


# --- options


def as_json(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, an object a line")


def common(parser: argparse.ArgumentParser, *, wait: bool = True, where: str = "all") -> None:
    """Add the options of commands on arrays; `where`: the default of ``--transport``, as help."""
    group = parser.add_argument_group("which arrays, and how to print")
    as_json(group)
    group.add_argument(
        "--transport",
        metavar="NAME",
        help=f"mmap, posix_shm or package.module:Class (default: {where})",
    )
    group.add_argument(
        "--root", metavar="DIR", help="the root directory of the arrays (default: NDSHARRAY_DIR)"
    )
    if wait:
        group.add_argument("--wait", action="store_true", help="wait until there is a writer")
    else:
        parser.set_defaults(wait=False)


def listed(options: argparse.Namespace) -> list[ArrayInfo]:
    """Return all arrays where the user looks."""
    return arrays(transport=options.transport, directory=options.root)


def select(
    names: Iterable[str], options: argparse.Namespace, *, dead: bool = False, own: bool = False
) -> list[ArrayInfo]:
    """Return the arrays that a user named, by name.

    Parameters
    ----------
    names : iterable of str
        Names or globs (``cam*``); none: all, of which there may be none.
    options : argparse.Namespace
        With `transport`, `root` and `wait` (see `common`).
    dead : bool
        Whether all includes arrays without a living writer. Named ones need none.
    own : bool
        Whether all includes those of the library's own.

    Raises
    ------
    ToolError
        With code 1, if there is no array of one of the names; it tells which names look alike.
    """
    patterns = list(names)
    if options.wait:
        return _awaited(patterns, options, own)
    there = listed(options)
    found = [info for info in there if _is_chosen(info, patterns, dead, own)]
    for pattern in patterns:
        if not _any_match(pattern, found):
            found.append(_without_its_name(pattern, there, options))
    return found


def _without_its_name(name: str, there: list[ArrayInfo], options: argparse.Namespace) -> ArrayInfo:
    """Return an array by the place that follows from its name: damage may have taken the name."""
    try:
        return info(name, transport=options.transport, directory=options.root)
    except (NoArrayError, ValueError):
        raise ToolError(_not_found(name, there, options)) from None


def _awaited(patterns: list[str], options: argparse.Namespace, own: bool) -> list[ArrayInfo]:
    """Return the living arrays, as soon as there is one for each pattern."""
    with stop_on_signals() as stop:
        while not stop.asked:
            there = [info for info in listed(options) if info.state == "live"]
            found = [info for info in there if _is_chosen(info, patterns, False, own)]
            if found and all(_any_match(pattern, found) for pattern in patterns):
                return found
            stop.wait(_POLL)
    raise KeyboardInterrupt


def select_one(name: str, options: argparse.Namespace) -> ArrayInfo:
    """Return the array that a user named; if several transports have it, the only living one.

    Raises
    ------
    ToolError
        With code 1 as `select`, or if the array cannot be read; with code 2, if there are several.
    """
    found = select([name], options)
    if len(found) > 1:
        found = [info for info in found if info.state == "live"] or found
    names = sorted({info.name for info in found})
    if len(names) > 1:
        raise ToolError(f"one array at a time, and {name!r} fits {_some(names)}", 2)
    if len(found) > 1:
        places = " and ".join(info.transport for info in found)
        raise ToolError(f"{names[0]!r} is on {places}: --transport chooses", 2)
    if found[0].problem is not None:
        raise ToolError(f"array {found[0].name!r} is {found[0].state}: {found[0].problem}")
    return found[0]


def _is_chosen(info: ArrayInfo, patterns: list[str], dead: bool, own: bool) -> bool:
    if not patterns:
        return (dead or info.state == "live") and (own or not is_own(info.name))
    return fits(info.name, patterns)


def _any_match(pattern: str, infos: list[ArrayInfo]) -> bool:
    return any(matches(info.name, pattern) for info in infos)


def is_left(info: ArrayInfo) -> bool:
    """Tell whether an array has ended, and has no frame that a reader could still get."""
    return info.state == "closed" or (info.state == "killed" and not info.frame_id)


def _not_found(name: str, there: list[ArrayInfo], options: argparse.Namespace) -> str:
    names = sorted({info.name for info in there if not is_own(info.name)})
    close = alike(name, names)
    if close:
        return f"no array {name!r}; did you mean {' or '.join(map(repr, close))}?"
    if not names:
        return f"no array {name!r}; {nothing_there(options)} (has its writer started?)"
    return f"no array {name!r}; there {'is only' if len(names) == 1 else 'are'} {_some(names)}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(map(repr, names[:_NAMED]))}{more}"


def nothing_there(options: argparse.Namespace) -> str:
    """Return in words that there are no arrays, and where that was seen."""
    roots = {each.root for each in transports(options.transport, options.root)}
    if roots:
        return f"no arrays in {' and '.join(sorted(roots))}"
    return f"no arrays, and no directory {resolve_root(options.root)}: the first writer makes it"


def transport_of(info: ArrayInfo, options: argparse.Namespace) -> Transport:
    """Return the transport that an array is on.

    Raises
    ------
    ToolError
        If its root has gone in the meantime.
    """
    for transport in transports(options.transport, options.root):
        if transport.name == info.transport:
            return transport
    raise ToolError(f"{info.root} has gone")


def reader_of(info: ArrayInfo, options: argparse.Namespace) -> NdShArray:
    """Return a reader of an array."""
    return NdShArray(info.name, r_w="r", transport=transport_of(info, options))


def require(extra: str, module: str) -> Any:
    """Import what only an extra installs.

    Raises
    ------
    ToolError
        With code 2 and the ``pip install`` that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        reason = "" if absent else f" ({error})"
        raise ToolError(f'needs {module}: pip install "ndsharray[{extra}]"{reason}', 2) from None


def count_of(text: str) -> int:
    """Return a number of things from 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1, not {text!r}")
    return int(text)


def above_0(text: str) -> float:
    """Return a number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


# --- printing


def emit(record: dict[str, Any]) -> None:
    """Print a record as one line of JSON; what JSON has no number for becomes null.

    In ASCII: JSON itself allows a name's control characters (CSI), and an encoding of the output
    that lacks a character would escape it in a way that JSON does not know.
    """
    line = {key: _plain(value) for key, value in record.items()}
    print(json.dumps(line, allow_nan=False), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
