"""Which slot the next frame gets: one of the segment in use, or the first of a new segment.

What may live here: when a new segment is due, and how many slots it has. Not here: the figures of
the last seconds (``sizing``), making a segment (``holding``), which of its slots is next
(``writing``).
"""

from __future__ import annotations

from contextlib import suppress

from .._protocol.format import MAX_SLOTS, MIN_SLOTS
from .._protocol.layout import Layout
from .holding import Holding
from .segment import FrameSegment
from .sizing import Need

__all__ = ["Growth"]

# The distance from the newest position at which a writer begins another segment: half of the jump
# at a take-over (``control``).
_MAX_AHEAD = 2**15  # guard: grow-when-far-ahead


class Growth:
    """The choice of the next slot, with what the writes of the last seconds needed.

    Attributes
    ----------
    need : Need
        Those figures.
    """

    def __init__(self, holding: Holding, slots: int, now: int) -> None:
        self._holding = holding
        self.need = Need(slots, now)

    def next_slot(self, layout: Layout, last: Layout, now: int) -> tuple[FrameSegment, int]:
        """Begin a slot for a frame of `layout`, after one of the layout `last`."""
        holding, need = self._holding, self.need
        larger = need.note(layout, last)
        if now >= need.end:
            fitting = self._refit(larger, now)
            if fitting is not None:
                return fitting
        segment = holding.segment
        if segment is not None and self._has_room(segment, layout):
            position = holding.begin_slot(segment)
            if position:
                return segment, position
        segment = None  # a mapping goes before its name does: Windows
        return self._grow(layout, larger, now)

    def note_pins(self) -> None:
        """Count the pins that are set now."""
        segment = self._holding.segment
        if segment is not None:
            self.need.note_pins(segment.side.pinned())

    def _has_room(self, segment: FrameSegment, layout: Layout) -> bool:
        record = self._holding.record
        ahead = record.position - (record.newest_frame[0] >> 1)
        return layout.size <= segment.room and ahead < _MAX_AHEAD

    def _refit(self, larger: Layout, now: int) -> tuple[FrameSegment, int] | None:
        """Begin a slot in a segment that fits, if the one in use has not for a whole period.

        None: it fits, or another one cannot be made now; the write uses the present one.
        """
        holding, need = self._holding, self.need
        holding.look(now)
        segment = holding.segment
        if segment is None:
            return None
        need.note_pins(segment.side.pinned())
        fitting = need.end_period(now, larger, segment.table)
        if fitting is not None:
            with suppress(OSError):
                return holding.begin_segment(*fitting)
        return None

    def _grow(self, layout: Layout, larger: Layout, now: int) -> tuple[FrameSegment, int]:
        """Begin a slot in a new segment, as the one in use has none for this layout."""
        holding, need, fewer = self._holding, self.need, {MIN_SLOTS}
        holding.look(now)
        old = holding.segment
        if old is not None:
            pinned = old.side.pinned()
            fewer = {pinned + 2, old.side.fewest_slots()}
            need.note_pins(pinned)
            if self._has_room(old, layout):  # so all slots are pinned
                need.slots = min(MAX_SLOTS, max(need.slots, 2 * old.table.slots))
        slots = need.slots
        return holding.begin_segment(larger, slots, *sorted(fewer - {slots}, reverse=True))
