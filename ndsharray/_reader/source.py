"""Which instance of its array a reader follows, and when it looks up the name.

Not here: what a name stands for (``finder``), which frame of an instance is next (``cursor``),
which calls exclude each other (``reader``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from .._registry.lookup import WriterState, writer_state
from .._registry.names import Address
from ..errors import FormatError
from .cursor import Cursor
from .delivery import Delivery, LastFrame
from .finder import Finder
from .instance import Instance
from .own_entry import OwnEntry

__all__ = ["ENDED", "NEW", "NOTHING", "Outcome", "Source"]

log = logging.getLogger("ndsharray")

_NO_ARRAY: npt.NDArray[Any] = np.empty((0,), np.uint8)


class Outcome(Enum):
    """What one look for a frame finds."""

    NEW = "a frame was delivered"
    NOTHING = "there is none yet"
    ENDED = "the array was closed, and its last frame was delivered before"


NEW, NOTHING, ENDED = Outcome  # an attribute of the class costs more


class Source:
    """The instances of one array, one after the other.

    Parameters
    ----------
    address : Address
        The array's.
    array : numpy.ndarray
        What `Reader.read` returns before the first frame.
    hint : callable
        Called at most once a second while the array does not exist, with whether it did before.
    entry : OwnEntry
        The reader's.

    Attributes
    ----------
    last : LastFrame
        The last frame, of whatever instance.
    cursor : Cursor or None
        The reader's place in the instance that it reads; None: it has found none.
    """

    def __init__(
        self,
        address: Address,
        array: npt.NDArray[Any],
        hint: Callable[[bool], None],
        entry: OwnEntry,
    ) -> None:
        self._address = address
        self._entry = entry
        self.finder = Finder(address, hint)
        self.last = LastFrame(array)
        self.cursor: Cursor | None = None
        self._ended: Cursor | None = None  # the instance whose end was reported
        self._told: Cursor | None = None  # the one whose end `has_unread` told

    def newest(self, delivery: Delivery) -> Outcome:
        """Look for the newest frame of the array that the name stands for."""
        cursor = self.cursor
        if cursor is not None:
            word = cursor.side.newest_if_live()
            if word >= 0:
                if cursor.newest(delivery, word):
                    return NEW
                if not self.finder.is_due():
                    return NOTHING
        found = self._look_up()
        # The final frame of a closed instance counts until another instance has a frame.
        if (
            cursor is not None
            and (found is None or not found.has_frame)
            and cursor.newest(delivery, cursor.side.newest())
        ):
            return NEW
        if found is None:
            return NOTHING
        cursor = self._attach(found)
        return NEW if cursor.newest(delivery, cursor.side.newest()) else NOTHING

    def oldest(self, delivery: Delivery) -> Outcome:
        """Look for the oldest undelivered frame."""
        cursor = self.cursor
        if cursor is not None:
            live = cursor.side.is_live()
            if cursor.next(delivery):
                self._ended = None  # a closed control segment can be adopted, and end once more
                return NEW
            if live and not self.finder.is_due():
                return NOTHING
            if not live and self._ended is not cursor:
                cursor.end()
                self._ended = cursor
                return ENDED
        found = self._look_up()
        return NEW if found is not None and self._attach(found).next(delivery) else NOTHING

    def has_frame(self, _: Delivery) -> Outcome:
        """Tell whether there is an array with a frame, as NEW or NOTHING; deliver none."""
        try:
            cursor = self.cursor
            if cursor is None or not cursor.side.is_live() or self.finder.is_due():
                found = self._look_up()
                if found is not None and (cursor is None or found.has_frame):
                    cursor = self._attach(found)
            if cursor is None or not cursor.instance.has_frame:
                return NOTHING
            return (
                NEW
                if cursor.side.segment is not None or cursor.instance.follow_newest(self._address)
                else NOTHING
            )
        except FormatError:
            return NOTHING

    def writer_state(self) -> WriterState:
        """Return what has become of the writer, of this instance or of another one of the name."""
        cursor = self.cursor
        return writer_state(self._address, cursor.instance.memory if cursor is not None else None)

    def has_unread(self) -> bool:
        """Tell whether the next call has a frame to deliver, or an end to report: told once."""
        cursor = self.cursor
        if cursor is not None:
            live = cursor.side.is_live()
            if cursor.has_unread():
                return True
            if live:
                self._told = None  # a closed control segment can be adopted, and end once more
                if not self.finder.is_due():
                    return False
            elif cursor not in (self._told, self._ended):
                self._told = cursor
                return True
        found = self._look_up()
        if found is None or (cursor is not None and not found.has_frame):
            return False
        return self._attach(found).has_unread()

    def _look_up(self) -> Instance | None:
        cursor = self.cursor
        return self.finder.find(cursor.instance if cursor is not None else None)

    def _attach(self, instance: Instance) -> Cursor:
        cursor = self.cursor = Cursor(self._address, instance, self._entry, self.last)
        log.debug("%r attached: instance %016x", self._address.name, instance.instance_id)
        return cursor

    def settle(self) -> None:
        """Clear what an interrupted call left in shared memory."""
        if self.cursor is not None:
            self.cursor.settle()

    def detach(self) -> None:
        """In a forked child: keep the place in the array, and drop what is the parent's."""
        if self.cursor is not None:
            self.cursor.detach()

    def release(self) -> None:
        """Release the instance, the entry and the last array, which may lie in place."""
        cursor = self.cursor
        self.last.array = _NO_ARRAY
        self._entry.release(cursor.pins if cursor is not None else None)
        self.cursor = self._ended = self._told = None
