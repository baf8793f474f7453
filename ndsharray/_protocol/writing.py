"""The writer's loads, stores and fences over one frame segment; why they suffice: ``seqlock``.

What may live here: the steps of writing, each callable by itself, so that a test interleaves a
writer and a reader by hand. Not here: how payload and header get into a slot, or which segment is
written to.
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
    TIME_WORD,
    WAITING_BYTE,
    Table,
)
from .memory import Fences, Memory

__all__ = ["WriteSide"]

_ALL_PINS = ENTRIES * PINS_PER_ENTRY
_NOBODY = bytes(ENTRIES)


class WriteSide:
    """The writer's steps over one frame segment.

    It never acts on what it reads back from shared memory, but for the pins: which slots are
    stable with which seq, and which frame is newest, it knows by its own record.

    Attributes
    ----------
    newest_frame : tuple of int
        Own record of the newest word and of the number of the frame that it names; at first the
        last segment's. One tuple, so that no interrupt comes between.
    position : int
        The last position taken.
    copy : int
        The table copy that stands for this segment.
    """

    __slots__ = (
        "_control",
        "_full",
        "_load_pins",
        "_load_waiting",
        "_order",
        "_seq_at",
        "_stable",
        "_tries",
        "_words",
        "copy",
        "newest_frame",
        "open_position",
        "position",
        "slots",
    )

    def __init__(
        self, control: Memory, frames: Memory, table: Table, copy: int, fences: Fences
    ) -> None:
        self._control = control.words
        self._load_pins = control.group(PINS_BYTE, PINS_END).tobytes
        self._load_waiting = control.group(WAITING_BYTE, WAITING_BYTE + ENTRIES).tobytes
        self._full, self._order = fences
        self._words = frames.words
        self.slots = table.slots
        # So many slots are more than pins: one that is free moves about, and is caught in the end,
        # sooner than a further segment is made.
        tries = table.slots * (1 if table.slots < MAX_SLOTS else 8)
        self._tries = range(1, tries + 1)
        self._seq_at = [*range(SEQ_WORD, table.size // 8, table.stride // 8)]
        self.copy = copy
        self._stable = [0] * table.slots  # seq of each slot's last whole frame
        self.newest_frame: tuple[int, int] = (0, 0)
        self.position = 0
        self.open_position = 0  # begun and not finished; left standing by an exception

    def begin(self) -> int:
        """Take the next slot that is neither newest nor pinned, and mark it as being written.

        Returns
        -------
        int
            Its position; 0 if every slot is pinned or newest.
        """
        newest, slots, load_pins = self.newest_frame[0] >> 1, self.slots, self._load_pins
        last = self.position
        for step in self._tries:
            position = last + step
            if not (position - newest) % slots:  # guard: newest-is-passed-by
                continue  # never overwrite the only good copy
            index = position % slots
            if index + 1 in load_pins():  # guard: first-look-at-the-pins
                continue
            self.position = self.open_position = position
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

        Nobody follows that segment yet, so all pins, which name no segment, are for others; and
        what is stored needs no fence but the one before newest.
        """
        self.position = self.open_position = position = self.position + 1
        self._words[self._seq_at[position % self.slots]] = 2 * position - 1
        return position

    def publish(self, position: int, now: int) -> bool:
        """Say that the slot's frame is whole, and make it the newest one, for all readers at once.

        It is written down before the shared word says so: an interrupt between the two leaves a
        record that `settle` can act on; the other way round, the next write would overwrite a
        frame that readers think is newest.

        Parameters
        ----------
        position : int
            Its position.
        now : int
            When it was written, on the clock that all processes share.

        Returns
        -------
        bool
            Whether any reader waits for it, and is to be woken.
        """
        index, seq, words = position % self.slots, 2 * position, self._words
        at, number = self._seq_at[index], self.newest_frame[1] + 1
        words[at + FRAME_WORD] = number
        words[at + TIME_WORD] = now
        if self._order is not None:
            self._order("W2")  # payload before seq; R1, and the table before newest; R6
        self._stable[index] = words[at] = seq
        self.newest_frame = (seq + self.copy, number)
        self._control[NEWEST_WORD] = seq + self.copy  # guard: record-before-publish
        # newest before the look at who waits; R4. And before the next change of a table or of a
        # slot, and before "closed"; R7, R8, R9
        self._full("W3")
        self.open_position = 0
        somebody: bool = self._load_waiting() != _NOBODY
        return somebody

    def settle(self) -> None:
        """Clean up after a write that did not end normally (an exception anywhere in it)."""
        position = self.open_position
        if position == 0:
            return
        newest = self.newest_frame[0]
        if position != newest >> 1:
            index = position % self.slots
            self._stable[index] = 0
            self._words[self._seq_at[index]] = 2 * position - 1
        if newest:
            self._control[NEWEST_WORD] = newest
            self._full("W3")  # as in `publish`
        self.open_position = 0

    def pinned(self) -> int:
        """Return how many pins are set now."""
        return _ALL_PINS - int(self._load_pins().count(0))

    def fewest_slots(self) -> int:
        """Return how few slots the next segment can have so that one of them is not pinned."""
        pins, slots = self._load_pins(), 1
        while slots in pins:
            slots += 1
        return max(MIN_SLOTS, slots)
