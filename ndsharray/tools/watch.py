"""``ndsharray watch``: a table of all arrays that renews itself."""

from __future__ import annotations

import argparse
import time

from .bw import record_of
from .common import common, describe, duration, emit, hertz, human, milliseconds, plural, rate
from .common.meters import Metered, Meters, arguments_of_reports, metering, reports
from .common.screen import draw, whole_screen
from .common.stopping import Stop
from .common.terminal import Terminal, aligned, clipped, print_rows, shown, terminal

__all__ = ["EXAMPLE", "HELP", "arguments", "run"]

HELP = "Show a live table of arrays: state, frame, rate, bytes per second, age, readers. q ends it."
EXAMPLE = "ndsharray watch"
_REDRAW = 0.5  # seconds
_TITLES = ["NAME", "STATE", "FRAME", "RATE", "JITTER", "DATA", "NUMBER", "AGE", "READERS", "MEMORY"]
_STATE, _RIGHT = 1, range(3, 10)
_DROP = (4, 9, 6, 8, 5, 2, 7)  # which columns a narrow terminal can do without
_QUIT = ("q", "Q", "\x1b")
_SCROLL = {  # key: arrays
    **dict.fromkeys(("j", "\x1b[B", "\x1bOB", "\xe0P"), 1),
    **dict.fromkeys(("k", "\x1b[A", "\x1bOA", "\xe0H"), -1),
    **dict.fromkeys((" ", "\x1b[6~", "\xe0Q"), 10),
    **dict.fromkeys(("b", "\x1b[5~", "\xe0I"), -10),
}
_COLOURS = {"live": 32, "killed": 31, "damaged": 31, "foreign version": 31, "closed": 33}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    arguments_of_reports(parser)
    common(parser)


def run(options: argparse.Namespace) -> int:
    """Show the table until a key, a signal, or the number of reports ends it."""
    screen = terminal()
    if options.json or not screen.cursor:
        for number, arrays in enumerate(reports(options, dead=True)):
            if number and not options.json:
                print()
            _print(arrays, options)
        return 0
    with metering(options, dead=True, empty=True) as (meters, stop):
        _show(meters, stop, options.count)
    return 0


def _print(arrays: list[Metered], options: argparse.Namespace) -> None:
    if options.json:
        for each in arrays:
            measured = {**each.rate()._asdict(), **record_of(each)}
            emit({**each.info.as_dict(), **measured})
    else:
        print_rows(_table(arrays), _DROP, _RIGHT)


def _show(meters: Meters, stop: Stop, count: int | None) -> None:
    drawn, due, first = 0, 0.0, 0
    with whole_screen() as key:
        while not stop.asked and drawn != count:
            now = time.monotonic()
            if now >= due:
                arrays, screen = meters.update(), terminal()
                first = min(first, max(0, len(arrays) - 1))
                draw(_page(arrays, screen, first))
                drawn, due = drawn + 1, now + _REDRAW
            pressed = key(max(0.0, min(meters.pause(), due - time.monotonic())))
            if pressed in _QUIT:
                return
            if pressed in _SCROLL:
                first, due = max(0, first + _SCROLL[pressed]), 0.0
            meters.look()


def _page(arrays: list[Metered], screen: Terminal, first: int = 0) -> list[str]:
    """Return the lines of the screen, from the array `first` on where not all fit."""
    total = sum(_bytes_per_second(each) or 0 for each in arrays)
    memory = sum(each.info.nbytes for each in arrays)
    title = f"{plural(len(arrays), 'array')}  {rate(total)}  {human(memory)}  {_clock()}  q ends"
    lines = [clipped(f"ndsharray  {title}", screen.columns), ""]
    head, *rows = aligned(_table(arrays), screen.columns, _DROP, _RIGHT)
    states = [each.info.state for each in arrays]
    room, foot = screen.lines - len(lines) - 1, []
    if len(rows) > room:
        first = min(first, len(rows) - room + 1)
        last = first + room - 1
        foot = [clipped(f"{first + 1} to {last} of {len(rows)}: arrow keys", screen.columns)]
        rows, states = rows[first:last], states[first:last]
    if screen.colours:
        head = f"\x1b[1m{head}\x1b[0m"
        rows = [_coloured(line, state) for line, state in zip(rows, states)]
    return [*lines, head, *rows, *foot]


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _coloured(line: str, state: str) -> str:
    """Return a line with its state in colour."""
    before, found, after = line.partition(f"  {state}")
    return f"{before}\x1b[{_COLOURS[state]}m{found}\x1b[0m{after}" if found else line


def _table(arrays: list[Metered]) -> list[list[str]]:
    return [_TITLES, *map(_cells, arrays)] if arrays else [["no arrays yet"]]


def _bytes_per_second(each: Metered) -> float | None:
    per_second: float | None = record_of(each)["bytes_per_second"]
    return per_second if each.info.state == "live" else None


def _cells(each: Metered) -> list[str]:
    info, measured = each.info, each.rate()
    if info.problem is not None and info.shape is None:
        return [shown(info.name), info.state, shown(info.problem)]
    comes, per_second = info.state == "live", _bytes_per_second(each)
    return [
        shown(info.name),
        info.state,
        describe(info.shape, info.dtype) or "no frame yet",
        hertz(measured.hz) if comes and measured.hz is not None else "",
        milliseconds(measured.jitter_ms) if comes and measured.jitter_ms is not None else "",
        "" if per_second is None else rate(per_second),
        f"#{info.frame_id}" if info.frame_id else "",
        "" if info.age is None else duration(info.age),
        str(info.readers),
        human(info.nbytes),
    ]
