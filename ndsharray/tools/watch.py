"""``ndsharray watch``: a table of all arrays that renews itself."""

from __future__ import annotations

import argparse
import time
from typing import Any

from .bw import record_of
from .common import common, describe, duration, emit, hertz, human, milliseconds, plural, rate
from .meters import Metered, Meters, arguments_of_reports, metering, reports
from .screen import draw, whole_screen
from .stopping import Stop
from .terminal import Terminal, aligned, clipped, shown, terminal

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = "Show a live table of arrays: state, frame, rate, bandwidth, age, readers. q or Ctrl-C ends."
EXAMPLE = "ndsharray watch"
_REDRAW = 0.5  # seconds
_TITLES = ["NAME", "STATE", "FRAME", "RATE", "JITTER", "DATA", "NUMBER", "AGE", "READERS", "MEMORY"]
_STATE, _RIGHT = 1, range(3, 10)
_DROP = (4, 9, 6, 8, 5)  # which columns a narrow terminal can do without
_COLOURS = {"live": 32, "killed": 31, "damaged": 31, "foreign version": 31, "closed": 33}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    arguments_of_reports(parser)
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Show the table until a key, a signal, or the number of reports ends it."""
    screen = terminal()
    if options.json or not screen.cursor:
        for arrays in reports(options):
            _print(arrays, options)
        return 0
    with metering(options, dead=True) as (meters, stop):
        _show(meters, stop, options.count)
    return 0


def _print(arrays: list[Metered], options: argparse.Namespace) -> None:
    if options.json:
        for each in arrays:
            measured = {**each.rate()._asdict(), **record_of(each)}
            emit({**each.info.as_dict(), **measured})
    else:
        print("\n".join(_table(arrays)), flush=True)


def _show(meters: Meters, stop: Stop, count: int | None) -> None:
    drawn, due = 0, 0.0
    with whole_screen() as key:
        while not stop.asked and drawn != count:
            now = time.monotonic()
            if now >= due:
                draw(_page(meters.update(), terminal()))
                drawn, due = drawn + 1, now + _REDRAW
            if key(max(0.0, min(meters.pause(), due - time.monotonic()))) in ("q", "Q", "\x1b"):
                return
            meters.look()


def _page(arrays: list[Metered], screen: Terminal) -> list[str]:
    """Return the lines of the screen."""
    total = sum(record_of(each)["bytes_per_second"] or 0 for each in arrays)
    memory = sum(each.info.nbytes for each in arrays)
    title = f"{plural(len(arrays), 'array')}  {rate(total)}  {human(memory)}  {_clock()}  q ends"
    lines = [clipped(f"ndsharray  {title}", screen.columns), ""]
    table = _table(arrays, screen.columns)
    room = screen.lines - len(lines)
    if len(table) > room:
        table = [*table[: room - 1], f"... {len(table) - room + 1} more"]
    if screen.colours:
        states = [each.info.state for each in arrays]
        table = [
            f"\x1b[1m{table[0]}\x1b[0m",
            *(_coloured(line, state) for line, state in zip(table[1:], states)),
            *table[1 + len(states) :],
        ]
    return lines + table


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _coloured(line: str, state: str) -> str:
    """Return a line with its state in colour."""
    before, found, after = line.partition(f"  {state}")
    return f"{before}\x1b[{_COLOURS[state]}m{found}\x1b[0m{after}" if found else line


def _table(arrays: list[Metered], columns: int = 0) -> list[str]:
    return aligned([_TITLES, *map(_cells, arrays)], columns, _DROP, _RIGHT)


def _cells(each: Metered) -> list[str]:
    info, measured = each.info, each.rate()
    record: dict[str, Any] = record_of(each)
    per_second = record["bytes_per_second"]
    what = describe(info.shape, info.dtype) or info.problem or "no frame yet"
    return [
        shown(info.name),
        info.state,
        shown(what),
        "" if measured.hz is None else hertz(measured.hz),
        "" if measured.jitter_ms is None else milliseconds(measured.jitter_ms),
        "" if per_second is None else rate(per_second),
        f"#{info.frame_id}" if info.frame_id else "",
        "" if info.age is None else duration(info.age),
        str(info.readers),
        human(info.nbytes),
    ]
