"""One instance of an array as a reader maps it: control segment, frame segment, decoded layouts.

What may live here: mapping the frame segment that newest names, decoding the layout in a slot. Not
here: which frame is next (``cursor``), nor the order of the loads (``reading``).
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .._protocol import format
from .._protocol.format import (
    HEADER_WORD,
    PAYLOAD_WORD,
    RECORD_BYTE,
    TIME_WORD,
    ControlHeader,
    Table,
)
from .._protocol.layout import Layout, decode_layout, uuid_bytes
from .._protocol.memory import Fences, Memory, make_fences
from .._protocol.reading import ReadSide
from .._registry.names import Address
from .._system import clock
from ..backends.base import Segment
from ..errors import FormatError
from .buffers import SMALLEST

__all__ = ["LOOKS", "Instance", "View"]

# A look fails if the writer moves on before anything is copied: from a table, or from a slot that
# is to be pinned. It takes about 10 us. If 100 fail in a row, another process damages the segment.
LOOKS = 100
_LAYOUTS = 64  # decoded layouts that are remembered


class View:
    """A slot decoded.

    Attributes
    ----------
    words : tuple of int
        The uuid of its layout.
    layout : Layout
        Its layout.
    array : numpy.ndarray
        An array over its payload.
    payload : memoryview
        The bytes of the payload.
    nbytes : int
        How many.
    is_plain : bool
        Whether ``array.copy()`` is all that a copy takes: the array is small and has no field
        names.
    """

    __slots__ = ("array", "is_plain", "layout", "nbytes", "payload", "words")

    def __init__(self, layout: Layout, array: npt.NDArray[Any], payload: memoryview) -> None:
        self.words, self.layout = layout.words, layout
        self.array, self.payload, self.nbytes = array, payload, layout.nbytes
        self.is_plain = layout.nbytes < SMALLEST and layout.dtype.names is None


class _NoView:
    """Stands for a slot that was not decoded."""

    words = ()  # no uuid equals this one
    nbytes = 1 << 62  # not known: large enough for a pin


_NO_VIEW: Any = _NoView()


class Instance:
    """One instance of the array, mapped.

    Attributes
    ----------
    memory : Memory
        Its control segment.
    instance_id : int
        Its instance id.
    side : ReadSide
        The steps of reading it.
    views : list of View
        The slots of the mapped frame segment, as far as they were decoded.
    """

    def __init__(
        self, segment: Segment, memory: Memory, header: ControlHeader, fences: Fences
    ) -> None:
        self._segment = segment  # keeps the mapping
        self.memory = memory
        self.instance_id = header.instance
        self._made = header.clock_ns, header.wall_ns
        self.side = ReadSide(memory, fences)
        self.views: list[View] = []
        self._layouts: dict[tuple[int, int], Layout] = {}  # by uuid

    def detach(self) -> None:
        """In a forked child: use a `Memory` of its own, as that of the parent is detached."""
        side, self.memory = self.side, Memory(self._segment.buf)
        self.side = ReadSide(self.memory, make_fences())
        if side.segment is not None:
            self.side.follow(side.segment, side.table, side.table_index)

    @property
    def has_frame(self) -> bool:
        """Whether anything was published."""
        return format.check_newest(self.side.newest()) > 0

    def is_same(self, header: ControlHeader) -> bool:
        """Tell whether a control segment is this instance, even if its id was damaged.

        If the id alone told, a damaged one would cost the reader its place and the pins of arrays
        in place. If the memory told, a reader would keep to an instance whose memory a writer has
        overwritten with another one (Windows, where a mapped name cannot be removed).
        """
        made = header.clock_ns, header.wall_ns
        # guard: instance-made-anew
        return header.instance == self.instance_id or made == self._made

    def table(self) -> tuple[int, Table] | None:
        """Return the newest word and the table that it names; None: newest moved, look again.

        Before the first frame the table means nothing.

        Raises
        ------
        FormatError
            If they cannot be true.
        """
        loaded = self.side.load_table()
        if loaded is not None and format.check_newest(loaded[0]):
            format.check_table(loaded[1])
        return loaded

    def follow(self, address: Address, table: Table, table_index: int) -> bool:
        """Map the frame segment that a table names; False: it is gone, look again.

        Raises
        ------
        FormatError
            If the segment is smaller than the table says.
        """
        side = self.side
        if side.segment is not None and table[:3] == side.table[:3]:
            side.follow(side.segment, table, table_index)
            return True
        name = address.frames(self.instance_id, table.segment)
        try:
            segment = address.transport.open(name, writable=False)
        except FileNotFoundError:
            return False  # the writer uses another one by now, or has closed the array
        if segment.size < table.size:
            raise FormatError("frame segment", f"{segment.size} of {table.size} bytes")
        self.views, self._layouts = [_NO_VIEW] * table.slots, {}
        side.follow(Memory(segment.buf), table, table_index)
        return True

    def follow_newest(self, address: Address) -> bool:
        """Map the frame segment that newest names; False: there is none."""
        for _ in range(LOOKS):
            loaded = self.table()
            if loaded is not None and self.follow(address, loaded[1], loaded[0] & 1):
                return True
        return False

    def age(self, position: int) -> int:
        """Return the age in ns of a position's frame; 0: its slot does not hold it any more."""
        head = self.side.head(position)
        whole = self.side.confirm(position)
        return clock.now_ns() - head[TIME_WORD] if head is not None and whole else 0

    def decode(self, index: int, uuid: tuple[int, int]) -> View:
        """Return the layout in a slot and an array over its payload.

        Everything is checked before it is used as a size or an offset. But what is loaded here may
        be half of one frame and half of another: so the caller passes the view to `remember` only
        after `ReadSide.confirm`.

        Raises
        ------
        FormatError
            If the layout cannot be true.
        """
        segment: Any = self.side.segment
        stride = self.side.table.stride
        words, at = segment.words, index * stride // 8
        header, payload = words[at + HEADER_WORD], words[at + PAYLOAD_WORD]
        format.check_slot_sizes(header, payload, stride)
        record = index * stride + RECORD_BYTE
        layout = self._layouts.get(uuid)
        if layout is None or (len(layout.header), layout.nbytes) != (header, payload):
            encoded = segment.group(record, record + header).tobytes()
            layout = decode_layout(uuid_bytes(uuid), encoded, payload)
        bytes_ = segment.bytes[record + header : record + header + payload]
        return View(layout, layout.view(segment, record), bytes_)

    def decode_whole(self, position: int, index: int, uuid: tuple[int, int]) -> View | None:
        """Return what `decode` does; None: the slot does not hold the position's frame any more.

        Raises
        ------
        FormatError
            If the layout cannot be true, and the slot held the frame all the time.
        """
        try:
            return self.decode(index, uuid)
        except FormatError:
            if self.side.confirm(position):  # guard: second-look-at-seq-before-an-error
                raise
            return None  # it was only an unfinished frame

    def remember(self, index: int, view: View) -> None:
        """Remember the view of a slot, and its layout."""
        self.views[index] = view
        if view.layout.words not in self._layouts:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[view.layout.words] = view.layout
