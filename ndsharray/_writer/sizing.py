"""How large the frame segment has to be: what the writes of some seconds needed.

What may live here: figures. Not here: segments and pins, and what is done about them (``growth``).

A new segment has room for the larger one of the last two layouts (shapes may alternate), in as many
slots as the user asked for, or two more than there are pins. Every five seconds (a *period*) the
next write compares the segment with what the writes of the period needed. It begins a segment of
just that size if the present one is more than four times larger, or has fewer slots than the user
asked for, because memory was short. So memory is freed five to ten seconds after its last use.
"""

from __future__ import annotations

from .._protocol.format import Table, stride_for
from .._protocol.layout import Layout

__all__ = ["Need"]

_PERIOD_NS = 5_000_000_000
_TOO_LARGE = 4  # times; what is made for pins has up to twice the slots that are needed


class Need:
    """What the writes of the present period needed.

    Parameters
    ----------
    slots : int
        The slots that were asked for.
    now : int
        The time, in ns on the shared clock.

    Attributes
    ----------
    slots : int
        The most slots.
    end : int
        When the period is over.
    """

    __slots__ = ("_asked", "_largest", "end", "slots")

    def __init__(self, slots: int, now: int) -> None:
        self._asked = self.slots = slots
        self._largest: Layout | None = None
        self.end = now + _PERIOD_NS

    def note(self, layout: Layout, last: Layout) -> Layout:
        """Count a write; return the larger one of its layout and the last one's."""
        larger = layout if layout.size > last.size else last
        if self._largest is None or larger.size > self._largest.size:
            self._largest = larger
        return larger

    def note_pins(self, pinned: int) -> None:
        """Count the pins that are set now."""
        self.slots = max(self.slots, pinned + 2)

    def end_period(self, now: int, larger: Layout, table: Table) -> tuple[Layout, int] | None:
        """Begin the next period, with a write that needs `larger`.

        Returns
        -------
        tuple or None
            For which layout and how many slots a segment would fit better than the table's; None:
            that one fits.
        """
        slots, largest = self.slots, self._largest or larger
        self.slots, self._largest, self.end = self._asked, larger, now + _PERIOD_NS
        stride = stride_for(len(largest.header), largest.nbytes)
        if table.size > _TOO_LARGE * slots * stride or table.slots < self._asked:
            return largest, slots
        return None
