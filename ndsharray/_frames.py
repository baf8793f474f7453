"""The frame segment in its writer's hands: filling a slot that was begun.

What may live here: what goes into a slot, and the record of what each slot holds. Not here: which
slot and when (``_writer``), nor the order of the stores around it (``_seqlock``).
"""

from __future__ import annotations

from typing import Any, Optional

import numpy.typing as npt

from ._layout import (
    FRAME_WORD,
    HEADER_WORD,
    PAYLOAD_WORD,
    RECORD_BYTE,
    TIME_WORD,
    UUID_WORD,
    Layout,
    Table,
)
from ._memory import Fences, Memory
from ._seqlock import WriteSide
from .backends.base import Segment

__all__ = ["Frames"]


class Frames:
    """One frame segment, and what its writer put where.

    Attributes
    ----------
    table : Table
        What the control segment says about it.
    side : WriteSide
        The steps of writing to it.
    """

    __slots__ = ("_frames", "_offsets", "_segment", "_views", "_words_at", "room", "side", "table")

    def __init__(
        self, control: Memory, segment: Segment, table: Table, copy: int, fences: Fences
    ) -> None:
        self._segment = segment
        self._frames = Memory(segment.buf)
        self.table = table
        self.room = table.stride - RECORD_BYTE
        self.side = WriteSide(control, self._frames, table, copy, fences)
        # What each slot's header says, and the array over its payload. None: not known.
        self._views: list[Optional[tuple[Layout, npt.NDArray[Any]]]] = [None] * table.slots

    def fits(self, layout: Layout) -> bool:
        """Tell whether a slot has room for a frame of this layout."""
        return len(layout.header) + layout.nbytes <= self.room

    def prepare(self, position: int, layout: Layout) -> npt.NDArray[Any]:
        """Put the header into the slot that was begun; return an array over its payload."""
        index = position % self.table.slots
        at = index * self.table.stride
        held = self._views[index]
        if held is None or held[0] is not layout:
            self._views[index] = None  # an interrupt from here on leaves "not known"
            words, record = self._frames.words, at + RECORD_BYTE
            self._frames.cells[record : record + len(layout.header)] = layout.header
            words[at // 8 + HEADER_WORD] = len(layout.header)
            words[at // 8 + PAYLOAD_WORD] = layout.nbytes
            words[at // 8 + UUID_WORD], words[at // 8 + UUID_WORD + 1] = layout.words
            held = self._views[index] = (layout, layout.view(self._frames, record))
        return held[1]

    def fill(self, position: int, layout: Layout, array: npt.NDArray[Any]) -> None:
        """Put a frame into the slot that was begun."""
        self._frames.copy(self.prepare(position, layout), array)

    def finish(self, position: int, frame: int, now: int) -> None:
        """Say which frame it is and when it was written; then it is whole."""
        at = position % self.table.slots * self.table.stride // 8
        self._frames.words[at + FRAME_WORD] = frame
        self._frames.words[at + TIME_WORD] = now
        self.side.commit(position)
