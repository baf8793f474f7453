"""A reader's loads, stores and fences over one instance; why they suffice: ``seqlock``.

What may live here: the steps of reading, each callable by itself, so that a test interleaves a
writer and a reader by hand. Not here: what becomes of a payload, or when to try again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ..errors import FormatError
from . import format
from .format import (
    FRAME_WORD,
    LAST_FRAME_WORD,
    LIVE,
    NEWEST_BYTES,
    NEWEST_WORD,
    PINS_BYTE,
    PINS_PER_ENTRY,
    STATE_WORD,
    TABLE_WORDS,
    TIME_WORD,
    UUID_WORD,
    WAITING_BYTE,
    Table,
)
from .memory import Fences, Memory, fence_callbacks, make_fence

__all__ = ["ReadSide", "Watch"]

_T = TypeVar("_T")


class ReadSide:
    """A reader's steps over one control segment and the frame segment that it follows.

    Attributes
    ----------
    table : Table
        The followed frame segment's.
    copy : int
        The table copy it was read from; -1: none is followed.
    """

    __slots__ = (
        "_bytes",
        "_control",
        "_frame_words",
        "_full",
        "_memory",
        "_order",
        "_slots",
        "_step",
        "copy",
        "frames",
        "table",
    )

    def __init__(self, control: Memory, fences: Fences) -> None:
        self._memory = control
        self._control, self._bytes = control.words, control.bytes
        self._full, self._order = fences
        self.frames: Memory | None = None
        self.table, self.copy = format.NO_TABLE, -1
        self._frame_words: Any = None
        self._slots: int = 0
        self._step: int = 0

    def is_live(self) -> bool:
        """Tell whether the writer has not closed the array (it may have been killed).

        If not, whatever is loaded afterwards is from after the writer's last publish.
        """
        if self._control[STATE_WORD] == LIVE:
            return True
        if self._order is not None:
            self._order("R9")  # "closed" before the last newest, and its number; W3, W5
        return False

    def last_frame(self) -> int:
        """Return the number of the last frame of all, once `is_live` said that it is closed."""
        return int(self._control[LAST_FRAME_WORD])

    def newest_if_live(self) -> int:
        """Do the same, and return the newest word; -1 if the writer has closed the array."""
        control = self._control
        if control[STATE_WORD] != LIVE and not self.is_live():
            return -1
        word: int = control[NEWEST_WORD]
        return word

    def newest(self) -> int:
        """Return the newest word: ``2 * position + table copy``."""
        word: int = self._control[NEWEST_WORD]
        return word

    def newest_word(self) -> Any:
        """Return the 8 bytes of the newest word, for whoever sleeps on them."""
        return self._memory.group(*NEWEST_BYTES)

    def load_table(self) -> tuple[int, Table] | None:
        """Return the newest word and the table copy that it names.

        Nothing else is done between the two loads of newest: what takes longer than a writer's
        frame would be overtaken each time.

        Returns
        -------
        tuple or None
            None: newest moved meanwhile, so that the copy may be half changed.
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

    def follow(self, frames: Memory, table: Table, copy: int) -> None:
        """Look for frames in another segment from now on."""
        self.frames, self.table, self.copy = frames, table, copy
        self._frame_words = frames.words
        self._slots, self._step = table.slots, table.stride // 8

    def oldest(self, above: int, limit: int) -> int:
        """Return the smallest stable position above `above` and up to `limit`; 0: there is none.

        `limit` is newest's position, loaded before; or, in a segment that the writer has left,
        the one that the next segment's table records.
        """
        if self._order is not None:
            self._order("R8")  # newest before the slots' seqs; W3
        words, slots, step = self._frame_words, self._slots, self._step
        following = above + 1
        if following <= limit and self.holds(following):
            return following
        seqs = [words[at] for at in range(0, slots * step, step)]  # the first word of each
        # guard: in-order-up-to-newest
        stable = [seq for seq in seqs if 2 * above < seq <= 2 * limit and not seq & 1]
        return min(stable, default=0) >> 1

    def attempt(
        self,
        position: int,
        known: list[Any],
        decode: Callable[[int, tuple[int, int]], Any],
        take: Callable[[Memory, Any], _T],
    ) -> tuple[_T, int, int, int, Any] | None:
        """Load the frame of a position, if its slot holds it whole from first to last.

        Parameters
        ----------
        position : int
            Its position.
        known : list
            For each slot what `decode` returned there last: a tuple that begins with the uuid.
        decode : callable
            Called with the slot's number and the uuid that stands there, if that is another one.
        take : callable
            Called with the memory and what was decoded; loads the payload.

        Returns
        -------
        tuple or None
            What `take` returned, the frame's number, when it was written, its slot, and what was
            decoded. None: the frame was not there, or was overrun meanwhile.

        Raises
        ------
        FormatError
            If `decode` did, and the frame was there all the time.
        """
        words, order, seq = self._frame_words, self._order, 2 * position
        index = position % self._slots
        at = index * self._step
        if words[at] != seq:  # the first word; guard: first-look-at-seq
            return None
        if order is not None:
            order("R1")  # seq before payload; W2
        number, written = words[at + FRAME_WORD], words[at + TIME_WORD]
        uuid = (words[at + UUID_WORD], words[at + UUID_WORD + 1])
        try:
            view = known[index]
            if view[0] != uuid:
                view = decode(index, uuid)
            taken = take(self.frames, view)  # type: ignore[arg-type]
        except FormatError:
            if self.still_valid(position):  # guard: second-look-at-seq-before-an-error
                raise
            return None  # it was only an unfinished frame
        if order is not None:
            order("R2")  # payload before seq; W1
        # guard: second-look-at-seq
        return (taken, number, written, index, view) if words[at] == seq else None

    def holds(self, position: int) -> bool:
        """Tell whether the slot of a position holds its frame whole."""
        return bool(self._frame_words[position % self._slots * self._step] == 2 * position)

    def still_valid(self, position: int) -> bool:
        """Tell whether all that was loaded since it was held is of that one frame."""
        if self._order is not None:
            self._order("R2")  # as in `attempt`: W1
        return self.holds(position)

    def own_pins(self, entry: int) -> Any:
        """Return a view of an entry's pins, by whose ``tobytes()`` the free ones are found."""
        at = PINS_BYTE + entry * PINS_PER_ENTRY
        return self._memory.group(at, at + PINS_PER_ENTRY)

    def pin(self, entry: int, which: int, index: int) -> None:
        """Mark slot `index` as looked at, by one of the four pins of an entry."""
        self._bytes[PINS_BYTE + entry * PINS_PER_ENTRY + which] = index + 1
        self._full("R3")  # the pin before seq; W1

    def unpin(self, entry: int, which: int) -> None:
        """Take a pin away.

        This may run in any thread and inside another fence (a finalizer's callback), so
        its fence has a lock of its own.
        """
        if self._order is not None:
            make_fence()("R5")  # the last loads of the payload before the unpin; W4
        self._bytes[PINS_BYTE + entry * PINS_PER_ENTRY + which] = 0

    def unpin_callbacks(self, entry: int, which: int) -> list[Callable[[Any], Any]]:
        """Return what takes a pin away: callbacks for `Watch` references, to be made in this order.

        Nothing of it is Python code, so that no signal handler runs in the middle: one that
        raises there would lose both its exception and the pin.
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
        """Say that this reader is going to sleep; return the newest word that it may sleep on."""
        self._bytes[WAITING_BYTE + entry] = 1  # guard: waiting-byte
        self._full("R4")  # waiting before newest; W3
        return self.newest()

    def end_waiting(self, entry: int) -> None:
        """Say that this reader is awake."""
        self._bytes[WAITING_BYTE + entry] = 0  # guard: waiting-byte-cleared


class Watch(weakref.ref[Any]):
    """A weak reference that is the number 0 where one is asked for: in C, ``int()`` is called."""

    __slots__ = ()
    __index__ = int
