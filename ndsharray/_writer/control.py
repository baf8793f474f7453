"""The writer's view of the control segment: what it records there, which names it removes.

What may live here: the life of the control segment and of the names that it records. Not here:
frames, readers, and how a writer gets the segment (``takeover``). Every method needs the writer's
lock file to be held.

The owner remembers all that it stores. It reads shared memory once, when it adopts an existing
segment, and checks what it finds.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Any

from .._protocol import format
from .._protocol.format import Table
from .._protocol.memory import Memory
from .._protocol.seqlock import set_closed
from .._protocol.writing import Record
from .._registry.cleanup import refuse_in_child, remove_array, unlink
from .._registry.lookup import State, look
from .._registry.names import Address
from .._system.lockfile import LockFile
from .._system.wait import Waiter
from ..backends.base import NO_ROOM, Segment
from ..errors import FormatError

__all__ = ["ControlSegment"]

# A writer that adopts an array begins so far after the newest position that the writer before it
# never used its positions, published or not (it begins another segment at half the distance,
# ``growth``): else a reader could take a dead writer's unpublished frame for a new one. Not a
# multiple of 2^31, as waiters compare the low half of newest.
_TAKE_OVER_JUMP = 2**16  # guard: jump-at-take-over
_MAX_FIRST_ID = 2**20  # a small part of all segment ids


class ControlSegment:
    """A whole control segment, and the owner's record of what it holds.

    Attributes
    ----------
    memory : Memory
        The segment's bytes.
    instance : int
        Its instance id.
    adopted : bool
        Whether it holds a frame of an earlier writer.
    record : Record
        Which frame is newest, and the last position.
    tables : list of Table
        Both tables.
    """

    def __init__(
        self,
        address: Address,
        segment: Segment,
        instance: int,
        lock_file: LockFile,
        first: int = 0,
    ) -> None:
        self._address = address
        self.lock_file = lock_file
        self._segment = segment  # keeps the mapping
        self.memory: Any = Memory(segment.buf)  # None after `drop`; so is `_waiter`
        self._waiter: Any = Waiter(self.memory.group(*format.NEWEST_BYTES))
        self.instance = instance
        self.adopted = False
        self.record = Record(position=first)
        self.tables = [format.NO_TABLE, format.NO_TABLE]
        self._next = first % _MAX_FIRST_ID
        self._names: set[int] = set()  # ids whose names may exist

    def set_writer(self) -> None:
        """Store which process is the array's writer now."""
        words = self.memory.words
        words[format.PID_WORD] = os.getpid()
        words[format.TAKEN_WORD] = time.time_ns()
        words[format.STATE_WORD] = format.LIVE

    def wake(self) -> None:
        """Wake the readers that wait."""
        if self._waiter is not None:
            self._waiter.wake()

    @property
    def followed(self) -> int:
        """The id of the segment that newest names; 0: none."""
        newest = self.record.newest_frame[0]
        return self.tables[newest & 1].segment if newest >> 1 else 0

    def make_frames(self, stride: int, slots: int, *fewer: int) -> tuple[Segment, Table, int]:
        """Make a frame segment, and fill the table that newest does not name.

        It has `slots` slots, or the first number of `fewer` that there is room for.

        Returns
        -------
        tuple
            The segment, its table, and the table's index.

        Raises
        ------
        OSError
            That of the first try.
        """
        try:
            segment = self._create(slots * stride)
        except OSError as error:
            if error.errno not in NO_ROOM:  # a name that exists is another writer's, for example
                raise
            for slots in fewer:
                with suppress(OSError):
                    segment = self._create(slots * stride)
                    break
            else:
                raise
        return segment, *self.set_table(slots, stride)

    def _create(self, size: int) -> Segment:
        name = self.next_segment()
        refuse_in_child(self.lock_file)  # its parent is about to make it
        return self._address.transport.create(name, size)

    def next_segment(self) -> str:
        """Record the id of the frame segment to be made, and return its name.

        The record comes before the segment, and after the removal of all names that were recorded
        before: so the successor of a killed writer knows every name, also where the system cannot
        list shared memory.
        """
        self.remove_frames()
        self._next = 1 + max(self._next, self.tables[0].segment, self.tables[1].segment)
        if self._next > format.MAX_SEGMENT:
            raise OverflowError("segment ids are used up: close the writer and make a new one")
        self._names.add(self._next)
        self.memory.words[format.NEXT_WORD] = self._next  # guard: next-recorded-before-it-is-made
        return self._address.frames(self.instance, self._next)

    def set_table(self, slots: int, stride: int) -> tuple[Table, int]:
        """Fill the table that newest does not name, for the segment made last."""
        newest = self.record.newest_frame[0]
        table_index = 1 - (newest & 1)  # guard: table-index-not-named
        table = Table(self._next, slots, stride, newest >> 1, self.followed)
        format.store_table(self.memory, table_index, table)
        self.tables[table_index] = table
        return table, table_index

    def restate(self) -> None:
        """Store the table that readers follow once more, from the record.

        A cleaner may remove the lock file of a writer that is stopped inside a growth, so another
        writer replaces it. The stopped one, when it continues, ends that growth and stores its
        table over ours.
        """
        newest = self.record.newest_frame[0]
        if newest >> 1:
            format.store_table(self.memory, newest & 1, self.tables[newest & 1])

    def remove_frames(self) -> None:
        """Remove every recorded frame name but that of the segment that readers follow.

        A name that cannot be removed (mapped, on Windows) stays recorded for the next time.
        """
        self._remove(self._names - {self.followed})  # guard: followed-segment-stays

    def _remove(self, segments: set[int]) -> None:
        for segment in sorted(segments):
            name = self._address.frames(self.instance, segment)
            if unlink(self._address, name, self.lock_file):
                self._names.discard(segment)

    def close(self, kept: list[Segment]) -> bool:
        """Mark the array closed and remove all its names, in the order that survives a kill.

        May be called again after an interrupt.

        Parameters
        ----------
        kept : list of Segment
            Is given what the caller drops after the lock file (`remove_array`).

        Returns
        -------
        bool
            Whether nothing stays.
        """
        memory = self.memory
        if memory is not None:
            set_closed(memory, self.record.newest_frame[1])
            # A reader that is about to sleep misses it, and learns it at the end of its nap.
            self.wake()  # guard: wake-at-close
        del memory
        self.drop()
        self._remove(self._names)  # by our own record, whatever became of the shared one
        return remove_array(self._address, self.lock_file, kept)

    def is_named(self) -> bool:
        """Tell whether the array's name still stands for this segment."""
        found = look(self._address)
        if found.state is State.UNREADABLE:
            return True  # no descriptor, no rights: nobody says that it is gone
        return found.word(format.INSTANCE_WORD) == self.instance

    def has_frames(self, segment: int) -> bool:
        """Tell whether a frame segment still has its name."""
        try:
            name = self._address.frames(self.instance, segment)
            self._address.transport.open(name, writable=False)
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True

    def drop(self) -> None:
        """Unmap the segment; names stay. The mapping goes before the name does: Windows."""
        self.memory = self._waiter = None
        self._segment.close()

    def adopt(self) -> None:
        """Read and check what a former writer left.

        Raises
        ------
        FormatError
            If any of it cannot be true.
        """
        words = self.memory.words
        newest = words[format.NEWEST_WORD]
        self.tables = [format.load_table(self.memory, index) for index in (0, 1)]
        self._next = words[format.NEXT_WORD]
        named, position = self.tables[newest & 1], format.check_newest(newest)
        if position:
            format.check_table(named)
        ids = [self._next]
        for table in self.tables:
            ids += [table.segment, table.previous]
        if max(ids) > format.MAX_SEGMENT // 2:  # made anew, long before they are used up
            raise FormatError("segment id", f"{max(ids)}")
        frame = self._frame_at(position, named) if position else 0
        frame = frame or words[format.LAST_FRAME_WORD]
        if max(frame, position) > format.MAX_ADOPTED:
            raise FormatError("position or frame number", f"{position}, {frame}")
        self._names = set(ids) - {0}
        self.record = Record(newest, frame, position + _TAKE_OVER_JUMP)
        self.adopted = position > 0
        self.remove_frames()  # guard: recorded-names-removed

    def _frame_at(self, position: int, table: Table) -> int:
        """Return the frame number in the slot of `position`; 0 if it is gone."""
        try:
            name = self._address.frames(self.instance, table.segment)
            segment = self._address.transport.open(name, writable=False)
        except OSError:
            return 0
        if segment.size < table.size:
            return 0
        words = Memory(segment.buf).words
        at = position % table.slots * table.stride // 8
        whole = words[at + format.SEQ_WORD] == 2 * position
        return int(words[at + format.FRAME_WORD]) if whole else 0
