"""The arrays that a command measures as long as it runs; those that come later are taken up.

Not here: what is computed of one array's frames (``rates``), how it is printed (``hz``, ``bw``,
``watch``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ... import ArrayInfo
from ..._registry.probe import Probe
from . import (
    Stop,
    ToolError,
    above_0,
    count_of,
    fits,
    is_left,
    is_own,
    listed,
    select,
    stop_on_signals,
    transport_of,
)
from .rates import Meter, Rate, has_not_written

__all__ = ["Metered", "Meters", "arguments_of_reports", "metering", "reports"]

REPORT = 1.0  # seconds between two reports
_SHORTEST, _LONGEST = 0.002, 0.05  # seconds between two looks
_SHARE = 0.05  # of the time is for looking, at most


class Metered:
    """One array.

    Attributes
    ----------
    info : ArrayInfo
        What it was like at the last report.
    meter : Meter
        Its frames.
    """

    def __init__(self, info: ArrayInfo, probe: Probe, window: float) -> None:
        self.info = info
        self.meter = Meter(window)
        self.probe = probe

    def comes(self) -> bool:
        """Tell whether its rate is not known yet, but a frame came a moment ago."""
        age = self.info.age
        return self.rate().hz is None and age is not None and age < self.meter.window

    def rate(self) -> Rate:
        """Return its rate; none while its writer has not written yet."""
        return Rate() if has_not_written(self.info) else self.meter.measure()


class Meters:
    """Looks at arrays often enough to see their frames, and seldom enough to cost little.

    Parameters
    ----------
    options : argparse.Namespace
        With those of `arguments_of_reports` and `common`. No names: all with a living writer.
    dead : bool
        Whether all includes those whose writer was killed.
    """

    def __init__(self, options: argparse.Namespace, *, dead: bool) -> None:
        self._patterns, self._window = list(options.names), options.window
        self._options, self._dead = options, dead
        self._arrays: dict[tuple[str, str], Metered] = {}
        self._cost = 0.0  # seconds that a look at all of them takes

    def update(self) -> list[Metered]:
        """Look which arrays there are; return them by name."""
        found = {}
        for info in listed(self._options):
            if info.state == "closed" and not info.readers:
                continue  # on Windows our own look at it has kept its name
            key = (info.name, info.transport)
            known = self._arrays.pop(key, None)
            if known is not None:
                known.info = info
                found[key] = known
            elif self._is_chosen(info):
                probe = Probe(info.name, transport_of(info, self._options))
                found[key] = Metered(info, probe, self._window)
        for gone in self._arrays.values():
            gone.probe.close()
        self._arrays = found
        self.look()
        return list(found.values())

    def _is_chosen(self, info: ArrayInfo) -> bool:
        if not self._patterns:
            if is_own(info.name):
                return False
            return not is_left(info) if self._dead else info.state == "live"
        return fits(info.name, self._patterns)

    def look(self) -> None:
        """Take the frames into account that there are now."""
        began = time.perf_counter()
        for each in self._arrays.values():
            looked = time.perf_counter_ns()
            each.meter.add(each.probe.heads(), looked)
        self._cost = time.perf_counter() - began

    def pause(self) -> float:
        """Return the seconds until the next look."""
        # Half of the time in which the writer comes round to the slots that are looked at.
        wanted = [
            each.meter.period_ns * max(1, each.info.slots - 1) / 2e9
            for each in self._arrays.values()
            if each.meter.period_ns
        ]
        shortest = max(min(wanted, default=_LONGEST), self._cost / _SHARE, _SHORTEST)
        return min(shortest, _LONGEST)

    def close(self) -> None:
        """Unmap everything."""
        for each in self._arrays.values():
            each.probe.close()
        self._arrays.clear()


def arguments_of_reports(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of commands that print once a second."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or globs (default: all)")
    parser.add_argument(
        "--window",
        type=above_0,
        default=5.0,
        metavar="S",
        help="seconds that count (default: 5); for a slow array the last two frames",
    )
    parser.add_argument(
        "--count", type=count_of, metavar="N", help="end after N reports (default: by Ctrl-C)"
    )


@contextmanager
def metering(
    options: argparse.Namespace, *, dead: bool = False, empty: bool = False
) -> Iterator[tuple[Meters, Stop]]:
    """Give the meters of the arrays that the user named, until a signal comes.

    Parameters
    ----------
    options : argparse.Namespace
        With those of `arguments_of_reports` and `common`.
    dead : bool
        Whether all includes those whose writer was killed.
    empty : bool
        Whether there may be none at first.

    Raises
    ------
    ToolError
        With code 1, if there is no such array.
    """
    found = select(options.names, options, dead=dead)
    if not empty and all(map(is_left, found)):
        raise ToolError("no array has a living writer ('--wait' waits for one)")
    if not empty and all(info.problem is not None for info in found):
        raise ToolError(f"array {found[0].name!r} is {found[0].state}: {found[0].problem}")
    meters = Meters(options, dead=dead)
    try:
        with stop_on_signals() as stop:
            yield meters, stop
    finally:
        meters.close()


def reports(options: argparse.Namespace, *, dead: bool = False) -> Iterator[list[Metered]]:
    """Yield the arrays once a second, ``options.count`` times or until a signal comes.

    `dead` and errors are those of `metering`; a signal before the last of ``options.count`` times
    raises KeyboardInterrupt.

    The first report waits until each array that gets frames has two, for the window at most.
    """
    with metering(options, dead=dead) as (meters, stop):
        arrays, began = meters.update(), time.monotonic()
        due, count = began + REPORT, 0
        while not stop.wait(min(meters.pause(), max(0.0, due - time.monotonic()))):
            meters.look()
            now = time.monotonic()
            if now < due:
                continue
            due = max(due + REPORT, now)
            arrays = meters.update()
            if count == 0 and now < began + options.window and any(a.comes() for a in arrays):
                continue
            yield arrays
            count += 1
            if count == options.count:
                return
        if options.count is not None:
            raise KeyboardInterrupt  # what was asked for is not done
