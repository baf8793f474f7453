"""A reader: it finds an array, follows its writer through every restart, and takes frames.

What may live here: when a name is looked up, which segment is followed, when to try again, what
a frame becomes for the caller. Not here: the order of loads (``_seqlock``), where bytes are
(``_layout``).

It never waits for the writer and never stores anything that the writer depends on, but for its
own cell.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, Callable, Optional

import numpy.typing as npt

from . import _cell, _clock, _layout
from ._address import Address
from ._attached import Attached, Frame, View
from ._buffers import SMALLEST, Buffers
from ._exit import close_at_exit
from ._memory import Memory, make_fences
from ._seqlock import is_ready
from .errors import ClosedError, FormatError

__all__ = ["Reader"]

log = logging.getLogger("ndsharray")

_TRIES = 3  # from the second on with the slot pinned: what was overrun once is not overrun again
_LOOK_NS = 250_000_000  # how often a reader that gets nothing new looks up the name


class Reader:
    """One reader of an array, whether the array is there already or not.

    Parameters
    ----------
    address : Address
        The array's.
    array : numpy.ndarray
        What `read` returns before any frame.
    missed : callable
        Called at most once a second while the array is not there.

    Attributes
    ----------
    last : numpy.ndarray
        The last frame.
    frame : int
        Its number, 0 before any.
    uuid : bytes
        Its layout's uuid.
    age_ns : int
        Nanoseconds from its writing to the end of its read.
    """

    def __init__(
        self, address: Address, array: npt.NDArray[Any], missed: Callable[[], None]
    ) -> None:
        self._address = address
        self._missed = missed
        self._buffers = Buffers()
        self._attached: Optional[Attached] = None
        self._cell: Optional[_cell.Cell] = None
        self._accepted = 0  # the newest word of the last frame
        self._failed = False  # whether the try before failed
        self._looked = self._hinted = 0
        self.closed = False
        self.last = array
        self.frame = self.age_ns = 0
        self.uuid = bytes(16)
        self.is_valid()

    def read(self) -> bool:
        """Take the newest frame; True if there was a new one (then it is `last`).

        Raises
        ------
        FormatError
            If shared memory is not what it says.
        """
        if self.closed:
            raise ClosedError("the reader was closed")
        attached = self._attached
        if attached is not None and attached.live:
            if self._take_newest(attached):
                return True
            if not self._is_due():
                return False
        found = self._look_up()
        if attached is None or (found is not None and found.has_frame):
            return self._go_on(found)
        # the final frame of the closed instance, while no other one has any
        return self._take_newest(attached) or self._go_on(found)

    def _go_on(self, found: Optional[Attached]) -> bool:
        if found is None:
            return False
        self._attach(found)
        return self._take_newest(found)

    def is_valid(self) -> bool:
        """Tell whether an array with a frame is attached; look it up if it is time to."""
        if self.closed:
            return False
        try:
            if self._attached is None or not self._attached.live or self._is_due():
                found = self._look_up()
                if found is not None and (self._attached is None or found.has_frame):
                    self._attach(found)
            attached = self._attached
            if attached is None or not attached.has_frame:
                return False
            side = attached.side
            return side.frames is not None or attached.follow(self._address, side.newest())
        except FormatError:
            return False

    def _is_due(self) -> bool:
        return _clock.now_ns() - self._looked >= _LOOK_NS

    def _look_up(self) -> Optional[Attached]:
        """Return what the name stands for now, unless that is attached already."""
        now = self._looked = _clock.now_ns()
        transport = self._address.transport
        try:
            try:
                segment = transport.open(self._address.control, writable=True)
            except PermissionError:
                segment = transport.open(self._address.control, writable=False)
        except FileNotFoundError:
            if now - self._hinted >= 4 * _LOOK_NS:
                self._hinted = now
                self._missed()
            return None
        memory = Memory(segment.buf)
        fences = make_fences()
        if segment.size >= _layout.CONTROL_SIZE and not is_ready(memory, fences):
            return None  # being made: opened by name again next time
        static = _layout.load_control(memory, self._address.name)
        if self._attached is not None and self._attached.instance == static.instance:
            return None
        if not _clock.same_boot(static.boot, static.clock_ns, static.wall_ns):
            return None
        return Attached(segment, memory, static.instance, fences)

    def _attach(self, attached: Attached) -> None:
        self._accepted = 0
        self._failed = False
        self._attached = attached
        cell = self._cell
        if cell is not None and attached.memory.cells.readonly:
            cell.release()
            self._cell = None
        elif cell is not None and cell.held:
            cell.clear(attached.memory)
        self._claim_cell(attached)
        log.debug("%r attached: instance %016x", self._address.name, attached.instance)

    def _claim_cell(self, attached: Attached) -> None:
        if (self._cell is None or not self._cell.held) and not attached.memory.cells.readonly:
            self._cell = _cell.claim(self._address, attached.memory)
            close_at_exit(self)

    def _take_newest(self, attached: Attached) -> bool:
        side = attached.side
        for attempt in range(_TRIES):
            word = side.newest()
            position = word >> 1
            if word == self._accepted or position == 0:
                return False
            _layout.check_newest(word)
            again = self._failed
            self._failed = True  # until this try succeeds, however it ends
            if (again or word & 1 != side.copy) and not attached.follow(self._address, word):
                continue
            frame = self._take_frame(attached, position, pinned=attempt > 0)
            if frame is not None:
                self._accept(word, frame)
                return True
        return False

    def _take_frame(self, attached: Attached, position: int, *, pinned: bool) -> Optional[Frame]:
        if pinned:
            self._claim_cell(attached)
        cell = self._cell
        if not pinned or cell is None or not cell.held:
            return attached.take(position, self._copy)
        try:
            attached.side.pin(cell.number, 0, position % attached.side.table.slots)
            return attached.take(position, self._copy)
        finally:
            attached.side.unpin(cell.number, 0)

    def _copy(self, frames: Memory, view: View) -> npt.NDArray[Any]:
        layout = view.layout
        if layout.nbytes < SMALLEST:
            array = frames.copied(view.array)
        else:
            array = self._buffers.empty(layout.shape, layout.dtype, layout.nbytes)
            frames.copy(array, view.array)
        if layout.dtype.names is None:
            return array
        return array.view(copy.copy(layout.dtype))  # its fields may be renamed in place

    def _accept(self, word: int, frame: Frame) -> None:
        self._failed = False
        self.last, self.frame, written, self.uuid = frame
        self.age_ns = _clock.now_ns() - written
        self._accepted = word  # last: an interrupt before it makes the frame come again

    def close(self) -> None:
        """Let the array go; the last frame stays. Harmless when repeated."""
        self.closed = True
        self._attached = None
        if self._cell is not None:
            self._cell.release()
            self._cell = None
