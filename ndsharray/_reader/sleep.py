"""One sleep on newest: the waiting byte, and the look before it.

Not here: the sleep itself (``wait``), what a reader does next (``reader``).
"""

from __future__ import annotations

from typing import Protocol

from .._protocol.reading import ReadSide
from .pins import Pins

__all__ = ["Sleep", "Sleeper"]


class Sleeper(Protocol):
    """The part of a cursor that a sleep needs."""

    side: ReadSide
    pins: Pins | None
    seen: int
    failed: bool
    marked: bool


class Sleep:
    """A sleep on newest, during which the writer sees that the reader waits.

    Only where `Cursor.can_sleep`. Call `end` afterwards, also if `begin` was interrupted.

    Attributes
    ----------
    word : int
        The newest word that it may sleep on.
    """

    def __init__(self, cursor: Sleeper) -> None:
        assert cursor.pins is not None
        self._cursor, self._side, self._entry = cursor, cursor.side, cursor.pins.entry.index
        self.word = cursor.seen
        self._failed = cursor.failed

    def begin(self) -> bool:
        """Set the waiting byte; False: newest has moved, or the array was closed: do not sleep."""
        cursor, side = self._cursor, self._side
        # Until the end: `settle` looks at the first one, and the second one makes the next new
        # frame call `settle`.
        cursor.marked = cursor.failed = True
        # The word as it is now, not that of the last frame: a frame that cannot be read yet must
        # not keep the reader awake.
        word = side.begin_waiting(self._entry)
        # guard: newest-again-before-sleeping, state-before-sleeping
        return word == self.word and side.is_live()

    def end(self) -> None:
        """Clear the waiting byte; ValueError in a forked child, as it is its parent's."""
        self._side.end_waiting(self._entry)
        self._cursor.marked, self._cursor.failed = False, self._failed
