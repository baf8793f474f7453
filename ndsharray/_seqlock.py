"""The order of loads, stores and fences: the one place that decides it.

What may live here: the steps of writing and of reading, each callable by itself, so that a
test interleaves a writer and a reader by hand. Not here: how payload and header get into a slot
or out of it, which segment is which, when to try again; no file, process or clock. It has some 520
lines because both sides, and why they fit, belong on one page.

**One slot**, `p` being a position and F a fence (``..`` stands for header and payload)::

    writer:  seq = 2p-1 -W1-> look at pins -W4-> store .. -W2-> seq = 2p   newest = 2p|copy -W3->
    copier:  load newest   seq == 2p? -R1-> load .. -R2-> seq == 2p?
    looker:  load newest   pin = slot+1 -R3-> seq == 2p? -R1-> load .. -R5-> pin = 0

`p` is the position: every slot that the writer takes counts, also those that it then passes by, so
a position occurs in one slot of one segment only. Frames are numbered apart from that. Nothing
orders ``seq = 2p`` and newest: a reader that sees newest first misses ``2p``, and tries again.

Why a copy is whole: if it took one byte that was stored for a later position, then W1 (seq before
payload) with R2 (payload before seq) makes the second look at seq see that position's ``2p-1``. If
it took one byte from before ``2p``, then W2 with R1 makes the first look miss ``2p``.

Why a pinned slot stays: the looker stores its pin and then loads seq (R3), the writer stores seq
and then loads the pins (W1). Whichever comes first, at least one of them sees the other: the writer
restores seq (its payload is untouched, so no fence is needed) and passes by, or the looker gives
up. W4 keeps the payload's stores behind that look, R5 the last loads before the unpin: partners.
While the pin stands, no second look at seq is needed. A reader has four pins in a *cell* of its
own; without one it copies, and the promise is the same. A writer that finds no free slot first
clears the cells of readers that died (it can take their leases), then grows. It never waits. Pins
name no segment: in a new one, the first slot is taken without a look at them, as nobody follows it.

**The segment**: newest names a table copy, and the writer changes only the other one. A reader
loads newest, R6, the copy, R7, newest again: unchanged means that the copy was not written
meanwhile, for that needs another newest first (W2 orders the copy before the newest that
names it, W3 orders a newest before the next change of the other copy).

**In order**: whoever wants every frame looks through the seqs of all slots for the oldest that it
has not had (positions have gaps), up to newest. R8, newest before those seqs, pairs with W3, a
newest before the next write: each frame up to newest is found stable, or was overwritten. R9,
"closed" before the last newest, pairs with W3 as well: nothing that was published before the end is
missed; and with W5: the number of the last frame stands there before "closed".

**Waiting**::

    writer:   newest = 2p|copy -W3-> any waiting byte set? wake all
    waiter:   waiting = 1      -R4-> newest still the one last seen? sleep, while it is

Each stores one and then loads the other's: at least one of them sees the other. Was the waiter
just about to sleep, the system compares the word once more in one step with going to sleep.

**A cell** is claimed by storing its owner: R10 keeps that store before the last look at the path of
the lease. A lease file that others remove is gone either before that look, or after the owner could
be seen: whoever then makes a lease file of the same path finds the owner. R11 keeps the last stores
to the cell before the one that frees it. Both pair with system calls: removing, making a file.

**A control segment** is stored whole before its ready word (W0), and read after it (R0).

On x86 only the order of a store before a later load needs an instruction: W1, W3, R3, R4, R10. The
others are kept by the processor, and `Fences.order` is None. The order was tried by exhaustive
search, with and without each fence, under sequential consistency, store buffers and weak memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from . import _layout
from ._layout import (
    CELLS,
    CLOSED,
    FRAME_WORD,
    LAST_FRAME_WORD,
    LIVE,
    MAX_SLOTS,
    MIN_SLOTS,
    NEWEST_BYTES,
    NEWEST_WORD,
    OWNERS_WORD,
    PINS_BYTE,
    PINS_END,
    PINS_PER_CELL,
    READY_WORD,
    SEQ_WORD,
    STATE_WORD,
    TABLE_WORDS,
    TIME_WORD,
    UUID_WORD,
    WAITING_BYTE,
    Table,
)
from ._memory import Fences, Memory, fence_callbacks, make_fence
from .errors import FormatError

__all__ = [
    "ReadSide",
    "Watch",
    "WriteSide",
    "clear_owner",
    "is_ready",
    "set_closed",
    "set_owner",
    "set_ready",
]

_T = TypeVar("_T")

_ALL_PINS = CELLS * PINS_PER_CELL
_NOBODY = bytes(CELLS)


def set_ready(control: Memory, fences: Fences) -> None:
    """Say that a control segment is whole."""
    if fences.order is not None:
        fences.order("W0")  # all of it before ready; pairs with R0
    control.words[READY_WORD] = 1


def is_ready(control: Memory, fences: Fences) -> bool:
    """Tell whether a control segment is whole; what is loaded afterwards is from after that."""
    ready: int = control.words[READY_WORD]
    if fences.order is not None:
        fences.order("R0")  # ready before all of it; pairs with W0
    return ready == 1


def set_closed(control: Memory, frame: int) -> None:
    """Say that the array ends with frame number `frame`."""
    control.words[LAST_FRAME_WORD] = frame
    make_fence()("W5")  # the last frame's number before "closed"; R9
    control.words[STATE_WORD] = CLOSED


def set_owner(control: Memory, cell: int, owner: int) -> None:
    """Say whose a cell is; what is done afterwards comes after it for everybody."""
    control.words[OWNERS_WORD + cell] = owner
    # The owner before the look at the lease's path; a cleaner's removal, and then the load of the
    # owner by whoever makes a new file (system calls order those).
    make_fence()("R10")


def clear_owner(control: Memory, cell: int) -> None:
    """Say that a cell is free, after all that was stored there."""
    # Pins and waiting before "free"; the next owner's load of it, and then its own pins (it makes
    # or locks a file in between).
    make_fence()("R11")
    control.words[OWNERS_WORD + cell] = 0


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
        self._load_waiting = control.group(WAITING_BYTE, WAITING_BYTE + CELLS).tobytes
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
        self._control, self._bytes = control.words, control.cells
        self._full, self._order = fences
        self.frames: Memory | None = None
        self.table, self.copy = _layout.NO_TABLE, -1
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

    def own_pins(self, cell: int) -> Any:
        """Return a view of a cell's pins, by whose ``tobytes()`` the free ones are found."""
        at = PINS_BYTE + cell * PINS_PER_CELL
        return self._memory.group(at, at + PINS_PER_CELL)

    def pin(self, cell: int, which: int, index: int) -> None:
        """Mark slot `index` as looked at, by one of the four pins of a cell."""
        self._bytes[PINS_BYTE + cell * PINS_PER_CELL + which] = index + 1
        self._full("R3")  # the pin before seq; W1

    def unpin(self, cell: int, which: int) -> None:
        """Take a pin away.

        This may run in any thread and inside another fence (a finalizer's callback), so
        its fence has a lock of its own.
        """
        if self._order is not None:
            make_fence()("R5")  # the last loads of the payload before the unpin; W4
        self._bytes[PINS_BYTE + cell * PINS_PER_CELL + which] = 0

    def unpin_callbacks(self, cell: int, which: int) -> list[Callable[[Any], Any]]:
        """Return what takes a pin away: callbacks for `Watch` references, to be made in this order.

        Nothing of it is Python code, so that no signal handler runs in the middle: one that
        raises there would lose both its exception and the pin.
        """
        at = PINS_BYTE + cell * PINS_PER_CELL + which
        store: Callable[[Any], Any] = partial(self._bytes.__setitem__, at)
        if self._order is None:
            return [store]
        # R5: the last loads of the payload before the unpin; W4. Callbacks run from the one that
        # was made last to the one that was made first (Doc/library/weakref.rst).
        release, acquire = fence_callbacks()
        return [store, acquire, release]

    def begin_waiting(self, cell: int) -> int:
        """Say that this reader is going to sleep; return the newest word that it may sleep on."""
        self._bytes[WAITING_BYTE + cell] = 1  # guard: waiting-byte
        self._full("R4")  # waiting before newest; W3
        return self.newest()

    def end_waiting(self, cell: int) -> None:
        """Say that this reader is awake."""
        self._bytes[WAITING_BYTE + cell] = 0  # guard: waiting-byte-cleared


class Watch(weakref.ref[Any]):
    """A weak reference that is the number 0 where one is asked for: in C, ``int()`` is called."""

    __slots__ = ()
    __index__ = int
