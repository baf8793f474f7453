"""A frame segment as its writer maps it: filling a slot that was begun.

What may live here: what goes into a slot, and the record of what each slot holds. Not here: which
slot, nor the order of the stores around it (``writing``); which segment (``growth``).
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .._protocol.format import HEADER_WORD, PAYLOAD_WORD, RECORD_BYTE, UUID_WORD, Table
from .._protocol.layout import Layout
from .._protocol.memory import Fences, Memory
from .._protocol.writing import Record, WriteSide
from .._system.fork import SIDES, detach_in_child
from ..backends.base import Segment

__all__ = ["FrameSegment"]

_NOT_KNOWN = (None, None)


class FrameSegment:
    """One frame segment, and what its writer has put into each slot.

    In a forked child every store to it raises ValueError.

    Attributes
    ----------
    table : Table
        What the control segment says about it.
    side : WriteSide
        The steps of writing to it.
    room : int
        The size of the largest layout that fits, in bytes.
    """

    __slots__ = (
        "__weakref__",
        "_fresh",
        "_memory",
        "_segment",
        "_slots",
        "_step",
        "_views",
        "room",
        "side",
        "table",
    )

    def __init__(
        self,
        control: Memory,
        segment: Segment,
        table: Table,
        table_index: int,
        record: Record,
        fences: Fences,
    ) -> None:
        self._segment = segment
        self._memory = Memory(segment.buf)
        self.table = table
        self._slots, self._step = table.slots, table.stride // 8
        self.room = table.stride - RECORD_BYTE
        self.side = WriteSide(control, self._memory, table, table_index, record, fences)
        # What each slot's header says, and the array over its payload.
        self._views: list[tuple[Layout | None, Any]] = [_NOT_KNOWN] * table.slots
        self._fresh: Any = None  # the array that was made last
        detach_in_child(SIDES, self)

    def prepare(self, position: int, layout: Layout) -> npt.NDArray[Any]:
        """Put the header into the slot that was begun; return an array over its payload."""
        index = position % self._slots
        held = self._views[index]
        if held[0] is not layout:
            # guard: header-unknown-before-it-is-touched
            self._views[index] = _NOT_KNOWN  # what an interrupt from here on leaves
            words, at = self._memory.words, index * self._step
            record = 8 * at + RECORD_BYTE
            # First: after a fork in here, the stores that follow raise, or `detach` finds it.
            view = self._fresh = layout.view(self._memory, record)
            self._memory.bytes[record : record + len(layout.header)] = layout.header
            words[at + HEADER_WORD] = len(layout.header)
            words[at + PAYLOAD_WORD] = layout.nbytes
            words[at + UUID_WORD], words[at + UUID_WORD + 1] = layout.words
            held = self._views[index] = (layout, view)
        return held[1]  # type: ignore[no-any-return]

    def detach(self) -> None:
        """In a forked child: refuse stores, also by a call that the fork interrupted.

        The memory is detached already; the arrays over it are not. One that is on loan has an
        array of its own, and stays as it is: what a child stores there is its user's wish.
        """
        for view in (self._fresh, *(view for _, view in self._views)):
            if view is not None:
                view.flags.writeable = False  # guard: slots-detached-in-a-child

    def fill(self, position: int, layout: Layout, array: npt.NDArray[Any]) -> None:
        """Put a frame into the slot that was begun."""
        known, view = self._views[position % self._slots]
        if known is not layout:
            view = self.prepare(position, layout)
        view[...] = array  # one pass, any strides
