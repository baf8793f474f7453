"""The writer's loads, stores and fences over one frame segment; ``seqlock`` says why they suffice.

What may live here: the steps of writing, each callable by itself, so that a test interleaves a
writer and a reader by hand. Not here: how payload and header get into a slot, and which segment is
in use.
"""

from __future__ import annotations

from .format import (
    ENTRIES,
    FRAME_WORD,
    MAX_SLOTS,
    MIN_SLOTS,
    NEWEST_WORD,
    PINS_BYTE,
    PINS_END,
    PINS_PER_ENTRY,
    SEQ_WORD,
    STAMP_WORD,
    TIME_WORD,
    WAITING_BYTE,
    Table,
)
from .memory import Fences, Memory

__all__ = ["Record", "WriteSide"]

_ALL_PINS = ENTRIES * PINS_PER_ENTRY
_NOBODY = bytes(ENTRIES)


class Record:
    """What a writer knows of its array by itself, from one frame segment to the next.

    Attributes
    ----------
    newest_frame : tuple of int
        The newest word, and of the frame that it names the number, the time of its write and its
        stamp (0: none; both times are 0 in the record of a writer that wrote nothing itself). One
        tuple, so that no interrupt comes between.
    position : int
        The last position taken.
    """

    __slots__ = ("newest_frame", "position")

    def __init__(self, newest: int = 0, frame: int = 0, position: int = 0) -> None:
        self.newest_frame: tuple[int, int, int, int] = (newest, frame, 0, 0)
        self.position = position


class WriteSide:
    """The writer's steps over one frame segment.

    It never acts on what it reads back from shared memory, but for the pins: which slots are
    stable with which seq it remembers itself, and which frame is newest stands in the record.

    Attributes
    ----------
    table_index : int
        Which of the two tables describes this segment.
    open_position : int
        The position that was begun and neither published nor dropped; an exception leaves it set.
    """

    __slots__ = (
        "_control",
        "_full",
        "_load_pins",
        "_load_waiting",
        "_order",
        "_record",
        "_seq_at",
        "_stable",
        "_stamped",
        "_tries",
        "_words",
        "open_position",
        "slots",
        "table_index",
    )

    def __init__(
        self,
        control: Memory,
        segment: Memory,
        table: Table,
        table_index: int,
        record: Record,
        fences: Fences,
    ) -> None:
        self._control = control.words
        self._load_pins = control.group(PINS_BYTE, PINS_END).tobytes
        self._load_waiting = control.group(WAITING_BYTE, WAITING_BYTE + ENTRIES).tobytes
        self._full, self._order = fences
        self._words = segment.words
        self._record = record
        self.slots = table.slots
        # The largest segment has more slots than there are pins: a free one exists, and is found
        # in a few rounds, which cost less than a further segment.
        tries = table.slots * (1 if table.slots < MAX_SLOTS else 8)
        self._tries = range(1, tries + 1)
        self._seq_at = [*range(SEQ_WORD, table.size // 8, table.stride // 8)]
        self.table_index = table_index
        self._stamped = False  # whether any slot may have a stamp
        self._stable = [0] * table.slots  # seq of each slot's last whole frame
        self.open_position = 0

    def begin(self) -> int:
        """Take the next slot that is neither newest nor pinned, and mark it as being written.

        Returns
        -------
        int
            Its position; 0 if every slot is pinned or newest.
        """
        record, slots, load_pins = self._record, self.slots, self._load_pins
        newest, last = record.newest_frame[0] >> 1, record.position
        for step in self._tries:
            position = last + step
            if not (position - newest) % slots:  # guard: newest-is-passed-by
                continue  # never overwrite the only good copy
            index = position % slots
            if index + 1 in load_pins():  # guard: first-look-at-the-pins
                continue
            record.position = self.open_position = position
            words, at = self._words, self._seq_at[index]
            words[at] = 2 * position - 1  # guard: seq-odd-before-the-payload
            self._full("W1")  # seq before payload, and before the look at the pins; R2, R3
            if index + 1 in load_pins():  # guard: second-look-at-the-pins
                words[at] = self._stable[index]  # the payload is untouched: what was there still is
                self.open_position = 0
                continue
            self._stable[index] = 0
            if self._order is not None:
                self._order("W4")  # the look at the pins before the payload's stores; R5
            return position
        return 0

    def begin_first(self) -> int:
        """Take the first slot of a new segment; return its position.

        No reader follows that segment yet, so every pin (pins name no segment) is for another one;
        and the stores need no fence but the one before newest.
        """
        record = self._record
        record.position = self.open_position = position = record.position + 1
        self._words[self._seq_at[position % self.slots]] = 2 * position - 1
        return position

    def publish(self, position: int, now: int, stamp: int) -> bool:
        """Mark the slot's frame as whole, and make it the newest one, for all readers at once.

        The record changes before the shared word does: after an interrupt between the two, `settle`
        stores the word again. The other way round, the next write would overwrite a frame that
        readers take for the newest.

        Parameters
        ----------
        position : int
            The slot's position.
        now : int
            The time of the write, on the clock that all processes share.
        stamp : int
            The time of capture, Unix ns; 0: none.

        Returns
        -------
        bool
            Whether a reader waits, and has to be woken.
        """
        index, seq, words = position % self.slots, 2 * position, self._words
        at, record = self._seq_at[index], self._record
        number = record.newest_frame[1] + 1
        words[at + FRAME_WORD] = number
        words[at + TIME_WORD] = now
        # A 0 is stored only where it may replace another frame's stamp: it costs time.
        if stamp or self._stamped:  # guard: no-stamp-of-another-frame
            self._stamped = True
            words[at + STAMP_WORD] = stamp
        if self._order is not None:
            self._order("W2")  # payload before seq; R1, and the table before newest; R6
        self._stable[index] = words[at] = seq
        record.newest_frame = (newest := seq + self.table_index, number, now, stamp)
        self._control[NEWEST_WORD] = newest  # guard: record-before-publish
        # newest before the look at who waits; R4. And before the next change of a table or of a
        # slot, and before "closed"; R7, R8, R9
        self._full("W3")
        self.open_position = 0
        waits: bool = self._load_waiting() != _NOBODY
        return waits

    def settle(self) -> None:
        """Clean up after a write that an exception ended, anywhere in it."""
        position = self.open_position
        if position == 0:
            return
        newest = self._record.newest_frame[0]
        if position != newest >> 1:
            index = position % self.slots
            self._stable[index] = 0
            self._words[self._seq_at[index]] = 2 * position - 1
        if newest:
            self._control[NEWEST_WORD] = newest
            self._full("W3")  # as in `publish`
        self.open_position = 0

    def pinned(self) -> int:
        """Return the number of pins that are set now."""
        return _ALL_PINS - int(self._load_pins().count(0))

    def fewest_slots(self) -> int:
        """Return the fewest slots with which the next segment has one that is not pinned."""
        pins, slots = self._load_pins(), 1
        while slots in pins:
            slots += 1
        return max(MIN_SLOTS, slots)
