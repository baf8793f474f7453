"""What a bridge counts for each array, and what it tells people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

__all__ = ["Counts", "Lines", "Totals"]


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


class Lines:
    """Tell people what is wrong: each thing once, and again when it has changed."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._last: dict[tuple[str, str], str] = {}

    def say(self, direction: str, name: str, line: str) -> None:
        """Report a line about an array, unless it was the last one about it."""
        if self._last.get((direction, name)) != line:
            self._last[direction, name] = line
            self._report(line)

    def forget(self, direction: str, name: str) -> None:
        """Note that all is well with an array: what comes is news."""
        self._last.pop((direction, name), None)
