"""The heads of one instance's slots, loaded without a pin: what frames it holds, not the frames.

Not here: the order of the loads (``reading``), which instance a name stands for (``probe``).
"""

from __future__ import annotations

from typing import NamedTuple

from .._protocol import format
from .._protocol.format import Table
from .._protocol.layout import Layout, decode_layout, uuid_bytes
from .._protocol.memory import Fences, Memory
from .._protocol.npy import MAX_HEADER
from .._protocol.reading import ReadSide
from ..errors import FormatError
from .names import Address

__all__ = ["Head", "Heads"]

_LOOKS = 100  # a writer may overtake one call that often; each look takes some microseconds


class Head(NamedTuple):
    """What a slot says about its frame.

    Attributes
    ----------
    frame_id : int
        The frame's number.
    write_ns : int
        When it was written: nanoseconds of the monotonic clock.
    time_ns : int
        When it was captured: Unix time in nanoseconds; 0: the writer did not say.
    instance : int
        Id of the instance; in another one the numbers begin anew.
    """

    frame_id: int
    write_ns: int
    time_ns: int
    instance: int


class Heads:
    """The slots of one instance, as far as their heads tell.

    Attributes
    ----------
    control : Memory
        Its control segment.
    instance : int
        Its instance id.
    side : ReadSide
        The steps of reading it.
    position : int
        That of the newest frame that was found; 0: none.
    """

    def __init__(self, address: Address, control: Memory, instance: int, fences: Fences) -> None:
        self._address = address
        self.control = control
        self.instance = instance
        self.side = ReadSide(control, fences)
        self.position = 0
        self._layout: Layout | None = None  # the one that was decoded last

    def newest(self) -> Head | None:
        """Return the head of the newest frame; None: there is none, or its segment is gone.

        Raises
        ------
        FormatError
            If what is there cannot be true.
        """
        side, failed = self.side, self.position == 0
        self.position = 0  # until one is found
        for _ in range(_LOOKS):
            word = side.newest()
            position = format.check_newest(word)
            if not position:
                return None
            # After two grows the same table index stands for another segment.
            if failed or word & 1 != side.table_index:  # guard: head-of-another-segment
                loaded = side.load_table()
                if loaded is None:
                    continue
                if not self._follow(*loaded):
                    if side.newest() == word:
                        return None
                    continue
                position = loaded[0] >> 1
            head = self._head(position)
            if head is not None:
                self.position = position
                return head
            failed = True
        return None

    def _follow(self, word: int, table: Table) -> bool:
        """Map the frame segment that a table names; False: it has no name any more."""
        if not format.check_newest(word):
            return False
        format.check_table(table)
        side = self.side
        if side.segment is not None and table[:3] == side.table[:3]:
            side.follow(side.segment, table, word & 1)
            return True
        name = self._address.frames(self.instance, table.segment)
        try:
            segment = self._address.transport.open(name, writable=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FormatError("frame segment", str(error)) from None
        if segment.size < table.size:
            raise FormatError("frame segment", f"{segment.size} of {table.size} bytes")
        self._layout = None
        side.follow(Memory(segment.buf), table, word & 1)
        return True

    def _head(self, position: int) -> Head | None:
        """Return the head of a position's frame; None: its slot does not hold it any more."""
        found = self.side.head(position)
        if found is None or not self.side.confirm(position):  # guard: head-confirmed
            return None
        return Head(found[0], found[1], found[2], self.instance)

    def layout(self) -> Layout | None:
        """Return the layout of the newest frame that was found; None: it was overwritten.

        Raises
        ------
        FormatError
            If it cannot be true.
        """
        side, position = self.side, self.position
        found = side.head(position) if position else None
        if found is None or side.segment is None:
            return None
        _, _, _, uuid, index = found
        stride, words = side.table.stride, side.segment.words
        at, record = index * stride // 8, index * stride + format.RECORD_BYTE
        header, payload = words[at + format.HEADER_WORD], words[at + format.PAYLOAD_WORD]
        # Never more than the slot has: perhaps these are lengths of a frame that is being written.
        encoded = side.segment.group(record, record + min(header, MAX_HEADER)).tobytes()
        if not side.confirm(position):  # guard: header-confirmed
            return None
        layout = self._layout
        same = layout is not None and (layout.words, layout.nbytes) == (uuid, payload)
        if layout is None or not same or layout.header != encoded:
            format.check_slot_sizes(header, payload, stride)
            layout = self._layout = decode_layout(uuid_bytes(uuid), encoded, payload)
        return layout

    def slots(self) -> list[tuple[int, Head | None]]:
        """Return the seq of each slot, and its head if it holds a published frame.

        The slots are those of the segment that `newest` found.
        """
        side, found = self.side, list[tuple[int, Head | None]]()
        if side.segment is None:
            return found
        words, table, limit = side.segment.words, side.table, 2 * (side.newest() >> 1)
        for index in range(table.slots):
            seq = words[index * table.stride // 8 + format.SEQ_WORD]
            position, head = seq >> 1, None
            # One above newest was never published, or is just being.
            # guard: head-up-to-newest
            if not seq & 1 and 0 < seq <= limit and position % table.slots == index:
                head = self._head(position)
            found.append((seq, head))
        return found
