"""What the commands have in common: options, choosing arrays, signals, JSON, numbers for people."""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import math
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .. import ArrayInfo, NdShArray, Transport, arrays
from .._registry.inspection import transports
from .._registry.names import alike

__all__ = [
    "Stop",
    "ToolError",
    "common",
    "duration",
    "emit",
    "human",
    "listed",
    "matches",
    "rate",
    "reader_of",
    "require",
    "select",
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


def common(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command."""
    group = parser.add_argument_group("which arrays, and how to print")
    group.add_argument("--json", action="store_true", help="print JSON, an object a line")
    group.add_argument(
        "--transport",
        metavar="NAME",
        help="mmap, posix_shm or package.module:Class (default: all that are known)",
    )
    group.add_argument(
        "--root", metavar="DIR", help="the directory of the arrays (default: NDSHARRAY_DIR)"
    )
    group.add_argument("--wait", action="store_true", help="wait for a writer")


def listed(options: argparse.Namespace) -> list[ArrayInfo]:
    """Return all arrays where the user looks."""
    return arrays(transport=options.transport, directory=options.root)


def select(names: Iterable[str], options: argparse.Namespace) -> list[ArrayInfo]:
    """Return the arrays that a user named, by name.

    Parameters
    ----------
    names : iterable of str
        Names or globs (``cam*``); none: every array that has a living writer.
    options : argparse.Namespace
        With `transport`, `root` and `wait` (see `common`).

    Raises
    ------
    ToolError
        With code 1, if there is no array of one of the names; it tells which names look alike.
    """
    patterns = list(names)
    with stop_on_signals() as stop:
        while True:
            there = listed(options)
            found = [info for info in there if _is_chosen(info, patterns)]
            missing = [p for p in patterns if not _any_match(p, found)]
            live = [info for info in found if info.state == "live"]
            if not options.wait:
                if missing:
                    raise ToolError(_not_found(missing[0], there))
                return found
            if live and not [p for p in patterns if not _any_match(p, live)]:
                return live
            if stop.wait(_POLL):
                raise KeyboardInterrupt


def _is_chosen(info: ArrayInfo, patterns: list[str]) -> bool:
    if not patterns:
        return info.state == "live"
    return any(matches(info.name, pattern) for pattern in patterns)


def _any_match(pattern: str, infos: list[ArrayInfo]) -> bool:
    return any(matches(info.name, pattern) for info in infos)


def matches(name: str, pattern: str) -> bool:
    """Tell whether a name is the pattern itself, or fits it as a glob."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _not_found(name: str, there: list[ArrayInfo]) -> str:
    names = sorted({info.name for info in there})
    close = alike(name, names)
    if close:
        return f"no array {name!r}; did you mean {' or '.join(map(repr, close))}?"
    if not names:
        return f"no array {name!r}; there is none at all ('ndsharray doctor' looks for the reason)"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"no array {name!r}; there are {', '.join(map(repr, names[:_NAMED]))}{more}"


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
        raise ToolError(f'needs {module}: pip install "ndsharray[{extra}]" ({error})', 2) from None


# --- the end


class Stop:
    """Whether the user has asked for the end, by a signal.

    Attributes
    ----------
    asked : bool
        Whether a signal came.
    """

    def __init__(self) -> None:
        self.asked = False
        # Not an Event: its `set` in a signal handler waits for ever for the lock that the thread
        # below holds inside `wait`.
        self._until = threading.Lock()
        self._until.acquire()

    def ask(self, *_: object) -> None:
        """Ask for the end; a second time: raise KeyboardInterrupt."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._until.release()

    def wait(self, seconds: float) -> bool:
        """Sleep until the end is asked for, for `seconds` at most; return whether it is."""
        if not self.asked and self._until.acquire(timeout=max(seconds, 0)):
            self._until.release()
        return self.asked


_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into one clean stop, as long as the block lasts.

    The first signal sets `Stop.asked` and ends `Stop.wait`; it raises nothing, so that a file is
    finished. A second one raises KeyboardInterrupt. What the user has ignored (``nohup``) stays so.
    In another thread than the main one no signal arrives, and nothing changes.
    """
    stop = Stop()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- printing


def emit(record: dict[str, Any]) -> None:
    """Print a record as one line of JSON; what JSON has no number for becomes null."""
    line = {key: _plain(value) for key, value in record.items()}
    print(json.dumps(line, allow_nan=False, ensure_ascii=False), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def human(size: float) -> str:
    """Return a number of bytes of memory for people: ``7.9 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{_short(size)} {unit}"
        size /= 1024
    return f"{_short(size)} TiB"


def rate(bytes_per_second: float) -> str:
    """Return bytes per second for people, by powers of ten: ``83 MB/s``."""
    for unit in ("B", "kB", "MB"):
        if abs(bytes_per_second) < 1000:
            return f"{_short(bytes_per_second)} {unit}/s"
        bytes_per_second /= 1000
    return f"{_short(bytes_per_second)} GB/s"


def duration(seconds: float) -> str:
    """Return a time for people: ``2 ms``, ``3.1 s``, ``4 min``, ``3 h``, ``2 d``."""
    for limit, size, unit in (
        (1e-3, 1e-6, "us"),
        (1, 1e-3, "ms"),
        (120, 1, "s"),
        (7200, 60, "min"),
        (172800, 3600, "h"),
    ):
        if abs(seconds) < limit:
            return f"{_short(seconds / size)} {unit}"
    return f"{_short(seconds / 86400)} d"


def _short(value: float) -> str:
    """Return a number with two or three digits that tell something."""
    return f"{value:.1f}" if abs(value) < 9.95 and value != round(value) else f"{value:.0f}"
