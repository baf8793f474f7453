"""What a reader has had of one instance, and how it takes what comes next: newest, or in order.

What may live here: which position is next, when to try again, when to pin, when to go to sleep. Not
here: which instance is followed (``reader``), the order of the loads (``seqlock``), what a
frame becomes (``delivery``).

A try can fail only because the writer went on meanwhile. The first one just looks; from the second
on the slot is pinned, so what was overrun once is not overrun again.
"""

from __future__ import annotations

from .._registry.names import Address
from .._system.wait import Waiter
from .delivery import Delivery
from .instance import Frame, Instance
from .pins import OwnEntry, Pins

__all__ = ["Cursor"]

_COPIES = 3  # without a pin, each of which may cost a whole frame and be overrun
# What the writer overtakes before anything is copied: a table, a slot that was to be pinned. It
# costs some 10 us; so many in a row mean that somebody scribbles over the control segment.
_LOOKS = 100


class Cursor:
    """One instance of an array, followed.

    Attributes
    ----------
    attached : Attached
        The instance.
    side : ReadSide
        The steps of reading it.
    pins : Pins or None
        The reader's pins there; None: it has no entry.
    had : tuple of int
        Position and number of the last frame that was had, and how many passed unseen since the
        first one. One tuple, so that no interrupt comes between its parts.
    """

    def __init__(self, address: Address, attached: Instance, entry: OwnEntry) -> None:
        self._address = address
        self._entry = entry
        self.attached = attached
        self.side = attached.side
        self.pins = entry.pins(attached, None)
        self.last_read: tuple[int, int, int] = (0, 0, 0)
        self._seen = 0  # the newest word that was looked at last
        self._table_word = -1  # the newest word whose table was read last
        self._failed = False  # whether the try before failed
        self._copied = 0  # copies without a pin in this call
        self._waiting = False  # whether the waiting byte may be set
        self.waiter = Waiter(attached.side.newest_word())

    def detach(self) -> None:
        """In a forked child: go on without what is the parent's, after the last frame."""
        self.attached.detach()
        self.side = self.attached.side
        self._waiting = False  # the byte is the parent's

    def newest(self, take: Delivery, word: int) -> tuple[int, Frame] | None:
        """Take the newest frame, with its position; None: nothing new, or every try failed.

        Parameters
        ----------
        take : Take
            What becomes of it.
        word : int
            The newest word, as it was loaded just now.
        """
        self._seen, position, side = word, word >> 1, self.side
        if position == self.last_read[0] or position == 0:
            return None
        again, self._failed = self._failed, True  # until a try succeeds, however it ends
        # After a try that failed or was broken off the table may be another one, and a pin stand.
        if again or word & 1 != side.copy:  # guard: table-after-a-failed-try
            return self._try(take, 0)
        # The short way: all is as it was when the last frame was taken.
        if take.pinned_from:
            attached = self.attached
            frame = side.attempt(position, attached.views, attached.decode, take.copy)
            if attached.fresh is not None:
                attached.keep(frame)
        else:
            frame = self._take_pinned(position, take)
        if frame is None:
            return self._try(take, 1)
        self._failed = False
        return position, frame

    def _try(self, take: Delivery, copied: int) -> tuple[int, Frame] | None:
        """Take the newest frame, after so many copies that were overrun."""
        self._copied = copied
        self.settle()
        attached = self.attached
        for _ in range(_LOOKS):
            # After two grows the same copy stands for another segment: hence each time.
            loaded = attached.table()
            if loaded is None:
                continue
            word, table = loaded
            self._seen, position = word, word >> 1
            if position == self.last_read[0] or position == 0:
                return None
            if attached.follow(self._address, table, word & 1):
                frame = self._take_or_pin(position, take)
                if frame is not None:
                    return position, frame
                if self._copied >= _COPIES:
                    return None
        return None

    def _take_or_pin(self, position: int, take: Delivery) -> Frame | None:
        """Take the frame of a position, pinned from the copy on that `take` says."""
        pinned = self._copied >= take.pinned_from
        frame = (self._take_pinned if pinned else self._take)(position, take)
        if frame is not None:
            self._failed = False
        return frame

    def follow_newest(self) -> bool:
        """Follow the segment that newest names; tell whether there is one."""
        attached = self.attached
        for _ in range(_LOOKS):
            loaded = attached.table()
            if loaded is not None and attached.follow(self._address, loaded[1], loaded[0] & 1):
                return True
        return False

    def next(self, take: Delivery) -> tuple[int, Frame] | None:
        """Do the same with the oldest frame that was not had, as far as the slots reach back."""
        side = self.side
        self.settle()
        self._copied = 0
        for _ in range(_LOOKS):
            word = self._seen = side.newest()
            if word >> 1 == self.last_read[0] or word >> 1 == 0:
                return None
            # guard: in-order-table-tells
            limit = word >> 1 if word == self._table_word else self._go_on_in_order()
            position = side.oldest(self.last_read[0], limit) if limit else 0
            if not position:
                continue
            frame = self._take_or_pin(position, take)
            if frame is not None:
                return position, frame
            if self._copied >= _COPIES:
                return None
        return None

    def _go_on_in_order(self) -> int:
        """Follow the segment that newest names, when all before it was had.

        Whenever newest moved, also within one copy: in a segment that the writer has left there
        may be a stable slot that was never published, and only the table tells.

        Returns
        -------
        int
            The last position to be taken from the segment that is followed now; 0: begin again.
        """
        attached, side = self.attached, self.side
        loaded = attached.table()
        if loaded is None:
            return 0
        word, table = loaded
        self._seen = word
        if (
            side.frames is not None  # guard: in-order-left-segment-first
            and side.table.segment == table.previous != table.segment
            and side.oldest(self.last_read[0], table.before)
        ):
            return table.before
        if not attached.follow(self._address, table, word & 1):
            return 0
        self._table_word = word
        return word >> 1

    def settle(self) -> None:
        """Let go of what an interrupt left: a pin of a try, the waiting byte of a sleep."""
        pins = self.pins
        if pins is not None and pins.ours:
            if pins.open is not None:
                pins.settle()
            if self._waiting:
                self.side.end_waiting(pins.entry.index)
                self._waiting = False

    def _take(self, position: int, take: Delivery) -> Frame | None:
        """Take the frame of a position by copying it, without a pin."""
        attached = self.attached
        self._copied += 1
        frame = self.side.attempt(position, attached.views, attached.decode, take.copy)
        if attached.fresh is not None:
            attached.keep(frame)
        return frame if frame is None or not take.finishes else (take.finish(frame[0]), *frame[1:])

    def _take_pinned(self, position: int, take: Delivery) -> Frame | None:
        """Take it with its slot pinned, if a pin is to be had."""
        attached, side, pins = self.attached, self.side, self._held_pins()
        if pins is None:
            return self._take(position, take)
        self._failed = True  # until all has ended well: an interrupt may leave a pin
        try:
            which = pins.pin(position % side.table[1])
            if which < 0:
                return self._take(position, take)
            frame = side.attempt(position, attached.views, attached.decode, take.take)
            if attached.fresh is not None:
                attached.keep(frame)
            if take.stays and frame is not None and frame[0].nbytes:
                pins.guard(which, frame[0])
            return frame
        finally:
            if pins.open is not None:
                pins.settle()

    def end(self) -> None:
        """Count what was published before the end and could not be had any more."""
        position, number, missed = self.last_read
        if position:
            last = max(number, self.side.last_frame())
            self.last_read = (position, last, missed + last - number)

    def _held_pins(self) -> Pins | None:
        pins = self.pins
        if pins is None or not pins.ours:
            pins = self.pins = self._entry.pins(self.attached, pins)
        return pins

    def can_sleep(self) -> bool:
        """Tell whether the writer would wake us."""
        return self.waiter.sleeps and self._held_pins() is not None

    def has_news(self) -> bool:
        """Tell whether newest moved since it was looked at."""
        return self.side.newest() != self._seen

    def sleep(self, seconds: float) -> None:
        """Sleep until newest may have moved since it was looked at, for so long at most."""
        if self.waiter.spin(self._seen):
            return
        side, pins = self.side, self._held_pins()
        if pins is None or not self.waiter.sleeps:
            self.waiter.poll(self._seen, seconds)
            return
        entry = pins.entry.index
        # Until all has ended well; `settle` looks at the one, and a new frame leads there by the
        # other.
        self._waiting, failed, self._failed = True, self._failed, True
        try:
            # The word itself as it is now, not the last frame's: one that cannot be read yet
            # must not keep us awake.
            word = side.begin_waiting(entry)
            # guard: newest-again-before-sleeping, state-before-sleeping
            if word == self._seen and side.is_live():
                self.waiter.sleep(word, seconds)
        finally:
            side.end_waiting(entry)
        self._waiting, self._failed = False, failed
