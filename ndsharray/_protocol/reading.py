"""A reader's loads, stores and fences over one instance; ``seqlock`` says why they suffice.

What may live here: the steps of reading, each callable by itself, so that a test interleaves a
writer and a reader by hand. Not here: how a payload is loaded, or when to try again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from . import format
from .format import (
    HEAD_END,
    LAST_FRAME_WORD,
    LIVE,
    NEWEST_BYTES,
    NEWEST_WORD,
    PINS_BYTE,
    PINS_PER_ENTRY,
    SEQ_WORD,
    STATE_WORD,
    TABLE_WORDS,
    WAITING_BYTE,
    Table,
)
from .memory import Fences, Memory, fence_callbacks, make_fence

__all__ = ["ReadSide", "ZeroReference"]


class ReadSide:
    """A reader's steps over one control segment and one frame segment.

    Attributes
    ----------
    segment : Memory or None
        The frame segment.
    table : Table
        Its table.
    table_index : int
        Which of the two tables that is; -1: no frame segment is mapped.
    """

    __slots__ = (
        "_bytes",
        "_control",
        "_full",
        "_heads",
        "_memory",
        "_order",
        "_slots",
        "segment",
        "table",
        "table_index",
    )

    def __init__(self, control: Memory, fences: Fences) -> None:
        self._memory = control
        self._control, self._bytes = control.words, control.bytes
        self._full, self._order = fences
        self.segment: Memory | None = None
        self.table, self.table_index = format.NO_TABLE, -1
        self._heads: list[Any] = []  # of each slot the words of its head
        self._slots = 0

    def is_live(self) -> bool:
        """Tell whether the array is not closed; a killed writer leaves it live.

        If it is closed, everything loaded afterwards is from after the writer's last publish.
        """
        if self._control[STATE_WORD] == LIVE:
            return True
        if self._order is not None:
            self._order("R9")  # "closed" before the last newest, and its number; W3, W5
        return False

    def last_frame(self) -> int:
        """Return the number of the array's last frame; only once `is_live` has returned False."""
        return int(self._control[LAST_FRAME_WORD])

    def newest_if_live(self) -> int:
        """Return the newest word; -1 if the array is closed."""
        control = self._control
        if control[STATE_WORD] != LIVE and not self.is_live():
            return -1
        word: int = control[NEWEST_WORD]
        return word

    def newest(self) -> int:
        """Return the newest word: ``2 * position + table index``."""
        word: int = self._control[NEWEST_WORD]
        return word

    def newest_word(self) -> Any:
        """Return the 8 bytes of the newest word, for a `Waiter`."""
        return self._memory.group(*NEWEST_BYTES)

    def load_table(self) -> tuple[int, Table] | None:
        """Return the newest word and the table that it names.

        Nothing else happens between the two loads of newest: if they were a frame's time apart, a
        busy writer would move newest each time.

        Returns
        -------
        tuple or None
            None: newest moved meanwhile, so the table may be half changed.
        """
        words, order = self._control, self._order
        word: int = words[NEWEST_WORD]
        if order is not None:
            order("R6")  # newest before the table; W2
        at = TABLE_WORDS[word & 1]
        table = words[at], words[at + 1], words[at + 2], words[at + 3], words[at + 4]
        if order is not None:
            order("R7")  # the table before newest; W3
        # guard: newest-again-after-the-table
        return (word, Table(*table)) if words[NEWEST_WORD] == word else None

    def follow(self, segment: Memory, table: Table, table_index: int) -> None:
        """Read frames from this segment from now on."""
        self.segment, self.table, self.table_index = segment, table, table_index
        words, self._slots, step = segment.words, table.slots, table.stride // 8
        self._heads = [words[at : at + HEAD_END] for at in range(0, table.slots * step, step)]

    def oldest(self, above: int, limit: int) -> int:
        """Return the smallest stable position above `above` and up to `limit`; 0: there is none.

        `limit` is newest's position, loaded before; or, in a segment that the writer has left,
        the one that the next segment's table records.
        """
        if self._order is not None:
            self._order("R8")  # newest before the slots' seqs; W3
        following = above + 1
        if following <= limit and self.holds(following):
            return following
        seqs = [head[SEQ_WORD] for head in self._heads]
        # guard: in-order-up-to-newest
        stable = [seq for seq in seqs if 2 * above < seq <= 2 * limit and not seq & 1]
        return min(stable, default=0) >> 1

    def head(self, position: int) -> list[int] | None:
        """Load the head of a position's slot; the payload may be loaded afterwards.

        Returns
        -------
        list of int or None
            The words of the head, in their order. None: the slot does not hold the frame of that
            position.
        """
        head = self._heads[position % self._slots]
        if head[SEQ_WORD] != 2 * position:  # guard: first-look-at-seq
            return None
        if self._order is not None:
            self._order("R1")  # seq before payload; W2
        words: list[int] = head.tolist()  # half of what eight indices cost
        return words

    def confirm(self, position: int) -> bool:
        """Tell whether all that was loaded since `head` is of that one frame."""
        if self._order is not None:
            self._order("R2")  # payload before seq; W1
        seq: int = self._heads[position % self._slots][SEQ_WORD]
        return seq == 2 * position  # guard: second-look-at-seq

    def holds(self, position: int) -> bool:
        """Tell whether the slot of a position holds its frame whole."""
        return bool(self._heads[position % self._slots][SEQ_WORD] == 2 * position)

    def own_pins(self, entry: int) -> Any:
        """Return a view of an entry's pins, by whose ``tobytes()`` the free ones are found."""
        at = PINS_BYTE + entry * PINS_PER_ENTRY
        return self._memory.group(at, at + PINS_PER_ENTRY)

    def pin(self, entry: int, which: int, index: int) -> None:
        """Set one of the four pins of an entry on slot `index` (a hazard pointer)."""
        self._bytes[PINS_BYTE + entry * PINS_PER_ENTRY + which] = index + 1
        self._full("R3")  # the pin before seq; W1

    def unpin(self, entry: int, which: int) -> None:
        """Clear a pin.

        This may run in any thread and inside another fence (from a finalizer), so its fence has a
        lock of its own.
        """
        if self._order is not None:
            make_fence()("R5")  # the last loads of the payload before the unpin; W4
        self._bytes[PINS_BYTE + entry * PINS_PER_ENTRY + which] = 0

    def unpin_callbacks(self, entry: int, which: int) -> list[Callable[[Any], Any]]:
        """Return callbacks that clear a pin, for instances of `ZeroReference`, made in this order.

        None of them is Python code, so no signal handler runs inside: its exception would be lost,
        and the pin would stay.
        """
        at = PINS_BYTE + entry * PINS_PER_ENTRY + which
        store: Callable[[Any], Any] = partial(self._bytes.__setitem__, at)
        if self._order is None:
            return [store]
        # R5: the last loads of the payload before the unpin; W4. Callbacks run from the one that
        # was made last to the one that was made first (Doc/library/weakref.rst).
        release, acquire = fence_callbacks()
        return [store, acquire, release]

    def begin_waiting(self, entry: int) -> int:
        """Set the waiting byte; return the newest word that the reader may sleep on."""
        self._bytes[WAITING_BYTE + entry] = 1  # guard: waiting-byte
        self._full("R4")  # waiting before newest; W3
        return self.newest()

    def end_waiting(self, entry: int) -> None:
        """Clear the waiting byte."""
        self._bytes[WAITING_BYTE + entry] = 0  # guard: waiting-byte-cleared


class ZeroReference(weakref.ref[Any]):
    """A weak reference that counts as the number 0: ``int()`` is called, in C."""

    __slots__ = ()
    __index__ = int
