"""One array of a read set: finding its frames, and holding one of them.

Not here: which frame belongs to which others (``matching``), when to look (``joiner``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.memory import Memory
from .._system import clock
from .buffers import SMALLEST, Buffers
from .cursor import Cursor
from .delivery import Delivery
from .instance import View
from .reader import Reader
from .source import ENDED, NEW, NOTHING, Outcome, Source
from .tracks import MOST, Frame, Track

__all__ = ["SMALL", "Member", "WallClock"]

# Bytes of a frame that is copied as soon as it is found: that costs less than a pin, and the slots
# of a fast sensor do not reach back as far as a camera's frames need to arrive.
SMALL = 8192
_STEADY_NS = 100_000  # the clocks may drift apart by so much before that counts
_ELSEWHERE: npt.NDArray[Any] = np.empty((0,), np.uint8)  # stands for a frame that stays in its slot


class WallClock:
    """Unix time for the moments of writes, without the noise of two clocks compared anew."""

    def __init__(self) -> None:
        self._offset = 0

    def look(self) -> None:
        """Take a step of the wall clock into account."""
        offset = clock.unix_ns(0)
        if abs(offset - self._offset) > _STEADY_NS:
            self._offset = offset

    def of(self, moment: int) -> int:
        """Return the Unix time of a moment of the monotonic clock."""
        return self._offset + moment


class Glance(Delivery):
    """Deliver a small frame as a private array; of a larger one nothing but its head is loaded."""

    def copy(self, segment: Memory, view: View) -> npt.NDArray[Any]:
        """Return a copy if that is cheap."""
        return super().copy(segment, view) if view.nbytes <= SMALL else _ELSEWHERE


class Place:
    """Where a frame lies, and the Unix time of its capture, or else of its write."""

    __slots__ = ("cursor", "position", "time_ns")

    def __init__(self, cursor: Cursor, time_ns: int) -> None:
        self.cursor, self.position, self.time_ns = cursor, cursor.position, time_ns


class Member:
    """One array of a read set.

    Parameters
    ----------
    name : str
        What the user calls it in the set.
    reader : Reader
        Its reader, which nobody else uses.
    offset : int
        Nanoseconds to add to its times before they are compared.
    wall : WallClock
        That of the set.
    """

    def __init__(self, name: str, reader: Reader, offset: int, wall: WallClock) -> None:
        self.name = name
        self.reader = reader
        self.track = Track()
        self._offset = offset
        self._wall = wall
        self._buffers = Buffers()
        self._glance = Glance(self._buffers)
        self._held: Frame | None = None  # whose slot is pinned

    def collect(self) -> None:
        """Add the frames to the track that were published since the last call."""
        for _ in range(MOST):  # a writer that is faster than this must not keep it here
            if not self.reader.read(self._glance, look=self._look)[0]:
                break

    def _look(self, source: Source, delivery: Delivery) -> Outcome:
        outcome = source.oldest(delivery)
        cursor = source.cursor
        if outcome is NEW and cursor is not None:
            self._add(cursor, source)
        elif outcome is ENDED and cursor is not None:
            self.track.end(cursor.side.last_frame())
        return outcome

    def _add(self, cursor: Cursor, source: Source) -> None:
        last, before = source.last, self.track.newest
        same = before is not None and before.place.cursor is cursor
        if same and before is not None and last.frame_id <= before.number:
            return  # an interrupt came between this frame's delivery and the note of it
        time_ns = last.stamp or self._wall.of(last.written)
        place = Place(cursor, time_ns)
        frame = Frame(time_ns + self._offset, last.frame_id, last.stamp > 0, clock.now_ns(), place)
        if last.array is not _ELSEWHERE:
            frame.array = last.array
        self.track.add(frame, new_count=not same)

    def hold(self, frame: Frame | None) -> bool:
        """Keep one frame from being overwritten, instead of the one that was held before.

        Returns
        -------
        bool
            False: it was overwritten already, and the track has dropped it.
        """
        held = self._held
        if held is not None and held is not frame:
            held.array = self._held = None
        if frame is None or frame.array is not None:
            return True
        reader = self.reader
        found, array = reader.read(reader.in_place, look=partial(self._again, frame.place))
        if not found:
            self.track.lose(frame)
            return False
        reader.last.array = _ELSEWHERE  # nobody but the frame holds it; guard: held-by-its-frame
        frame.array, self._held = array, frame
        return True

    def _again(self, place: Place, source: Source, delivery: Delivery) -> Outcome:
        """Deliver a frame that was found before, if its slot still holds it."""
        cursor = source.cursor
        if cursor is None or cursor is not place.cursor:  # another writer's
            return NOTHING
        cursor.settle()
        progress = cursor.position, cursor._frame_id
        try:
            return NEW if cursor._read_pinned(place.position, delivery) else NOTHING
        finally:
            cursor.position, cursor._frame_id = progress  # guard: second-look-moves-nothing

    def value(self, frame: Frame, copy: bool) -> npt.NDArray[Any]:
        """Return the array of a frame that is held: the user's own, or one in place."""
        array: npt.NDArray[Any] = frame.array
        if not copy:
            if array.flags.writeable:  # a set before this one may have had it, as a copy
                array = array.view()
                array.flags.writeable = False
        elif not array.flags.writeable:
            if array.nbytes < SMALLEST:
                array = array.copy()
            else:
                array = self._buffers.empty(array.shape, array.dtype, array.nbytes)
                np.copyto(array, frame.array)
            frame.array = array
        return array

    def state(self) -> str:
        """Tell whether the array's writer lives: absent, live, killed or closed."""
        return "closed" if self.track.ended else self.reader.writer_state()

    def reach(self) -> tuple[int, float] | None:
        """Return the slots of the array, and the nanoseconds that they reach back.

        None: its frames do not wait in slots, or are not known well enough yet.
        """
        newest = self.track.newest
        if newest is None or newest.array is not None or not self.track.steady:
            return None
        slots: int = newest.place.cursor.side.table.slots
        return slots, slots * self.track.period
