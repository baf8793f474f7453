"""What a writer holds of its array: the lock file, the control segment, the frame segment in use.

What may live here: how these are taken, looked after once a second, and ended. Not here: which
call may use them (``writer``), when another frame segment is due (``growth``), what stands in the
control segment (``control``).
"""

from __future__ import annotations

import enum
import logging
import sys
from contextlib import suppress
from typing import Any

from .._protocol.format import stride_for
from .._protocol.layout import Layout
from .._protocol.memory import make_fences
from .._protocol.writing import Record
from .._registry import entries
from .._registry.cleanup import unlink
from .._registry.lookup import State, look, writer_exists
from .._registry.names import Address
from .._system import clock, lockfile
from .._system.root_watch import touch
from ..backends.base import make_root
from ..errors import ClosedError
from .segment import FrameSegment
from .takeover import take_over

__all__ = ["Holding", "Stage"]

log = logging.getLogger("ndsharray")

_PATIENCE = 0.25  # seconds that a new writer waits for a sweep, or for a writer that is dying
_LOOK_NS = 1_000_000_000  # how often a writer looks whether its lock file is still its own
_LOOK_AT_NAMES_NS = 10 * _LOOK_NS  # and whether its segments have their names: some ten calls


class Stage(enum.Enum):
    """What a writer can do next."""

    NEW = "new"  # it is taking the array
    READY = "ready"  # the last write ended well: the next one can take the short way
    BUSY = "busy"  # nothing was written yet, a call or a loan is under way, or was interrupted
    CLOSING = "closing"  # its end is under way, or was interrupted
    ENDED = "ended"  # nothing is left to it


class Holding:
    """All that a writer holds of its array.

    Attributes
    ----------
    state : Stage
        What the writer can do next.
    lock_file : LockFile or None
        The writer's lock file; None before it is taken, and once a successor has it.
    control : ControlSegment or None
        The control segment; None before it is taken, and after the end.
    segment : FrameSegment or None
        The frame segment in use; None: the next frame begins one.
    record : Record
        Which frame is newest, and the last position.
    due : int
        The time of the next look at the lock file, in ns.
    handed_over : bool
        Whether the lock file came from an older writer of this process.
    forked : bool
        Whether this is a forked child, in which all of it is the parent's.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._fences = make_fences()
        self.state = Stage.NEW
        self._why = ""  # it has ended
        self.lock_file: Any = None
        self.control: Any = None
        self.segment: FrameSegment | None = None
        self.record = Record()
        self.handed_over = self.forked = False
        self.looked_at_names = now = clock.now_ns()
        self.due = now + _LOOK_NS
        self._marked: set[int] = set()  # entries with bytes set at the last look

    @property
    def gone(self) -> str | None:
        """Why nothing can be written any more; None while it can."""
        ended = self.forked or self.state is Stage.CLOSING or self.state is Stage.ENDED
        return self._why if ended else None

    def check_open(self) -> None:
        """Raise ClosedError if nothing can be written any more."""
        gone = self.gone
        if gone is not None:
            raise ClosedError(f"this writer has ended: {gone}")

    def begin_end(self, why: str) -> None:
        """Refuse every further write; the first reason stays."""
        if self.gone is None:
            self._why = why
            self.state = Stage.CLOSING

    # --- taking the array

    def take_lock_file(self) -> None:
        """Take the writer's lock file, if no older writer of this process has handed it over.

        Raises
        ------
        WriterExistsError
            If another process holds it.
        """
        address = self._address
        if self.lock_file is None:
            self.lock_file = lockfile.acquire(
                address.writer_lock(), address.transport.mode, _PATIENCE
            )
        if self.lock_file is None:
            raise writer_exists(address)

    def take_over(self) -> None:
        """Adopt or make the control segment."""
        control = take_over(self._address, self._fences, self.lock_file)
        self.record, self.control = control.record, control
        control.set_writer()
        touch(self._address.transport.root)
        entries.clear_dead(self._address, control.memory)

    def hand_over(self, successor: Holding) -> None:
        """Give the lock file to a newer writer of this process, without unlocking it in between."""
        # Before any call: a finalizer that runs from here on finds nothing to close.
        self.begin_end("a newer writer of this process took the array over")
        self.state, self.segment, self.control = Stage.ENDED, None, None
        lock_file = self.lock_file
        if lock_file is not None and lock_file.standing() == "held":
            lock_file.made = False  # not for the successor: there may be an array
            successor.lock_file, successor.handed_over = lock_file, True
            self.lock_file = None  # or a late end of this writer would release it

    # --- looking after it

    def look_after(self, now: int, due: bool, *, interrupted: bool) -> None:
        """Clean up after an interrupted call, and do what is due once a second.

        Parameters
        ----------
        now : int
            The time.
        due : bool
            Whether a second has passed.
        interrupted : bool
            Whether the last call may have been interrupted.
        """
        if due:
            self.look(now)  # first: no store into what is another writer's
        segment = self.segment
        if segment is not None and segment.side.open_position:
            segment.side.settle()  # guard: settle-after-an-interrupt
            if self.control.followed != segment.table.segment:
                # Interrupted before it was published: a growth would overwrite its table.
                self.segment = None  # guard: left-after-interrupted-publish
        segment = None  # a mapping goes before its name does: Windows
        if interrupted:  # inside a growth: its segment is as large as the one in use
            self.control.remove_frames()
        if due:
            self._clear_dead_entries()  # guard: dead-entries-cleared
            if now - self.looked_at_names > _LOOK_AT_NAMES_NS:
                self._look_at_names(now)
            self.control.restate()
            self.control.remove_frames()  # those that could not be removed before: Windows

    def look(self, now: int) -> None:
        """Find out whether the lock file was removed, and perhaps taken by another process.

        Raises
        ------
        WriterExistsError
            If another process has taken it: this writer has ended then.
        """
        self.due = now + _LOOK_NS
        address = self._address
        if self.lock_file.standing() != "held":
            make_root(address.transport.root, address.transport.mode)
            lock_file = lockfile.acquire(self.lock_file.path, address.transport.mode, _PATIENCE)
            if lock_file is None:
                self.begin_end("its lock file was removed, and another writer took the array")
                self.abandon()
                raise writer_exists(address)
            self.lock_file.abandon()
            self.lock_file = self.control.lock_file = lock_file
            self._look_at_names(now)  # a cleaner may have removed them as well
        if self.control.memory is None:
            self.take_over()

    def _look_at_names(self, now: int) -> None:
        """Make anew what has lost its name: readers that come later would not find it."""
        self.looked_at_names = now
        control, segment = self.control, self.segment
        if not control.is_named():
            self.segment = segment = None
            control.close([])
            self.take_over()
        elif segment is not None and not control.has_frames(segment.table.segment):
            self.segment = None

    def _clear_dead_entries(self) -> None:
        """Clear what has been set for a second, if its reader died: it costs a wake-up, or a slot.

        The entries of living readers stay; looking at one costs a few system calls.
        """
        marked = entries.marked(self.control.memory)
        stale, self._marked = marked & self._marked, marked
        entries.clear_if_dead(self._address, self.control.memory, stale)

    def begin_slot(self, segment: FrameSegment) -> int:
        """Begin a slot of the segment in use; return its position, 0 if none is free."""
        position = segment.side.begin()
        if position == 0:
            entries.clear_dead(self._address, self.control.memory)  # and their pins
            position = segment.side.begin()
        return position

    def begin_segment(self, layout: Layout, slots: int, *fewer: int) -> tuple[FrameSegment, int]:
        """Make a frame segment, which no reader follows before its publication; begin a slot.

        It has `slots` slots, or the first number of `fewer` that there is room for.
        """
        control = self.control
        stride = stride_for(len(layout.header), layout.nbytes)
        mapped, table, table_index = control.make_frames(stride, slots, *fewer)
        segment = FrameSegment(
            control.memory, mapped, table, table_index, control.record, self._fences
        )
        log.debug("%r begins a segment: %r", self._address.name, table)
        return segment, segment.side.begin_first()

    # --- ending it

    @property
    def is_unused(self) -> bool:
        """Whether the only frame there was left by a writer that was killed."""
        return self.control is not None and self.control.adopted and not self.handed_over

    def close(self, kept: list[Any]) -> None:
        """End the array; after an interrupt, another call ends the rest.

        Parameters
        ----------
        kept : list
            Is given the memory that takes long to free: after the lock file.
        """
        control, lock_file = self.control, self.lock_file  # a nested call may end it first
        if control is None or lock_file is None:
            return
        self.begin_end("it was closed")
        if lock_file.standing() != "other":  # else all of it is another writer's
            if self.segment is not None:
                # guard: settle-before-the-end
                self.segment.side.settle()  # the last frame's number is one that was published
            if sys.platform != "win32":  # where a mapped name could not be removed
                kept.append(self.segment)
            self.segment, control.adopted = None, False
            if control.close(kept):
                # Not while the name is there: who adopts it needs the files to free entries.
                with suppress(OSError):  # no descriptor left, no rights: a sweep finds them
                    entries.clear_dead(self._address)
                lock_file.release()  # else (mapped, on Windows) a sweep does
        self.abandon()

    def remove_unmade(self) -> None:
        """Remove what an interrupted constructor has made, unless there is an array."""
        lock_file = self.lock_file
        if self.control is not None or lock_file is None or not lock_file.held:
            return
        found = look(self._address).state
        if found is State.MISSING:
            unlink(self._address, self._address.control_name, lock_file)  # perhaps half made
            lock_file.release()
        elif found is State.UNREADABLE and lock_file.made:  # no descriptor is left, say
            lock_file.release()  # nothing was made, as the lock file was new

    def abandon(self) -> None:
        """Drop memory and lock file; what is shared stays as it is."""
        self.state, self.segment, self.control = Stage.ENDED, None, None
        if self.lock_file is not None:
            self.lock_file.abandon()

    def detach(self) -> None:
        """In a forked child: never store anything; the parent still writes."""
        self.begin_end(
            "it belongs to the parent process; make the writer in the process that writes"
        )
        self.forked = True
        self.state, self.segment, self.control = Stage.ENDED, None, None
