"""How a reader gets the next frame of one instance: the newest, or the oldest undelivered one.

What may live here: which position is next, the steps of reading it, when to try again, when to pin
the slot, how a sleep on newest begins. Not here: which instance is read (``source``), the order of
the loads (``reading``), what a frame becomes for the caller (``delivery``).

A try fails only because the writer published meanwhile. The first try of a copy only looks; from
the second one on the slot is pinned, so the writer cannot overrun that try as well.
"""

from __future__ import annotations

from typing import Any

from .._registry.names import Address
from .._system import clock
from .._system.wait import Waiter
from .delivery import Delivery, LastFrame
from .instance import LOOKS, Instance
from .own_entry import OwnEntry
from .pins import Pins
from .sleep import Sleep

__all__ = ["Cursor"]

_COPIES = 3  # without a pin; each may cost a whole frame and be overrun


class Cursor:
    """A reader's place in one instance of an array.

    Parameters
    ----------
    last : LastFrame
        Where each delivered frame is recorded.

    Attributes
    ----------
    side : ReadSide
        The steps of reading the instance.
    pins : Pins or None
        The reader's pins there; None: it has no entry.
    position : int
        That of the last frame; 0: none of this instance was delivered.
    missed : int
        How many frames passed unseen since the first one that was delivered.
    seen : int
        The newest word, as it was loaded last.
    failed : bool
        Whether the last try failed, or the waiting byte may be set.
    marked : bool
        Whether the waiting byte may be set.
    """

    def __init__(
        self, address: Address, instance: Instance, entry: OwnEntry, last: LastFrame
    ) -> None:
        self._address = address
        self._entry = entry
        self._last = last
        self.instance = instance
        self.side = instance.side
        self.pins = entry.pins(instance, None)
        self.position = self.missed = 0
        self._frame_id = 0  # the number of the last frame of this instance
        self.seen = 0
        self._table_word = -1  # the newest word whose table was read last
        self.failed = self.marked = False
        self._copied = 0  # copies without a pin in this call
        self.waiter = Waiter(instance.side.newest_word())

    def detach(self) -> None:
        """In a forked child: drop what is the parent's, and keep the place."""
        self.instance.detach()
        self.side = self.instance.side
        self.marked = False  # the byte is the parent's

    def newest(self, delivery: Delivery, word: int) -> bool:
        """Deliver the newest frame; False: nothing is new, or every try failed.

        Parameters
        ----------
        delivery : Delivery
            What the frame becomes.
        word : int
            The newest word, loaded just now.
        """
        self.seen, position = word, word >> 1
        if position == self.position or position == 0:
            return False
        again, self.failed = self.failed, True  # until a try succeeds, however this one ends
        # After a failed or interrupted try the table may be another one, and a pin may stand.
        if again or word & 1 != self.side.table_index:  # guard: table-after-a-failed-try
            return self._try(delivery, 0)
        if delivery.max_age_ns is not None:  # the age first
            return self._try(delivery, 0)
        # The short way: the segment is the one that the last frame was read from.
        if self.instance.views[position % self.side.table[1]].nbytes < delivery.pins_from:
            return self._read(position, delivery, None) or self._try(delivery, 1)
        return self._read_pinned(position, delivery) or self._try(delivery, 1)

    def _try(self, delivery: Delivery, copied: int) -> bool:
        """Deliver the newest frame, after `copied` copies that the writer overran."""
        self._copied = copied
        self.settle()
        instance = self.instance
        for _ in range(LOOKS):
            # Each time: after two grows the same table index stands for another segment.
            loaded = instance.table()
            if loaded is None:
                continue
            word, table = loaded
            self.seen, position = word, word >> 1
            if position == self.position or position == 0:
                return False
            if instance.follow(self._address, table, word & 1):
                if delivery.max_age_ns is not None and instance.age(position) > delivery.max_age_ns:
                    return False
                if self._read_or_pin(position, delivery):
                    return True
                if self._copied >= _COPIES:
                    return False
        return False

    def next(self, delivery: Delivery) -> bool:
        """Deliver the oldest undelivered frame that a slot still holds; False as for `newest`."""
        side = self.side
        self.settle()
        self._copied = 0
        for _ in range(LOOKS):
            word = self.seen = side.newest()
            if word >> 1 == self.position or word >> 1 == 0:
                return False
            # guard: in-order-table-tells
            limit = word >> 1 if word == self._table_word else self._follow_in_order()
            position = side.oldest(self.position, limit) if limit else 0
            if not position:
                continue
            if self._read_or_pin(position, delivery):
                return True
            if self._copied >= _COPIES:
                return False
        return False

    def _follow_in_order(self) -> int:
        """Map the segment that newest names, once all frames before it were delivered.

        The table is read whenever newest has moved, also within one segment: a segment that the
        writer has left may hold a stable slot that was never published, and only the table tells.

        Returns
        -------
        int
            The last position to be read from the mapped segment; 0: look again.
        """
        instance, side = self.instance, self.side
        loaded = instance.table()
        if loaded is None:
            return 0
        word, table = loaded
        self.seen = word
        if (
            side.segment is not None  # guard: in-order-left-segment-first
            and side.table.segment == table.previous != table.segment
            and side.oldest(self.position, table.before)
        ):
            return table.before
        if not instance.follow(self._address, table, word & 1):
            return 0
        self._table_word = word
        return word >> 1

    def _read_or_pin(self, position: int, delivery: Delivery) -> bool:
        """Deliver the frame of a position, with its slot pinned from the try on that needs it."""
        view = self.instance.views[position % self.side.table[1]]
        if self._copied or view.nbytes >= delivery.pins_from:  # guard: second-try-pinned
            return self._read_pinned(position, delivery)
        self._copied += 1
        return self._read(position, delivery, None)

    def _read_pinned(self, position: int, delivery: Delivery) -> bool:
        """Deliver the frame of a position with its slot pinned, or without if no pin is free."""
        pins = self._held_pins()
        if pins is not None:
            self.failed = True  # until the end: an interrupt may leave a pin
            try:
                if pins.pin(position % self.side.table[1]):
                    return self._read(position, delivery, pins)
            finally:
                if pins.open is not None:
                    pins.settle()
        self._copied += 1
        return self._read(position, delivery, None, may_pin=False)

    def _read(
        self, position: int, delivery: Delivery, pins: Pins | None, may_pin: bool = True
    ) -> bool:
        """Deliver the frame of a position; False: its slot did not hold it whole all the time.

        Parameters
        ----------
        pins : Pins or None
            One of them is on the slot; None: the slot is not pinned.
        may_pin : bool
            Whether another try can pin it: a frame that turns out to be large waits for that.
        """
        side, instance = self.side, self.instance
        head = side.head(position)
        if head is None:
            return False
        _, frame_id, written, _, _, first, second, stamp = head
        index, uuid = position % side.table[1], (first, second)
        view = known = instance.views[index]
        if view.words != uuid:
            decoded = instance.decode_whole(position, index, uuid)
            if decoded is None:
                return False
            if pins is None and may_pin and decoded.nbytes >= delivery.pins_from:
                return False
            view = decoded
        segment: Any = side.segment
        array = delivery.copy(segment, view) if pins is None else delivery.deliver(segment, view)
        if not side.confirm(position):
            return False
        if view is not known:
            instance.remember(index, view)
        if pins is None:
            if delivery.finishes:
                array = delivery.finish(array)
        elif delivery.stays and array.nbytes:
            pins.guard(array)
        else:
            pins.settle()
        last = self._last
        last.array, last.frame_id, last.layout = array, frame_id, view.layout
        last.written, last.stamp = written, stamp
        last.read = clock.now_ns()
        missed, unseen = self.missed, frame_id - self._frame_id - 1
        if unseen > 0 and self.position:
            missed += unseen
        # At the end: if an interrupt comes before, the frame is delivered again.
        self.position, self._frame_id, self.missed = position, frame_id, missed
        self.failed = False
        return True

    def settle(self) -> None:
        """Clear what an interrupt left: the pin of a try, the waiting byte of a sleep."""
        pins = self.pins
        if pins is not None and pins.ours:
            if pins.open is not None:
                pins.settle()
            if self.marked:
                self.side.end_waiting(pins.entry.index)
                self.marked = False

    def end(self) -> None:
        """Count as missed what was published before the array's end and not delivered."""
        if self.position:
            last = max(self._frame_id, self.side.last_frame())
            missed = self.missed + last - self._frame_id
            self._frame_id, self.missed = last, missed

    def _held_pins(self) -> Pins | None:
        pins = self.pins
        if pins is None or not pins.ours:
            pins = self.pins = self._entry.pins(self.instance, pins)
        return pins

    def can_sleep(self) -> bool:
        """Tell whether the writer would wake this reader."""
        return self.waiter.sleeps and self._held_pins() is not None

    def has_news(self) -> bool:
        """Tell whether newest has moved since it was loaded last."""
        return self.side.newest() != self.seen

    def has_unread(self) -> bool:
        """Tell whether the newest frame was not delivered; of a closed array: one that is left."""
        live = self.side.is_live()
        word = self.seen = self.side.newest()
        if word >> 1 == self.position or word >> 1 == 0:
            return False
        # What is not mapped yet is gone with the names.
        return live or (
            self.side.segment is not None and self.side.oldest(self.position, word >> 1) > 0
        )

    def sleep(self, seconds: float) -> None:
        """Sleep until newest may have moved since it was loaded last, for `seconds` at most."""
        if self.waiter.spin(self.seen):
            return
        if not self.can_sleep():
            self.waiter.poll(self.seen, seconds)
            return
        sleep = Sleep(self)
        try:
            if sleep.begin():
                self.waiter.sleep(self.seen, seconds)
        finally:
            sleep.end()
