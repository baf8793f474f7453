"""What a bridge counts for each array, and what it tells people."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container
from typing import Any, Literal, NamedTuple

__all__ = ["Counts", "Lines", "Table", "Totals"]

_REMEMBERED = 1024  # arrays that are counted, and that lines are about; those of others may be over
_BETWEEN = 1.0  # seconds between two lines about one array: the far side may send anything


class Totals(NamedTuple):
    """What a bridge has done for one array since it began with it; field names are the JSON's.

    Attributes
    ----------
    name : str
        The array's.
    direction : {'out', 'in'}
        Whether it is exported or imported.
    frames : int
        Frames that were sent, or written here.
    nbytes : int
        Their payload.
    dropped : int
        Out: frames that were passed over for newer ones while somebody took them. In: frames of
        the far writer that were not written here, since the first one that was.
    refused : int
        Out: frames that are too large. In: messages that are malformed, or for which there is no
        room.
    """

    name: str
    direction: Literal["out", "in"]
    frames: int
    nbytes: int
    dropped: int
    refused: int

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return self._asdict()


class Counts:
    """The counts of one array; one thread changes them."""

    def __init__(self, name: str, direction: Literal["out", "in"]) -> None:
        self.name = name
        self.direction: Literal["out", "in"] = direction
        self.frames = self.nbytes = self.dropped = self.refused = 0

    def add(self, nbytes: int) -> None:
        """Count a frame."""
        self.frames += 1
        self.nbytes += nbytes

    def totals(self) -> Totals:
        """Return what was counted."""
        return Totals(
            self.name, self.direction, self.frames, self.nbytes, self.dropped, self.refused
        )


class Table:
    """The counts of all arrays of one direction; those that ended long ago are forgotten."""

    def __init__(self, direction: Literal["out", "in"]) -> None:
        self._direction: Literal["out", "in"] = direction
        self._counts: dict[str, Counts] = {}

    def of(self, name: str, in_use: Container[str]) -> Counts:
        """Return the counts of an array; `in_use` are the names that must not be forgotten."""
        counts = self._counts.get(name)
        if counts is None:
            ended = [each for each in self._counts if each not in in_use]
            for each in ended[: max(0, len(self._counts) - _REMEMBERED + 1)]:
                del self._counts[each]
            counts = self._counts[name] = Counts(name, self._direction)
        return counts

    def totals(self) -> list[Totals]:
        """Return all of them, by name."""
        return sorted(counts.totals() for counts in list(self._counts.values()))


class Lines:
    """Tell people what is wrong: each thing once, and again when it has changed.

    Whatever the far side sends, there is a line a second about an array at most.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report, self._lock = report, threading.Lock()
        self._last: dict[tuple[str, str], tuple[str, float]] = {}

    def say(self, about: str, name: str, line: str) -> None:
        """Report a line about something of an array, unless it was the last one about that."""
        now, key = time.monotonic(), (about, name)
        with self._lock:
            last, then = self._last.get(key, ("", -_BETWEEN))
            if last == line or now - then < _BETWEEN:
                return
            self._last.pop(key, None)  # the newest ones come last
            self._last[key] = line, now
            if len(self._last) > _REMEMBERED:
                del self._last[next(iter(self._last))]
        self._report(line)

    def forget(self, about: str, name: str) -> None:
        """Note that all is well with it: what comes is news."""
        with self._lock:
            known = self._last.get((about, name))
            if known is not None:
                self._last[about, name] = "", known[1]
