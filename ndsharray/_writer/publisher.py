"""What a write does while it holds the writer's lock: begin a slot, fill it, publish it.

What may live here: the layout of the last frame, layouts that were seen before, the open loan. Not
here: who may call when (``writer``), which segment has the slot (``growth``).
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from .._protocol.dtypes import check_dtype
from .._protocol.layout import Layout
from .._system import clock
from ..errors import ClosedError
from .growth import Growth
from .holding import Holding, Stage
from .loan import Begun
from .segment import FrameSegment

__all__ = ["NO_LAYOUT", "Publisher"]

_LAYOUTS = 16  # that are remembered: arrays whose shape changes often change between a few

NO_LAYOUT = Layout.of(np.empty((0,), np.uint8))


class Publisher:
    """What a writer publishes, frame after frame.

    Attributes
    ----------
    layout : Layout
        The last frame's; `NO_LAYOUT` before any.
    """

    def __init__(self, holding: Holding, slots: int) -> None:
        self._holding = holding
        self._growth = Growth(holding, slots, clock.now_ns())
        self._loan: weakref.ref[Begun] | None = None  # weak: one that was never ended is over
        self.layout = NO_LAYOUT
        self._layouts: dict[tuple[np.dtype[Any], tuple[int, ...]], Layout] = {}  # made before

    def write(self, array: npt.NDArray[Any], now: int, stamp: int, state: Stage) -> None:
        """Publish an array, the long way; `state` is what it was before this call."""
        self._begin_call(now, state)
        layout = self._layout_for(array)
        segment, position = self._growth.next_slot(layout, self.layout, now)
        segment.fill(position, layout, array)
        self._publish(segment, position, layout, now, stamp)

    def _begin_call(self, now: int, state: Stage) -> None:
        """Check that a slot may be begun now, and look after the array.

        Parameters
        ----------
        now : int
            The time.
        state : Stage
            What it was before this call.
        """
        holding = self._holding
        holding.check_open()
        holding.state = Stage.BUSY
        begun = self._loan() if self._loan is not None else None
        if begun is not None and not begun.over:
            raise RuntimeError("a loan of this writer is open: its with block has to end first")
        due = now >= holding.due
        holding.look_after(now, due, interrupted=state is not Stage.READY)
        if due:
            self._growth.note_pins()

    def _publish(
        self, segment: FrameSegment, position: int, layout: Layout, now: int, stamp: int
    ) -> None:
        """Make a filled slot the newest frame; of its segment too, if that is new."""
        holding = self._holding
        grown = segment is not holding.segment
        # Its record tells which slot is stable; the mapping of the old segment goes now, before
        # its name does: Windows.
        holding.segment = segment
        if segment.side.publish(position, now, stamp):
            holding.control.wake()  # guard: wake-the-long-way
        self.layout = layout
        if grown:
            holding.control.remove_frames()
        holding.state = Stage.READY

    def _layout_for(self, array: npt.NDArray[Any]) -> Layout:
        layout = self.layout
        dtype, shape = array.dtype, array.shape
        if layout is not NO_LAYOUT and dtype == layout.dtype and shape == layout.shape:
            return layout
        known = self._layouts.get((dtype, shape)) if dtype.names is None else None
        if known is not None:
            return known
        check_dtype(dtype)
        layout = Layout.of(array)
        if dtype.names is None:  # else it can change: its fields can be renamed in place
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[dtype, shape] = layout
        return layout

    def lend(self, layout: Layout) -> Begun:
        """Begin the next slot for a loan."""
        now = clock.now_ns()
        self._begin_call(now, self._holding.state)
        segment, position = self._growth.next_slot(layout, self.layout, now)
        segment.prepare(position, layout)
        begun = Begun(self._holding.control, segment, position, layout)
        self._loan = weakref.ref(begun)
        return begun

    def take_back(self, begun: Begun, publish: bool) -> None:
        """Publish a slot that was lent, or drop it."""
        holding, self._loan, now = self._holding, None, clock.now_ns()
        if publish:
            holding.check_open()  # guard: loan-ended-too-late
            if now >= holding.due:
                holding.look(now)
            if begun.control is not holding.control:
                raise ClosedError("a cleaner removed the array during the loan: it was made anew")
            if holding.segment is None:  # perhaps as the segment had lost its name: look again soon
                holding.looked_at_names = 0
            self._publish(begun.segment, begun.position, begun.layout, now, begun.stamp)
        elif begun.segment is holding.segment:
            begun.segment.side.settle()
        elif begun.control is holding.control:  # made for the loan: no reader follows it
            holding.control.remove_frames()
